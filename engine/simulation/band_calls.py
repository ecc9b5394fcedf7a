"""All bands of a layer in one call: which kernel does that, and all of its arguments."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..binding.pool_layer import PoolLayer
from ..kernels.arguments import (
    Constant,
    EventRoom,
    GatherScratch,
    LadderNeurons,
    OutputRows,
    PoolScratch,
    SharedBands,
)
from ..kernels.bands import (
    run_bands,
    run_dot_bands,
    run_event_pool_bands,
    run_event_readout_bands,
    run_picture_bands,
    run_pool_bands,
    run_readout_bands,
)
from ..kernels.processor import host_lanes
from ..kernels.window_block import window_token

if TYPE_CHECKING:
    from ..binding import Layer
    from ..kernels.tables import GatherTables
    from .band_rows import Bands
    from .dot_run import DotRun
    from .layer_state import Inputs, LayerState
    from .pool_run import PoolRun
    from .queue_room import QueueRoom
    from .scratch import Scratch

Levels = NDArray[np.unsignedinteger[Any]]
Entries = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]

_NO_WORDS = np.zeros(0, np.uint8)
_NO_PLANES = np.zeros(0, np.uint8)


class BandCalls:
    """The part of `BandRun` that puts the arguments of kernels together."""

    layer: Layer
    state: LayerState
    inputs: Inputs
    row_sizes: NDArray[np.int64]
    steps: int
    bands: Bands
    currents: NDArray[np.float32] | None
    room: QueueRoom | None
    scratch: Scratch
    counts: NDArray[np.int64]
    fired: NDArray[np.int64]
    _worker: int
    _neurons: LadderNeurons | None
    _dot: DotRun | None
    _pool_run: PoolRun | None
    _table: NDArray[np.void] | None
    _token: Any
    _sources: Any
    _compress: Any

    if TYPE_CHECKING:
        _pooling: bool
        _injects: bool
        _channels: int
        _padded: int
        _width: int
        _incoming_width: int
        _kinds: int

        @property
        def _constant(self) -> Constant: ...
        @property
        def _connections(self) -> tuple[GatherTables, NDArray[np.float32]]: ...
        def _words(self, rows: OutputRows) -> Levels: ...
        def _picture_entries(self, rows: int) -> tuple[NDArray[np.int64], int]: ...

    def all_bands(self, counters: NDArray[np.int64]) -> functools.partial[None]:
        """One kernel that runs all phases of those bands that nobody has taken, with its arguments.

        `counters`, (>= 2 + threads,) int64, are those of engine/kernels/shared_counter.py.
        """
        assert self._table is not None
        shares = self.bands.share_table
        bands = SharedBands(counters, shares, self._worker, self._table, self._padded, self._channels)
        most_rows = int((self._table["end_row"] - self._table["first_row"]).max())
        most_inputs = int((self._table["end_input"] - self._table["first_input"]).max())
        if self.layer.neurons is None:
            return self._readout_at_once(bands, most_rows, most_inputs)
        words = self._words(OutputRows(0, most_rows, self._padded, self._channels))
        if self._pooling:
            return self._pool_at_once(bands, most_rows, words)
        if self._injects:
            return self._picture_at_once(bands, most_rows, most_inputs, words)
        return self._gather_at_once(bands, most_inputs, words)

    def _gather_at_once(self, bands: SharedBands, most_inputs: int, words: Levels) -> functools.partial[None]:
        if self._dot is not None:
            return functools.partial(
                run_dot_bands,
                *self._dot.arguments(self.scratch, self.counts),
                self._constant,
                self._neurons,
                bands,
                self._dot.room(self.scratch, most_inputs, words),
                self._event_room,
            )
        return functools.partial(
            run_bands,
            self._token,
            *self._connections,
            self._sources,
            self._constant,
            self._neurons,
            bands,
            GatherScratch(*self._entries_at_once(bands, most_inputs), words),
            self._event_room,
        )

    def _entries_at_once(self, bands: SharedBands, most_inputs: int) -> Entries:
        """Memory for the entries of any band."""
        ends, firsts = self.row_sizes[bands.table["end_input"]], self.row_sizes[bands.table["first_input"]]
        return self.scratch.entries(self._incoming_width, most_inputs, int((ends - firsts).max()), self.steps)

    def _readout_at_once(self, bands: SharedBands, most_rows: int, most_inputs: int) -> functools.partial[None]:
        currents = self.scratch.currents(most_rows * self._width * self.steps * self._padded)
        if self._dot is None:
            return functools.partial(
                run_event_readout_bands,
                self._token,
                *self._connections,
                self._sources,
                self._constant,
                bands,
                GatherScratch(*self._entries_at_once(bands, most_inputs), _NO_WORDS, currents),
                self.state.readout.reshape(-1),
            )
        return functools.partial(
            run_readout_bands,
            *self._dot.arguments(self.scratch, self.counts),
            self._constant,
            bands,
            self._dot.room(self.scratch, most_inputs, currents),
            self.state.readout.reshape(-1),
        )

    def _pool_at_once(self, bands: SharedBands, most_rows: int, words: Levels) -> functools.partial[None]:
        currents = self.scratch.currents(most_rows * self._width * self.steps * self._padded)
        if self._pool_run is None:
            assert isinstance(self.layer, PoolLayer)
            return functools.partial(
                run_event_pool_bands,
                self._token,
                self.layer.pool_geometry,
                self._sources,
                self._neurons,
                bands,
                PoolScratch(_NO_PLANES, currents, words),
                self._event_room,
            )
        return functools.partial(
            run_pool_bands,
            self._token,
            self._pool_run.tables,
            self._pool_run.sources,
            self._neurons,
            bands,
            PoolScratch(self._pool_run.planes(self.scratch, most_rows), currents, words),
            self._event_room,
        )

    def _picture_at_once(
        self, bands: SharedBands, most_rows: int, most_inputs: int, words: Levels
    ) -> functools.partial[None]:
        offsets, most = self._picture_entries(most_inputs)
        currents = self.scratch.currents(most_rows * self._width * self._padded)
        token, lanes = self.layer.token(1), host_lanes()
        vectors = self.layer.block_width // lanes
        return functools.partial(
            run_picture_bands,
            token,
            None if self.steps == 1 else window_token(self.steps, 1, vectors, lanes, vectors),
            *self._connections,
            (self.inputs.picture, offsets),
            Constant(self.layer.bias, 0),
            self._neurons,
            bands,
            GatherScratch(*self.scratch.entries(self._incoming_width, most_inputs, most, 1), words, currents),
            self._event_room,
        )

    @property
    def _event_room(self) -> EventRoom:
        """Where events go and are counted."""
        room = self.room
        assert room is not None
        arrays = (room.start, room.channels, room.levels, room.masks, room.levels.view(np.uint64))
        return EventRoom(self._compress, *arrays, self._kinds, self.fired)

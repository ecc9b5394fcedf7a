"""Run one layer's output rows, a band of them at a time: decode, gather or pool, fire, compact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..build.stepper import Stepper
from ..kernels.bands import run_bands
from ..kernels.compact import compact_rows
from ..kernels.count import count_levels
from ..kernels.count_by_level import count_by_level
from ..kernels.decode import decode_analog_rows, decode_rows
from ..kernels.entries import host_compresses, lanes_token
from ..kernels.gather import gather_band
from ..kernels.pooling import divide_by_area, fire_currents, pool_analog, pool_events
from ..kernels.vector_block import host_lanes
from .layer_state import Inputs, LayerState
from .queue_room import QueueRoom
from .scratch import Scratch

Decoded = tuple[int, int, NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
Rows = tuple[int, int, int, int]
"""First row and last row + 1 of a band; padded channels and channels."""

Levels = NDArray[np.unsignedinteger[Any]]
FiredBand = tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]], Levels]
"""Where each pixel's entries begin, their channels and their levels, counted from the band's first entry."""

_COMPRESSES = lanes_token(host_lanes()) if host_compresses() else None


class BandRun:
    """Runs bands of a layer over a group of steps; each worker thread has its own.

    Parameters
    ----------
    state : LayerState
    inputs : Inputs
    row_sizes : (H + 1,) int64
        Entries in all input rows before each row.
    steps : int
    scratch : Scratch
    fired : (1 + K, 8) int64
        Counts of the events and spikes that this worker's bands fire are added to it, by byte of a word where levels
        are masks (see `LayerRun.run`), else by step.
    currents : (steps, O, H, W) float32 or None
        Receives the running sum of a layer without neurons.
    room : QueueRoom or None
        Receives the events where it is there; otherwise each band returns its own.
    """

    def __init__(
        self,
        state: LayerState,
        inputs: Inputs,
        row_sizes: NDArray[np.int64],
        steps: int,
        scratch: Scratch,
        fired: NDArray[np.int64],
        currents: NDArray[np.float32] | None,
        room: QueueRoom | None,
    ) -> None:
        layer = state.layer
        self.state = state
        self.layer = layer
        self.inputs = inputs
        self.row_sizes = row_sizes
        self.steps = steps
        self.scratch = scratch
        self.fired = fired
        self.currents = currents
        self.room = room
        self.analog = [source for source in layer.sources if source.analog]
        # Looked up once: there are many small bands.
        self._channels, _, self._width = layer.outgoing
        self._padded = layer.padded_channels
        self._incoming_width = layer.incoming[2]
        self._pooling = layer.pooling
        self._masks = layer.levels is not None and layer.levels.masks
        self._kinds = 0 if layer.levels is None else layer.levels.kinds
        self._token = layer.token(steps)
        self._connections = None if layer.pooling else (layer.plan.tables, layer.weights)
        numbers = np.result_type(np.uint16, *(queue.channels.dtype for _, queue, _ in inputs.queues))
        self._sources = tuple(
            (
                queue.start,
                queue.channels.astype(numbers, copy=False),
                queue.levels.view(np.uint8),
                queue.levels.itemsize,
                emit,
                source.scale,
                source.channel_offset,
            )
            for source, queue, emit in inputs.queues
        )
        self._injects = bool(self.analog) and not layer.pooling and state.fresh
        self._neurons = None if layer.neurons is None or layer.stepper is not None else self._ladder()

    def _ladder(self) -> tuple[Any, ...]:
        """What the kernels take of neurons that are ladders of thresholds, and their potentials."""
        state, padded = self.state, self._padded
        before = (self.layer.initial, 0) if state.fresh else (state.membrane, padded)
        after = (np.empty(padded, np.float32), 0) if state.membrane is None else (state.membrane, padded)
        return (self.layer.neuron, *before, *after)

    def run(self, band: tuple[int, int], index: int) -> FiredBand | None:
        """What the neurons of some rows fire, the `index`-th band of the layer.

        None where it is in the room for events, and for a layer without neurons, whose readout is moved on.
        """
        rows = (*band, self._padded, self._channels)
        if self._neurons is not None and self._injects and self._nothing_else():
            return self._compact(rows, index, self._fire_picture(rows))
        if self._injects:
            self._inject(rows)
        if self.layer.neurons is None:
            self._read_out(rows)
            return None
        return self._compact(rows, index, self._fire(rows))

    @property
    def at_once(self) -> bool:
        """Whether one kernel runs all phases, see `run_all`."""
        ladder = self._neurons is not None and not self._pooling
        return ladder and self.room is not None and bool(self._sources) and not self._injects

    def run_all(self, bands: list[tuple[int, int]], counter: NDArray[np.int64]) -> None:
        """Run those of a layer's bands that nobody has taken; `counter`, (1,), says how many have been."""
        room, layer = self.room, self.layer
        assert room is not None
        table = np.array(
            [(*band, *layer.input_rows(*band), room.first_entry(band[0], index)) for index, band in enumerate(bands)]
        )
        inputs = table[:, 2:4]
        most = int((self.row_sizes[inputs[:, 1]] - self.row_sizes[inputs[:, 0]]).max())
        most_rows, most_inputs = (int((table[:, k + 1] - table[:, k]).max()) for k in (0, 2))
        scratch = (
            *self.scratch.entries(self._incoming_width, most_inputs, most, self.steps),
            self.scratch.words(most_rows * self._width * self._padded, self.steps),
        )
        run_bands(
            (self._token, _COMPRESSES),
            layer.plan.tables,
            layer.weights,
            self._sources,
            (self.state.constant, self.state.constant_stride, self._neurons),
            (counter, table, self._padded, self._channels),
            scratch,
            (room.start, room.channels, room.levels, room.levels.view(np.uint64)),
            self._kinds,
            self.fired,
        )

    # --- Currents ----------------------------------------------------------------------------------------------------

    def _nothing_else(self) -> bool:
        """Whether the analog input is all that the layer reads, in this one step."""
        return self.steps == 1 and not self._sources and self.state.membrane is None

    def _decode_picture(self, rows: Rows) -> Decoded:
        """The analog input that some rows read, as events of one step."""
        first, last = self.layer.input_rows(*rows[:2])
        offsets = np.array([source.channel_offset for source in self.analog])
        entries = (last - first) * self._incoming_width * sum(source.channels for source in self.analog)
        decoded = (first, last - first, *self.scratch.entries(self._incoming_width, last - first, entries, 1))
        decode_analog_rows(self.inputs.picture, offsets, decoded, self.layer.incoming[0])
        return decoded

    def _inject(self, rows: Rows) -> None:
        """Compute the analog input's current, as that of events of one step, on top of the bias."""
        line = self._width * self._padded
        target = self.state.constant[rows[0] * line : rows[1] * line]
        constant = (self.layer.bias, 0)
        assert self._connections is not None
        decoded = self._decode_picture(rows)
        gather_band(self.layer.token(1), *self._connections, decoded, *constant, None, target, rows)

    def _decode(self, rows: Rows) -> Decoded:
        """Entries of the input rows that some rows read; where there is no source but the picture, none."""
        first, last = self.layer.input_rows(*rows[:2])
        entries = int(self.row_sizes[last] - self.row_sizes[first])
        decoded = (first, last - first, *self.scratch.entries(self._incoming_width, last - first, entries, self.steps))
        if self._sources:
            decode_rows(self._sources, decoded, self.steps, self.layer.incoming[0])
        else:
            decoded[2][:] = 0
        return decoded

    def _gather(self, rows: Rows, neurons: Any, target: NDArray[Any]) -> None:
        assert self._connections is not None
        constant = (self.state.constant, self.state.constant_stride)
        gather_band(self._token, *self._connections, self._decode(rows), *constant, neurons, target, rows)

    def _pool(self, rows: Rows) -> NDArray[np.float32]:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        geometry = self.layer.pool_geometry
        sums = self.scratch.currents((rows[1] - rows[0]) * self._width * self.steps * self._padded)
        sums[:] = 0
        for source in self._sources:
            pool_events(geometry, source, self.steps, sums, rows)
        for analog in self.analog:
            pool_analog(geometry, self.inputs.picture, self.steps, analog.channel_offset, sums, rows)
        divide_by_area(geometry, sums)
        return sums

    def _currents(self, rows: Rows) -> NDArray[np.float32]:
        """Currents of a band that pass through memory, flat: rows, width, steps, padded channels."""
        if self._pooling:
            return self._pool(rows)
        currents = self.scratch.currents((rows[1] - rows[0]) * self._width * self.steps * self._padded)
        self._gather(rows, None, currents)
        return currents

    # --- Neurons -----------------------------------------------------------------------------------------------------

    def _words(self, rows: Rows) -> Levels:
        return self.scratch.words((rows[1] - rows[0]) * self._width * self._padded, self.steps)

    def _fire(self, rows: Rows) -> Levels:
        """Levels of a band's neurons, flat: rows, width, padded channels."""
        words = self._words(rows)
        if self.layer.stepper is not None:
            self._step(self.layer.stepper, rows, words)
        elif self._pooling:
            fire_currents(self._token, self._pool(rows), self._neurons, words, rows, self._width)
        else:
            self._gather(rows, self._neurons, words)
        return words

    def _fire_picture(self, rows: Rows) -> Levels:
        """Levels of neurons that read the picture alone: its current need not be kept."""
        words = self._words(rows)
        assert self._connections is not None
        decoded = self._decode_picture(rows)
        gather_band(self._token, *self._connections, decoded, self.layer.bias, 0, self._neurons, words, rows)
        return words

    def _step(self, stepper: Stepper, rows: Rows, words: Levels) -> None:
        """Run neurons that are no ladder of thresholds, on currents that pass through memory."""
        state, width, padded = self.state, self._width, self._padded
        shape = ((rows[1] - rows[0]) * width, self.steps, padded, rows[3])
        if state.membrane is None:
            states, place = tuple(np.empty(padded, np.float32) for _ in range(stepper.variables)), (0, 0, True)
        else:
            states, place = (state.membrane, *state.others), (rows[0] * width * padded, padded, state.fresh)
        stepper.run(self._currents(rows), words, shape, states, place)

    def _compact(self, rows: Rows, index: int, words: Levels) -> FiredBand | None:
        if self.room is not None:
            start, first = self.room.start[rows[0] : rows[1]], self.room.first_entry(rows[0], index)
            compact_rows(_COMPRESSES, words, rows, first, start, self.room.channels, self.room.levels)
            self._count(self.room.levels[first:], int(start[-1, -1]) - first)
            return None
        start = np.empty((rows[1] - rows[0], self._width + 1), np.int64)
        # Packed in arrays that stay in the cache, then copied: large arrays reserved for the worst case would take
        # whole pages, huge ones on some systems, for every band.
        room = start.size * self._channels + host_lanes()
        packed_channels, packed_levels = self.scratch.packed(room, self._channels, self.steps)
        compact_rows(_COMPRESSES, words, rows, 0, start, packed_channels, packed_levels)
        count = int(start[-1, -1])
        self._count(packed_levels, count)
        return start, packed_channels[:count].copy(), packed_levels[:count].copy()

    def _count(self, levels: Levels, count: int) -> None:
        """Count the first `count` levels."""
        if not self._masks:
            assert self.layer.levels is not None
            count_by_level(levels[:count], self.layer.levels.spikes, 1, self.fired)
            return
        # Several entries lie in a word of eight bytes: they are counted together, and told apart by step in the end.
        words = (count * levels.itemsize + 7) // 8
        end = words * 8 // levels.itemsize
        levels[count:end] = 0
        count_levels(levels[:end].view(np.uint64), self._kinds, self.fired)

    def _read_out(self, rows: Rows) -> None:
        shape = (rows[1] - rows[0], self._width, self.steps, self._padded)
        by_step = self._currents(rows).reshape(shape)[..., : rows[3]]
        for step in range(self.steps):
            self.state.readout[rows[0] : rows[1]] += by_step[:, :, step]
            if self.currents is not None:
                self.currents[step, :, rows[0] : rows[1]] = self.state.readout[rows[0] : rows[1]].transpose(2, 0, 1)

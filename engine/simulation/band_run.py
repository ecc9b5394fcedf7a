"""Run one layer's output rows, a band of them at a time: decode, gather or pool, fire, compact."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..binding.gather_layer import GatherLayer
from ..binding.pool_layer import PoolLayer
from ..binding.stepper import Stepper
from ..events import channel_type, level_type, mask_bytes
from ..float32 import beyond
from ..kernels.arguments import (
    Constant,
    Decoded,
    LadderNeurons,
    OutputRows,
)
from ..kernels.compact import compact_rows
from ..kernels.count import count_levels
from ..kernels.count_by_level import count_by_level
from ..kernels.decode import decode_analog_rows, decode_rows
from ..kernels.entries import host_compresses, lanes_token
from ..kernels.gather import gather_band
from ..kernels.pooling import divide_by_area, fire_currents, pool_analog, pool_events
from ..kernels.processor import host_lanes
from ..kernels.readout import add_to_readout
from ..kernels.sources import packed_sources
from ..kernels.tables import BAND, GatherTables
from .band_calls import BandCalls
from .band_rows import Bands
from .event_sources import event_sources
from .layer_state import LayerState
from .part import Part
from .queue_room import QueueRoom
from .scratch import Scratch

Levels = NDArray[np.unsignedinteger[Any]]

FiredBand = tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]], Levels, NDArray[np.uint8] | None]
"""Where each pixel's entries begin, their channels and their levels, counted from the band's first entry; masks."""

_COMPRESSES, _VECTOR_BYTES = host_compresses(), 64


@functools.cache
def _compress_token(padded: int, channels: int, steps: int) -> tuple[int, ...] | None:
    """What tells `compact_rows` how many words to pack at once; None where it has to go one by one."""
    if not _COMPRESSES:
        return None
    widest = max(np.dtype(kind).itemsize for kind in (channel_type(channels), level_type(steps)))
    lanes = _VECTOR_BYTES // widest
    return lanes_token(lanes if padded % lanes == 0 else host_lanes())


class BandRun(BandCalls):
    """Runs bands of a layer over a group of steps; each worker thread has its own, see `of_worker`.

    Parameters
    ----------
    state : LayerState
    parts : list of Part
        The parts of a sum; of another layer itself.
    steps : int
    bands : Bands
    currents : (steps, O, H, W) float32 or None
        Receives the running sum of a layer without neurons.
    room : QueueRoom or None
        Receives the events where it is there; otherwise each band returns its own.
    at_once : bool
        Whether one kernel runs all phases of all bands in any layer that has one; otherwise only where that pays by
        itself, because each has to be compiled: not of layers that read the picture, average or have no neurons.
    """

    _worker: int
    scratch: Scratch
    counts: NDArray[np.int64]
    fired: NDArray[np.int64]
    run_all: Callable[[], None] | None
    """Runs those of a layer's bands that nobody has taken; None where they have to be run one by one."""
    _neurons: LadderNeurons | None

    def __init__(
        self,
        state: LayerState,
        parts: list[Part],
        steps: int,
        bands: Bands,
        currents: NDArray[np.float32] | None,
        room: QueueRoom | None,
        at_once: bool = False,
    ) -> None:
        layer = state.layer
        self.state = state
        self.layer = layer
        self._summed = layer.parts != (layer,)
        self._part_runs = [BandRun(p.state, [p], steps, bands, None, None) for p in parts] if self._summed else []
        part = parts[0]
        dot, pool, inputs = part.dot, part.pool, part.inputs
        self._values = None if self._summed else part.values
        self.inputs = inputs
        self.row_sizes = part.row_sizes
        self.steps = steps
        self.bands = bands
        self.currents = currents
        self.room = room
        # Looked up once: there are many small bands.
        self._channels, _, self._width = layer.outgoing
        self._padded = layer.padded_channels
        self._incoming_width = layer.incoming[2]
        self._pooling = isinstance(layer, PoolLayer)
        self._in_memory = not isinstance(layer, GatherLayer)
        self._masks = layer.levels is not None and layer.levels.masks
        self._kinds = 0 if layer.levels is None else layer.levels.kinds
        self._token = layer.token(steps)
        self._compress = _compress_token(self._padded, self._channels, steps)
        self._dot = dot
        self._dot_rows = np.zeros((0, 4), np.int64) if dot is None else dot.input_rows(bands.rows, layer.incoming[1])
        self._pool_run = pool
        self._unpacked = () if dot is not None or pool is not None else event_sources(inputs, known=not at_once)
        self._sources = packed_sources(self._unpacked)
        self._injects = layer.injects and state.fresh
        self._is_ladder = layer.neurons is not None and layer.stepper is None
        plain = self._is_ladder and room is not None and bool(inputs.queues) and not self._in_memory
        self._table = self._band_table() if room is not None or at_once else None
        self._in_one_kernel = at_once or (plain and not self._injects)

    def _band_table(self) -> NDArray[np.void]:
        """(n,) BAND."""
        known, key = self.layer.band_tables, (self.bands.rows, self._dot is not None)
        table = known.get(key)
        if table is None:
            rows = self.layer.bands_and_inputs(self.bands.rows)
            table = np.zeros(len(rows), BAND)
            table["first_row"], table["end_row"], table["first_input"], table["end_input"] = rows.T
            if self._dot is not None:
                inputs = ("first_input", "end_input", "first_counted", "end_counted")
                for name, column in zip(inputs, self._dot_rows.T, strict=True):
                    table[name] = column
            if self.room is not None:
                table["first_entry"] = self.room.first_entries(table["first_row"])
            known.clear()  # The next run will have the same bands, or others for good.
            known[key] = table
        return table

    def of_worker(
        self,
        worker: int,
        scratch: Scratch,
        counts: NDArray[np.int64],
        fired: NDArray[np.int64],
        counters: NDArray[np.int64],
    ) -> Self:
        """A copy for a worker thread, the `worker`-th one, with its own memory.

        Counts of the events and spikes that its bands fire are added to `fired`, (1 + K, 8) int64, by byte of a word
        where levels are masks (see `LayerRun.run`), else by step. `counters`, (>= 2 + threads,) int64, are those of
        engine/kernels/shared_counter.py. `counts` are those that the dot kernels make, see `LayerRun`.
        """
        own = copy.copy(self)
        own.equip(worker, scratch, counts, fired, counters)
        return own

    def equip(
        self,
        worker: int,
        scratch: Scratch,
        counts: NDArray[np.int64],
        fired: NDArray[np.int64],
        counters: NDArray[np.int64],
    ) -> None:
        """Give this copy what a worker has for itself, see `of_worker`."""
        self._worker, self.scratch, self.counts, self.fired = worker, scratch, counts, fired
        self._neurons = self._ladder() if self._is_ladder else None
        self.run_all = self._all_phases(counters)
        first, own = 0, []
        for part in self._part_runs:
            last = first + len(part.inputs.queues)
            own.append(part.of_worker(worker, Scratch(), counts[first:last], fired, counters))
            first = last
        self._part_runs = own

    def _ladder(self) -> LadderNeurons:
        """What the kernels take of the neurons."""
        state, padded = self.state, self._padded
        after = (self.scratch.potentials(padded), 0) if state.membrane is None else (state.membrane, padded)
        before = (self.layer.initial, 0) if state.fresh else after
        return LadderNeurons(self.layer.neuron, *before, *after)

    def run(self, index: int) -> FiredBand | None:
        """What the neurons of the `index`-th band of the layer fire.

        None where it is in the room for events, and for a layer without neurons, whose readout is moved on.
        """
        self._index = index
        rows = OutputRows(*self.bands.rows[index], self._padded, self._channels)
        if self._neurons is not None and self._injects and self._nothing_else():
            return self._compact(rows, index, self._fire_picture(rows))
        if self._injects:
            self._inject(rows)
        if self.layer.neurons is None:
            self._read_out(rows)
            return None
        return self._compact(rows, index, self._fire(rows))

    @property
    def _constant(self) -> Constant:
        """What the currents begin with."""
        return Constant(self.state.constant, self.state.constant_stride)

    @property
    def _connections(self) -> tuple[GatherTables, NDArray[np.float32]]:
        """What the gather kernels take of the layer."""
        assert isinstance(self.layer, GatherLayer)
        return self.layer.plan.tables, self.layer.weights

    # --- Currents ----------------------------------------------------------------------------------------------------

    def _nothing_else(self) -> bool:
        """Whether the analog input is all that the layer reads, in this one step."""
        return self.steps == 1 and not self.inputs.queues and self.state.membrane is None

    def _decode_picture(self, rows: OutputRows) -> Decoded:
        """The analog input that some rows read, as events of one step."""
        first, last = self.layer.input_rows(rows.first, rows.end)
        offsets, entries = self._picture_entries(last - first)
        decoded = Decoded(first, last - first, *self.scratch.entries(self._incoming_width, last - first, entries, 1))
        decode_analog_rows(self.inputs.picture, offsets, decoded, self.layer.incoming[0])
        return decoded

    def _picture_entries(self, rows: int) -> tuple[NDArray[np.int64], int]:
        """First channel of the analog input, as often as it comes; entries of so many of its rows."""
        return np.array(self._picture_offsets), rows * self._incoming_width * self._picture_channels

    @property
    def _picture_channels(self) -> int:
        """Channels of the picture, as often as it comes."""
        return int(self.inputs.picture.shape[2]) * len(self._picture_offsets)

    @property
    def _picture_offsets(self) -> list[int]:
        """Where the picture's channels begin among those that are read, as often as it comes."""
        return [0] if self.inputs.in_place else [source.channel_offset for source in self.layer.analog]

    def _inject(self, rows: OutputRows) -> None:
        """Compute the analog input's current, as that of events of one step, on top of the bias."""
        line = self._width * self._padded
        target = self.state.constant[rows.first * line : rows.end * line]
        constant = Constant(self.layer.bias, 0)
        decoded = self._decode_picture(rows)
        gather_band(self.layer.token(1), *self._connections, decoded, constant, None, target, rows)

    def _decode(self, rows: OutputRows) -> Decoded:
        """Entries of the input rows that some rows read; where there is no source but the picture, none."""
        first, last = self.layer.input_rows(rows.first, rows.end)
        most = int(self.row_sizes[last] - self.row_sizes[first])
        entries = self.scratch.entries(self._incoming_width, last - first, most, self.steps)
        decoded = Decoded(first, last - first, *entries)
        if self._sources:
            decode_rows(self._sources, decoded, self.steps, self.layer.incoming[0])
        else:
            decoded.begins[:] = 0
        return decoded

    def _gather(self, rows: OutputRows, neurons: LadderNeurons | None, target: NDArray[Any]) -> None:
        if self._dot is not None:
            inputs = self._dot_rows[self._index]
            self._dot.run(self.scratch, inputs, rows, self._constant, neurons, target, self.counts)
            return
        gather_band(self._token, *self._connections, self._decode(rows), self._constant, neurons, target, rows)

    def _pool(self, rows: OutputRows) -> NDArray[np.float32]:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        assert isinstance(self.layer, PoolLayer)
        geometry = self.layer.pool_geometry
        sums = self.scratch.currents((rows.end - rows.first) * self._width * self.steps * self._padded)
        if self._pool_run is not None:
            self._pool_run.run(self.scratch, rows, sums)
            return sums
        sums[:] = 0
        for source in self._unpacked:
            pool_events(geometry, source, self.steps, sums, rows)
        for offset in self._picture_offsets:
            pool_analog(geometry, self.inputs.picture, self.steps, offset, sums, rows)
        divide_by_area(geometry, sums)
        return sums

    def _currents(self, rows: OutputRows) -> NDArray[np.float32]:
        """Currents of a band that pass through memory, flat: rows, width, steps, padded channels."""
        if self._pooling:
            return self._pool(rows)
        size = (rows.end - rows.first) * self._width * self.steps
        currents = self.scratch.currents(size * self._padded)
        if self._summed:
            by_pixel = currents.reshape(size, self._padded)
            by_pixel[:] = 0
            for part in self._part_runs:
                by_pixel[:, : self._channels] += part.part_currents(rows, self._index)[:, : self._channels]
        elif self._values is not None:
            self._values.run(self.scratch, (rows.first, rows.end), currents)
        else:
            self._gather(rows, None, currents)
        return currents

    def part_currents(self, rows: OutputRows, index: int) -> NDArray[np.float32]:
        """Currents of the `index`-th band of a part of a sum, (pixels and steps, padded channels)."""
        self._index = index
        rows = OutputRows(rows.first, rows.end, self._padded, self._channels)
        if self._injects:
            self._inject(rows)
        return self._currents(rows).reshape(-1, self._padded)

    # --- Neurons -----------------------------------------------------------------------------------------------------

    def _words(self, rows: OutputRows) -> Levels:
        return self.scratch.words((rows.end - rows.first) * self._width * self._padded, self.steps)

    def _fire(self, rows: OutputRows) -> Levels:
        """Levels of a band's neurons, flat: rows, width, padded channels."""
        words = self._words(rows)
        if self.layer.stepper is not None:
            self._step(self.layer.stepper, rows, words)
        elif self._in_memory:
            strides = (self.steps * self._padded, self._padded)
            fire_currents(self._token, self._currents(rows), strides, self._neurons, words, rows, self._width)
        else:
            self._gather(rows, self._neurons, words)
        return words

    def _fire_picture(self, rows: OutputRows) -> Levels:
        """Levels of neurons that read the picture alone: its current need not be kept."""
        words = self._words(rows)
        decoded = self._decode_picture(rows)
        constant = Constant(self.layer.bias, 0)
        gather_band(self._token, *self._connections, decoded, constant, self._neurons, words, rows)
        return words

    def _step(self, stepper: Stepper, rows: OutputRows, words: Levels) -> None:
        """Run neurons that are no ladder of thresholds, on currents that pass through memory."""
        state, width, padded = self.state, self._width, self._padded
        shape = ((rows.end - rows.first) * width, self.steps, padded, rows.channels)
        first = (self.layer.first_pixel + rows.first * width, state.done)
        if state.membrane is None:
            states, place = tuple(np.empty(padded, np.float32) for _ in range(stepper.variables)), (0, 0, True)
        else:
            states, place = (state.membrane, *state.others), (rows.first * width * padded, padded, state.fresh)
        if not stepper.run(self._currents(rows), words, shape, states, (*place, *first)):
            raise beyond(self.layer.name, "a current, or the state of a neuron,")

    def _compact(self, rows: OutputRows, index: int, words: Levels) -> FiredBand | None:
        if self.room is not None:
            assert self._table is not None
            start, first = self.room.start[rows.first : rows.end], int(self._table["first_entry"][index])
            line = self._width * mask_bytes(self._channels)
            masks = self.room.masks[rows.first * line : rows.end * line]
            compact_rows(self._compress, words, rows, first, start, self.room.channels, self.room.levels, masks)
            self._count(self.room.levels[first:], int(start[-1, -1]) - first)
            return None
        start = np.empty((rows.end - rows.first, self._width + 1), np.int64)
        # Packed in arrays that stay in the cache, then copied: large arrays reserved for the worst case would take
        # whole pages, huge ones on some systems, for every band.
        room = start.size * self._channels + _VECTOR_BYTES
        packed_channels, packed_levels = self.scratch.packed(room, self._channels, self.steps)
        masks = np.empty((rows.end - rows.first, self._width, mask_bytes(self._channels)), np.uint8)
        compact_rows(self._compress, words, rows, 0, start, packed_channels, packed_levels, masks.reshape(-1))
        count = int(start[-1, -1])
        self._count(packed_levels, count)
        known = None if self._compress is None else masks
        return start, packed_channels[:count].copy(), packed_levels[:count].copy(), known

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

    def _read_out(self, rows: OutputRows) -> None:
        first, last, padded, channels = rows
        currents, readout = self._currents(rows), self.state.readout
        if self.currents is None:
            shape = ((last - first) * self._width, self.steps, padded, channels)
            add_to_readout(currents, shape, readout.reshape(-1), first * self._width)
            return
        by_step = currents.reshape(last - first, self._width, self.steps, padded)[..., :channels]
        for step in range(self.steps):
            readout[first:last] += by_step[:, :, step]
            self.currents[step, :, first:last] = readout[first:last].transpose(2, 0, 1)

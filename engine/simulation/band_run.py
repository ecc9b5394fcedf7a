"""Run one layer's output rows, a band of them at a time: decode, gather or pool, fire, compact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..build.stepper import Stepper
from ..kernels.compact import compact_rows
from ..kernels.count import count_levels
from ..kernels.count_by_level import count_by_level
from ..kernels.decode import decode_analog_rows, decode_rows, place_entries
from ..kernels.entries import host_compresses, lanes_token
from ..kernels.gather import gather_band
from ..kernels.pooling import divide_by_area, fire_currents, pool_analog, pool_events
from ..kernels.vector_block import host_lanes
from .layer_state import Inputs, LayerState
from .scratch import Scratch

Decoded = tuple[int, int, NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
Rows = tuple[int, int, int, int]
"""First row and last row + 1 of a band; padded channels and channels."""

Levels = NDArray[np.unsignedinteger[Any]]
FiredBand = tuple[NDArray[np.int64], NDArray[np.int32], Levels]
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
    ) -> None:
        self.state = state
        self.layer = state.layer
        self.inputs = inputs
        self.row_sizes = row_sizes
        self.steps = steps
        self.scratch = scratch
        self.fired = fired
        self.currents = currents
        self._masks = self.layer.levels is not None and self.layer.levels.masks
        self._kinds = 0 if self.layer.levels is None else self.layer.levels.kinds
        self.analog = [source for source in self.layer.sources if source.analog]
        self._sources = tuple(
            (
                queue.start,
                queue.channels,
                queue.levels.view(np.uint8),
                queue.levels.itemsize,
                emit,
                source.channel_offset,
            )
            for source, queue, emit in inputs.queues
        )

    def run(self, band: tuple[int, int]) -> FiredBand | None:
        """What the neurons of some rows fire; None for a layer without neurons, whose readout is moved on."""
        layer = self.layer
        rows = (*band, layer.padded_channels, layer.outgoing[0])
        if self.state.fresh and self.analog and not layer.pooling:
            self._inject(rows)
        if layer.neurons is None:
            self._read_out(rows)
            return None
        return self._compact(rows, self._fire(rows))

    # --- Currents ----------------------------------------------------------------------------------------------------

    def _inject(self, rows: Rows) -> None:
        """Compute the analog input's current, as that of events of one step, on top of the bias."""
        layer = self.layer
        first, last = layer.input_rows(*rows[:2])
        offsets = np.array([source.channel_offset for source in self.analog])
        entries = (last - first) * layer.incoming[2] * sum(source.channels for source in self.analog)
        decoded = (first, last - first, *self.scratch.entries(layer.incoming[2], last - first, entries, 1))
        decode_analog_rows(self.inputs.picture, offsets, decoded, layer.incoming[0])
        line = layer.outgoing[2] * layer.padded_channels
        target = self.state.constant[rows[0] * line : rows[1] * line]
        gather_band(layer.token(1), layer.plan.tables, layer.weights, decoded, layer.bias, 0, None, target, rows)

    def _decode(self, first: int, last: int) -> Decoded:
        """Entries of some input rows; where there is no source but the picture, none."""
        rows, width = last - first, self.layer.incoming[2]
        entries = int(self.row_sizes[last] - self.row_sizes[first])
        decoded = (first, rows, *self.scratch.entries(width, rows, entries, self.steps))
        if self._sources:
            place_entries(self._sources, first, rows, decoded[2])
            decode_rows(self._sources, decoded, self.steps, self.layer.incoming[0], self.scratch.cursor(width))
        else:
            decoded[2][:] = 0
        return decoded

    def _gather(self, rows: Rows, neurons: Any, target: NDArray[Any]) -> None:
        layer, state = self.layer, self.state
        constant = (state.constant, state.constant_stride)
        decoded = self._decode(*layer.input_rows(*rows[:2]))
        gather_band(
            layer.token(self.steps), layer.plan.tables, layer.weights, decoded, *constant, neurons, target, rows
        )

    def _pool(self, rows: Rows) -> NDArray[np.float32]:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        geometry = self.layer.pool_geometry
        sums = self.scratch.currents((rows[1] - rows[0]) * self.layer.outgoing[2] * self.steps * rows[2])
        sums[:] = 0
        for source in self._sources:
            pool_events(geometry, source, self.steps, sums, rows)
        for analog in self.analog:
            pool_analog(geometry, self.inputs.picture, self.steps, analog.channel_offset, sums, rows)
        divide_by_area(geometry, sums)
        return sums

    def _currents(self, rows: Rows) -> NDArray[np.float32]:
        """Currents of a band that pass through memory, flat: rows, width, steps, padded channels."""
        if self.layer.pooling:
            return self._pool(rows)
        currents = self.scratch.currents((rows[1] - rows[0]) * self.layer.outgoing[2] * self.steps * rows[2])
        self._gather(rows, None, currents)
        return currents

    # --- Neurons -----------------------------------------------------------------------------------------------------

    def _fire(self, rows: Rows) -> Levels:
        """Levels of a band's neurons, flat: rows, width, padded channels."""
        state, layer = self.state, self.layer
        width, padded = layer.outgoing[2], layer.padded_channels
        words = self.scratch.words((rows[1] - rows[0]) * width * padded, self.steps)
        if layer.stepper is not None:
            self._step(layer.stepper, rows, words)
            return words
        before, before_stride = (layer.initial, 0) if state.fresh else (state.membrane, padded)
        after, after_stride = (np.empty(padded, np.float32), 0) if state.membrane is None else (state.membrane, padded)
        neurons = (layer.neuron, before, before_stride, after, after_stride)
        if layer.pooling:
            fire_currents(layer.token(self.steps), self._pool(rows), neurons, words, rows, width)
        else:
            self._gather(rows, neurons, words)
        return words

    def _step(self, stepper: Stepper, rows: Rows, words: Levels) -> None:
        """Run neurons that are no ladder of thresholds, on currents that pass through memory."""
        state, width, padded = self.state, self.layer.outgoing[2], self.layer.padded_channels
        shape = ((rows[1] - rows[0]) * width, self.steps, padded, rows[3])
        if state.membrane is None:
            states, place = tuple(np.empty(padded, np.float32) for _ in range(stepper.variables)), (0, 0, True)
        else:
            states, place = (state.membrane, *state.others), (rows[0] * width * padded, padded, state.fresh)
        stepper.run(self._currents(rows), words, shape, states, place)

    def _compact(self, rows: Rows, words: Levels) -> FiredBand:
        channels, _, width = self.layer.outgoing
        start = np.empty((rows[1] - rows[0], width + 1), np.int64)
        # Packed in arrays that stay in the cache, then copied: large arrays reserved for the worst case would take
        # whole pages, huge ones on some systems, for every band.
        room = start.shape[0] * width * channels + host_lanes()
        packed_channels, packed_levels = self.scratch.packed(room, self.steps)
        compact_rows(_COMPRESSES, words, rows, start, packed_channels, packed_levels)
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
        shape = (rows[1] - rows[0], self.layer.outgoing[2], self.steps, rows[2])
        by_step = self._currents(rows).reshape(shape)[..., : rows[3]]
        for step in range(self.steps):
            self.state.readout[rows[0] : rows[1]] += by_step[:, :, step]
            if self.currents is not None:
                self.currents[step, :, rows[0] : rows[1]] = self.state.readout[rows[0] : rows[1]].transpose(2, 0, 1)

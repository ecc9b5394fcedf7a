"""Run one layer for up to eight steps: cut its output rows into bands and let worker threads take them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..events import EventQueue, joined_masks, level_type
from ..kernels.count import count_uneven_rows, count_zeros_of_rows
from ..kernels.count_by_level import count_uneven_rows_by_level
from .band_run import BandRun, FiredBand
from .crew import Crew
from .dot_run import DotRun
from .layer_state import Inputs, LayerState
from .queue_room import MOST_BYTES, QueueRoom, room_bytes
from .scratch import Scratch

__all__ = ["Inputs", "LayerRun", "LayerState"]

_BAND_BYTES = 1 << 19
"""Decoded events and words of a band should stay in a core's second-level cache, with a block's weights."""

_DOT_BYTES = 1 << 19
"""The same for levels that are spread out: of neighbouring bands, the rows that both read are spread out twice."""

_MANY_WEIGHTS = 1 << 20
"""Bytes of weights from which on a layer is cut into few bands, because every band reads them all."""

_SMALLEST_PART = 32
"""Where there are several threads, a band has at least this part of a layer's rows."""

_THREADED_WORK = 4_000_000
"""Operations under which a layer is done sooner than a second thread wakes up."""

_OPERATIONS_OF_AN_EVENT = 8
"""Unpacking an event, in multiply-accumulates that take about as long."""

_OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""

_KEPT_BYTES = 1 << 26
"""Scratch memory of more than this is given back to the system."""

_idle: list[Scratch] = []
"""What workers have put back; fresh memory would cost more than what is done in it."""


@dataclass
class _Part:
    """What one of the workers has for itself: counts and memory."""

    counts: NDArray[np.int64]
    fired: NDArray[np.int64]
    scratch: Scratch


class LayerRun:
    """One layer over one group of steps.

    `fired` is (1 + K, 8) int64 with K at least 8: events of the layer, and crossings of each of up to eight thresholds
    or spikes of each level, at the steps of the group. `counts` is (sources, 2, 1 + K, 8) int64, for each spiking
    source [0] the same times the pixels that are reached, less what the usual fan-out would give, and [1] times the
    weights of zero that are met (events only). `room` is the memory of the events where it can be put back.
    """

    def __init__(self, state: LayerState, inputs: Inputs, steps: int, keep_currents: bool, lasting: bool) -> None:
        self.state = state
        self.layer = state.layer
        self.inputs = inputs
        self.steps = steps
        self.fired = np.zeros(_count_shape(self.layer.thresholds), np.int64)
        kinds = max((source.thresholds for source, _, _ in inputs.queues), default=0)
        self.counts = np.zeros((len(inputs.queues), 2, *_count_shape(kinds)), np.int64)
        channels, height, width = self.layer.outgoing
        self.currents = np.zeros((steps, channels, height, width), np.float32) if keep_currents else None
        self.room: QueueRoom | None = None
        self._lasting = lasting
        self._row_sizes = self._entries_of_rows()
        self._dot = DotRun.where_it_pays(self.layer, inputs, steps, int(self._row_sizes[-1]))

    def run(self, crew: Crew | None, threads: int) -> EventQueue | None:
        """Run all bands, without a crew on the calling thread; returns the events, or None without neurons."""
        if crew is None or self._work() < _THREADED_WORK:
            threads = 1
        bands = self._bands(threads)
        if not self._lasting and self.layer.neurons is not None and room_bytes(self.layer, self.steps) <= MOST_BYTES:
            self.room = QueueRoom(self.layer, self.steps, len(bands))
        self._fired: list[FiredBand | None] = [None] * len(bands)
        band_run = BandRun(
            self.state, self.inputs, self._row_sizes, self.steps, bands, self.currents, self.room, self._dot
        )
        # next() on a counter is atomic: each band is taken by one worker, in whatever order.
        indices, counter = itertools.count(), np.zeros(1, np.int64)
        parts = [
            _Part(np.zeros_like(self.counts), np.zeros_like(self.fired), _taken())
            for _ in range(min(threads, len(bands)))
        ]

        def worker(part: _Part) -> BandRun:
            return band_run.of_worker(part.scratch, part.counts, part.fired, counter)

        def own() -> None:
            # The others are at work by now, and take the bands that this thread does not get to meanwhile.
            last = worker(parts[-1])
            self._count(parts[-1].counts)
            self._run_bands(last, indices)

        jobs = [functools.partial(self._run_bands, worker(part), indices) for part in parts[:-1]]
        if crew is None:
            own()
        else:
            crew.run([*jobs, own])
        for part in parts:
            self.counts += part.counts
            self.fired += self._by_step(part.fired)
            _put_back(part.scratch)
        self.state.fresh = False
        if self.layer.neurons is None:
            return None
        return self._joined() if self.room is None else self.room.queue()

    def _run_bands(self, band_run: BandRun, indices: Iterator[int]) -> None:
        """What one of the workers does."""
        if band_run.run_all is not None:
            band_run.run_all()
            return
        while (index := next(indices)) < len(self._fired):
            self._fired[index] = band_run.run(index)

    def _work(self) -> int:
        """About how many operations the layer takes: those of its events and those of its neurons."""
        neurons = math.prod(self.layer.outgoing) * _OPERATIONS_OF_A_NEURON
        if self._dot is not None:
            return (int(self.layer.dense_macs * self._dot.cost_of_a_product) + neurons) * self.steps
        each = self.layer.fan_out.most + _OPERATIONS_OF_AN_EVENT
        return (int(self._row_sizes[-1]) * each + neurons) * self.steps

    def _entries_of_rows(self) -> NDArray[np.int64]:
        rows = np.zeros(self.layer.incoming[1] + 1, np.int64)
        for _, queue, _ in self.inputs.queues:
            rows[1:] += queue.start[:, -1] - queue.start[:, 0]
        return rows.cumsum()

    def _bands(self, threads: int) -> tuple[tuple[int, int], ...]:
        """Rows of each band: few enough for the cache, and ever fewer, so that all threads end at the same time."""
        _, height, width = self.layer.outgoing
        weights = self._weight_bytes
        if self._dot is not None:
            most = max(max(_DOT_BYTES, weights) // self._dot.row_bytes(self.layer), 1)
        else:
            entry = 4 + 4 * self.steps
            total = int(self._row_sizes[-1]) * entry + height * width * self.layer.padded_channels * self.steps
            most = max(height * max(_BAND_BYTES, weights) // max(total, 1), 1)
        least = height if threads == 1 else height // _SMALLEST_PART
        if weights >= _MANY_WEIGHTS:
            least = -(-height // (threads if weights >= 4 * _MANY_WEIGHTS else 2 * threads))
        return bands_of(height, most, max(least, 1), threads)

    @property
    def _weight_bytes(self) -> int:
        if self._dot is not None:
            return self._dot.weight_bytes
        return 0 if self.layer.pooling else self.layer.weights.nbytes

    def _joined(self) -> EventQueue:
        """One queue out of what each band has fired, exactly as large as it has to be."""
        starts, channels, levels, masks = zip(*filter(None, self._fired), strict=True)
        if len(starts) == 1:
            return EventQueue(self.layer.outgoing, self.steps, starts[0], channels[0], levels[0], masks[0])
        begins = np.cumsum([0, *(band.size for band in channels[:-1])])
        start = np.concatenate([band + begin for band, begin in zip(starts, begins, strict=True)])
        joined = (np.concatenate(channels), np.concatenate(levels), joined_masks(list(masks)))
        return EventQueue(self.layer.outgoing, self.steps, start, *joined)

    def _by_step(self, fired: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by step out of counts by byte of a word, in which several entries of fewer than eight steps lie."""
        size = level_type(self.steps)().itemsize
        if size == 8 or self.layer.levels is None or not self.layer.levels.masks:
            return fired
        by_step = np.zeros(fired.shape, np.int64)
        by_step[:, :size] = fired.reshape(len(fired), 8 // size, size).sum(axis=1)
        return by_step

    def _count(self, counts: NDArray[np.int64]) -> None:
        """Count what events meet beside the usual fan-out."""
        fan, zero = self.layer.fan_out, self.layer.zero_fan_out
        usual, first, last = fan.usual, 0, self.layer.incoming[1]
        for (source, queue, _), found in zip(self.inputs.queues, counts, strict=True):
            assert source.levels is not None
            rows = (queue.start, queue.levels, first, last, fan.rows, fan.columns, *usual)
            if source.levels.masks:
                count_uneven_rows(*rows, source.thresholds, found[0])
            else:
                count_uneven_rows_by_level(*rows, source.levels.spikes, found[0])
            if zero is not None and not (self._dot is not None and self._dot.counts_zeros):
                count_zeros_of_rows(
                    queue.start, queue.channels, queue.levels, first, last, zero.row_classes,
                    zero.column_classes, zero.zeros, source.channel_offset, found[1, 0],
                )  # fmt: skip


@functools.cache
def bands_of(height: int, most: int, least: int, threads: int) -> tuple[tuple[int, int], ...]:
    """Rows of each band, of `most` rows or fewer: half of each thread's share of what is left, but `least` rows."""
    bands, first = [], 0
    while first < height:
        left = height - first
        rows = min(max(-(-left // (2 * threads)), least), most, left)
        bands.append((first, first + rows))
        first += rows
    return tuple(bands)


def _count_shape(kinds: int) -> tuple[int, int]:
    """Events and so many kinds of spikes, of which the kernels may take eight at once, by step."""
    return 1 + max(8, kinds), 8


def _taken() -> Scratch:
    try:
        return _idle.pop()
    except IndexError:
        return Scratch()


def _put_back(scratch: Scratch) -> None:
    if scratch.nbytes <= _KEPT_BYTES:
        _idle.append(scratch)

"""Run one layer for up to eight steps: cut its output rows into bands and let worker threads take them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from ..events import EventQueue, level_type
from ..kernels.count import count_uneven_rows, count_zeros_of_rows
from ..kernels.count_by_level import count_uneven_rows_by_level
from .band_run import BandRun, FiredBand
from .layer_state import Inputs, LayerState
from .queue_room import MOST_BYTES, QueueRoom, room_bytes
from .scratch import Scratch

__all__ = ["Inputs", "LayerRun", "LayerState"]

_BAND_BYTES = 1 << 19
"""Decoded events and words of a band should stay in a core's second-level cache, with a block's weights."""

_MANY_WEIGHTS = 1 << 20
"""Bytes of weights from which on a layer is cut into few bands, because every band reads them all."""

_THREADED_WORK = 4_000_000
"""Operations under which a layer is done sooner than a second thread wakes up."""

_OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""

_KEPT_BYTES = 1 << 26
"""Scratch memory of more than this is given back to the system."""

_idle: list[Scratch] = []
"""What workers have put back; fresh memory would cost more than what is done in it."""


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

    def run(self, pool: Executor | None, threads: int) -> EventQueue | None:
        """Run all bands; returns the events, or None for a layer without neurons."""
        if self._work() < _THREADED_WORK:
            threads = 1
        bands = self._bands(threads)
        if not self._lasting and self.layer.neurons is not None and room_bytes(self.layer, self.steps) <= MOST_BYTES:
            self.room = QueueRoom(self.layer, self.steps, len(bands))
        self._fired: list[FiredBand | None] = [None] * len(bands)
        workers = min(threads, len(bands))
        work, parts, counter = itertools.count(), itertools.count(), np.zeros(1, np.int64)
        lock_free_sums: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

        def worker() -> None:
            counts, fired = np.zeros_like(self.counts), np.zeros_like(self.fired)
            scratch = _taken()
            band_run = BandRun(
                self.state, self.inputs, self._row_sizes, self.steps, scratch, fired, self.currents, self.room
            )
            # next() on a counter is atomic: each band is taken by one worker, in whatever order.
            if (part := next(parts)) < workers:
                self._count(part, workers, counts)
            if band_run.at_once:
                band_run.run_all(bands, counter)
            else:
                while (index := next(work)) < len(bands):
                    self._fired[index] = band_run.run(bands[index], index)
            lock_free_sums.append((counts, fired))
            _put_back(scratch)

        _run_on_threads(worker, pool, workers)
        for counts, fired in lock_free_sums:
            self.counts += counts
            self.fired += self._by_step(fired)
        self.state.fresh = False
        if self.layer.neurons is None:
            return None
        return self._joined() if self.room is None else self.room.queue()

    def _work(self) -> int:
        """About how many operations the layer takes: those of its events and those of its neurons."""
        fan = self.layer.fan_out
        reach = int(fan.rows.max()) * int(fan.columns.max()) * fan.channels
        neurons = int(np.prod(self.layer.outgoing)) * _OPERATIONS_OF_A_NEURON
        return (int(self._row_sizes[-1]) * reach + neurons) * self.steps

    def _entries_of_rows(self) -> NDArray[np.int64]:
        rows = np.zeros(self.layer.incoming[1] + 1, np.int64)
        for _, queue, _ in self.inputs.queues:
            rows[1:] += queue.start[:, -1] - queue.start[:, 0]
        return np.cumsum(rows)

    def _bands(self, threads: int) -> list[tuple[int, int]]:
        """Rows of each band: few enough for the cache, several for each thread where there are rows enough."""
        _, height, width = self.layer.outgoing
        entry = 4 + 4 * self.steps
        total = int(self._row_sizes[-1]) * entry + height * width * self.layer.padded_channels * self.steps
        weights = 0 if self.layer.pooling else self.layer.weights.nbytes
        budget = max(_BAND_BYTES, weights)
        wanted = max(total // budget, 4 * threads if weights < _MANY_WEIGHTS else threads, 1)
        count = min(wanted, height) if threads > 1 or total > budget else 1
        return [(height * band // count, height * (band + 1) // count) for band in range(count)]

    def _joined(self) -> EventQueue:
        """One queue out of what each band has fired, exactly as large as it has to be."""
        starts, channels, levels = zip(*filter(None, self._fired), strict=True)
        if len(starts) == 1:
            return EventQueue(self.layer.outgoing, self.steps, starts[0], channels[0], levels[0])
        begins = np.cumsum([0, *(band.size for band in channels[:-1])])
        start = np.concatenate([band + begin for band, begin in zip(starts, begins, strict=True)])
        return EventQueue(self.layer.outgoing, self.steps, start, np.concatenate(channels), np.concatenate(levels))

    def _by_step(self, fired: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by step out of counts by byte of a word, in which several entries of fewer than eight steps lie."""
        size = level_type(self.steps)().itemsize
        if size == 8 or self.layer.levels is None or not self.layer.levels.masks:
            return fired
        by_step = np.zeros_like(fired)
        by_step[:, :size] = fired.reshape(len(fired), 8 // size, size).sum(axis=1)
        return by_step

    def _count(self, index: int, parts: int, counts: NDArray[np.int64]) -> None:
        """Count what the events of one of so many parts of the input rows meet beside the usual fan-out."""
        fan, zero = self.layer.fan_out, self.layer.zero_fan_out
        usual, height = fan.usual, self.layer.incoming[1]
        first, last = index * height // parts, (index + 1) * height // parts
        for (source, queue, _), found in zip(self.inputs.queues, counts, strict=True):
            assert source.levels is not None
            rows = (queue.start, queue.levels, first, last, fan.rows, fan.columns, *usual)
            if source.levels.masks:
                count_uneven_rows(*rows, source.thresholds, found[0])
            else:
                count_uneven_rows_by_level(*rows, source.levels.spikes, found[0])
            if zero is not None:
                count_zeros_of_rows(
                    queue.start, queue.channels, queue.levels, first, last, zero.row_classes,
                    zero.column_classes, zero.zeros, source.channel_offset, found[1, 0],
                )  # fmt: skip


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


def _run_on_threads(worker: Callable[[], None], pool: Executor | None, workers: int) -> None:
    """Run `worker` on the calling thread and on workers - 1 threads of the pool."""
    if pool is None or workers <= 1:
        worker()
        return
    futures = [pool.submit(worker) for _ in range(workers - 1)]
    worker()
    for future in futures:
        future.result()

"""Run one layer for up to eight steps: cut its output rows into bands and let worker threads take them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..build import Layer
from ..build.kernel_choice import EVENTS, PICTURE, PLANES, choose_kernels
from ..events import EventQueue, joined_masks, level_type
from ..kernels.arguments import InputRows
from ..kernels.count import count_uneven_rows, count_zeros_of_rows
from ..kernels.count_by_level import count_uneven_rows_by_level
from ..kernels.float_mode import flushing
from ..kernels.shared_counter import TAKEN
from ..kernels.tables import FanTables, ZeroTables
from ..memory import IdleMemory, Shelf, called_by_clear_caches
from ..threads import WorkerThreads
from .band_rows import SMALLEST_DENSE_PART, Bands, bands_in_cache
from .band_run import BandRun, FiredBand
from .dot_run import COST_OF_A_PRODUCT, DotRun
from .layer_state import Inputs, LayerState
from .pool_run import PoolRun
from .queue_room import QueueRoom, has_room
from .scratch import Scratch

__all__ = ["Inputs", "LayerRun", "LayerState"]

THREADED_WORK = 4_000_000
"""Operations under which a layer is done sooner than a second thread wakes up."""

_OPERATIONS_OF_AN_EVENT = 8
"""Unpacking an event, in multiply-accumulates that take about as long."""

_OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""

IDLE = IdleMemory(1 << 27)
_scratches: Shelf[Scratch] = Shelf(IDLE)
"""What workers have put back; fresh memory would cost more than what is done in it."""

called_by_clear_caches(IDLE.clear)


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
    weights of zero that are met (events only). `room` is the memory of the events where it can be put back, `kernels`
    what computes the currents, see `choose_kernels`.
    """

    def __init__(
        self,
        state: LayerState,
        inputs: Inputs,
        steps: int,
        keep_currents: bool,
        lasting: bool,
        room: QueueRoom | None = None,
    ) -> None:
        self.state = state
        self.layer = state.layer
        self.inputs = inputs
        self.steps = steps
        self.fired = np.zeros(_count_shape(self.layer.thresholds), np.int64)
        kinds = max((source.thresholds for source, _, _ in inputs.queues), default=0)
        self.counts = np.zeros((len(inputs.queues), 2, *_count_shape(kinds)), np.int64)
        channels, height, width = self.layer.outgoing
        self.currents = np.zeros((steps, channels, height, width), np.float32) if keep_currents else None
        self.room = room
        self._lasting = lasting
        self._row_sizes = self._entries_of_rows()
        active = int(self._row_sizes[-1])
        self.kernels = choose_kernels(self.layer, active)
        self._dot, self._pool = runs_in_integers(self.layer, inputs, steps, self.kernels)

    def run(self, workers: WorkerThreads | None, threads: int) -> EventQueue | None:
        """Run all bands, without workers on the calling thread; returns the events, or None without neurons."""
        threads = 1 if workers is None or self._work() < THREADED_WORK else workers.ready(threads)
        bands = self._bands(threads)
        if self.room is None and not self._lasting and has_room(self.layer, self.steps):
            self.room = QueueRoom(self.layer, self.steps, len(bands.rows))
        self._fired: list[FiredBand | None] = [None] * len(bands.rows)
        band_run = BandRun(
            self.state,
            self.inputs,
            self._row_sizes,
            self.steps,
            bands,
            self.currents,
            self.room,
            self._dot,
            self._pool,
        )
        # next() on a counter is atomic: each band is taken by one worker, in whatever order.
        indices, counters = itertools.count(), np.zeros(TAKEN + threads, np.int64)
        parts = [
            _Part(np.zeros_like(self.counts), np.zeros_like(self.fired), _scratches.take() or Scratch())
            for _ in range(min(threads, len(bands.rows)))
        ]

        def worker(number: int) -> BandRun:
            part = parts[number]
            return band_run.of_worker(number, part.scratch, part.counts, part.fired, counters)

        def own() -> None:
            # The others are at work by now, and take the bands that this thread does not get to meanwhile.
            first = worker(0)
            self._count(parts[0].counts)
            self._run_bands(first, indices)

        jobs = [functools.partial(self._run_bands, worker(number), indices) for number in range(1, len(parts))]
        if workers is None:
            own()
        else:
            workers.run([*jobs, own])
        for part in parts:
            self.counts += part.counts
            self.fired += by_step(part.fired, self.layer, self.steps)
            _scratches.put(part.scratch, part.scratch.nbytes)
        self.state.fresh = False
        if self.layer.neurons is None:
            return None
        return self._joined() if self.room is None else self.room.queue()

    @flushing
    def _run_bands(self, band_run: BandRun, indices: Iterator[int]) -> None:
        """What one of the workers does."""
        if band_run.run_all is not None:
            band_run.run_all()
            return
        while (index := next(indices)) < len(self._fired):
            self._fired[index] = band_run.run(index)

    def _work(self) -> int:
        """About how many operations the layer takes: those of its events and those of its neurons."""
        if self._dot is not None:
            return dense_work(self.layer, self.steps)
        neurons = math.prod(self.layer.outgoing) * _OPERATIONS_OF_A_NEURON
        each = self.layer.fan_out.most + _OPERATIONS_OF_AN_EVENT
        return (int(self._row_sizes[-1]) * each + neurons) * self.steps

    def _entries_of_rows(self) -> NDArray[np.int64]:
        rows = np.zeros(self.layer.incoming[1] + 1, np.int64)
        for _, queue, _ in self.inputs.queues:
            rows[1:] += queue.start[:, -1] - queue.start[:, 0]
        return rows.cumsum()

    def _bands(self, threads: int) -> Bands:
        """Rows of each band."""
        _, height, width = self.layer.outgoing
        weights = self._weight_bytes
        if self._dot is not None:
            return bands_in_cache(height, self._dot.row_bytes(self.layer), weights, threads, SMALLEST_DENSE_PART)
        entry = 4 + 4 * self.steps
        total = int(self._row_sizes[-1]) * entry + height * width * self.layer.padded_channels * self.steps
        return bands_in_cache(height, max(total // height, 1), weights, threads)

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

    def _count(self, counts: NDArray[np.int64]) -> None:
        """Count what events meet beside the usual fan-out."""
        fan, zero = self.layer.fan_out, self.layer.zero_fan_out
        rows, reached = InputRows(0, self.layer.incoming[1]), FanTables(fan.rows, fan.columns, *fan.usual)
        for (source, queue, _), found in zip(self.inputs.queues, counts, strict=True):
            assert source.levels is not None
            if source.levels.masks:
                count_uneven_rows(queue.start, queue.levels, rows, reached, source.thresholds, found[0])
            else:
                count_uneven_rows_by_level(queue.start, queue.levels, rows, reached, source.levels.spikes, found[0])
            if zero is not None and not (self._dot is not None and self._dot.counts_zeros):
                tables = ZeroTables(zero.row_classes, zero.column_classes, zero.zeros)
                events = (queue.start, queue.channels, queue.levels)
                count_zeros_of_rows(*events, rows, tables, source.channel_offset, found[1, 0])


def runs_in_integers(layer: Layer, inputs: Inputs, steps: int, kernels: str) -> tuple[DotRun | None, PoolRun | None]:
    """What the kernels in integers take of a layer, where these are the ones that were chosen."""
    if kernels in (EVENTS, PICTURE):
        return None, None
    if kernels == PLANES:
        assert layer.pooled_levels is not None
        return None, PoolRun(layer, layer.pooled_levels, inputs, steps)
    assert layer.integers is not None
    return DotRun(layer.integers, inputs, steps, layer.zero_fan_out), None


def dense_work(layer: Layer, steps: int) -> int:
    """About how many operations a layer takes in integers."""
    neurons = math.prod(layer.outgoing) * _OPERATIONS_OF_A_NEURON
    product = 1.0 if layer.integers is None else COST_OF_A_PRODUCT.get(layer.integers.kind, 1.0)
    return (int(layer.dense_macs * product) + neurons) * steps


def by_step(fired: NDArray[np.int64], layer: Layer, steps: int) -> NDArray[np.int64]:
    """Counts, (..., 8), by step out of counts by byte of a word, in which entries of fewer than eight steps lie."""
    size = level_type(steps)().itemsize
    if size == 8 or layer.levels is None or not layer.levels.masks:
        return fired
    counts = np.zeros(fired.shape, np.int64)
    counts[..., :size] = fired.reshape(*fired.shape[:-1], 8 // size, size).sum(axis=-2)
    return counts


def _count_shape(kinds: int) -> tuple[int, int]:
    """Events and so many kinds of spikes, of which the kernels may take eight at once, by step."""
    return 1 + max(8, kinds), 8

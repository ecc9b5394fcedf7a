"""Run a layer that no compiled call takes for up to eight steps, band by band, which worker threads take."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.layer import Source
from ...events import STEPS_PER_QUEUE, EventQueue, level_type
from ...kernels.arguments import InputRows
from ...kernels.count import count_uneven_rows, count_zeros_of_rows
from ...kernels.count_by_level import count_uneven_rows_by_level
from ...kernels.float_mode import flushing
from ...kernels.shared_counter import TAKEN
from ...memory import IdleMemory, Shelf
from ...threads import WorkerThreads
from ..currents import Inputs, Part, part_of
from ..currents.part import OPERATIONS_OF_A_NEURON, dense_work
from ..memory.layer_state import LayerState
from ..memory.worker_memory import Phase, Scratch, WorkerMemory
from .band_rows import bands_of_layer
from .phases import LayerBands

THREADED_WORK = 4_000_000
"""Operations under which a layer is done sooner than a second thread wakes up."""

KINDS = 9
"""Of spikes that are counted: events, and eight thresholds, which kernels may take at once."""

_LEAST_SHARE = 1 / 8
"""Of the pixels: scratch memory of a band has room for all of them."""

IDLE = IdleMemory(1 << 27)
_scratches: Shelf[Scratch] = Shelf(IDLE)
"""What workers have put back; fresh memory would cost more than what is done in it."""


@dataclass(eq=False)
class LayerRun:
    """One layer over one group of steps.

    `inputs` are those of each part, `kernels` what computes their currents; `events` and `readout` see `LayerBands`.
    `fired` is (1 + K, 8) int64 with K at least 8: events of the layer, and crossings of each of up to eight thresholds
    or spikes of each level, at the steps of the group. `counts` is (sources, 2, 1 + K, 8) int64, for each spiking
    source [0] the same times the pixels that are reached, less what the usual fan-out would give, and [1] times the
    weights of zero that are met (events only). `updates` is (8,) int64: updated pixels of event-driven neurons.
    """

    state: LayerState
    inputs: Sequence[Inputs]
    steps: int
    events: EventQueue | None = None
    readout: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        self.layer = self.state.layer
        self._parts = [part_of(*each, self.steps) for each in zip(self.state.parts, self.inputs, strict=True)]
        self.kernels = {part.kernels for part in self._parts}

    def run(self, workers: WorkerThreads) -> EventQueue | None:
        """Run all bands; returns the events, or None without neurons."""
        for part in self._parts:
            part.prepare()
        neurons = math.prod(self.layer.outgoing) * OPERATIONS_OF_A_NEURON * self.steps
        little = sum(part.work for part in self._parts) + neurons < THREADED_WORK
        threads = 1 if little else workers.ready(workers.most)
        bands = bands_of_layer(self.layer, self._parts, self.steps, threads, self._share_computed())
        layer_bands = LayerBands(self.state, self._parts, self.steps, bands, self.readout, self.events)
        # next() on a counter is atomic: each band is taken by one worker, in whatever order.
        indices = iter(range(len(bands.rows)))
        memories = [self._memory() for _ in range(min(threads, len(bands.rows)))]
        jobs = [functools.partial(self._run_bands, layer_bands.phases(memory), indices) for memory in memories]

        def own() -> None:
            # The others are at work by now, and take the bands that this thread does not get to meanwhile.
            self._count(memories[0].counts)
            jobs[0]()

        workers.run([*jobs[1:], own])
        for memory in memories:
            _scratches.put(memory.scratch, memory.scratch.nbytes)
        found = ((memory.counts, memory.fired, memory.updates) for memory in memories)
        self.counts, self.fired, self.updates = (np.sum(each, axis=0) for each in zip(*found, strict=True))
        if self.layer.levels is not None and self.layer.levels.masks:
            self.fired = by_step(self.fired, self.steps)
        self.state.move_on(self.steps)
        return None if self.layer.neurons is None else layer_bands.queue()

    def _memory(self) -> WorkerMemory:
        sources = [source for given in self.inputs for source, _ in given.queues]
        met = max([KINDS, *(1 + source.thresholds for source in sources)]), STEPS_PER_QUEUE
        fired = max(KINDS, 1 + self.layer.thresholds), STEPS_PER_QUEUE
        counted = (np.zeros(shape, np.int64) for shape in ((len(sources), 2, *met), fired, STEPS_PER_QUEUE, TAKEN))
        return WorkerMemory(_scratches.take() or Scratch(), *counted)

    @flushing
    def _run_bands(self, phases: list[Phase], indices: Iterator[int]) -> None:
        # What leaves float32 where NumPy adds is found as it is elsewhere: see LayerState.watch.
        with np.errstate(over="ignore", invalid="ignore"):
            calls = [phase.bound() for phase in phases]
            for index in indices:
                for call in calls:
                    call(index)

    def _share_computed(self) -> float:
        """About the share of the pixels that are computed, taken for no less than _LEAST_SHARE."""
        part, (_, height, width) = self._parts[0], self.layer.outgoing
        if self.state.awake is None or part.spreads_out:
            return 1.0
        reached = int(part.row_sizes[-1]) * math.prod(part.layer.fan_out.usual)
        share = reached / (height * width) + np.count_nonzero(self.state.awake) / self.state.awake.size
        return min(max(share, _LEAST_SHARE), 1.0)

    def _count(self, counts: NDArray[np.int64]) -> None:
        """Count what events meet beside the usual fan-out."""
        found = iter(counts)
        for part in self._parts:
            own = [next(found) for _ in part.inputs.queues]
            for (source, queue), of_source in zip(part.inputs.queues, own, strict=True):
                _count_source(part, source, queue, of_source)
            if part.layer.most_products is not None:
                _add_products(part.layer, part.inputs, self.steps, own)


def _count_source(part: Part, source: Source, queue: EventQueue, counts: NDArray[np.int64]) -> None:
    rows, reached, zero = InputRows(0, part.layer.incoming[1]), part.layer.fan_tables, part.zeros_to_count
    assert source.levels is not None
    if source.levels.masks:
        count_uneven_rows(queue.start, queue.levels, rows, reached, source.thresholds, counts[0])
    else:
        count_uneven_rows_by_level(queue.start, queue.levels, rows, reached, source.levels.spikes, counts[0])
    if zero is not None:
        events = (queue.start, queue.channels, queue.levels)
        count_zeros_of_rows(*events, rows, zero, source.channel_offset, counts[1, 0])


def _add_products(layer: Layer, inputs: Inputs, steps: int, counts: Sequence[NDArray[np.int64]]) -> None:
    """Add the products of a layer's events, and by kind of spike, to (2, 1 + K, 8) int64 of each of its queues.

    Analog values count as events.
    """
    channels, height, width = layer.incoming
    events = np.ones((steps, height, width, channels), np.bool_)
    levels = [queue.dense_levels().transpose(0, 2, 3, 1) for _, queue in inputs.queues]
    for (source, _), of_source in zip(inputs.queues, levels, strict=True):
        events[..., source.place] = of_source != 0
    found = layer.products(events)
    assert found is not None
    for (source, _), of_source, count in zip(inputs.queues, levels, counts, strict=True):
        assert source.levels is not None
        own = found[..., source.place]
        for step in range(steps):
            count[0, : 1 + source.thresholds, step] += source.levels.by_kind(_by_level(of_source[step], own[step]))


def _by_level(levels: NDArray[np.uint8], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(256,): the sum of the numbers at each level."""
    if levels.max(initial=0) <= 1:  # as of binary events; no number stands where there is none
        found = np.zeros(256, np.int64)
        found[1] = numbers.sum()
        return found
    return np.bincount(levels.ravel(), numbers.ravel(), minlength=256).astype(np.int64)


def whole_work(layer: Layer, steps: int) -> int:
    """About how many operations a layer takes at most: products of all that is read, and neurons."""
    neurons = math.prod(layer.outgoing) * OPERATIONS_OF_A_NEURON * steps
    return sum(dense_work(part, steps) for part in layer.parts) + neurons


def by_step(fired: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Counts, (..., 8), by step out of counts by byte of a word, in which entries of fewer than eight steps lie.

    Of levels that are masks; others are counted by step.
    """
    size = level_type(steps)().itemsize
    if size == 8:
        return fired
    counts = np.zeros(fired.shape, np.int64)
    counts[..., :size] = fired.reshape(*fired.shape[:-1], 8 // size, size).sum(axis=-2)
    return counts

"""Pixels that never meet, run side by side: samples by the dozen, layer by layer, each over many steps at once.

`simulate` runs a network so where `sample_plan` says that it can be; what comes of it is what `PictureRun` gives, bit
for bit and count for count, many times as fast: nothing is packed into events, a layer's steps are one compiled call,
and a batch is one run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding.kernel_choice import EVENT_INTEGERS, EVENTS
from ..float32 import beyond
from ..kernels.float_mode import gradual
from ..kernels.samples import add_products_of_rows, add_steps, count_rows, walk_rows, walk_rows_of_integers
from ..memory import IdleMemory, Shelf
from ..operations import Operations
from ..results.lazy_result import LazyResult
from ..results.ledger_plan import LedgerPlan, plan_of
from ..results.result import Result, sorted_kernels
from ..results.run_counts import RunCounts
from ..threads import WorkerThreads
from .given import GivenSamples
from .memory import SampleCounts, SampleMemory
from .plan import SampleLayer, SamplePart, SamplePlan
from .recording import SampleRecorder

_CHUNK_BYTES = 3 << 19
"""Of a layer's currents over some steps, of all samples of a chunk: in more and smaller pieces, which a core's
second-level cache would hold, Python's part of the work is larger than what the cache saves."""

_AT_ONCE_BYTES = 3 << 17
"""Of currents that are computed in one go with the neurons that take them, which that cache does hold."""

_FEWEST_STEPS, _MOST_STEPS = 8, 32
"""Of a layer at once: fewer where there are many samples."""

_WORK_OF_A_THREAD = 1 << 20
"""Neurons and inputs times steps from which on a second thread pays."""

IDLE = IdleMemory(1 << 27)
"""Memory of chunks that is idle, each on a shelf of the program that it was made for."""

_Counts = dict[str, SampleCounts]


class SampleRun:
    """All samples of a batch through all layers.

    Parameters
    ----------
    plan : SamplePlan
    given : GivenSamples
        What spikes come in.
    record : set of str
        Out of `SampleRecorder.KINDS`.
    """

    def __init__(self, plan: SamplePlan, given: GivenSamples, record: frozenset[str]) -> None:
        self._plan = plan
        self._given = given
        self._steps = given.steps
        self._samples = given.pictures * math.prod(given.pixels)
        self._steps_at_once = _MOST_STEPS
        self._recorder = SampleRecorder(plan, given, self._samples, record)
        self._kernels: dict[str, set[str]] = {layer.layer.name: set() for layer in plan.layers}

    def run(self, workers: WorkerThreads) -> Result:
        """Run all chunks of samples, which threads take."""
        work = sum(emitter.channels for emitter in self._plan.emitters.values()) * self._steps * self._samples
        most = 1 if work < _WORK_OF_A_THREAD else workers.most
        chunks = self._chunks(most)
        threads = workers.ready(min(most, len(chunks)))
        size = chunks[0].stop
        own = [(self._take(size), self._no_counts()) for _ in range(threads)]
        indices = iter(chunks)
        jobs = [functools.partial(self._run_chunks, *of_thread, indices) for of_thread in own]
        workers.run(jobs)
        for memory, _ in own:
            self._shelf.put(memory, memory.nbytes)
        counts = [found for _, found in own]
        return LazyResult(
            ledger=functools.partial(_ledger, plan_of(self._plan.program), self._steps, self._given.pictures, counts),
            outputs=self._recorder.averaged(),
            steps=self._steps,
            seconds=0.0,
            kernels=sorted_kernels(self._kernels),
            recorded=self._recorder.recorded(),
        )

    def _chunks(self, threads: int) -> list[slice]:
        """Samples of each, as many but for the last one; sets how many steps are run at once."""
        most = _CHUNK_BYTES // (self._plan.widest * 4)
        size = max(min(most // min(self._steps, _FEWEST_STEPS), -(-self._samples // threads)), 1)
        most_steps = min(self._steps, max(most // size, _FEWEST_STEPS), _MOST_STEPS)
        # In pieces of one length, of which the last one is not short, and rather some longer ones than another one.
        self._steps_at_once = -(-self._steps // max(round(self._steps / most_steps), 1))
        return [slice(first, min(first + size, self._samples)) for first in range(0, self._samples, size)]

    @property
    def _shelf(self) -> Shelf[SampleMemory]:
        return self._plan.program.known("sample memory", lambda: Shelf(IDLE))

    def _take(self, samples: int) -> SampleMemory:
        steps = self._steps_at_once
        idle = self._shelf.take(lambda memory: memory.samples >= samples and memory.steps >= steps)
        return SampleMemory(self._plan, samples, steps) if idle is None else idle

    def _no_counts(self) -> _Counts:
        return {name: SampleCounts(emitter, self._steps) for name, emitter in self._plan.emitters.items()}

    # --- A chunk -----------------------------------------------------------------------------------------------------

    @gradual
    def _run_chunks(self, memory: SampleMemory, counts: _Counts, chunks: Iterator[slice]) -> None:
        """What one of the workers does; next() on an iterator is atomic."""
        for samples in chunks:
            memory.begin(samples.stop - samples.start)
            for first in range(0, self._steps, self._steps_at_once):
                steps = slice(first, min(first + self._steps_at_once, self._steps))
                self._run_steps(memory, counts, samples, steps)
            self._leave(memory, samples)

    def _run_steps(self, memory: SampleMemory, counts: _Counts, samples: slice, steps: slice) -> None:
        """All layers over some steps."""
        number, size = steps.stop - steps.start, samples.stop - samples.start
        events = {}
        for name in self._plan.program.encoded:
            self._given.take(name, samples, steps, memory.rows[name])
            events[name] = self._note(memory, counts, name, samples, steps)
        for layer in self._plan.layers:
            name = layer.layer.name
            currents = memory.currents[: number * size * layer.padded].reshape(-1, layer.padded)
            forward = self._forward(memory, layer, events, number, size)
            if forward is None or not forward[-1]:
                self._add_up(memory, layer, events, size, currents)
            if layer.stepper is None:
                add_steps(currents, size, memory.readouts[name].reshape(-1, layer.padded))
                self._recorder.add_readout(name, currents, samples, steps)
            else:
                self._fire(memory, layer, currents, forward, size, steps.start == 0)
                events[name] = self._note(memory, counts, name, samples, steps)
        memory.keep_last(number, size)

    def _forward(
        self, memory: SampleMemory, layer: SampleLayer, events: dict[str, int], steps: int, samples: int
    ) -> tuple[Any, ...] | None:
        """What computes a population's currents while it is run, see `step_samples`; None where nothing can."""
        part = layer.parts[0]
        if layer.stepper is None or layer.is_sum or part.products is None:
            return None
        source, rows = part.source, steps * samples
        at_once = 0
        if part.products.pays(events[source.name], rows * source.channels):
            at_once = -(-steps // max(round(4 * rows * layer.padded / _AT_ONCE_BYTES), 1))
            self._kernels[layer.layer.name].add(part.products.kernels)
        _, words, flat = memory.views[source.name]
        first = 0 if source.delay else samples
        return part.products.with_scratch(memory.tables), (flat, words), first, part.products.factors, at_once

    def _add_up(
        self,
        memory: SampleMemory,
        layer: SampleLayer,
        events: dict[str, int],
        samples: int,
        currents: NDArray[np.float32],
    ) -> None:
        """A layer's currents, but for what comes back to a population."""
        if layer.is_sum:
            currents[:] = 0
        for part in layer.parts:
            first = 0 if part.source.delay else samples
            kernels = _add_currents(memory, part, events[part.source.name], first, layer.is_sum, currents)
            self._kernels[layer.layer.name].add(kernels)

    def _fire(
        self,
        memory: SampleMemory,
        layer: SampleLayer,
        currents: NDArray[np.float32],
        forward: tuple[Any, ...] | None,
        samples: int,
        fresh: bool,
    ) -> None:
        """Run the neurons of a population."""
        name, stepper = layer.layer.name, layer.stepper
        assert stepper is not None
        weights, bias, scale = layer.returning
        back = (weights, bias, memory.scratch(layer.padded))
        shape = (len(currents) // samples, samples, layer.padded, layer.layer.outgoing[0])
        integers = (scale, layer.returning_products(memory.tables))
        views, states = memory.views[name], memory.states[name]
        finite, multiplied = stepper.run_samples(currents, forward, back, integers, views, shape, states, fresh)
        if not finite:
            raise beyond(name, "a current, or the state of a neuron,")
        if multiplied and layer.back is not None and layer.back.products is not None:
            self._kernels[name].add(layer.back.products.kernels)
        if multiplied < shape[0] and layer.back is not None:
            self._kernels[name].add(EVENTS if scale is None else EVENT_INTEGERS)

    def _note(self, memory: SampleMemory, counts: _Counts, name: str, samples: slice, steps: slice) -> int:
        """Count, and record, what was fired at some steps; how many events that is."""
        emitter, found, rows = self._plan.emitters[name], counts[name], memory.rows[name]
        size, number = samples.stop - samples.start, steps.stop - steps.start
        self._recorder.add_fired(name, rows[size : (1 + number) * size], samples, steps)
        scratch = memory.counting_scratch(emitter.channels)
        return int(count_rows(rows, size, emitter.zeros, scratch, found.fired[steps], found.met[:, steps]))

    def _leave(self, memory: SampleMemory, samples: slice) -> None:
        """Take what a chunk has come to."""
        size, recorder = samples.stop - samples.start, self._recorder
        for layer in self._plan.layers:
            name, channels = layer.layer.name, layer.layer.outgoing[0]
            if layer.stepper is None:
                sums = memory.readouts[name].reshape(-1, layer.padded)
                recorder.outputs[name][samples] = sums[:size, :channels]
            elif name in recorder.membrane:
                potentials = memory.states[name][0].reshape(-1, layer.padded)
                recorder.membrane[name][samples] = potentials[:size, :channels]


def _ledger(plan: LedgerPlan, steps: int, pictures: int, counts: list[_Counts]) -> Operations:
    """The ledger of some pictures: that of one, with the events of all."""
    run = RunCounts(plan, steps)
    for of_thread in counts:
        for name, found in of_thread.items():
            run.fired[plan.rows[name], 0] += found.fired
            run.fired[plan.rows[name], 1] += found.fired * found.spikes
            for met, (place, delay) in zip(found.met, found.readers, strict=True):
                run.counts[place, 1, 0, delay:] += met[: steps - delay]
    return run.ledger().of_pictures(pictures)


def _add_currents(
    memory: SampleMemory, part: SamplePart, events: int, first: int, adds: bool, currents: NDArray[np.float32]
) -> str:
    """The currents of a connection, from the row `first` on, or added to what is there; which kernels computed them."""
    (_, words, flat), channels, products = memory.views[part.source.name], part.source.channels, part.products
    if products is None or not products.pays(events, len(currents) * channels):
        scratch, row = memory.scratch(part.padded)
        if part.integers is None:
            walk_rows(words, first, part.weights, part.bias, adds, (scratch[0], row), currents)
            return EVENTS
        codes, bias, scale = part.integers
        walk_rows_of_integers(words, first, codes, scale, bias, adds, scratch, currents)
        return EVENT_INTEGERS
    add_products_of_rows(products.with_scratch(memory.tables), (flat, words), first, products.factors, adds, currents)
    return products.kernels

"""One picture through all layers: the two orders of simulation, and the counts and recordings that come of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..binding.bounds import picture_limit
from ..binding.layer import Source
from ..events import STEPS_PER_QUEUE, EventQueue, silent_queue
from ..operations import Operations
from ..threads import WorkerThreads
from .chain import Chain, put_back, take_chain
from .counting import OperationsCounter
from .layer_run import LayerRun
from .layer_state import Inputs, LayerState, inputs_of
from .queue_room import QueueRoom
from .recording import Recorder
from .result import RECORDABLE, Result


def step_groups(steps: int) -> Iterator[int]:
    """Cut a number of steps into groups of eight, then four, two and one: the sizes that kernels are compiled for."""
    size = STEPS_PER_QUEUE
    while steps:
        if steps >= size:
            yield size
            steps -= size
        else:
            size //= 2


def sorted_kernels(used: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """As `Result.kernels`."""
    return {name: tuple(sorted(kernels)) for name, kernels in used.items()}


class PictureRun:
    """Simulation of one picture, (C, H, W) float32."""

    keeps_queues = False
    """Whether events are needed beyond the run, so that their memory cannot be put back."""

    def __init__(
        self,
        program: Program,
        picture: NDArray[np.float32],
        steps: int,
        record: frozenset[str],
        workers: WorkerThreads | None,
        threads: int,
    ) -> None:
        self.program = program
        self.picture = np.ascontiguousarray(picture.transpose(1, 2, 0))
        self.steps = steps
        self.workers = workers
        self.threads = threads
        self.recorder = Recorder(program, steps, record)
        self.counter = OperationsCounter(program, steps)
        self.queues: dict[str, list[EventQueue]] = {}
        self._before: dict[str, EventQueue] = {}
        self._rooms: dict[str, list[QueueRoom]] = {}
        self.kernels: dict[str, set[str]] = {}
        self.readouts: dict[str, NDArray[np.float32]] = {}
        """By layer, the running sum, (H, W, O)."""
        self.largest = float(max(picture.max(initial=0), -picture.min(initial=0)))

    def by_layer(self) -> Result:
        """Each layer over all steps; a layer's events are dropped after their last reader."""
        recording = any(map(self.recorder.wants, RECORDABLE))
        watched = any(map(self._is_watched, self.program.layers))
        if self.workers is not None and not recording and not watched:
            chain = take_chain(self.program, self.steps, self.workers, self.threads)
            if chain is not None:
                return self._by_chain(chain, self.workers)
        groups, unread = list(step_groups(self.steps)), self._unread_after()
        for index, layer in enumerate(self.program.layers):
            state = self._state(layer, several_groups=len(groups) > 1)
            first = 0
            for group, size in enumerate(groups):
                self._run_group(state, group, first, size)
                first += size
            self._finish(state)
            for name in unread[index]:
                self._drop(name)
        return self._result()

    def _unread_after(self) -> dict[int, list[str]]:
        """For each layer, by its number, whose events nobody reads after it."""
        unread: dict[int, list[str]] = defaultdict(list)
        for index, layer in enumerate(self.program.layers):
            if layer.neurons is not None:
                unread[self.program.last_use.get(layer.name, index)].append(layer.name)
        return unread

    def _by_chain(self, chain: Chain, workers: WorkerThreads) -> Result:
        """All layers in one call."""
        self.readouts = chain.run(self.picture, self.counter, workers, meanwhile=self._add_inputs)
        self.kernels = {name: {kernels} for name, kernels in chain.kernels.items()}
        result = self._result()
        put_back(self.program, chain)
        return result

    def _add_inputs(self) -> None:
        """Count what the layers that read the analog input make of it."""
        for layer in self.program.layers:
            self._add_input(layer)

    def by_time(self) -> Result:
        """All layers at each step; every layer keeps its membranes."""
        states = [self._state(layer, several_groups=self.steps > 1) for layer in self.program.layers]
        for step in range(self.steps):
            for state in states:
                self._run_group(state, 0, step, 1)
            if self.program.network.delays:
                self._before = {name: queues[0] for name, queues in self.queues.items()}
            for name in list(self.queues):
                self._drop(name)
        for state in states:
            self._finish(state)
        return self._result()

    def _is_watched(self, layer: Layer) -> bool:
        """Whether numbers of a layer may leave the range of float32."""
        limits = layer.picture_limits
        if self.steps not in limits:
            limits[self.steps] = picture_limit(layer, self.steps)
        return self.largest > limits[self.steps] or limits[self.steps] == 0

    def _state(self, layer: Layer, several_groups: bool) -> LayerState:
        state = LayerState(layer, watched=self._is_watched(layer))
        if several_groups or self.recorder.wants("membrane") or state.watched:
            state.keep_membrane()
        state.inject()
        self._add_input(layer)
        return state

    def _add_input(self, layer: Layer) -> None:
        """Count what a layer makes of the analog input."""
        for part, inputs in zip(layer.parts, self._pictures(layer), strict=True):
            if part.analog:
                self.counter.add_input(part, inputs)

    def _pictures(self, layer: Layer) -> list[NDArray[np.float32]]:
        """The analog input, (H, W, C), as each part of a layer sees it."""
        return [self.picture] * len(layer.parts)

    def _run_group(self, state: LayerState, group: int, first: int, size: int) -> None:
        """Run a layer over the steps first ... first + size - 1."""
        layer = state.layer
        lasting = self.keeps_queues or self.program.network.delays
        run = LayerRun(state, self._inputs(layer, group), size, self.recorder.wants("readout"), lasting)
        queue = run.run(self.workers, self.threads)
        state.watch()
        steps = slice(first, first + size)
        self.counter.add_run(layer, run.fired, run.counts, steps)
        self.kernels.setdefault(layer.name, set()).update(run.kernels)
        if queue is not None:
            self.queues.setdefault(layer.name, []).append(queue)
            if run.room is not None:
                self._rooms.setdefault(layer.name, []).append(run.room)
            self.recorder.add_queue(layer, queue, steps)
        elif run.currents is not None:
            self.recorder.add_readout(layer, run.currents, steps)

    def _inputs(self, layer: Layer, group: int) -> list[Inputs]:
        """What each part of a layer reads in a group of steps."""
        inputs = []
        for part, picture in zip(layer.parts, self._pictures(layer), strict=True):
            queues = [(s, self._queue(s, part, group), self.program.emit[s.name]) for s in part.spiking]
            inputs.append(inputs_of(part, queues, picture))
        return inputs

    def _queue(self, source: Source, part: Layer, group: int) -> EventQueue:
        """What a source has emitted in a group of steps; through a delay, at the step before."""
        if not source.delay:
            return self.queues[source.name][group]
        nothing = silent_queue((source.channels, *part.incoming[1:]), 1)
        return self._before.get(source.name, nothing)

    def _drop(self, name: str) -> None:
        """Forget the events of a layer that nobody reads any more."""
        del self.queues[name]
        for room in self._rooms.pop(name, ()):
            room.put_back()

    def _finish(self, state: LayerState) -> None:
        if state.layer.neurons is None:
            self.readouts[state.layer.name] = state.readout
        elif state.membrane is not None:
            self.recorder.add_membrane(state.layer, state.membrane)

    def _result(self) -> Result:
        return Result(
            outputs={
                name: np.ascontiguousarray(readout.transpose(2, 0, 1)) / np.float32(self.steps)
                for name, readout in self.readouts.items()
            },
            steps=self.steps,
            operations=self._ledger(),
            seconds=0.0,
            kernels=sorted_kernels(self.kernels),
            recorded=self.recorder.recorded,
        )

    def _ledger(self) -> Operations:
        return self.counter.operations

"""One picture through all layers: the two orders of simulation, and the counts and recordings that come of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from ..build import Layer, Program
from ..events import STEPS_PER_QUEUE, EventQueue
from .layer_run import Inputs, LayerRun, LayerState
from .recording import Recorder
from .result import Result


def step_groups(steps: int) -> Iterator[int]:
    """Cut a number of steps into groups of eight, then four, two and one: the sizes that kernels are compiled for."""
    size = STEPS_PER_QUEUE
    while steps:
        if steps >= size:
            yield size
            steps -= size
        else:
            size //= 2


class PictureRun:
    """Simulation of one picture, (C, H, W) float32."""

    def __init__(
        self,
        program: Program,
        picture: NDArray[np.float32],
        steps: int,
        record: frozenset[str],
        pool: Executor | None,
        threads: int,
    ) -> None:
        self.program = program
        self.picture = np.ascontiguousarray(picture.transpose(1, 2, 0))
        self.steps = steps
        self.pool = pool
        self.threads = threads
        self.recorder = Recorder(program, steps, record)
        self.events = {layer.name: np.zeros(steps, np.int64) for layer in program.layers if layer.neurons}
        self.accumulates: dict[str, NDArray[np.int64]] = {}
        self.macs: dict[str, int] = {}
        self.queues: dict[str, list[EventQueue]] = {}

    def by_layer(self) -> Result:
        """Each layer over all steps; a layer's events are dropped after their last reader."""
        groups = list(step_groups(self.steps))
        for index, layer in enumerate(self.program.layers):
            state = self._state(layer, several_groups=len(groups) > 1)
            first = 0
            for group, size in enumerate(groups):
                self._run_group(state, group, first, size)
                first += size
            self._finish(state)
            for name in [name for name in self.queues if self.program.last_use.get(name, index) <= index]:
                del self.queues[name]
        return self._result()

    def by_time(self) -> Result:
        """All layers at each step; every layer keeps its membranes."""
        states = [self._state(layer, several_groups=self.steps > 1) for layer in self.program.layers]
        for step in range(self.steps):
            for state in states:
                self._run_group(state, 0, step, 1)
            self.queues.clear()
        for state in states:
            self._finish(state)
        return self._result()

    def _state(self, layer: Layer, several_groups: bool) -> LayerState:
        state = LayerState(layer)
        if several_groups or self.recorder.wants("membrane"):
            state.keep_membrane()
        state.inject(self.picture)
        analog = sum(source.channels for source in layer.sources if source.analog)
        if analog:
            self.macs[layer.node.name] = layer.fan_out.total(analog)
        return state

    def _run_group(self, state: LayerState, group: int, first: int, size: int) -> None:
        """Run a layer over the steps first ... first + size - 1."""
        layer = state.layer
        spiking = [source for source in layer.sources if not source.analog]
        queues = [(source, self.queues[source.name][group], self.program.emit[source.name]) for source in spiking]
        run = LayerRun(state, Inputs(queues, self.picture), size, self.recorder.wants("readout"))
        queue = run.run(self.pool, self.threads)
        steps = slice(first, first + size)
        self._count(run, steps, size)
        if queue is not None:
            self.queues.setdefault(layer.name, []).append(queue)
            self.recorder.add_queue(layer, queue, steps)
            if layer.name not in self.program.last_use:
                self.events[layer.name][steps] = _count_events(queue)
        elif run.currents is not None:
            self.recorder.add_readout(run.currents, steps)

    def _count(self, run: LayerRun, steps: slice, size: int) -> None:
        layer = run.layer
        if not run.inputs.queues:
            return
        total = self.accumulates.setdefault(layer.node.name, np.zeros(self.steps, np.int64))
        fresh = np.zeros(size, np.int64)
        for position, (source, _, _) in enumerate(run.inputs.queues):
            self.events[source.name][steps] = run.counts[0, position, :size]
            fresh += run.counts[1, position, :size] * layer.fan_out.channels
        total[steps] = fresh

    def _finish(self, state: LayerState) -> None:
        if state.layer.neurons is None:
            self.readout = state.readout
        elif state.membrane is not None:
            self.recorder.add_membrane(state.layer, state.membrane)

    def _result(self) -> Result:
        layers = self.program.layers
        return Result(
            output=np.ascontiguousarray(self.readout.transpose(2, 0, 1)) / np.float32(self.steps),
            steps=self.steps,
            events=self.events,
            neurons={layer.name: int(np.prod(layer.outgoing)) for layer in layers if layer.neurons},
            accumulates=self.accumulates,
            macs=self.macs,
            dense_macs={layer.node.name: layer.dense_macs for layer in layers if not layer.pooling},
            seconds=0.0,
            recorded=self.recorder.recorded,
        )


def _count_events(queue: EventQueue) -> NDArray[np.int64]:
    """Events by step of a layer that nobody reads."""
    counts: NDArray[np.int64] = (queue.dense_levels() != 0).sum(axis=(1, 2, 3), dtype=np.int64)
    return counts

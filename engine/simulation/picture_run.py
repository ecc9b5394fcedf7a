"""One picture through all layers, group of steps by group of steps; the counts and recordings that come of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.bounds import watched
from ..binding.layer import Source
from ..events import (
    STEPS_PER_QUEUE,
    EventQueue,
    joined_steps,
    one_step_later,
    queue_of_levels,
    silent_queue,
    step_groups,
)
from ..float32 import largest_size
from ..inputs.encoded_input import analog_channels, encoded_inputs
from ..inputs.event_inputs import Streams
from ..inputs.pictures import shown_pictures
from ..results.result import Result
from ..results.run import Run
from ..results.state import KINDS, State
from .bands.bound_program import BoundGroup, put_back, take_bound
from .bands.layer_run import LayerRun
from .currents import Inputs
from .probes import Probed, Traces

_ORDINARY = 2.0**64
"""Where what another run has left is larger, all layers are watched."""


@dataclass(eq=False)
class PictureRun(Run):
    """Simulation of one picture: all layers over a group of steps, then over the next one.

    Groups have `most_steps` at the most: 8, or 1 for all layers at each step, as it is where neurons are `probed`, of
    which each step is noted. The run goes on at `before`, or begins at rest. `number` is that of the picture in its
    batch, and `streams` are spikes that come as such, by Input.
    """

    most_steps: int = STEPS_PER_QUEUE
    before: State | None = None
    probed: Probed | None = None
    number: int = 0
    streams: Streams = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        program, steps, before = self.program, self.steps, self.before
        self._encoded = encoded_inputs(program, self.picture, before, self.number, self.streams)
        shown = shown_pictures(self.picture, steps, analog_channels(program))
        self._shown = [(picture, list(step_groups(count, self.most_steps))) for picture, count in shown]
        self.counts.shown = len(self._shown)
        self._traces = None if self.probed is None else Traces(program, self.probed, steps)
        done, averaged = (0, 0) if before is None else (before.steps, before.averaged)
        self._steps_in_all, self._averaged = done + steps, averaged + steps
        # A stream has more steps with each run: limits are those of a power of two.
        limiting = steps if before is None else 1 << (self._steps_in_all - 1).bit_length()
        self._watched = watched(program, limiting, largest_size(self.picture))
        if before is not None and before.largest > _ORDINARY:
            self._watched = {layer.name for layer in program.layers}
        self._queues: dict[str, EventQueue] = {}
        self._before: dict[str, EventQueue] = {}

    def run(self) -> Result:
        """All groups of steps."""
        sizes = [size for _, groups in self._shown for size in groups]
        self._keeps_state = self.before is not None or self.recorder.wants("state")
        keeps = self._keeps_state or self.recorder.wants("membrane") or self._traces is not None
        goes_on = len(sizes) > 1 or (bool(self.program.loops) and sizes[0] > 1)
        carries = goes_on or keeps or bool(self._watched)
        self.bound = take_bound(self.program, self._shown[0][0].shape, max(sizes), carries, self.workers)
        # What a layer leaves is looked at before the next one runs.
        recorded = {layer.name for layer in self.program.layers if layer.neurons and self.recorder.wants_queues}
        self._seen = self._watched | recorded
        self.bound.begin()
        if self.before is not None:
            self._go_on(self.before)
        first = 0
        for picture, groups in self._shown:
            self.bound.show(picture)
            for number, size in enumerate(groups):
                self._run_group(self.bound.group(size), slice(first, first + size), is_new=number == 0)
                if self._traces is not None:
                    self._traces.note(first, self.bound.states)
                first += size
        for state in self.bound.states:
            if state.membrane is not None:
                self.recorder.add_membrane(state.layer, state.membrane)
        result = self._result()
        put_back(self.program, self.bound)
        return result

    def _go_on(self, before: State) -> None:
        """Take up what another run has left."""
        for state in self.bound.states:
            state.go_on(before)
            name, levels = state.layer.name, state.layer.levels
            if levels is not None and name in before.arriving:
                self._before[name] = queue_of_levels(before.arriving[name])
                self.counts.arriving[name] = levels.counts(before.arriving[name])

    @property
    def _state_after(self) -> State:
        carried: dict[str, dict[str, NDArray[Any]]] = {kind: {} for kind in KINDS}
        for kind, name, view in (each for state in self.bound.states for each in state.views()):
            carried[kind][name] = view.copy()
        carried["arriving"] = {name: queue.dense_levels()[0] for name, queue in self._before.items()}
        carried["encoders"] = {n: each.carried for n, each in self._encoded.items() if each.carried is not None}
        return State(self._steps_in_all, self._averaged, **carried)

    # --- A group of steps --------------------------------------------------------------------------------------------

    def _run_group(self, group: BoundGroup, steps: slice, is_new: bool) -> None:
        """All layers over some steps; whether the picture has not been seen before."""
        group.begin()
        self._queues = dict(group.queues)
        for name, encoded in self._encoded.items():
            self._queues[name] = encoded.queue(steps.start, steps.stop - steps.start)
            self.counts.add_encoded(name, encoded.levels, self._queues[name], steps.start)
            if self.recorder.wants_queues:
                self.recorder.add_queue(name, encoded.levels, self._queues[name], steps)
        meanwhile = functools.partial(self._add_inputs, steps.start) if is_new else None
        for first, last, compiled in self._stretches(group):
            if compiled:
                group.run(first, last, self.workers, meanwhile)
                for index in range(first, last):
                    self.kernels[self.program.layers[index].name].update(group.kernels(index))
            else:
                if meanwhile is not None:
                    meanwhile()
                if (first, last) in self.program.loops:
                    self._run_loop(group, first, last, steps)
                else:
                    self._run_layer(group, first, steps)
            meanwhile = None
            self._look_at(range(first, last), steps)
        self.counts.add_compiled(*group.counted(), steps)
        lasting = self.bound.lasting & self._queues.keys()
        self._before = {name: self._queues[name].at(group.steps - 1) for name in lasting}

    def _stretches(self, group: BoundGroup) -> Iterator[tuple[int, int, bool]]:
        """First and last + 1 layer of what is run in one go, and whether by compiled calls."""
        layers, loops = self.program.layers, dict(self.program.loops)
        # Compiled calls do not know what a readout is after each step.
        left_out = {layer.name for layer in layers if layer.neurons is None and self.recorder.wants("readout")}
        compiled = [each and layer.name not in left_out for each, layer in zip(group.compiled, layers, strict=True)]
        first = 0
        while first < len(layers):
            last = loops.get(first, first + 1)
            while compiled[first] and any(compiled[last : last + 1]) and layers[last - 1].name not in self._seen:
                last += 1
            yield first, last, compiled[first]
            first = last

    def _look_at(self, indices: range, steps: slice) -> None:
        """Record and check what some layers have left; forget events that nobody reads any more."""
        for index in indices:
            layer = self.program.layers[index]
            if layer.name in self._watched:
                self.bound.states[index].watch()
            if layer.levels is not None and self.recorder.wants_queues:
                self.recorder.add_queue(layer.name, layer.levels, self._queues[layer.name], steps)
        for name, last in self.program.last_use.items():
            if last in indices and name not in self.bound.lasting:
                self._queues.pop(name, None)

    def _run_loop(self, group: BoundGroup, first: int, last: int, steps: slice) -> None:
        """Run layers step by step, of which one gets back what it has fired."""
        layers = self.program.layers[first:last]
        names = [layer.name for layer in layers]
        read = {source.name for layer in layers for source in layer.spiking}.difference(names)
        whole = {name: self._queues[name] for name in read}
        kept, before = self._queues, self._before
        fired: list[dict[str, EventQueue]] = []
        for number, step in enumerate(range(steps.start, steps.stop)):
            self._queues = {name: queue.at(number) for name, queue in whole.items()}
            for index in range(first, last):
                self._run_layer(group, index, slice(step, step + 1))
            self._before = self._queues
            fired.append(self._queues)
        self._before = before
        self._queues = kept | {name: joined_steps([of_step[name] for of_step in fired]) for name in names}

    def _run_layer(self, group: BoundGroup, index: int, steps: slice) -> None:
        """Run a layer that compiled calls do not take."""
        layer = self.program.layers[index]
        inputs = [
            Inputs(part, [(source, self._queue(source, part)) for source in part.spiking], self.bound.picture)
            for part in layer.parts
        ]
        empty, readout = group.queues.get(layer.name), self.recorder.readout_memory(layer.name, steps)
        run = LayerRun(self.bound.states[index], inputs, steps.stop - steps.start, empty, readout)
        queue = run.run(self.workers)
        self.counts.add_run(layer.name, run.fired, run.counts, run.updates, steps)
        self.kernels[layer.name].update(run.kernels)
        if queue is not None:
            group.note(index, queue)
            self._queues[layer.name] = queue

    def _queue(self, source: Source, part: Layer) -> EventQueue:
        """What a source has emitted; through a delay, a step earlier."""
        if not source.delay:
            return self._queues[source.name]
        nothing = silent_queue((source.channels, *part.incoming[1:]), 1)
        before = self._before.get(source.name, nothing)
        # In a loop, which goes step by step, the source may not have been run yet.
        emitted = self._queues.get(source.name, before)
        return one_step_later(before, emitted)

    # --- Counts and results ------------------------------------------------------------------------------------------

    def _add_inputs(self, first_step: int) -> None:
        """Count what the layers that read the analog input make of it."""
        for part in (part for layer in self.program.layers for part in layer.parts):
            if part.analog:
                self.counts.add_input(part, self.bound.picture, first_step)

    def _result(self) -> Result:
        outputs = {
            s.layer.name: np.ascontiguousarray(s.readout.transpose(2, 0, 1)) / np.float32(self._averaged)
            for s in self.bound.states
            if s.layer.neurons is None
        }
        kept = {"state": self._state_after} if self._keeps_state else {}
        return self.result(outputs, kept | ({} if self._traces is None else {"traces": self._traces.recorded}))

"""One picture through all layers, group of steps by group of steps; the counts and recordings that come of it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..binding import Layer
from ..binding.bounds import is_watched
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
from ..float32 import largest_size, without_subnormals
from ..inputs.encoded_input import analog_channels, encoded_inputs
from ..inputs.event_inputs import Streams
from ..inputs.pictures import shown_pictures
from ..results.result import Result
from ..results.run import Run
from ..results.state import State
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
        self._shown = list(shown_pictures(self.picture, steps, analog_channels(program)))
        self.groups = [list(step_groups(count, self.most_steps)) for _, count in self._shown]
        self._traces = None if self.probed is None else Traces(program, self.probed, steps)
        done, averaged = (0, 0) if before is None else (before.steps, before.averaged)
        self._steps_in_all, self._averaged = done + steps, averaged + steps
        largest = largest_size(self.picture)
        watches_all = before is not None and before.largest > _ORDINARY
        # A stream has more steps with each run: limits are those of a power of two.
        limiting = steps if before is None else 1 << (self._steps_in_all - 1).bit_length()
        self._watched = {
            index for index, layer in enumerate(program.layers) if watches_all or is_watched(layer, limiting, largest)
        }
        self._queues: dict[str, EventQueue] = {}
        self._before: dict[str, EventQueue] = {}
        self._unread: dict[int, list[str]] = defaultdict(list)
        for index, layer in enumerate(program.layers):
            self._unread[program.last_use.get(layer.name, index)].append(layer.name)

    def run(self) -> Result:
        """All groups of steps."""
        sizes = [size for groups in self.groups for size in groups]
        self._keeps_state = self.before is not None or self.recorder.wants("state")
        keeps = self._keeps_state or self.recorder.wants("membrane") or self._traces is not None
        goes_on = len(sizes) > 1 or (bool(self.program.loops) and sizes[0] > 1)
        carries = goes_on or keeps or bool(self._watched)
        self._seen = self._shown[0][0]
        self.bound = take_bound(self.program, self._seen.shape, max(sizes), carries, self.workers, self.threads)
        self.bound.begin()
        if self.before is not None:
            self._go_on(self.before)
        first = 0
        for (picture, _), groups in zip(self._shown, self.groups, strict=True):
            self._seen = picture
            self.bound.show(picture)
            is_new = True
            for size in groups:
                self._run_group(self.bound.group(size), slice(first, first + size), is_new)
                if self._traces is not None:
                    self._traces.note(first, self.bound.states)
                first, is_new = first + size, False
        for state in self.bound.states:
            if state.membrane is not None:
                self.recorder.add_membrane(state.layer, state.membrane)
        result = self._result()
        put_back(self.program, self.bound)
        return result

    def _go_on(self, before: State) -> None:
        """Take up what another run has left."""
        for state in self.bound.states:
            name = state.layer.name
            state.done = before.steps
            if state.layer.neurons is None:
                state.readout[:] = without_subnormals(before.readouts[name]).transpose(1, 2, 0) + np.float32(0)
            else:
                state.variables = without_subnormals(before.neurons[name])
            for part in state.parts:
                if part.synaptic is not None:
                    kept = without_subnormals(before.synapses[part.layer.node.name])
                    part.synaptic[:] = kept.transpose(2, 3, 1, 0)
            if name in before.arriving:
                assert state.layer.levels is not None
                self._before[name] = queue_of_levels(before.arriving[name])
                self.counts.arriving[name] = state.layer.levels.counts(before.arriving[name])

    @property
    def _state_after(self) -> State:
        states = self.bound.states
        parts = [part for state in states for part in state.parts]
        return State(
            steps=self._steps_in_all,
            averaged=self._averaged,
            neurons={state.layer.name: state.variables for state in states if state.layer.neurons is not None},
            synapses={
                p.layer.node.name: p.synaptic.transpose(3, 2, 0, 1).copy() for p in parts if p.synaptic is not None
            },
            readouts={s.layer.name: s.readout.transpose(2, 0, 1).copy() for s in states if s.layer.neurons is None},
            arriving={name: queue.dense_levels()[0] for name, queue in self._before.items()},
            encoders={name: each.carried for name, each in self._encoded.items() if each.carried is not None},
        )

    # --- A group of steps --------------------------------------------------------------------------------------------

    def _run_group(self, group: BoundGroup, steps: slice, is_new: bool) -> None:
        """All layers over some steps; whether the picture has not been seen before."""
        group.begin()
        for name, encoded in self._encoded.items():
            self._queues[name] = encoded.queue(steps.start, steps.stop - steps.start)
            self.counts.add_encoded(name, encoded.levels, self._queues[name], steps.start)
            if self.recorder.wants_queues:
                self.recorder.add_queue(name, encoded.levels, self._queues[name], steps)
        meanwhile = functools.partial(self._add_inputs, steps.start) if is_new else None
        for first, last, compiled in self._stretches(group):
            if compiled:
                group.run(first, last, self.workers, meanwhile)
            else:
                if meanwhile is not None:
                    meanwhile()
                if (first, last) in self.program.loops:
                    self._run_loop(group, first, last, steps)
                else:
                    self._run_layer(group, first, steps)
            meanwhile = None
            self._look_at(group, range(first, last), steps)
        self._count(group, steps)
        lasting = self.bound.lasting & self._queues.keys()
        self._before = {name: self._queues[name].at(group.steps - 1) for name in lasting}
        self._queues.clear()

    def _stretches(self, group: BoundGroup) -> Iterator[tuple[int, int, bool]]:
        """First and last + 1 layer of what is run in one go, and whether by compiled calls."""
        layers, loops = self.program.layers, dict(self.program.loops)
        first = 0
        while first < len(layers):
            last = loops.get(first, first + 1)
            compiled = self._is_compiled(group, first)
            while compiled and last < len(layers) and not self._is_seen(last - 1) and self._is_compiled(group, last):
                last += 1
            yield first, last, compiled
            first = last

    def _is_compiled(self, group: BoundGroup, index: int) -> bool:
        """Whether compiled calls run a layer; they do not know what a readout is after each step."""
        is_readout = self.program.layers[index].neurons is None
        return group.compiled[index] and not (is_readout and self.recorder.wants("readout"))

    def _is_seen(self, index: int) -> bool:
        """Whether what a layer leaves is looked at before the next one runs."""
        events = self.program.layers[index].neurons is not None and self.recorder.wants_queues
        return events or index in self._watched

    def _look_at(self, group: BoundGroup, indices: range, steps: slice) -> None:
        """Record and check what some layers have left; forget events that nobody reads any more."""
        for index in indices:
            layer = self.program.layers[index]
            if index in self._watched:
                self.bound.states[index].watch()
            if layer.levels is not None and self.recorder.wants_queues:
                self.recorder.add_queue(layer.name, layer.levels, self._emitted(group, layer.name), steps)
        for name in (name for each in indices for name in self._unread[each]):
            if name not in self.bound.lasting:
                self._queues.pop(name, None)

    def _run_loop(self, group: BoundGroup, first: int, last: int, steps: slice) -> None:
        """Run layers step by step, of which one gets back what it has fired."""
        layers = self.program.layers[first:last]
        names = [layer.name for layer in layers]
        read = {source.name for layer in layers for source in layer.spiking}.difference(names)
        whole = {name: self._emitted(group, name) for name in read}
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
            Inputs(part, [(source, self._queue(group, source, part)) for source in part.spiking], self._seen)
            for part in layer.parts
        ]
        keeps = self.recorder.wants("readout") and layer.neurons is None
        events = group.event_memories.get(layer.name)
        run = LayerRun(self.bound.states[index], inputs, steps.stop - steps.start, keeps, events)
        queue = run.run(self.workers, self.threads)
        self.counts.add_run(layer.name, run.fired, run.counts, run.updates, steps)
        self.kernels[layer.name].update(run.kernels)
        if queue is not None:
            group.note(index, queue)
            self._queues[layer.name] = queue
        elif run.currents is not None:
            self.recorder.add_readout(layer, run.currents, steps)

    def _queue(self, group: BoundGroup, source: Source, part: Layer) -> EventQueue:
        """What a source has emitted; through a delay, a step earlier."""
        if not source.delay:
            return self._emitted(group, source.name)
        nothing = silent_queue((source.channels, *part.incoming[1:]), 1)
        before = self._before.get(source.name, nothing)
        # In a loop, which goes step by step, the source may not have been run yet.
        emitted = self._queues.get(source.name, before)
        return one_step_later(before, emitted)

    def _emitted(self, group: BoundGroup, name: str) -> EventQueue:
        """What a source has emitted at the steps that are being run."""
        return self._queues[name] if name in self._queues else group.queue(name)

    # --- Counts and results ------------------------------------------------------------------------------------------

    def _add_inputs(self, first_step: int) -> None:
        """Count what the layers that read the analog input make of it."""
        for part in (part for layer in self.program.layers for part in layer.parts):
            if part.analog:
                self.counts.add_input(part, self._seen, first_step)

    def _count(self, group: BoundGroup, steps: slice) -> None:
        """Count what compiled calls have done."""
        compiled = [(k, layer) for k, layer in enumerate(self.program.layers) if self._is_compiled(group, k)]
        if compiled:
            self.counts.add_compiled(*group.counted(), steps)
        for index, layer in compiled:
            self.kernels[layer.name].add(group.kernels(index))

    def _result(self) -> Result:
        outputs = {
            s.layer.name: np.ascontiguousarray(s.readout.transpose(2, 0, 1)) / np.float32(self._averaged)
            for s in self.bound.states
            if s.layer.neurons is None
        }
        kept = {"state": self._state_after} if self._keeps_state else {}
        return self.result(outputs, kept | ({} if self._traces is None else {"traces": self._traces.recorded}))

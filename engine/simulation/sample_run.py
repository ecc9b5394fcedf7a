"""Pixels that never meet, run side by side: samples by the dozen, layer by layer, each over many steps at once.

`simulate` runs a network so where `sample_plan` says that it can be; what comes of it is what `PictureRun` gives, bit
for bit and count for count, many times as fast: nothing is packed into events, a layer's steps are one compiled call,
and a batch is one run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding.kernel_choice import EVENTS
from ..binding.sample_plan import SampleLayer, SamplePart, SamplePlan
from ..float32 import beyond
from ..kernels.dot import LANES
from ..kernels.float_mode import gradual
from ..kernels.samples import ROWS_AT_ONCE, add_steps, count_rows, multiply_rows, walk_rows
from ..memory import IdleMemory, Shelf, called_by_clear_caches
from ..operations import Operations
from ..threads import WorkerThreads
from .counting import OperationsCounter
from .given_samples import GivenSamples
from .result import Result

STEPS_AT_ONCE = 32
"""Of a layer; all of its currents over so many steps should stay in a core's second-level cache."""

_CACHE_BYTES = 3 << 17
"""Currents of all samples of a chunk."""

_WORK_OF_A_THREAD = 1 << 20
"""Channels times steps times samples, of all layers, from which on a second thread pays."""

IDLE = IdleMemory(1 << 27)
"""Memory of chunks that are idle, each on a shelf of the program that it was made for."""

called_by_clear_caches(IDLE.clear)


class SampleRun:
    """All samples of a batch through all layers.

    Parameters
    ----------
    plan : SamplePlan
    given : GivenSamples
        What spikes come in.
    record : set of str
        Out of "spikes", "spike_count", "membrane" and "readout".
    """

    RECORDED = frozenset({"spikes", "spike_count", "membrane", "readout"})
    """What can be recorded."""

    def __init__(self, plan: SamplePlan, given: GivenSamples, record: frozenset[str]) -> None:
        self.plan = plan
        self.given = given
        self.steps = given.steps
        self.record = record
        self.samples = given.pictures * math.prod(given.pixels)
        self.kernels: dict[str, set[str]] = {layer.layer.name: set() for layer in plan.layers}
        self.channels = {name: shape[0] for name, shape in plan.program.encoded.items()}
        self.channels |= {each.layer.name: each.layer.outgoing[0] for each in plan.layers if each.stepper}
        outputs = [each for each in plan.layers if each.stepper is None]
        self.readouts = {each.layer.name: self._numbers(each.layer.outgoing[0]) for each in outputs}
        self.recorded: dict[str, dict[str, NDArray[np.float32] | NDArray[np.uint8]]] = {}
        if "spikes" in record or "spike_count" in record:
            shape = self.samples, self.steps
            self.recorded["rows"] = {name: np.empty((*shape, n), np.uint8) for name, n in self.channels.items()}
        if "membrane" in record:
            layers = [each.layer for each in plan.layers if each.stepper]
            self.recorded["membrane"] = {each.name: self._numbers(each.outgoing[0]) for each in layers}
        if "readout" in record:
            shape = self.samples, self.steps
            self.recorded["readout"] = {
                each.layer.name: np.empty((*shape, each.layer.outgoing[0]), np.float32) for each in outputs
            }

    def _numbers(self, channels: int) -> NDArray[np.float32]:
        return np.empty((self.samples, channels), np.float32)

    def run(self, workers: WorkerThreads, threads: int) -> Result:
        """Run all chunks of samples, which threads take."""
        chunks = self._chunks(threads)
        size = chunks[0][1]
        work = sum(self.channels.values()) * self.steps * self.samples
        threads = 1 if work < _WORK_OF_A_THREAD else workers.ready(min(threads, len(chunks)))
        indices = iter(chunks)
        memories = [self._take(size) for _ in range(threads)]
        counts = [self._no_counts() for _ in memories]
        jobs = [
            lambda memory=memory, found=found: self._run_chunks(memory, found, indices)  # type: ignore[misc]
            for memory, found in zip(memories, counts, strict=True)
        ]
        workers.run(jobs)
        for memory in memories:
            self._shelf.put(memory, memory.nbytes)
        return self._result({name: sum(found[name] for found in counts) for name in self.channels})

    def _chunks(self, threads: int) -> list[tuple[int, int]]:
        """First and last + 1 sample of each, all of one size but the last."""
        most = _CACHE_BYTES // (self.plan.widest * 4 * min(self.steps, STEPS_AT_ONCE))
        size = max(min(most, -(-self.samples // threads)), 1)
        return [(first, min(first + size, self.samples)) for first in range(0, self.samples, size)]

    @property
    def _shelf(self) -> Shelf[ChunkMemory]:
        prepared = self.plan.program.prepared
        shelf: Shelf[ChunkMemory] | None = prepared.get("chunks")
        return prepared.setdefault("chunks", Shelf(IDLE)) if shelf is None else shelf

    def _take(self, size: int) -> ChunkMemory:
        steps = min(self.steps, STEPS_AT_ONCE)
        idle = self._shelf.take(lambda memory: memory.samples >= size and memory.steps >= steps)
        return ChunkMemory(self.plan, self.channels, size, steps) if idle is None else idle

    def _no_counts(self) -> dict[str, NDArray[np.int32]]:
        return {name: np.zeros((self.steps, channels), np.int32) for name, channels in self.channels.items()}

    # --- A chunk -----------------------------------------------------------------------------------------------------

    @gradual
    def _run_chunks(
        self, memory: ChunkMemory, counts: dict[str, NDArray[np.int32]], chunks: Iterator[tuple[int, int]]
    ) -> None:
        """What one of the workers does; next() on an iterator is atomic."""
        for first, last in chunks:
            memory.begin(last - first)
            for begin in range(0, self.steps, STEPS_AT_ONCE):
                steps = slice(begin, min(begin + STEPS_AT_ONCE, self.steps))
                self._run_steps(memory, counts, slice(first, last), steps)
            self._leave(memory, slice(first, last))

    def _run_steps(
        self, memory: ChunkMemory, counts: dict[str, NDArray[np.int32]], samples: slice, steps: slice
    ) -> None:
        """All layers over some steps."""
        number, size = steps.stop - steps.start, samples.stop - samples.start
        of_steps = {name: found[steps] for name, found in counts.items()}
        events = {}
        for name in self.plan.program.encoded:
            self.given.take(name, samples, steps, memory.rows[name])
            events[name] = self._note(memory, name, of_steps[name], samples, steps)
        for layer in self.plan.layers:
            name = layer.layer.name
            currents = memory.currents[: number * size * layer.padded].reshape(-1, layer.padded)
            if layer.is_sum:
                currents[:] = 0
            for part in layer.parts:
                kernels = self._add_current(memory, part, events[part.source.name], size, layer.is_sum, currents)
                self.kernels[name].add(kernels)
            if layer.stepper is None:
                self._read_out(memory, layer, currents, samples, steps)
            else:
                self._fire(memory, layer, currents, size, steps.start == 0)
                events[name] = self._note(memory, name, of_steps[name], samples, steps)
        memory.keep_last(number, size)

    def _add_current(
        self, memory: ChunkMemory, part: SamplePart, events: int, samples: int, adds: bool, currents: NDArray[np.float32]
    ) -> str:
        """The current of a connection in all samples and steps; which kernels computed it."""
        rows = memory.rows[part.source.name]
        first = 0 if part.source.delay else samples
        products, channels = part.products, part.source.channels
        if products is None or events < products.share * len(currents) * channels:
            walk_rows(rows.view(np.uint64), first, part.weights, part.bias, adds, memory.scratch(part.padded), currents)
            return EVENTS
        size = rows.shape[1]
        quads = (-(-channels // 4), size)
        multiply_rows(
            rows.reshape(-1),
            first * size,
            products.token,
            quads,
            products.weights,
            products.scale,
            part.bias,
            adds,
            memory.sums,
            currents,
        )
        assert products.name is not None
        return products.name

    def _fire(
        self, memory: ChunkMemory, layer: SampleLayer, currents: NDArray[np.float32], samples: int, fresh: bool
    ) -> None:
        """Run the neurons of a population."""
        name, channels = layer.layer.name, layer.layer.outgoing[0]
        assert layer.stepper is not None
        back = (*layer.returning, memory.scratch(layer.padded))
        rows = memory.rows[name]
        shape = (len(currents) // samples, samples, layer.padded, channels)
        if layer.back is not None:
            self.kernels[name].add(EVENTS)
        if not layer.stepper.run_samples(currents, back, (rows, rows.view(np.uint64)), shape, memory.states[name], fresh):
            raise beyond(name, "a current, or the state of a neuron,")

    def _note(
        self, memory: ChunkMemory, name: str, counts: NDArray[np.int32], samples: slice, steps: slice
    ) -> int:
        """Count, and record, what was fired at some steps; how much that is."""
        number, size = steps.stop - steps.start, samples.stop - samples.start
        before = int(counts.sum())
        count_rows(memory.rows[name], size, counts)
        if "rows" in self.recorded:
            fired = memory.rows[name][size : (1 + number) * size, : self.channels[name]]
            self.recorded["rows"][name][samples, steps] = fired.reshape(number, size, -1).swapaxes(0, 1)
        return int(counts.sum()) - before

    def _read_out(
        self, memory: ChunkMemory, layer: SampleLayer, currents: NDArray[np.float32], samples: slice, steps: slice
    ) -> None:
        """Add the currents of some steps to a readout."""
        name, size, channels = layer.layer.name, samples.stop - samples.start, layer.layer.outgoing[0]
        add_steps(currents, size, memory.readouts[name].reshape(-1, layer.padded))
        if "readout" in self.recorded:
            sums = currents.reshape(-1, size, layer.padded)[..., :channels]
            self.recorded["readout"][name][samples, steps] = sums.swapaxes(0, 1)

    def _leave(self, memory: ChunkMemory, samples: slice) -> None:
        """Take what a chunk has come to."""
        size = samples.stop - samples.start
        for layer in self.plan.layers:
            name, channels = layer.layer.name, layer.layer.outgoing[0]
            if layer.stepper is None:
                readout = memory.readouts[name].reshape(-1, layer.padded)
                self.readouts[name][samples] = readout[:size, :channels]
            elif "membrane" in self.recorded:
                potentials = memory.states[name][0].reshape(-1, layer.padded)
                self.recorded["membrane"][name][samples] = potentials[:size, :channels]

    # --- What comes of it --------------------------------------------------------------------------------------------

    def _result(self, counts: dict[str, NDArray[np.int32]]) -> Result:
        steps = np.float32(self.steps)
        return Result(
            outputs={name: self._pictures(readout) / steps for name, readout in self.readouts.items()},
            steps=self.steps,
            operations=self._operations(counts).of_pictures(self.given.pictures),
            seconds=0.0,
            kernels={name: tuple(sorted(found)) for name, found in self.kernels.items()},
            recorded={kind: self._recording(kind) for kind in self.record},
        )

    def _recording(self, kind: str) -> object:
        if kind == "spikes":
            return {name: self._over_time(rows).astype(np.float32) for name, rows in self.recorded["rows"].items()}
        if kind == "spike_count":
            return {name: self._spike_count(name, rows) for name, rows in self.recorded["rows"].items()}
        if kind == "readout":
            return {name: self._over_time(sums) for name, sums in self.recorded["readout"].items()}
        return {name: self._pictures(potentials) for name, potentials in self.recorded["membrane"].items()}

    def _spike_count(self, name: str, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        return self._pictures(rows.sum(axis=1, dtype=np.int64) * self._spikes_of_an_event(name))

    def _pictures(self, values: NDArray[Any]) -> NDArray[Any]:
        """(samples, C) as (N, C, H, W), or (C, H, W) of what is no batch."""
        height, width = self.given.pixels
        arranged = values.reshape(-1, height, width, values.shape[-1]).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(arranged if self.given.batched else arranged[0])

    def _over_time(self, values: NDArray[Any]) -> NDArray[Any]:
        """(samples, T, C) as (N, T, C, H, W), or (T, C, H, W) of what is no batch."""
        height, width = self.given.pixels
        arranged = values.reshape(-1, height, width, *values.shape[1:]).transpose(0, 3, 4, 1, 2)
        return np.ascontiguousarray(arranged if self.given.batched else arranged[0])

    def _spikes_of_an_event(self, name: str) -> int:
        """For how many spikes an event counts."""
        found = next((each.layer.levels for each in self.plan.layers if each.layer.name == name), None)
        return 1 if found is None else int(found.spikes[1])

    def _operations(self, counts: dict[str, NDArray[np.int32]]) -> Operations:
        """The ledger of one picture, with the events of all."""
        counter = OperationsCounter(self.plan.program, self.steps)
        events = {name: found.astype(np.int64) for name, found in counts.items()}
        for name, found in events.items():
            counter.fired[counter.index[name], 0] = fired = found.sum(axis=1)
            counter.fired[counter.index[name], 1] = fired * self._spikes_of_an_event(name)
        parts = [part for layer in self.plan.layers for part in layer.in_order]
        for number, part in enumerate(parts):
            if part.zeros is not None:
                delay = part.source.delay
                met = events[part.source.name] @ part.zeros
                counter.counts[number, 1, 0, delay:] = met[: self.steps - delay]
        return counter.operations


class ChunkMemory:
    """What a thread needs for some samples over some steps.

    Attributes
    ----------
    rows : dict of str to ((1 + steps) * samples + ROWS_AT_ONCE, bytes) uint8
        By what emits, see engine/kernels/samples.py.
    currents : float32, flat
    row : float32, a row of currents
    active : int32, channels of a row that have an event
    sums : int32, see `multiply_rows`
    states : dict of str to tuple of float32 arrays, flat
    readouts : dict of str to float32, flat
    """

    def __init__(self, plan: SamplePlan, channels: dict[str, int], samples: int, steps: int) -> None:
        self.samples = samples
        self.steps = steps
        count = (1 + steps) * samples + ROWS_AT_ONCE
        self.rows = {name: np.zeros((count, -(-number // 64) * 64), np.uint8) for name, number in channels.items()}
        self.currents = np.empty(steps * samples * plan.widest, np.float32)
        self.row = np.empty(plan.widest, np.float32)
        self.active = np.empty(max(rows.shape[1] for rows in self.rows.values()) + 1, np.int32)
        self.sums = np.empty(2 * ROWS_AT_ONCE * LANES, np.int32)
        self.states = {
            each.layer.name: tuple(np.zeros(samples * each.padded, np.float32) for _ in range(each.stepper.variables))
            for each in plan.layers
            if each.stepper
        }
        self.readouts = {
            each.layer.name: np.zeros(samples * each.padded, np.float32) for each in plan.layers if not each.stepper
        }

    def scratch(self, padded: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `walk_rows`."""
        return self.active, self.row[:padded]

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        states = [array for arrays in self.states.values() for array in arrays]
        arrays = [self.currents, self.row, self.active, self.sums, *states, *self.rows.values(), *self.readouts.values()]
        return sum(array.nbytes for array in arrays)

    def begin(self, samples: int) -> None:
        """Nothing has been fired, and nothing read out."""
        for rows in self.rows.values():
            rows[:samples] = 0
        for readout in self.readouts.values():
            readout[:] = 0

    def keep_last(self, steps: int, samples: int) -> None:
        """What was fired at the last of some steps is what was fired before, from now on."""
        for rows in self.rows.values():
            rows[:samples] = rows[steps * samples : (1 + steps) * samples]

"""A program's layers, bound to memory of their own and to compiled kernels, so that one call runs many of them.

Layers of small pictures take a millisecond or less; Python between them, and handing each of them to a second thread,
would take a third of that again. So what does not depend on the picture is prepared once: where events go, which bands
there are, all arguments of all kernels. Threads then go through the layers together (see engine/kernels/sequence.py),
each of which has two sets of kernels where both may pay: the second one is bound when it is needed.

Layers that no compiled call takes (see `is_compiled`) are run in between, band by band, by layer_run.py; their events
go to the same memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer, Program
from ...binding.kernel_choice import least_active
from ...events import STEPS_PER_QUEUE, EventQueue, mask_bytes
from ...kernels.bound_call import bind
from ...kernels.float_mode import flushing
from ...kernels.sequence import count_uneven_sources, count_zeros_of_sources, run_layers
from ...kernels.sequence_arguments import LayerCalls, LayerReads, SequenceProgress
from ...kernels.shared_counter import ENTRIES, FINISHED, GIVEN_UP, TAKEN
from ...kernels.tables import CALL
from ...memory import IdleMemory, Shelf, aligned_bytes
from ...threads import WorkerThreads
from ..currents import Inputs, Part, part_of
from ..currents.sources import counted_sources
from ..memory.layer_state import LayerState
from ..memory.queue_memory import empty_queue, memory_places
from ..memory.worker_memory import Scratch, WorkerMemory
from .band_rows import bands_of_layer
from .layer_run import KINDS, THREADED_WORK, by_step, whole_work
from .phases import LayerBands, is_compiled

IDLE = IdleMemory(1 << 29)
"""Bound programs that are idle, each on a shelf of the program that it belongs to."""

_MOST_LAYERS = 1 << 10
"""A network of more layers is run without compiled calls: the places of their events would take too long to find."""

_ONCE, _PHASES = 2, 6
"""Calls of a layer, or of each part of a sum, at the most: before all bands, and for each of them."""

_PHASES_OF_WHOLE = 5
"""Further calls for each band, of the layer as a whole."""

_COUNTERS = 8
"""Of a layer in a cache line: each layer has lines for itself."""


@dataclass(eq=False)
class BoundProgram:
    """What the layers of a program carry from group to group of `most_steps` or fewer, for one picture at a time.

    `shape` is (H, W, C), of what the Input nodes get, joined. Potentials are kept after a group if it `carries` them.
    """

    program: InitVar[Program]
    shape: InitVar[tuple[int, ...]]
    most_steps: int
    threads: int
    carries: bool

    def __post_init__(self, program: Program, shape: tuple[int, ...]) -> None:
        # The program, on a shelf of which this may come to lie, is not held.
        self.layers = program.layers
        self.lasting = {s.name for layer in self.layers for part in layer.parts for s in part.sources if s.delay}
        in_loops = {layer.name for loop in program.loops for layer in self.layers[slice(*loop)]}
        self.states = [LayerState(layer, self.carries) for layer in self.layers]
        self.picture = np.empty(shape, np.float32)
        self.scratches = [Scratch() for _ in range(self.threads)]
        # A layer that is too large for room over eight steps may get some over fewer.
        sizes = (1 << power for power in range(self.most_steps.bit_length()))
        given = self.layers if len(self.layers) <= _MOST_LAYERS else (), program.last_use, self.lasting | in_loops
        self.places = {steps: memory_places(*given, steps) for steps in sizes}
        self.block = aligned_bytes(max(total for _, total in self.places.values()))
        self._groups: dict[int, BoundGroup] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the memory for events, of potentials and of scratch memory."""
        of_states = sum(state.nbytes for state in self.states)
        return self.block.nbytes + of_states + sum(scratch.nbytes for scratch in self.scratches)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a bound program holds addresses in the memory of this process; copy the network instead")

    def begin(self) -> None:
        """Forget what has been run."""
        for state in self.states:
            state.begin()

    def show(self, picture: NDArray[np.float32]) -> None:
        """Take a picture, (H, W, C)."""
        self.picture[:] = picture
        for state in self.states:
            state.show_new()

    def group(self, steps: int) -> BoundGroup:
        """Its layers bound to so many steps, `most_steps` or fewer."""
        if steps not in self._groups:
            self._groups[steps] = BoundGroup(self, steps)
        return self._groups[steps]


class BoundGroup:
    """All layers of a bound program over a group of 1, 2, 4 or 8 steps.

    Events go to the `queues` of their layers, where they have one. `compiled` says which layers run in compiled calls.
    """

    def __init__(self, bound: BoundProgram, steps: int) -> None:
        self.layers = bound.layers
        self.steps = steps
        self._threads = bound.threads
        self._states = bound.states
        self._scratches = bound.scratches
        self._picture = bound.picture
        places, _ = bound.places[steps]
        self.queues = {
            layer.name: empty_queue(layer, steps, bound.block[places[layer.name]])
            for layer in self.layers
            if layer.name in places
        }
        self.compiled = [self._is_compiled(layer) for layer in self.layers]
        self._kernels = [[_two_kernels(part) for part in layer.parts] for layer in self.layers]
        # Layers that read an encoded Input are not compiled: nobody asks for its number.
        index = {layer.name: number for number, layer in enumerate(self.layers)}
        sources = [[index.get(source.name, 0) for source in layer.spiking] for layer in self.layers]
        numbers = np.array([number for of_layer in sources for number in of_layer], np.int64)
        least = np.array([sum(map(least_active, layer.parts)) for layer in self.layers], np.int64)
        self._reads = LayerReads(numbers, np.cumsum([0, *map(len, sources)]), least)
        layers, threads = len(self.layers), bound.threads
        self._fired = np.zeros((layers, threads, KINDS, STEPS_PER_QUEUE), np.int64)
        self._updates = np.zeros((layers, threads, STEPS_PER_QUEUE), np.int64)
        self._counts = np.zeros((threads, len(numbers), 2, KINDS, STEPS_PER_QUEUE), np.int64)
        self._counters = np.zeros((layers, -(-(TAKEN + threads) // _COUNTERS) * _COUNTERS), np.int64)
        self._bound = np.zeros(layers, np.bool_)
        progress = np.zeros((threads, 2, layers), np.int64)
        self._progress = [SequenceProgress(self._bound, *of_thread) for of_thread in progress]
        parts = max((len(layer.parts) for layer in self.layers), default=1)
        most = _ONCE * parts, _PHASES_OF_WHOLE + _PHASES * parts, threads + 1
        once, phases, shares = ((2, layers, number) for number in most)
        self._calls = [
            LayerCalls(np.zeros(once, CALL), np.zeros(phases, CALL), np.zeros(shares, np.int64)) for _ in range(threads)
        ]
        self._kept: list[Any] = []
        self._bind([index for index, is_compiled in enumerate(self.compiled) if is_compiled])

    # --- Preparing ---------------------------------------------------------------------------------------------------

    def _is_compiled(self, layer: Layer) -> bool:
        """Whether a layer is one that compiled calls take, and all that it reads and fires lies in memory of theirs."""
        names = {source.name for source in layer.spiking} | ({layer.name} if layer.neurons is not None else set())
        whole = all(source.channels == self._picture.shape[2] for source in layer.analog)
        return names <= self.queues.keys() and whole and is_compiled(layer)

    def _bind(self, indices: list[int], choice: int = 0) -> None:
        """Find the kernels of some layers, of one of their two sets, and write down their arguments."""
        layers = {index: self._layer_bands(index, choice) for index in indices}
        self._kept.append(layers)  # with arrays of which kernels know the addresses
        threads = range(self._threads)
        # Scratch memory grows while all layers ask for what they need: what they get after that is shared.
        for _ in range(2):
            phases = {k: [layer.phases(self._memory(k, worker)) for worker in threads] for k, layer in layers.items()}
        for index, of_layer in phases.items():
            # The first thread counts, while the others are at work already.
            for number, each in enumerate(self._counting(index, layers[index].parts)):
                self._calls[0].once[choice, index, number] = self._bound_call(*each)
            for calls, of_worker in zip(self._calls, of_layer, strict=True):
                calls.shares[choice, index] = layers[index].bands.shares
                for number, phase in enumerate(of_worker):
                    calls.phases[choice, index, number] = self._bound_call(*phase)

    def _memory(self, index: int, worker: int) -> WorkerMemory:
        counts = self._counts_of(index, worker), self._fired[index, worker], self._updates[index, worker]
        return WorkerMemory(self._scratches[worker], *counts, self._counters[index])

    def _layer_bands(self, index: int, choice: int) -> LayerBands:
        layer, state, parts = self.layers[index], self._states[index], []
        for of_part, kernels in zip(state.parts, self._kernels[index], strict=True):
            queues = [(source, self.queues[source.name]) for source in of_part.layer.spiking]
            inputs = Inputs(of_part.layer, queues, self._picture)
            parts.append(part_of(of_part, inputs, self.steps, kernels[choice]))
            parts[-1].prepare()
        bands = bands_of_layer(layer, parts, self.steps, self._threads)
        return LayerBands(state, parts, self.steps, bands, events=self.queues.get(layer.name))

    def _counting(self, index: int, parts: Sequence[Part]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Kernels that count what a layer's events meet, besides those that compute its current, and what they take."""
        counts = self._counts_of(index, 0)
        for part in parts:
            queues = part.inputs.queues
            if not queues:
                continue
            own, counts = counts[: len(queues)], counts[len(queues) :]
            sources = counted_sources(part.inputs)
            yield count_uneven_sources, (sources, part.layer.fan_tables, own)
            if part.zeros_to_count is not None:
                most = max(8 * mask_bytes(source.channels) for source, _ in queues)
                totals = self._scratches[0].array("zero sums", most, np.int64)
                yield count_zeros_of_sources, (sources, part.zeros_to_count, totals, own)

    def _counts_of(self, index: int, worker: int) -> NDArray[np.int64]:
        """(sources, 2, kinds, steps): where a worker counts what a layer does."""
        return self._counts[worker, self._reads.begins[index] : self._reads.begins[index + 1]]

    def _bound_call(self, kernel: Any, arguments: tuple[Any, ...]) -> tuple[int, int]:
        """Addresses of a function and of the block that it takes."""
        function, block = bind(kernel, arguments)
        self._kept.append((arguments, block))
        return function, block.ctypes.data

    # --- Running -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forget what has been counted."""
        for array in (self._fired, self._updates, self._counts, self._counters):
            array[:] = 0

    def note(self, index: int, queue: EventQueue) -> None:
        """Say what a layer that is not compiled has fired."""
        self._counters[index, ENTRIES] = queue.active

    def run(self, first: int, last: int, workers: WorkerThreads, meanwhile: Callable[[], object] | None) -> None:
        """Run the layers first ... last - 1, all of them compiled.

        `meanwhile` is called while other threads are at work already.
        """
        while first < last:
            if self._lacks(first):
                self._bind([first], choice=1)
                self._bound[first] = True
            jobs = [functools.partial(self._work, first, last, worker) for worker in range(self._threads)]
            workers.run([*jobs[1:], functools.partial(self._own, jobs[0], meanwhile)], self._give_up)
            first, meanwhile = int(self._progress[0].reached[0]), None

    def _own(self, work: Callable[[], None], meanwhile: Callable[[], object] | None) -> None:
        if meanwhile is not None:
            meanwhile()
        work()

    def _lacks(self, index: int) -> bool:
        """Whether a layer is to be run from event to event, and is not bound to kernels for that."""
        sources = self._reads.sources[self._reads.begins[index] : self._reads.begins[index + 1]]
        return bool(self._counters[sources, ENTRIES].sum() < self._reads.least[index]) and not self._bound[index]

    @flushing
    def _work(self, first: int, last: int, worker: int) -> None:
        tables, thread = (self._calls[worker], self._reads, self._counters), (worker, self._threads)
        try:
            run_layers(first, last, *tables, thread, self._progress[worker])
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Have the threads wait no more for one that will not come."""
        self._counters[:, FINISHED] = GIVEN_UP

    # --- What the last run has done ----------------------------------------------------------------------------------

    def kernels(self, index: int) -> set[str]:
        """Those that computed the current of a compiled layer."""
        return {kernels[self._progress[0].choices[index]] for kernels in self._kernels[index]}

    def counted(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(layers, 9, steps) `fired`, (sources, 2, 9, steps) `counts`, (layers, 8) `updates`, as in `LayerRun`.

        The sources of one layer after those of the one before; zeros of layers that are not compiled.
        """
        fired = by_step(self._fired.sum(axis=1), self.steps)[..., : self.steps]
        return fired, self._counts.sum(axis=0)[..., : self.steps], self._updates.sum(axis=1)


def _two_kernels(part: Layer) -> tuple[str, str]:
    """What takes silent neurons along, if anything does, and what goes from event to event."""
    return part.dense_kernels or part.own_kernels, part.own_kernels


def take_bound(
    program: Program, picture: tuple[int, ...], most_steps: int, carries: bool, workers: WorkerThreads
) -> BoundProgram:
    """An idle bound program or a new one, for as many threads as there are."""
    key = ("work", most_steps)
    work = program.known(key, lambda: sum(whole_work(layer, most_steps) for layer in program.layers))
    # Threads wait for each other awake, however long that takes.
    threads = 1 if work < THREADED_WORK else workers.ready(min(workers.most, workers.processors))
    wanted = (most_steps, threads, carries)
    idle = _shelf(program).take(lambda bound: (bound.most_steps, bound.threads, bound.carries) == wanted)
    return BoundProgram(program, picture, *wanted) if idle is None else idle


def put_back(program: Program, bound: BoundProgram) -> None:
    """Let a bound program be used again, where binding it anew would take time."""
    if bound.block.size:
        _shelf(program).put(bound, bound.nbytes)


def _shelf(program: Program) -> Shelf[BoundProgram]:
    return program.known("bound", lambda: Shelf(IDLE))

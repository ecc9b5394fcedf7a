"""A network's layers, bound to memory of their own and to compiled kernels, so that one call runs all of them.

Layers of small pictures take a millisecond or less; Python between them, and handing each of them to a second thread,
would take a third of that again. A chain prepares what does not depend on the picture once: where events go, which
bands there are, all arguments of all kernels. Threads then go through the layers together (see
engine/kernels/chain.py), each of which has two ways where both may pay: the second one is bound when it is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..binding.kernel_choice import VALUES, least_active
from ..binding.pool_layer import PoolLayer
from ..events import STEPS_PER_QUEUE, EventQueue, channel_type
from ..kernels.arguments import ChainProgress, CountedSource
from ..kernels.bound_call import bind
from ..kernels.chain import count_uneven_sources, count_zeros_of_sources, run_chain
from ..kernels.entries import host_compresses
from ..kernels.float_mode import flushing
from ..kernels.shared_counter import ENTRIES, FINISHED, GIVEN_UP, TAKEN
from ..kernels.sources import packed_sources
from ..kernels.tables import CALL, FanTables, ZeroTables
from ..memory import IdleMemory, Shelf, called_by_clear_caches
from ..threads import WorkerThreads
from .band_rows import SMALLEST_DENSE_PART, SMALLEST_PART, bands_in_cache
from .band_run import BandRun
from .chain_memory import chain_rooms, room_places
from .counting import OperationsCounter
from .event_sources import EXPECTED_SHARE
from .layer_run import THREADED_WORK, by_step, whole_work
from .layer_state import Inputs, LayerState
from .part import Part
from .queue_room import has_room
from .scratch import Scratch

_MOST_BYTES = 1 << 29
"""A network whose events may need more than this is run layer by layer: room for them is then taken as it is needed."""

IDLE = IdleMemory(1 << 29)
"""Chains that are idle, each on a shelf of the program that it belongs to."""

called_by_clear_caches(IDLE.clear)
_MOST_LAYERS = 1 << 10
"""A network of more layers is run layer by layer, too: the places of their events would take too long to find."""


_KINDS = 9
"""Events and thresholds, see `LayerRun.fired`."""

_COUNTERS = 8
"""Of a layer in a cache line: each layer has lines for itself."""


class Chain:
    """All layers of a program, for one picture at a time; `kernels` are those that the last run used, by layer.

    Parameters
    ----------
    program : Program
        One that `is_chain` accepts.
    steps : int
    threads : int
    """

    def __init__(self, program: Program, steps: int, threads: int) -> None:
        self.layers = program.layers
        self.steps = steps
        self.threads = threads
        self._index = {layer.name: index for index, layer in enumerate(self.layers)}
        self._kernels = [(layer.dense_kernels or layer.own_kernels, layer.own_kernels) for layer in self.layers]
        self._rooms, self._block = chain_rooms(program, steps)
        self._picture = np.empty(_picture_shape(self.layers), np.float32)
        self._states = [LayerState(layer) for layer in self.layers]
        self._inputs = [self._inputs_of(layer, program) for layer in self.layers]
        self._fired = np.zeros((len(self.layers), threads, _KINDS, STEPS_PER_QUEUE), np.int64)
        self._sources = np.array([self._index[s.name] for layer in self.layers for s in layer.spiking], np.int64)
        self._begins = np.cumsum([0, *(len(layer.spiking) for layer in self.layers)])
        self._counts = np.zeros((threads, len(self._sources), 2, _KINDS, STEPS_PER_QUEUE), np.int64)
        counters = -(-(TAKEN + threads) // _COUNTERS) * _COUNTERS
        self._counters = np.zeros((len(self.layers), counters), np.int64)
        self._bound = np.zeros(len(self.layers), np.bool_)
        numbers = np.zeros((threads, 2, len(self.layers)), np.int64)
        self._progress = [ChainProgress(self._bound, *of_thread) for of_thread in numbers]
        self._least = np.array([least_active(layer) for layer in self.layers], np.int64)
        self._scratches = [Scratch() for _ in range(threads)]
        self._calls = np.zeros((threads, 2, len(self.layers), 3), CALL)
        self._kept: list[Any] = []
        self.kernels: dict[str, str] = {}
        self._bind()

    @property
    def nbytes(self) -> int:
        """Bytes of the memory for events and of scratch memory."""
        return self._block.nbytes + sum(scratch.nbytes for scratch in self._scratches)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a chain holds addresses in the memory of this process; copy the network instead")

    # --- Preparing ---------------------------------------------------------------------------------------------------

    def _inputs_of(self, layer: Layer, program: Program) -> Inputs:
        queues = [(s, self._queue(self._index[s.name]), program.emit[s.name]) for s in layer.spiking]
        return Inputs(queues, self._picture)

    def _queue(self, index: int) -> EventQueue:
        room = self._rooms[index]
        assert room is not None
        return room.queue()

    def _bind(self) -> None:
        """Find the kernels of all layers, and write down their arguments."""
        self._bind_layers(0, list(range(len(self.layers))))

    def _bind_layers(self, way: int, indices: list[int]) -> None:
        """The same for some layers and one of their ways, see `run_chain`."""
        parts = {index: self._part(index, way) for index in indices}
        runs = {index: self._band_run(index, part) for index, part in parts.items()}
        self._kept.append(runs)  # with arrays of which kernels know the addresses
        # Scratch memory grows while all layers ask for what they need: what they get after that is shared.
        for _ in range(2):
            calls = {index: [self._worker(run, index, w) for w in range(self.threads)] for index, run in runs.items()}
        for index, of_layer in calls.items():
            # The first thread counts, while the others are at work already.
            for number, (kernel, arguments) in enumerate(self._counting(index, parts[index])):
                self._calls[0, way, index, number] = self._bound_call(kernel, arguments)
            for worker, run_all in enumerate(of_layer):
                self._calls[worker, way, index, 2] = self._bound_call(run_all.func, run_all.args)

    def _part(self, index: int, way: int) -> Part:
        state = self._states[index]
        channels, height, width = state.layer.incoming
        all_active = np.arange(height + 1) * (width * channels)
        return Part(state, self._inputs[index], self.steps, all_active, self._kernels[index][way])

    def _band_run(self, index: int, part: Part) -> BandRun:
        layer, smallest = part.layer, SMALLEST_DENSE_PART
        row_bytes = layer.outgoing[2] * layer.padded_channels * self.steps
        if part.pool is not None:
            row_bytes += part.pool.row_bytes
        elif part.dot is not None:
            row_bytes += part.dot.plane_bytes(layer)
        elif part.inputs.queues:
            smallest = SMALLEST_PART
            row_bytes += int(part.input_bytes * EXPECTED_SHARE) // layer.outgoing[1]
        bands = bands_in_cache(layer.outgoing[1], row_bytes, part.weight_bytes, self.threads, smallest)
        return BandRun(part.state, [part], self.steps, bands, None, self._rooms[index], at_once=True)

    def _worker(self, run: BandRun, index: int, worker: int) -> functools.partial[None]:
        memory = (
            self._scratches[worker],
            self._counts_of(index, worker),
            self._fired[index, worker],
            self._counters[index],
        )
        own = run.of_worker(worker, *memory)
        assert isinstance(own.run_all, functools.partial)
        return own.run_all

    def _counting(self, index: int, part: Part) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Kernels that count what a layer's events meet, besides those that compute its current, and what they take."""
        layer, fan, zero = part.layer, part.layer.fan_out, part.layer.zero_fan_out
        if not part.inputs.queues:
            return
        sources = packed_sources(
            tuple(
                CountedSource(queue.start, queue.channels, queue.levels, source.thresholds, source.channel_offset)
                for source, queue, _ in part.inputs.queues
            )
        )
        counts = self._counts_of(index, 0)
        yield count_uneven_sources, (sources, FanTables(fan.rows, fan.columns, *fan.usual), counts)
        if zero is not None and not (part.dot is not None and part.dot.counts_zeros) and layer.zero_weights:
            yield (
                count_zeros_of_sources,
                (sources, ZeroTables(zero.row_classes, zero.column_classes, zero.zeros), counts),
            )

    def _counts_of(self, index: int, worker: int) -> NDArray[np.int64]:
        """(sources, 2, kinds, steps): where a worker counts what a layer does."""
        return self._counts[worker, self._begins[index] : self._begins[index + 1]]

    def _bound_call(self, kernel: Any, arguments: tuple[Any, ...]) -> tuple[int, int]:
        """Addresses of a function and of the block that it takes."""
        function, block = bind(kernel, arguments)
        self._kept.append((arguments, block))
        return function, block.ctypes.data

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        picture: NDArray[np.float32],
        counter: OperationsCounter,
        workers: WorkerThreads,
        meanwhile: Callable[[], None],
    ) -> dict[str, NDArray[np.float32]]:
        """Run all layers on a picture, (H, W, C); returns the running sum of each readout, (H, W, O).

        Counts go to `counter`; `meanwhile` is called while other threads are at work already. The running sums are
        overwritten by the next run.
        """
        self._picture[:] = picture
        readouts = {state.layer.name: state.readout for state in self._states if state.layer.neurons is None}
        arrays: list[NDArray[Any]] = [self._fired, self._counts, self._counters, *readouts.values()]
        for array in arrays:
            array[:] = 0
        index, first = 0, meanwhile
        while index < len(self.layers):
            if self._lacks(index):
                self._bind_layers(1, [index])
                self._bound[index] = True
            index = self._run_from(index, workers, first)
            first = _nothing
        ways = self._progress[0].ways.tolist()
        self.kernels = {layer.name: self._kernels[k][ways[k]] for k, layer in enumerate(self.layers)}
        self._count(counter)
        return readouts

    def _lacks(self, index: int) -> bool:
        """Whether a layer is to be run from event to event, and is not bound to kernels for that."""
        sources = self._sources[self._begins[index] : self._begins[index + 1]]
        return bool(self._counters[sources, ENTRIES].sum() < self._least[index]) and not self._bound[index]

    def _run_from(self, index: int, workers: WorkerThreads, meanwhile: Callable[[], None]) -> int:
        """Run layers from one on; returns which one is next."""

        def own() -> None:
            meanwhile()
            self._work(index, 0)

        others = (functools.partial(self._work, index, worker) for worker in range(1, self.threads))
        workers.run([*others, own], self._give_up)
        return int(self._progress[0].reached[0])

    @flushing
    def _work(self, index: int, worker: int) -> None:
        """What one of the threads does."""
        tables = (self._calls[worker], self._sources, self._begins, self._least, self._counters)
        try:
            run_chain(index, *tables, self.threads, self._progress[worker])
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Have the threads wait no more for one that will not come."""
        self._counters[:, FINISHED] = GIVEN_UP

    def _count(self, counter: OperationsCounter) -> None:
        fired = by_step(self._fired.sum(axis=1), self.layers[0], self.steps)
        counter.fired[:] = fired[..., : self.steps]
        counter.counts[:] = self._counts.sum(axis=0)[..., : self.steps]


def _nothing() -> None:
    pass


# --- Which networks --------------------------------------------------------------------------------------------------


def is_chain(program: Program, steps: int) -> bool:
    """Whether all layers can run in one call."""
    if steps not in (1, 2, 4, STEPS_PER_QUEUE) or not host_compresses() or len(program.layers) > _MOST_LAYERS:
        return False
    kinds_of_channels = {channel_type(layer.outgoing[0]) for layer in program.layers}
    if len(kinds_of_channels) > 1 or len(program.network.inputs) > 1:
        return False
    if not all(_is_link(layer, steps) for layer in program.layers):
        return False
    return room_places(program, steps)[2] <= _MOST_BYTES


def _is_link(layer: Layer, steps: int) -> bool:
    """Whether a layer can be part of a chain."""
    if layer.parts != (layer,) or layer.own_kernels == VALUES or any(source.delay for source in layer.sources):
        return False
    return _is_fed(layer, steps)


def _is_fed(layer: Layer, steps: int) -> bool:
    """Whether all that a layer reads, and what it fires, is such as kernels in one call take."""
    analog = [source.analog for source in layer.sources]
    ladder = layer.neurons is not None and layer.stepper is None and layer.levels is not None and layer.levels.masks
    if layer.neurons is not None and not (ladder and has_room(layer, steps)):
        return False
    if all(analog):
        return ladder and not isinstance(layer, PoolLayer)
    if any(analog) or not all(source.levels is not None and source.levels.masks for source in layer.sources):
        return False
    return ladder or not isinstance(layer, PoolLayer)


def _picture_shape(layers: tuple[Layer, ...]) -> tuple[int, int, int]:
    """Height, width and channels."""
    for layer in layers:
        for source in layer.sources:
            if source.analog:
                return layer.incoming[1], layer.incoming[2], source.channels
    return 1, 1, 1


def take_chain(program: Program, steps: int, workers: WorkerThreads, threads: int) -> Chain | None:
    """An idle chain or a new one, for as many threads as there are; None where the layers cannot run in one call."""
    if sum(whole_work(layer, steps) for layer in program.layers) < THREADED_WORK:
        threads = 1
    # In a chain, threads wait for each other awake, however long that takes.
    threads = workers.ready(min(threads, workers.processors))
    idle = _shelf(program).take(lambda chain: (chain.steps, chain.threads) == (steps, threads))
    return Chain(program, steps, threads) if idle is None and is_chain(program, steps) else idle


def put_back(program: Program, chain: Chain) -> None:
    """Let a chain of a program be used again."""
    _shelf(program).put(chain, chain.nbytes)


def _shelf(program: Program) -> Shelf[Chain]:
    """Where a program keeps its idle chains."""
    shelf: Shelf[Chain] | None = program.prepared.get("chains")
    return program.prepared.setdefault("chains", Shelf(IDLE)) if shelf is None else shelf

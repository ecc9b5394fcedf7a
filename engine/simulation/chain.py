"""A network's layers, bound to memory of their own and to compiled kernels, so that one call runs all of them.

Layers of small pictures take a millisecond or less; Python between them, and handing each of them to a second thread,
would take a third of that again. A chain prepares what does not depend on the picture once: where events go, which
bands there are, all arguments of all kernels. Threads then go through the layers together (see
engine/kernels/chain.py). A layer in which too few of the neurons that it reads are active is left to `LayerRun`.
"""

from __future__ import annotations

import functools
from bisect import insort
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..build import Layer, Program
from ..build.gather_layer import GatherLayer
from ..build.kernel_choice import VALUES, least_active
from ..build.pool_layer import PoolLayer
from ..events import STEPS_PER_QUEUE, EventQueue, channel_type
from ..kernels.arguments import CountedSource
from ..kernels.bound_call import bind
from ..kernels.chain import count_uneven_sources, run_chain
from ..kernels.entries import host_compresses
from ..kernels.float_mode import flushing
from ..kernels.shared_counter import ENTRIES, FINISHED, GIVEN_UP, TAKEN
from ..kernels.sources import packed_sources
from ..kernels.tables import CALL, FanTables
from ..memory import IdleMemory, Shelf, aligned_bytes, called_by_clear_caches
from ..threads import WorkerThreads
from .band_rows import SMALLEST_DENSE_PART, bands_in_cache
from .band_run import BandRun
from .counting import OperationsCounter
from .layer_run import THREADED_WORK, LayerRun, by_step, whole_work
from .layer_state import Inputs, LayerState
from .part import Part
from .queue_room import QueueRoom, block_bytes, has_room
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
        self._kernels = [layer.dense_kernels or layer.own_kernels for layer in self.layers]
        self._rooms, self._block = _rooms(program, steps)
        self._picture = np.empty(_picture_shape(self.layers), np.float32)
        self._states = [LayerState(layer) for layer in self.layers]
        self._inputs = [self._inputs_of(layer, program) for layer in self.layers]
        self._fired = np.zeros((len(self.layers), threads, _KINDS, STEPS_PER_QUEUE), np.int64)
        self._sources = np.array([self._index[s.name] for layer in self.layers for s in layer.spiking], np.int64)
        self._begins = np.cumsum([0, *(len(layer.spiking) for layer in self.layers)])
        self._counts = np.zeros((threads, len(self._sources), 2, _KINDS, STEPS_PER_QUEUE), np.int64)
        counters = -(-(TAKEN + threads) // _COUNTERS) * _COUNTERS
        self._counters = np.zeros((len(self.layers), counters), np.int64)
        self._reached = np.zeros((threads, 1), np.int64)
        self._least = np.array([least_active(layer) for layer in self.layers], np.int64)
        self._scratches = [Scratch() for _ in range(threads)]
        self._calls = np.zeros((threads, len(self.layers), 2), CALL)
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
        runs = [self._band_run(index) for index in range(len(self.layers))]
        self._kept.append(runs)  # with arrays of which kernels know the addresses
        # Scratch memory grows while all layers ask for what they need: what they get after that is shared.
        for _ in range(2):
            workers = [[self._worker(run, index, w) for w in range(self.threads)] for index, run in enumerate(runs)]
        for index, of_layer in enumerate(workers):
            if self._inputs[index].queues:
                # The others are at work by now.
                self._calls[0, index, 0] = self._bound(count_uneven_sources, self._counting(index))
            for worker, run_all in enumerate(of_layer):
                self._calls[worker, index, 1] = self._bound(run_all.func, run_all.args)

    def _band_run(self, index: int) -> BandRun:
        state, inputs, room = self._states[index], self._inputs[index], self._rooms[index]
        layer = state.layer
        channels, height, width = layer.incoming
        all_active = np.arange(height + 1) * (width * channels)
        part = Part(state, inputs, self.steps, all_active, self._kernels[index])
        row_bytes = layer.outgoing[2] * layer.padded_channels * self.steps
        if part.pool is not None:
            row_bytes += part.pool.row_bytes
        elif part.dot is not None:
            row_bytes += part.dot.plane_bytes(layer)
        bands = bands_in_cache(layer.outgoing[1], row_bytes, part.weight_bytes, self.threads, SMALLEST_DENSE_PART)
        return BandRun(state, [part], self.steps, bands, None, room, at_once=True)

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

    def _counting(self, index: int) -> tuple[Any, ...]:
        """What `count_uneven_sources` takes."""
        queues, fan = self._inputs[index].queues, self.layers[index].fan_out
        sources = tuple(CountedSource(queue.start, queue.levels, source.thresholds) for source, queue, _ in queues)
        self._kept.append(sources)
        return packed_sources(sources), FanTables(fan.rows, fan.columns, *fan.usual), self._counts_of(index, 0)

    def _counts_of(self, index: int, worker: int) -> NDArray[np.int64]:
        """(sources, 2, kinds, steps): where a worker counts what a layer does."""
        return self._counts[worker, self._begins[index] : self._begins[index + 1]]

    def _bound(self, kernel: Any, arguments: tuple[Any, ...]) -> tuple[int, int]:
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
    ) -> NDArray[np.float32]:
        """Run all layers on a picture, (H, W, C); returns the running sum of the readout, (H, W, O).

        Counts go to `counter`; `meanwhile` is called while other threads are at work already. The running sum is
        overwritten by the next run.
        """
        self._picture[:] = picture
        for array in (self._fired, self._counts, self._counters, self._states[-1].readout):
            array[:] = 0
        alone: dict[int, LayerRun] = {}
        index, first = 0, meanwhile
        while index < len(self.layers):
            if self._pays(index):
                index = self._run_from(index, workers, first)
                first = _nothing
            else:
                alone[index] = self._run_alone(index, workers)
                index += 1
        first()
        self.kernels = {
            layer.name: alone[index].kernels[0] if index in alone else self._kernels[index]
            for index, layer in enumerate(self.layers)
        }
        self._count(counter, alone)
        return self._states[-1].readout

    def _pays(self, index: int) -> bool:
        sources = self._sources[self._begins[index] : self._begins[index + 1]]
        return bool(self._counters[sources, ENTRIES].sum() >= self._least[index])

    def _run_from(self, index: int, workers: WorkerThreads, meanwhile: Callable[[], None]) -> int:
        """Run layers from one on; returns which one is next."""

        def own() -> None:
            meanwhile()
            self._work(index, 0)

        others = (functools.partial(self._work, index, worker) for worker in range(1, self.threads))
        workers.run([*others, own], self._give_up)
        return int(self._reached[0, 0])

    @flushing
    def _work(self, index: int, worker: int) -> None:
        """What one of the threads does."""
        tables = (self._calls[worker], self._sources, self._begins, self._least, self._counters)
        try:
            run_chain(index, *tables, self.threads, self._reached[worker])
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Have the threads wait no more for one that will not come."""
        self._counters[:, FINISHED] = GIVEN_UP

    def _run_alone(self, index: int, workers: WorkerThreads) -> LayerRun:
        state = self._states[index]
        run = LayerRun(state, [self._inputs[index]], self.steps, False, lasting=False, room=self._rooms[index])
        queue = run.run(workers, self.threads)
        state.begin()
        if queue is not None:
            self._counters[index, ENTRIES] = queue.active
        return run

    def _count(self, counter: OperationsCounter, alone: dict[int, LayerRun]) -> None:
        fired = by_step(self._fired.sum(axis=1), self.layers[0], self.steps)
        counter.fired[:] = fired[..., : self.steps]
        counter.counts[:] = self._counts.sum(axis=0)[..., : self.steps]
        for index, run in alone.items():
            counter.add_run(self.layers[index], run.fired, run.counts, slice(0, self.steps))


def _nothing() -> None:
    pass


# --- Which networks --------------------------------------------------------------------------------------------------


def is_chain(program: Program, steps: int) -> bool:
    """Whether all layers can run in one call."""
    if steps not in (1, 2, 4, STEPS_PER_QUEUE) or not host_compresses() or len(program.layers) > _MOST_LAYERS:
        return False
    if len({channel_type(layer.outgoing[0]) for layer in program.layers}) > 1:
        return False
    if not all(_is_link(layer, steps) for layer in program.layers):
        return False
    return _room_places(program, steps)[2] <= _MOST_BYTES


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
    if layer.dense_kernels is None or (isinstance(layer, PoolLayer) and not ladder):
        return False
    integers = layer.integers if isinstance(layer, GatherLayer) else None
    if integers is None:
        return True
    return layer.zero_fan_out is None or all(integers.every_level_counts(source.name) for source in layer.sources)


def _picture_shape(layers: tuple[Layer, ...]) -> tuple[int, int, int]:
    """Height, width and channels."""
    for layer in layers:
        for source in layer.sources:
            if source.analog:
                return layer.incoming[1], layer.incoming[2], source.channels
    return 1, 1, 1


# --- Memory ----------------------------------------------------------------------------------------------------------


def _room_places(program: Program, steps: int) -> tuple[list[int], list[int], int]:
    """Where the events of each layer go in a block of memory, how many bytes they take, and those of the block."""
    layers = program.layers
    sizes = [block_bytes(layer, steps, layer.outgoing[1]) if layer.neurons else 0 for layer in layers]
    lasts = [program.last_use.get(layer.name, index) for index, layer in enumerate(layers)]
    places, total = places_in_block(sizes, lasts)
    return places, sizes, total


def _rooms(program: Program, steps: int) -> tuple[list[QueueRoom | None], NDArray[np.uint8]]:
    """Where the events of each layer go, None for the readout; and the memory that they share."""
    places, sizes, total = _room_places(program, steps)
    block = aligned_bytes(total)
    rooms = [
        QueueRoom(layer, steps, layer.outgoing[1], block[place : place + size]) if layer.neurons else None
        for layer, place, size in zip(program.layers, places, sizes, strict=True)
    ]
    return rooms, block


def places_in_block(sizes: list[int], lasts: list[int]) -> tuple[list[int], int]:
    """Where parts of a block of memory begin, and the size of the block.

    The i-th part is written at time i and read until the time lasts[i]; its place may then be taken by another.
    """
    places: list[int] = []
    living: list[tuple[int, int, int]] = []  # begin, end and last reader of each part, in the order of their places
    for index, size in enumerate(sizes):
        living = [part for part in living if part[2] >= index]
        place = 0
        for begin, end, _ in living:
            if place + size <= begin:
                break
            place = max(place, end)
        insort(living, (place, place + size, lasts[index]))
        places.append(place)
    return places, max((place + size for place, size in zip(places, sizes, strict=True)), default=0)


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

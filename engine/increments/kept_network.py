"""A network run from rest on one picture after the other: only what has changed is computed, with the same bits.

What each layer does is bound once, to memory of its own, and then one compiled call goes through all layers for each
picture; see engine/kernels/increments.py for how a layer is brought up to date.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..kernels.bound_call import bind
from ..kernels.changes import CHANGED, READY
from ..kernels.float_mode import flushing
from ..kernels.increment_arguments import DIRTY_FOUND, IncrementCalls, LayerProgress
from ..kernels.increments import run_increments
from ..kernels.shared_counter import FINISHED, GIVEN_UP
from ..kernels.tables import CALL
from ..results.lazy_result import LazyResult
from ..results.ledger_plan import plan_of
from ..results.result import Result
from ..results.run_counts import RunCounts
from ..simulation.memory.worker_memory import Phase, Scratch
from ..threads import WorkerThreads
from .kept_layer import KeptLayer
from .layer_increment import LayerIncrement

_COUNTERS = 8
"""Of a layer in a cache line."""

_PHASES = 4
"""Calls for a band at the most."""


class Shown(NamedTuple):
    """What came of a picture: the result, what was done for it by layer, accumulates that were done and a full run's.

    In the last two a node that several layers read is counted once, as in the ledger.
    """

    result: Result
    increments: dict[str, LayerIncrement]
    done: int
    full: int


class KeptNetwork:
    """A network that is run at a single step, from rest, on one picture after the other.

    Parameters
    ----------
    program : Program
    picture : (H, W, C)
        Shape of the pictures.
    threads : int
    """

    def __init__(self, program: Program, picture: tuple[int, ...], threads: int) -> None:
        self._program = program
        self.shape = picture
        self._threads = threads
        self._picture = np.zeros(picture, np.float32)
        self._scratches = [Scratch() for _ in range(threads)]
        changed = np.zeros(picture[:2], np.uint8)
        self._changed = changed
        self._layers: list[KeptLayer] = []
        self._parts: list[tuple[Layer, list[KeptLayer]]] = []
        known: dict[str, KeptLayer] = {}
        for layer in program.layers:
            first = len(self._layers)
            for number, part in enumerate(layer.parts, first):
                self._layers.append(KeptLayer(part, number, known, (self._picture, changed), threads))
            self._parts.append((layer, self._layers[first:]))
            known[layer.name] = self._layers[-1]
        self._counters = np.zeros((len(self._layers), -(-(CHANGED + 1) // _COUNTERS) * _COUNTERS), np.int64)
        self._found = np.zeros(len(self._layers), DIRTY_FOUND)
        self._fresh = np.ones(1, np.int64)
        self._bind()

    # --- Preparing ---------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        """Write down what each thread calls."""
        bands = np.array([layer.bands for layer in self._layers], np.int64)
        begins = np.cumsum(bands) - bands
        self._touched = np.zeros(int(bands.sum()), np.int64)
        self._progress = LayerProgress(self._found, self._touched, begins)
        self._kept: list[Any] = []
        count, most = len(self._layers), 3 + max((len(layer.layer.sources) for layer in self._layers), default=0)
        self._calls = []
        for worker, scratch in enumerate(self._scratches):
            for _ in range(2):  # Scratch memory grows while all ask for what they need.
                ways = [layer.ways(scratch, worker, self._counters[k]) for k, layer in enumerate(self._layers)]
            once = [np.zeros((count, most), CALL) for _ in range(2)]
            calls = IncrementCalls(once[0], once[1], np.zeros((2, count, _PHASES), CALL))
            for k, layer in enumerate(self._layers):
                if worker == 0:
                    part = self._touched[begins[k] : begins[k] + bands[k]]
                    self._write(
                        calls.before[k], layer.before(self._fresh, part, self._found[k : k + 1], self._counters)
                    )
                    self._write(calls.meanwhile[k], layer.meanwhile())
                for way in range(2):
                    self._write(calls.phases[way, k], ways[k][min(way, len(ways[k]) - 1)])
            self._calls.append(calls)

    def _write(self, target: NDArray[np.void], phases: list[Phase]) -> None:
        """Write down calls, one after the other."""
        for number, (kernel, arguments) in enumerate(phases):
            function, block = bind(kernel, arguments)
            self._kept.append((arguments, block))
            target[number] = function, block.ctypes.data

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept between two pictures; of room for changes, what all neurons would take."""
        return self._picture.nbytes + sum(layer.nbytes for layer in self._layers)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream by increments holds addresses in the memory of this process; make another one")

    # --- Running -----------------------------------------------------------------------------------------------------

    def show(self, picture: NDArray[np.float32], changed: NDArray[np.bool_], workers: WorkerThreads) -> Shown:
        """Run the network on a picture, (C, H, W); outputs and counts are those of a run of this picture alone.

        `changed`, (H, W), are the pixels that are not as in the picture before.
        """
        begin = time.perf_counter()
        rows = np.flatnonzero(changed.any(axis=1))
        self._picture[rows] = picture[:, rows].transpose(1, 2, 0)
        self._changed[:] = changed
        self._counters[:] = 0
        for layer in self._layers:
            layer.begin()
        threads = workers.ready(self._threads) if self._threads > 1 else 1
        jobs = [functools.partial(self._work, worker, threads) for worker in range(1, threads)]
        workers.run([*jobs, functools.partial(self._work, 0, threads)], self._give_up)
        self._fresh[0] = 0
        return self._result(time.perf_counter() - begin)

    @flushing
    def _work(self, worker: int, threads: int) -> None:
        try:
            run_increments(self._calls[worker], self._progress, self._counters, (worker, threads))
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Have the threads wait no more for one that will not come; what is kept is not used again."""
        self._fresh[0] = 1
        self._counters[:, [READY, FINISHED]] = GIVEN_UP

    def _result(self, seconds: float) -> Shown:
        counts = RunCounts(plan_of(self._program), 1)
        for layer, parts in self._parts:
            for part in parts:
                if part.layer.analog:
                    counts.add_input(part.layer, self._picture)
                part.count(int(self._found["entries"][part.number]))
            met = np.concatenate([part.met for part in parts])
            counts.add_run(layer.name, parts[0].fired, met, parts[0].updates, slice(0, 1))
        products = counts.products
        by_part = [self._increment(part, products[part.layer.node.name]) for part in self._layers]
        increments = {
            layer.name: _merged(parts, [by_part[part.number] for part in parts]) for layer, parts in self._parts
        }
        done: dict[str, int] = {}
        for part, each in zip(self._layers, by_part, strict=True):
            done[part.layer.node.name] = max(each.done, done.get(part.layer.node.name, 0))
        kernels = {layer.name: tuple(sorted(set(map(self._used, parts)))) for layer, parts in self._parts}
        outputs = {layer.name: _sum_of(parts) for layer, parts in self._parts if layer.neurons is None}
        result = LazyResult(outputs=outputs, steps=1, ledger=counts.ledger, seconds=seconds, kernels=kernels)
        return Shown(result, increments, sum(done.values()), sum(products.values()))

    def _used(self, part: KeptLayer) -> str:
        """What computed the current of a layer, or of a part of one, where anything was dirty."""
        found = self._found[part.number]
        return part.kernels(int(found["way"])) if found["bands"] else "none"

    def _increment(self, part: KeptLayer, full: int) -> LayerIncrement:
        """What was done for a layer, or for a part of one; `full` is what a full run does for its node."""
        dirty, changed = int(self._found["pixels"][part.number]), int(self._counters[part.number, CHANGED])
        return part.increment(self._used(part), dirty, changed, full)


def _merged(parts: list[KeptLayer], found: list[LayerIncrement]) -> LayerIncrement:
    """What was done for a layer, of which a sum has several parts."""
    if len(found) == 1:
        return found[0]
    # A part that is named twice is counted once, as the ledger has it.
    of_nodes = {part.layer.node.name: each for part, each in zip(parts, found, strict=True)}
    marked = np.any([part.dirty for part, each in zip(parts, found, strict=True) if each.dirty], axis=0)
    return replace(
        found[0],
        kernels=", ".join(sorted({each.kernels for each in found})),
        dirty=int(np.count_nonzero(marked)),
        done=sum(each.done for each in of_nodes.values()),
        full=sum(each.full for each in of_nodes.values()),
    )


@flushing
def _sum_of(parts: list[KeptLayer]) -> NDArray[np.float32]:
    """The readout of a layer: of a sum in the order of its parts, as a full run adds them up."""
    found = np.zeros_like(parts[0].output)
    for part in parts:
        found += part.output
    return found

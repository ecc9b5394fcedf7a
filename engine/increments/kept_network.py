"""A network run from rest on one picture after the other: only what has changed is computed, with the same bits.

What each layer does is bound once, to memory of its own, and then one compiled call goes through all layers for each
picture; see engine/kernels/increments.py for how a layer is brought up to date.
"""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..binding import Program
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
    """What came of a picture: the result, what was done for it by layer, and the accumulates of a full run."""

    result: Result
    increments: dict[str, LayerIncrement]
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
        self._counters = np.zeros((len(program.layers), -(-(CHANGED + 1) // _COUNTERS) * _COUNTERS), np.int64)
        changed = np.zeros(picture[:2], np.uint8)
        self._changed = changed
        self._layers: list[KeptLayer] = []
        known: dict[str, KeptLayer] = {}
        for number, layer in enumerate(program.layers):
            found = KeptLayer(layer, number, known, (self._picture, changed), threads)
            known[layer.name] = found
            self._layers.append(found)
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
        for layer in self._layers:
            if layer.layer.analog:
                counts.add_input(layer.layer, self._picture)
            layer.count(int(self._found["entries"][layer.number]))
            counts.add_run(layer.layer.name, layer.fired, layer.met, layer.updates, slice(0, 1))
        products = counts.products
        kernels: dict[str, tuple[str, ...]] = {}
        done = {}
        for layer, found in zip(self._layers, self._found, strict=True):
            name = layer.layer.name
            used = layer.kernels(int(found["way"])) if found["bands"] else "none"
            kernels[name] = (used,)
            full = products[layer.layer.node.name]
            done[name] = layer.increment(used, int(found["pixels"]), int(self._counters[layer.number, CHANGED]), full)
        outputs = {layer.layer.name: layer.output.copy() for layer in self._layers if layer.output is not None}
        result = LazyResult(outputs=outputs, steps=1, ledger=counts.ledger, seconds=seconds, kernels=kernels)
        return Shown(result, done, sum(products.values()))

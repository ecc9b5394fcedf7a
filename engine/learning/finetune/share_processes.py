"""Work at the shares of a batch in several processes.

Processes are started once and stay. What training changes, and the gradients of each share, lie in memory that all of
them see; shares, outputs and their gradients travel through connections.
"""

from __future__ import annotations

import ctypes
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpikeunetError
from ...graph import Network
from ...threads import available_processors, on_threads, slices, using_threads
from ...worker_processes import CONTEXT, GUARD, WorkerProcess
from .network_arrays import NetworkArrays
from .runs import Gradients, Run, Runner, numbers_may_leave_their_range
from .settings import Settings
from .shares import Finding, added_in_order, divided, finding_of, joined_run

Array = NDArray[Any]
_NEVER_THERE = f"worker processes end before they begin, {{}}; {GUARD}"
_LOST = "a worker process of the training ended, {}; where memory ran out, take fewer processes or smaller batches"


class ShareProcesses:
    """Processes that run the shares of batches; they start with the first one.

    Parameters
    ----------
    network : Network
        What is fine-tuned.
    settings : Settings
    processes : int
        At most as many as shares.
    threads : int, optional
        Of each process; by default the processors are shared by them.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    def __init__(self, network: Network, settings: Settings, processes: int, threads: int | None = None) -> None:
        if processes > settings.shares:
            raise InputError(
                f"{processes} processes need as many shares of a batch at least (got {settings.shares}); take fewer "
                "processes or more shares"
            )
        self._start = (network, settings, threads or max(1, available_processors() // processes))
        self._arrays = NetworkArrays(network, settings.initial)
        self._processes = processes
        self._workers: list[WorkerProcess] = []
        self._end = weakref.finalize(self, _kill, self._workers)
        self._numbers = np.empty(0, np.float32)
        self._gradients = np.empty((0, self._arrays.size), np.float32)

    def run(self, network: Network, batch: Array) -> Run:
        """Run the shares of a batch (N, H, W, C) with the weights of `network`, which differs from the first in these.

        Raises
        ------
        InputError
            If a process ends or cannot start.
        """
        shares = divided(batch, self._start[1].shares)
        if len(shares) > len(self._gradients):
            self._restart(len(shares))
        self._arrays.write(self._arrays.arrays_of(network), self._numbers)
        findings = self._share_out("forward", [(share, len(share) / len(batch)) for share in shares])

        def gradients(flows: Sequence[Array]) -> Gradients:
            self._share_out("backward", flows)
            total = np.empty_like(self._numbers)

            def add(bounds: tuple[int, int]) -> None:
                part = slice(*bounds)
                total[part] = added_in_order([row[part] for row in self._gradients[: len(flows)]])

            on_threads(add, slices(total.size))
            return self._arrays.views(total)

        return joined_run(findings, gradients)

    def close(self) -> None:
        """End the processes; the next run starts new ones."""
        _kill(self._workers)
        self._gradients = self._gradients[:0]

    def _restart(self, shares: int) -> None:
        """Start processes with room for the gradients of so many shares."""
        self.close()
        size = self._arrays.size
        memory = [CONTEXT.RawArray(ctypes.c_float, length) for length in (size, shares * size)]
        self._numbers, self._gradients = _numbers_of(memory[0]), _numbers_of(memory[1]).reshape(shares, size)
        try:
            for _ in range(min(self._processes, shares)):
                self._workers.append(WorkerProcess(_serve, *self._start, *memory))
            for worker in self._workers:
                self._answer(worker, _NEVER_THERE)
        except BaseException:
            self.close()
            raise

    def _share_out(self, name: str, work: Sequence[Any]) -> list[Any]:
        """Have each worker do its part of some work, an item for each share; what came of each, in their order.

        `name` is a method's of `_Worker`.
        """
        count = len(self._workers)
        found: dict[int, Any] = {}
        try:
            for first, worker in enumerate(self._workers):
                worker.give((name, {number: work[number] for number in range(first, len(work), count)}))
            for worker in self._workers:
                found |= self._answer(worker, _LOST)
        except BaseException:
            self.close()  # the others are at work, and nobody will ask them for what they find
            raise
        return [found[number] for number in range(len(work))]

    @staticmethod
    def _answer(worker: WorkerProcess, when_lost: str) -> dict[int, Any]:
        """What a worker says; raises what it raised."""
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            worker.end()
            raise InputError(when_lost.format(worker.end_in_words)) from None
        if isinstance(answer, BaseException):
            raise answer
        found: dict[int, Any] = answer
        return found


def _kill(workers: list[WorkerProcess]) -> None:
    while workers:
        workers.pop().kill()


def _numbers_of(memory: Any) -> Array:
    return np.frombuffer(memory, np.float32)


def _serve(
    connection: Connection, network: Network, settings: Settings, threads: int, numbers: Any, gradients: Any
) -> None:
    """What a process does: run the shares that it is given, and go back through them."""
    worker = _Worker(network, settings, _numbers_of(numbers), _numbers_of(gradients))
    connection.send({})
    while True:
        name, work = connection.recv()
        with using_threads(threads), numbers_may_leave_their_range():
            answer = _attempt(getattr(worker, name), work)
        connection.send(answer)


class _Worker:
    """The part of a batch that a process works at."""

    def __init__(self, network: Network, settings: Settings, numbers: Array, gradients: Array) -> None:
        self._runner = Runner(network, settings)
        self._arrays = NetworkArrays(network, settings.initial)
        self._numbers, self._gradients = numbers, gradients.reshape(-1, self._arrays.size)
        self._runs: dict[int, Run] = {}

    def forward(self, shares: Mapping[int, tuple[Array, float]]) -> dict[int, Finding]:
        """Run shares, each with the part of the batch that it is."""
        network = self._arrays.network(self._numbers)
        self._runs = {number: self._runner.run(network, *share) for number, share in shares.items()}
        return {number: finding_of(run) for number, run in self._runs.items()}

    def backward(self, flows: Mapping[int, Array]) -> dict[int, None]:
        """Go back through them."""
        for number, flow in flows.items():
            self._arrays.write(self._runs.pop(number).gradients(flow), self._gradients[number])
        return dict.fromkeys(flows)


def _attempt(work: Callable[[Any], Any], items: Any) -> Any:
    """What comes of some work, or the error that it raises, as another process can be told of it."""
    try:
        return work(items)
    except (SpikeunetError, MemoryError) as error:
        return error
    except Exception as error:  # noqa: BLE001 - raised again where the work was wanted
        told = RuntimeError(f"{type(error).__name__} in a worker process of the training: {error}")
        told.add_note(traceback.format_exc())
        return told

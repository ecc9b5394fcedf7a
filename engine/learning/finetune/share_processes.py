"""Work at the shares of a batch in several processes.

Processes are started once and stay. What training changes, and the gradients of each share, lie in memory that all of
them see; shares, outputs and their gradients travel through connections.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpikeunetError
from ...graph import Network
from ...shared_arrays import SharedArray
from ...threads import available_processors, on_threads, slices, using_threads
from ...worker_processes import GUARD, WorkerProcess
from .network_arrays import NetworkArrays
from .runs import Gradients, Run, Runner, numbers_may_leave_their_range
from .settings import Settings
from .shares import Finding, added_in_order, divided, finding_of, joined_run

Array = NDArray[Any]
_NEVER_THERE = f"worker processes end before they begin, {{}}; {GUARD}"
_UNKNOWN = (
    "a worker process does not know what is trained ({}); let layers and neuron models of your own stand in a module"
)
_FEWER = "take fewer processes or smaller batches"
_LOST = f"a worker process of the training ended, {{}}; where memory ran out, {_FEWER}"


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
        If a number is out of range, or batch norms are trained.
    """

    def __init__(self, network: Network, settings: Settings, processes: int, threads: int | None = None) -> None:
        if processes > settings.shares:
            raise InputError(
                f"{processes} processes need as many shares of a batch at least (got {settings.shares}); take fewer "
                "processes or more shares"
            )
        if settings.batch_norm is not None:
            raise InputError(
                f"batch norms keep statistics in the process that trains; leave processes out (got {processes})"
            )
        self._made_of = network, settings, processes, threads
        self._start = (network, settings, threads or max(1, available_processors() // processes))
        self._arrays = NetworkArrays(network, settings.initial)
        self._processes = processes
        self._workers: list[WorkerProcess] = []
        self._end = weakref.finalize(self, _kill, self._workers)
        self._without_memory()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy starts processes of its own."""
        return ShareProcesses, self._made_of

    def run(self, network: Network, batch: Array) -> Run:
        """Run the shares of a batch (N, H, W, C) with the weights of `network`, which differs from the first in these.

        Raises
        ------
        InputError
            If a process ends or cannot start.
        """
        shares = divided(batch, self._start[1].shares)
        if len(shares) > len(self._gradients) or not all(worker.is_ours for worker in self._workers):
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
        self._without_memory()

    def _without_memory(self) -> None:
        self._numbers = np.empty(0, np.float32)
        self._gradients = np.empty((0, self._arrays.size), np.float32)

    def _restart(self, shares: int) -> None:
        """Start processes with room for the gradients of so many shares."""
        self.close()
        size = self._arrays.size
        memory = [SharedArray(length) for length in (size, shares * size)]
        self._numbers, self._gradients = memory[0].numbers, memory[1].numbers.reshape(shares, size)
        try:
            for _ in range(min(self._processes, shares)):
                self._workers.append(WorkerProcess(_serve, *memory))
            for worker in self._workers:
                worker.give(self._start)
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


def _serve(connection: Connection, numbers: SharedArray, gradients: SharedArray) -> None:
    """What a process does: run the shares that it is given, and go back through them."""
    try:
        network, settings, threads = connection.recv()
    except (AttributeError, ImportError) as error:
        connection.send(InputError(_UNKNOWN.format(error)))
        return
    worker = _Worker(network, settings, numbers.numbers, gradients.numbers)
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
    except SpikeunetError as error:
        return error
    except MemoryError:
        return InputError(f"memory ran out in a worker process of the training; {_FEWER}")
    except Exception as error:  # noqa: BLE001 - raised again where the work was wanted
        told = RuntimeError(f"{type(error).__name__} in a worker process of the training: {error}")
        told.add_note(traceback.format_exc())
        return told

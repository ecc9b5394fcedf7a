"""Evaluate pictures in worker processes on this machine.

A worker and this process talk through a pair of connected sockets that nobody else holds. Nothing listens, neither on a
port nor under a name, so that no other user of the machine can hand a worker something to run.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import InputError
from ..threads import run_in_background
from .one_picture import attempt
from .picture_task import Outcome, PictureTask

MOST_DEATHS = 5
"""So many workers may die over one picture before it is given up: another process may have taken all memory."""

_GUARD = 'a script that asks for workers must be guarded by if __name__ == "__main__"'
_PATIENCE = 5.0
"""Seconds for an idle worker to end by itself."""


def run_in_processes(tasks: Sequence[PictureTask], count: int) -> Iterator[Outcome]:
    """Outcomes as they come, in any order, from `count` workers; one that dies is replaced, its picture tried again.

    Raises
    ------
    InputError
        If workers cannot start.
    """
    pool = _Pool(tasks, count)
    try:
        while pool.waiting or pool.workers:
            pool.fill()
            for connection in wait(list(pool.workers)):
                yield from pool.advance(pool.workers[connection])
    finally:
        for worker in pool.workers.values():
            worker.kill()


class _Pool:
    """Pictures that wait, and workers by their connections."""

    def __init__(self, tasks: Sequence[PictureTask], count: int) -> None:
        self.waiting = deque(tasks)
        self.workers: dict[Any, _Worker] = {}
        self._count = count
        self._deaths: Counter[Any] = Counter()

    def fill(self) -> None:
        """Start as many workers as have something to do."""
        starting = sum(worker.task is None for worker in self.workers.values())
        missing = min(self._count - len(self.workers), len(self.waiting) - starting)
        for worker in [_Worker() for _ in range(missing)]:
            self.workers[worker.connection] = worker

    def advance(self, worker: _Worker) -> Iterator[Outcome]:
        """Give a worker that said something its next picture; yields what it finished, or that its picture is given up.

        A worker begins with saying that it is there. Its warnings are given here, as if this process did the work.
        """
        try:
            outcome, remarks = worker.connection.recv()
        except (EOFError, OSError):
            del self.workers[worker.connection]
            yield from self._died(worker)
            return
        idle = not self.waiting
        if not idle:
            worker.give(self.waiting.popleft())
        for remark in remarks:
            warnings.warn(remark, stacklevel=2)
        if outcome is not None:
            yield outcome
        if idle:
            del self.workers[worker.connection]
            worker.end()

    def _died(self, worker: _Worker) -> Iterator[Outcome]:
        worker.end()
        key = worker.task and worker.task.key
        self._deaths[key] += 1
        often = self._deaths[key] >= MOST_DEATHS
        if worker.task is None:
            # By a signal it may have been ended by whoever needed memory; with a status it will not do better.
            if often or worker.status > 0:
                raise InputError(f"worker processes end before they begin, {worker.end_in_words}; {_GUARD}")
        elif often:
            yield Outcome(worker.task, (), _given_up(worker.task, worker))
        else:
            self.waiting.appendleft(worker.task)


class _Worker:
    """A process, the picture that it is at, and a connection with something to read when it finished or died."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: PictureTask | None = None
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _interrupts_held_back():
            self._process.start()
        theirs.close()  # so that the connection ends with the worker

    def give(self, task: PictureTask) -> None:
        """The next picture to evaluate."""
        self.task = task
        with suppress(OSError):  # it died meanwhile, as reading from it will show
            self.connection.send(task)

    @property
    def status(self) -> int:
        """What the process ended with: an exit status, or a signal's number, negative."""
        return self._process.exitcode or 0

    @property
    def end_in_words(self) -> str:
        """Exit status or signal."""
        return f"by signal {-self.status}" if self.status < 0 else f"with status {self.status}"

    def end(self) -> None:
        """Let the worker go, which is dead or has nothing to do."""
        self.connection.close()
        self._process.join(_PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End the worker, whatever it is at."""
        self.connection.close()
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


def _work(connection: Connection) -> None:
    """What a worker does until there is nothing left."""
    # The terminal sends Ctrl-C to workers, too; it is their parent that ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_in_background(_end_with_parent)
    try:
        connection.send((None, []))
        while True:
            task = connection.recv()
            with warnings.catch_warnings(record=True) as caught:
                outcome = attempt(task)
            connection.send((outcome, [each.message for each in caught]))
    except (EOFError, OSError):
        return


def _end_with_parent() -> None:
    """A parent that is killed leaves no worker at a long picture behind."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _given_up(task: PictureTask, worker: _Worker) -> str:
    return (
        f"{task.example.picture}: {MOST_DEATHS} worker processes died over it, the last one {worker.end_in_words}; "
        "where memory ran out, take fewer workers"
    )


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts, which inherits that: it would fill the terminal with its traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

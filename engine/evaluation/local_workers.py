"""Evaluate pictures in worker processes on this machine."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import InputError
from ..worker_processes import GUARD, WorkerProcess
from .one_picture import attempt
from .picture_task import Outcome, PictureTask

MOST_DEATHS = 5
"""So many workers may die over one picture before it is given up: another process may have taken all memory."""


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
        for _ in range(missing):
            worker = _Worker()
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
                raise InputError(f"worker processes end before they begin, {worker.end_in_words}; {GUARD}")
        elif often:
            yield Outcome(worker.task, (), _given_up(worker.task, worker))
        else:
            self.waiting.appendleft(worker.task)


class _Worker(WorkerProcess):
    """A process and the picture that it is at."""

    def __init__(self) -> None:
        super().__init__(_work)
        self.task: PictureTask | None = None

    def give(self, task: PictureTask) -> None:
        """The next picture to evaluate."""
        self.task = task
        super().give(task)


def _work(connection: Connection) -> None:
    """What a worker does until there is nothing left."""
    connection.send((None, []))
    while True:
        task = connection.recv()
        with warnings.catch_warnings(record=True) as caught:
            outcome = attempt(task)
        connection.send((outcome, [each.message for each in caught]))


def _given_up(task: PictureTask, worker: _Worker) -> str:
    return (
        f"{task.example.picture}: {MOST_DEATHS} worker processes died over it, the last one {worker.end_in_words}; "
        "where memory ran out, take fewer workers"
    )

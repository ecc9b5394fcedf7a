"""Threads that take part in one layer after the other, with as little delay between them as possible."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Self

import numpy as np

from ..kernels.shared_counter import wait_for

Job = Callable[[], None]

_ROUNDS = 10_000
"""Looks at a counter before a thread goes to sleep, about half a millisecond: what lies between two layers."""


_MOST_PARKED = 2
"""Crews that are kept: more are there only while so many threads of the program simulate at the same time."""


class _Helper:
    """A thread with the jobs that it is given and what became of them."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._given, self._done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._errors: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="spikeunet", daemon=True)
        self._thread.start()

    def give(self, job: Job | None) -> None:
        """Have a job done; None is the last one."""
        self._jobs.put(job)
        self._given[0] += 1

    def error(self) -> BaseException | None:
        """Wait for the job given last; what it raised."""
        wait_for(self._done, 0, int(self._given[0]), self._rounds)
        return self._errors.get()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _serve(self) -> None:
        number = 0
        while True:
            number += 1
            wait_for(self._given, 0, number, self._rounds)
            job = self._jobs.get()
            if job is None:
                return
            error = None
            try:
                job()
            except BaseException as raised:  # noqa: BLE001 - raised again by the thread that gave the job
                error = raised
            # What the job refers to must not live until the next one.
            del job
            self._errors.put(error)
            self._done[0] = number


_parked: list[list[_Helper]] = []
"""Helpers of runs that are over, asleep: the next run wakes them up sooner than it could start new ones."""


def _forget_parked() -> None:
    """Threads do not follow into a child process."""
    _parked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parked)


class Crew:
    """The calling thread and helpers, which are started when they are needed first; a context manager.

    Parameters
    ----------
    awake : bool
        Whether threads may wait for each other awake, for a moment: not where they share a processor, because one that
        waits then keeps another from its work.
    """

    def __init__(self, awake: bool) -> None:
        self._helpers: list[_Helper] = []
        self._rounds = _ROUNDS if awake else 0

    def __enter__(self) -> Self:
        if self._rounds:
            with contextlib.suppress(IndexError):  # There are none, or another thread was faster.
                self._helpers = _parked.pop()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        helpers, self._helpers = self._helpers, []
        if error is None and self._rounds and helpers and len(_parked) < _MOST_PARKED:
            _parked.append(helpers)
            return
        for helper in helpers:
            helper.give(None)
        for helper in helpers:
            helper.join()

    def run(self, jobs: Sequence[Job], give_up: Job | None = None) -> None:
        """Do all jobs at the same time, the last one on the calling thread; raises what one of them raises.

        `give_up` is called where the calling thread does not get to the end of its own, for jobs that wait for it.
        """
        *others, own = jobs
        while len(self._helpers) < len(others):
            self._helpers.append(_Helper(self._rounds))
        busy: list[_Helper] = []
        try:
            for helper, job in zip(self._helpers, others, strict=False):
                helper.give(job)
                busy.append(helper)
            own()
        except BaseException:
            if give_up is not None:
                give_up()
            raise
        finally:
            errors = [helper.error() for helper in busy]
        for error in errors:
            if error is not None:
                raise error

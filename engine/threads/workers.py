"""Threads that take part in one layer after the other, with as little delay between them as possible."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Self

import numpy as np

from ..kernels.shared_counter import wait_for
from .locking import LOCK
from .processors import available_processors

Job = Callable[[], None]

_ROUNDS = 10_000
"""Looks at a counter before a thread goes to sleep, about half a millisecond: what lies between two layers."""

_PARKED_FOR_A_PROCESSOR = 2
"""Helpers that are kept: more are there only while so many threads of the program simulate at the same time."""


class _Helper:
    """A thread with the jobs that it is given and what became of them; RuntimeError where it cannot be started."""

    def __init__(self) -> None:
        self.rounds = 0
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
        wait_for(self._done, 0, int(self._given[0]), self.rounds)
        return self._errors.get()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _serve(self) -> None:
        """All that a thread of the package does, from its beginning on."""
        number = 0
        while True:
            number += 1
            wait_for(self._given, 0, number, self.rounds)
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
            del error
            self._done[0] = number


class _Pool:
    """The package's threads: those that sleep, ready for whoever wants them next, and how many are wanted just now.

    Waking one up is quicker than starting a new one.
    """

    def __init__(self) -> None:
        self.parked: list[_Helper] = []
        self.busy = 0
        self._refused = False

    def enter(self, threads: int) -> int:
        """Note that so many threads, the calling one included, are wanted; how many processors the others leave."""
        with LOCK:
            left = available_processors() - self.busy
            self.busy += threads
            return left

    def leave(self, threads: int) -> None:
        """Note that they are no longer wanted."""
        with LOCK:
            self.busy -= threads

    def take(self) -> _Helper | None:
        """A helper that sleeps, or a new one; None where the system grants no more threads, which is said once."""
        with LOCK:
            if self.parked:
                return self.parked.pop()
        try:
            return _Helper()
        except RuntimeError as error:
            self._say(error)
            return None

    def put_back(self, helpers: list[_Helper]) -> None:
        """Let helpers sleep that have nothing left to do; those that are too many end."""
        with LOCK:
            room = max(_PARKED_FOR_A_PROCESSOR * available_processors() - len(self.parked), 0)
            self.parked += helpers[:room]
        _end(helpers[room:])

    def clear(self) -> None:
        """End the helpers that sleep."""
        with LOCK:
            parked, self.parked = self.parked, []
        _end(parked)

    def forget(self) -> None:
        """Threads do not follow into a child process."""
        self.parked, self.busy = [], 0

    def _say(self, error: RuntimeError) -> None:
        with LOCK:
            said, self._refused = self._refused, True
        if not said:
            logging.getLogger("spikeunet").warning(
                "spikeunet goes on with fewer threads, and slower: the system grants no more (%s); see ulimit -u", error
            )


def _end(helpers: list[_Helper]) -> None:
    for helper in helpers:
        helper.give(None)
    for helper in helpers:
        helper.join()


_pool = _Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def end_idle_threads() -> None:
    """End the package's threads that have nothing to do; new ones are started as they are needed."""
    _pool.clear()


class WorkerThreads:
    """The calling thread and helpers, which are started when they are needed first; a context manager.

    They wait for each other awake, for a moment, where all that the program wants at the time have processors of their
    own: one that waits awake on a processor that is shared keeps another from its work.

    Parameters
    ----------
    most : int
        Threads that will be wanted, the calling one included.

    Attributes
    ----------
    most : int
    processors : int
        Processors that nobody else in the program wanted when this began, at least 1: so many threads may wait for each
        other awake for as long as it takes.
    """

    def __init__(self, most: int) -> None:
        self.processors = 1
        self.most = most
        self._rounds = 0
        self._helpers: list[_Helper] = []
        self._complete = False

    def __enter__(self) -> Self:
        left = _pool.enter(self.most)
        self.processors = max(left, 1)
        self._rounds = _ROUNDS if self.most <= left else 0
        return self

    def __exit__(self, error: object, *_: object) -> None:
        helpers, self._helpers = self._helpers, []
        _pool.leave(self.most)
        if error is None:
            _pool.put_back(helpers)
        else:
            _end(helpers)

    def ready(self, threads: int) -> int:
        """Have so many threads ready, the calling one included; how many there are, where that may be fewer."""
        while len(self._helpers) < threads - 1 and not self._complete:
            helper = _pool.take()
            if helper is None:
                self._complete = True
                break
            helper.rounds = self._rounds
            self._helpers.append(helper)
        return min(threads, len(self._helpers) + 1)

    def run(self, jobs: Sequence[Job], give_up: Job | None = None) -> None:
        """Do all jobs at the same time, the last one on the calling thread; raises what one of them raises.

        There may be as many as `ready` has said. `give_up` is called where the calling thread does not get to the end
        of its own, for jobs that wait for it.
        """
        *others, own = jobs
        available = self.ready(len(jobs))
        assert available == len(jobs), f"{len(jobs)} jobs for {available} threads"
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
            errors = [error for helper in busy if (error := helper.error()) is not None]
        try:
            if errors:
                raise errors[0]
        finally:
            # An error knows this function's variables: were it one of them, all of them would live on.
            del errors

"""Worker processes on this machine, whatever they work at.

A worker and this process talk through a pair of connected sockets that nobody else holds. Nothing listens, neither on a
port nor under a name, so that no other user of the machine can hand a worker something to run.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from .kernels.held_back import signals_held_back
from .threads import run_in_background

CONTEXT = get_context("spawn")
"""Workers are started anew: a copy of a process with threads may wait for ever for a lock that a thread had."""

GUARD = 'a script that asks for workers must be guarded by if __name__ == "__main__"'
_PATIENCE = 5.0
"""Seconds for an idle worker to end by itself."""


class WorkerProcess:
    """A process, and a connection with something to read when it said something or died.

    Parameters
    ----------
    serve : function of a Connection and `arguments`
        What the worker does, found by its name in a module; it ends where the connection does.
    arguments
        Such as can be pickled, or shared arrays of `CONTEXT`.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        self.connection, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_begin, args=(serve, theirs, *arguments), daemon=True)
        with _interrupts_held_back():
            self._process.start()
        theirs.close()  # so that the connection ends with the worker

    def give(self, message: Any) -> None:
        """Send a worker something to do."""
        with suppress(OSError):  # it died meanwhile, as reading from it will show
            self.connection.send(message)

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


def _begin(serve: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    """What a worker process does."""
    # The terminal sends Ctrl-C to workers, too; it is their parent that ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_in_background(_end_with_parent)
    with suppress(EOFError, OSError):
        serve(connection, *arguments)


def _end_with_parent() -> None:
    """A parent that is killed leaves no worker at a long piece of work behind."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts, which inherits that: it would fill the terminal with its traceback.

    SIGTERM, too, which the process does not inherit: half of what it is sent would make it fail just so.
    """
    if not hasattr(signal, "pthread_sigmask"):
        with signals_held_back():
            yield
        return
    # Started by the first process otherwise, and then Ctrl-C is let through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with signals_held_back():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

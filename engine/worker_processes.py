"""Worker processes on this machine, whatever they work at.

A worker and this process talk through a pair of connected sockets that nobody else holds. Nothing listens, neither on a
port nor under a name, so that no other user of the machine can hand a worker something to run.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import current_process, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

from .errors import InputError
from .kernels.held_back import signals_held_back
from .threads import run_in_background

CONTEXT = get_context("spawn")
"""Workers are started anew: a copy of a process with threads may wait for ever for a lock that a thread had."""

GUARD = 'a script that asks for workers must be guarded by if __name__ == "__main__", and be a file'
_PATIENCE = 5.0
"""Seconds for an idle worker to end by itself."""


class WorkerProcess:
    """A process, and a connection with something to read when it said something or died.

    Parameters
    ----------
    serve : function of a Connection and `arguments`
        What the worker does, found by its name in a module; it ends where the connection does.
    arguments
        Little that can be pickled, and shared arrays (shared_arrays.py). All else is for `give`: Python would wait for
        ever for a process that ends before it has read more than fits into a pipe.

    Raises
    ------
    InputError
        If the process cannot be started.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        if current_process().daemon:
            raise InputError("a worker of another pool of processes can have none of its own; take no processes there")
        self._parent = os.getpid()
        with _refusals_in_words():
            self.connection, theirs = CONTEXT.Pipe()
            self._process = CONTEXT.Process(target=_begin, args=(serve, theirs, *arguments), daemon=True)
            try:
                with _interrupts_held_back():
                    self._process.start()
            except BaseException:
                self.kill()  # Ctrl-C may have come when it was there already
                raise
        theirs.close()  # so that the connection ends with the worker

    @property
    def is_ours(self) -> bool:
        """Whether this process started it, and not one that this one is a copy of."""
        return self._parent == os.getpid()

    def give(self, message: Any) -> None:
        """Send a worker something to do; InputError where it cannot be pickled."""
        try:
            with suppress(OSError):  # it died meanwhile, as reading from it will show
                self.connection.send(message)
        except (PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"a worker process cannot be given what it works at ({error}); let layers and neuron models of your "
                "own stand in a module, outside of functions"
            ) from None

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
        if self.is_ours and self._process.pid is not None:
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


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    """InputError for what keeps a process from being started."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"a worker process cannot be started ({error.strerror or error}); take fewer, or raise the limits (ulimit "
            "-u, ulimit -n)"
        ) from None

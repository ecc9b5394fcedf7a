"""Exit statuses: errors on purpose and of the system become one line on stderr, never a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click

from ..errors import SpikeunetError, printable
from .streams import usable_streams

STATUS_BROKEN_PIPE = 1
STATUS_ERROR = 2
STATUS_INTERRUPTED = 130
STATUS_TERMINATED = 143


class InterruptionError(Exception):
    """Ctrl-C during a command, which click would take for its own affair; says what is left, if anything is."""


def guarded(run: Callable[[], object]) -> int:
    """Run a command and return the exit status: 0, 2 after an error, 130 after Ctrl-C, 1 after a broken pipe."""
    with usable_streams():
        return _status(run)


def _status(run: Callable[[], object]) -> int:
    try:
        with _termination_as_exit(), _interruptions_kept():
            status = run()
            sys.stdout.flush()
    except (KeyboardInterrupt, InterruptionError, click.Abort) as error:
        remark(f"spikeunet: interrupted{f'; {error}' if str(error) else ''}")
        return STATUS_INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error)
    except OSError as error:
        return _report_system(error)
    except SpikeunetError as error:
        return report_error(str(error))
    except (MemoryError, RuntimeError) as error:
        return _report_exhausted(error)
    return status if isinstance(status, int) else 0


def _report_usage(error: click.ClickException) -> int:
    # click before 8.2 has no such error: it shows the help by itself.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return STATUS_ERROR
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "spikeunet"
    return report_error(f"{error.format_message().rstrip('.')}; see {command} --help")


def _report_exhausted(error: MemoryError | RuntimeError) -> int:
    """What there is too little of; Python has no error of its own for threads."""
    if isinstance(error, MemoryError):
        return report_error("not enough memory; try a smaller picture")
    if "start new thread" not in str(error):
        raise error
    return report_error("the system grants no more threads; end other programs, or raise the limit (ulimit -u)")


def _report_system(error: OSError) -> int:
    """A reader of stdout that went away is no error to talk about; a full disk is."""
    _discard_stdout()
    return STATUS_BROKEN_PIPE if isinstance(error, BrokenPipeError) else report_error(system_message(error))


def report_error(message: str) -> int:
    """Print `message` as one line on stderr; returns the exit status."""
    remark(f"spikeunet: error: {message}")
    return STATUS_ERROR


def remark(message: str) -> None:
    """Print `message` as one line on stderr, where there is somebody to read it."""
    # Not by click, which would write past a progress bar and into its line.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()


def system_message(error: OSError) -> str:
    """`file: reason`, without the number."""
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files are removed."""

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(STATUS_TERMINATED)

    try:
        previous = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


_AGAIN = 0.05
"""Seconds after which an interruption that was lost is raised once more."""


@contextmanager
def _interruptions_kept() -> Iterator[None]:
    """Raise again what a signal raised where nobody could catch it: in what LLVM calls back while it compiles.

    Python would print a traceback and go on, or fail in another way.
    """
    lost: list[BaseException] = []
    unraisable = sys.unraisablehook

    def again(_number: int = 0, _frame: FrameType | None = None) -> NoReturn:
        raise lost[0]

    def keep(unraised: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraised.exc_value, (KeyboardInterrupt, SystemExit)):
            unraisable(unraised)
            return
        lost.append(unraised.exc_value)
        with suppress(ValueError, AttributeError):  # another thread, or a system without timers
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)

    sys.unraisablehook = keep
    try:
        yield
    except Exception:
        if lost:
            again()
        raise
    finally:
        sys.unraisablehook = unraisable
        if lost and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it again at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

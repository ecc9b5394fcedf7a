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

STATUS_BROKEN_PIPE = 1
STATUS_ERROR = 2
STATUS_INTERRUPTED = 130
STATUS_TERMINATED = 143


def guarded(run: Callable[[], object]) -> int:
    """Run a command and return the exit status: 0, 2 after an error, 130 after Ctrl-C, 1 after a broken pipe."""
    try:
        with _termination_as_exit():
            status = run()
            sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return STATUS_INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error)
    except OSError as error:
        return _report_system(error)
    except SpikeunetError as error:
        return report_error(str(error))
    except MemoryError:
        return report_error("not enough memory; try a smaller picture")
    return status if isinstance(status, int) else 0


def _report_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return STATUS_ERROR
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "spikeunet"
    return report_error(f"{error.format_message().rstrip('.')}; see {command} --help")


def _report_system(error: OSError) -> int:
    """A reader of stdout that went away is no error to talk about; a full disk is."""
    _discard_stdout()
    return STATUS_BROKEN_PIPE if isinstance(error, BrokenPipeError) else report_error(system_message(error))


def report_error(message: str) -> int:
    """Print `message` as one line on stderr; returns the exit status."""
    with suppress(OSError):
        click.echo(f"spikeunet: error: {printable(message)}", err=True)
    return STATUS_ERROR


def remark(message: str) -> None:
    """Print `message` as one line on stderr, where there is somebody to read it."""
    with suppress(OSError):
        click.echo(printable(message), err=True)


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


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it again at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

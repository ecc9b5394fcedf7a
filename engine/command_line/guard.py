"""Exit statuses: errors on purpose and of the system become one line on stderr, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

import click

from ..errors import SpikeunetError, printable
from .interruptions import STATUS_INTERRUPTED, InterruptionError, Interruptions
from .streams import usable_streams

STATUS_BROKEN_PIPE = 1
STATUS_ERROR = 2


def guarded(run: Callable[[], object]) -> int:
    """Run a command and return the exit status.

    0, 2 after an error, 130 after Ctrl-C, 143 after SIGTERM, 1 after a broken pipe.
    """
    with usable_streams(), Interruptions() as interruptions:
        status, raised = interruptions.result_of(lambda: _flushed(run))
        return _status(status, raised)


def _flushed(run: Callable[[], object]) -> object:
    status = run()
    sys.stdout.flush()
    return status


def _status(status: object, raised: BaseException | None) -> int:
    try:
        if raised is not None:
            raise raised
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


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it again at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

"""What the engine logs, shown by the command: warnings always, what takes long only on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .guard import printable


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Not by click, which would write past a progress bar and into its line.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"spikeunet: {printable(record.getMessage())}\n")
            sys.stderr.flush()


@contextmanager
def shown_messages() -> Iterator[None]:
    """Show what is logged in the block on stderr, one line each."""
    log, handler = logging.getLogger("spikeunet"), _StandardError()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if sys.stderr is not None and sys.stderr.isatty() else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)

"""What the engine logs, shown by the command: warnings always, what takes long only on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .guard import remark


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        remark(f"spikeunet: {record.getMessage()}")


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

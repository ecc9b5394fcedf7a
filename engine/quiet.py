"""Keep what libraries remark on odd files off stderr, while several threads of a program read files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from .threads import LOCK

_users = 0
_ignored: warnings.catch_warnings[None] | None = None


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings, in the whole program, until nobody wants them ignored any more.

    Filters of warnings belong to the process. Were each thread to keep and restore them by itself, one that ends later
    than another would restore what that one had set, for good.
    """
    global _users, _ignored  # noqa: PLW0603 - under the lock
    with LOCK:
        _users += 1
        if _users == 1:
            _ignored = warnings.catch_warnings()
            _ignored.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with LOCK:
            _users -= 1
            if not _users and _ignored is not None:
                _ignored.__exit__(None, None, None)
                _ignored = None


def quiet_logger(name: str) -> None:
    """Have a library's log records go to the handlers that the user has set up, and nowhere where there are none."""
    logger = logging.getLogger(name)
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())

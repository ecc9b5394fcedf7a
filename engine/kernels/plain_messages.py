"""Numba's messages without colours.

Numba finds what implements an operation by trying, and most attempts end in an error that nobody sees. Where colorama
is installed, as with many command-line tools, it colours the message of each: a twentieth of the work.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

from numba.core import errors

from .exchanged import exchanged


def messages_left_plain() -> AbstractContextManager[None]:
    """Errors that are made meanwhile say the same in no colours."""
    colored = getattr(errors, "HighlightColorScheme", None)
    return contextlib.nullcontext() if colored is None else exchanged(colored, "_markup", _plain)


def _plain(_scheme: Any, message: str, *_style: Any, **_named: Any) -> str:
    return message

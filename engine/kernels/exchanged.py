"""A part of Numba's in whose place another one is for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def exchanged(owner: type, name: str, part: Any) -> Iterator[None]:
    """Have `part` in place of a class's attribute; to be held under Numba's lock, for which all others wait."""
    before = getattr(owner, name)
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, before)

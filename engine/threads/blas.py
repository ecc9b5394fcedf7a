"""How many threads of their own BLAS libraries may take, agreed upon by all threads of the program.

Such a number holds for the whole process. Were each thread to set it and to put it back, one that begins later and ends
later than another would put back what that one had set.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .locking import LOCK

_limits: list[tuple[int, int]] = []
"""Threads of the program that want a limit, and the limit; one may come several times."""

_before: list[int] = []
"""Threads that each library took before anybody wanted a limit."""


@contextmanager
def limited_blas(threads: int) -> Iterator[None]:
    """Keep each call of a BLAS library to so many threads, or to fewer where somebody wants fewer or it takes fewer."""
    libraries = _libraries()
    wish = (threading.get_ident(), threads)
    with LOCK:
        if not _before:
            _before[:] = [library.num_threads for library in libraries]
        _limits.append(wish)
        _apply(libraries)
    try:
        yield
    finally:
        with LOCK:
            _limits.remove(wish)
            _apply(libraries)
            if not _limits:
                _before.clear()


def _apply(libraries: list[Any]) -> None:
    for library, most in zip(libraries, _before, strict=True):
        wanted = min([most, *(limit for _, limit in _limits)])
        if library.num_threads != wanted:
            library.set_num_threads(wanted)


@functools.cache
def _libraries() -> list[Any]:
    from scipy.linalg import blas  # noqa: F401 - loads the library, so that it is found
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().lib_controllers
    return [library for library in found if library.user_api == "blas"]


def blas_libraries() -> list[dict[str, Any]]:
    """What BLAS libraries this process has loaded: kind, version, threads and file of each."""
    keys = ("internal_api", "version", "num_threads", "filepath")
    return [{key: library.info().get(key) for key in keys} for library in _libraries()]


def _forget_others() -> None:
    """In a child process only the thread that forked it goes on: what others wanted does not hold there."""
    _limits[:] = [wish for wish in _limits if wish[0] == threading.get_ident()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_others)

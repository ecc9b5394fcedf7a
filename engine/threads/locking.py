"""One lock for all that the threads of a program share, which no process inherits locked.

A process that is forked while another thread holds a lock finds it locked for ever: the thread that would unlock it is
not there. So a fork takes the lock first, and both processes release it then; likewise the locks of Numba and llvmlite,
which are held while kernels are compiled and loaded.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Any

from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock

LOCK = threading.RLock()
"""Held for moments only: nothing is computed, compiled, read from a file or waited for meanwhile. It may be taken again
by the thread that has it, because a signal's handler may want it just then."""


def _locks() -> tuple[AbstractContextManager[Any], ...]:
    """In the order in which they are taken: who compiles may want llvmlite's lock, never the other way round."""
    of_llvmlite = getattr(ffi.lib, "_lock", None)
    known = (of_llvmlite,) if hasattr(of_llvmlite, "__enter__") else ()
    return (global_compiler_lock, *known, LOCK)


def _take() -> None:
    for lock in _locks():
        lock.__enter__()


def _release() -> None:
    for lock in reversed(_locks()):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_release, after_in_child=_release)

"""Threads: how many there may be, the package's own ones, those of BLAS, and what they share.

Everything else builds on this part, and of the engine it imports only the kernels' counters and the errors.
"""

from .background import run_in_background
from .blas import limited_blas
from .locking import LOCK
from .processors import available_processors
from .sharing import on_threads, slices, using_threads
from .workers import WorkerThreads

__all__ = [
    "LOCK",
    "WorkerThreads",
    "available_processors",
    "limited_blas",
    "on_threads",
    "run_in_background",
    "slices",
    "using_threads",
]

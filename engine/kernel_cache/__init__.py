"""Compiled kernels on disk: where they lie, what a file of them is, and how Numba comes to use it.

Such a cache can be done without: what is missing, damaged or not to be trusted is compiled again, and what cannot be
written is not kept.
"""

from .folders import cache_folder
from .numba_cache import KernelCache, cache_counts

__all__ = ["KernelCache", "cache_counts", "cache_folder"]

"""Compiled kernels on disk: where they lie, what a file of them is, and how Numba comes to use it.

Such a cache can be done without: what is missing, damaged or not to be trusted is compiled again, and what cannot be
written is not kept.
"""

from .numba_cache import KernelCache

__all__ = ["KernelCache"]

"""How kernels are compiled, and kept on disk for the next process."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import sigutils
from numba.core.ccallback import CFunc


def compiled(function: Callable[..., Any]) -> Any:
    """Decorator of kernels: releases the GIL (threads are Python's), cached on disk, no parallel back end."""
    return _compiled(function)


def compiled_bare(function: Callable[..., Any]) -> Any:
    """`compiled` for kernels that make no arrays, views excepted.

    Numba then counts no references to arrays. Where arrays are taken out of tuples it would count them in inner loops,
    and each count is a locked instruction.
    """
    return _compiled(function, _nrt=False)


def compiled_callback(function: Callable[..., Any], signature: Any) -> Any:
    """A function with a C address that calls kernels of `compiled_bare`; compiled at once, for this signature."""
    # Not by numba.cfunc, which would look into the cache before the stamp can be changed.
    callback = CFunc(function, sigutils.normalize_signature(signature), {}, {"error_model": "numpy", "_nrt": False})
    callback.enable_caching()
    _stamp(callback)
    callback.compile()
    return callback


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    kernel = numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    _stamp(kernel)
    return kernel


def _stamp(kernel: Any) -> None:
    """Have what is on disk of a kernel used again only while the source of all kernels stays the same."""
    cache_file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        # Numba compares the stamp of the kernel's own file; a kernel also changes with the intrinsics that it uses.
        cache_file._source_stamp = source_digest()


@functools.cache
def source_digest() -> str:
    """Digest of the source of all kernels: what is on disk is used again only while it stays the same."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

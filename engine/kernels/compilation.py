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

from ..kernel_cache import KernelCache

_FOLDER = Path(__file__).parent


def compiled(function: Callable[..., Any], parts: str = "") -> Any:
    """Decorator of kernels: releases the GIL (threads are Python's), cached on disk, no parallel back end.

    `parts` is a digest of what the kernel consists of besides the package's kernels and its own file.
    """
    return _compiled(function, "compiled", parts)


def compiled_bare(function: Callable[..., Any], parts: str = "") -> Any:
    """`compiled` for kernels that make no arrays, views excepted.

    Numba then counts no references to arrays. Where arrays are taken out of tuples it would count them in inner loops,
    and each count is a locked instruction, which no loop of vector instructions can have.
    """
    return _compiled(function, "bare", parts, _nrt=False)


def compiled_callback(function: Callable[..., Any], signature: Any) -> Any:
    """A function with a C address that calls kernels of `compiled_bare`; compiled at once, for this signature."""
    # Not by numba.cfunc, which would look for it on disk before the cache can be put in place.
    options = {"error_model": "numpy", "_nrt": False}
    callback: Any = CFunc(function, sigutils.normalize_signature(signature), {}, options)
    callback._cache = _cache(function, "callback")
    callback.compile()
    return callback


def _compiled(function: Callable[..., Any], variant: str, parts: str = "", **options: Any) -> Any:
    kernel = numba.njit(nogil=True, error_model="numpy", **options)(function)
    kernel._cache = _cache(function, variant, parts)
    return kernel


def _cache(function: Callable[..., Any], variant: str, parts: str = "") -> KernelCache:
    return KernelCache(function, variant, source_digest(), f"{parts} {_file_digest(function.__code__.co_filename)}")


@functools.cache
def source_digest() -> str:
    """Digest of the source of all kernels: what is on disk is used again only while it stays the same."""
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _file_digest(name: str) -> str:
    """Digest of a kernel's own file, where that is none of the package's."""
    path = Path(name)
    return "" if path.parent == _FOLDER or not path.is_file() else hashlib.sha256(path.read_bytes()).hexdigest()

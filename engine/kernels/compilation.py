"""How kernels are compiled, and kept on disk for the next process.

Numba makes two more functions of each one that it compiles, of which one takes Python objects and one can be handed
over as a value: a fifth of the work where arguments are tuples of many arrays. Kernels are no values, and most are
called by other kernels or by address, so only those get a way in from Python that need it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from ..kernel_cache import KernelCache
from .held_back import signals_held_back
from .lifetimes import lifetimes_put_off
from .operators import operators_looked_up
from .optimization import optimized
from .plain_messages import messages_left_plain

_FOLDER = Path(__file__).parent

INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Numba's options of functions without the two ways in; `jit_options` of each `overload`, which kernels alone call."""

IN_PLACE = {**INNER, "forceinline": True}
"""LLVM puts them in place. Numba's `inline="always"` would look through the whole kernel for what is dead after it."""


class Kernel(CPUDispatcher):
    """A function as Numba compiles it for the types of its arguments."""

    pipeline = Compiler

    def compile(self, sig: Any) -> Any:
        """Compile for some types, or load what has been."""
        with undisturbed(), optimized(once=not self.targetoptions.get("_nrt", True)):
            return super().compile(sig)


class InnerKernel(Kernel):
    """A kernel that other kernels can call, made without a way in from Python."""

    def __call__(self, *arguments: Any) -> Any:
        """There is none."""
        raise TypeError(f"{self.py_func.__name__} can be called by kernels only")


def kernel(kind: type[Kernel], function: Callable[..., Any], **options: Any) -> Any:
    """A kernel of this kind, with Numba's options beside those of all kernels; kept nowhere."""
    common = {"nopython": True, "boundscheck": None, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    inner = {"no_cpython_wrapper": True} if issubclass(kind, InnerKernel) else {}
    return kind(function, targetoptions=common | inner | options, pipeline_class=kind.pipeline)


def kept(kernel: Any, variant: str, parts: str = "") -> Any:
    """A kernel whose compiled code is kept on disk; `variant` says how it is compiled, `parts` as in `compiled`."""
    kernel._cache = _cache(kernel.py_func, variant, parts)
    return kernel


def compiled(function: Callable[..., Any], parts: str = "") -> Any:
    """Decorator of kernels: releases the GIL (threads are Python's), cached on disk, no parallel back end.

    `parts` is a digest of what the kernel consists of besides the package's kernels and its own file.
    """
    return kept(kernel(Kernel, function), "compiled", parts)


def compiled_bare(function: Callable[..., Any], parts: str = "") -> Any:
    """`compiled` for kernels that make no arrays, views excepted.

    Numba then counts no references to arrays. Where arrays are taken out of tuples it would count them in inner loops,
    and each count is a locked instruction, which no loop of vector instructions can have.
    """
    return kept(kernel(Kernel, function, _nrt=False), "bare", parts)


def compiled_inner(function: Callable[..., Any]) -> Any:
    """`compiled_bare` for kernels that other kernels call, and Python never; see `compiled_phase`, too."""
    return kept(kernel(InnerKernel, function, _nrt=False), "inner")


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that LLVM puts in place wherever kernels call it; returns no arrays.

    It is compiled once for its types. Numba's `inline="always"` goes through the body again at each place, in Python.
    """
    return kernel(InnerKernel, function, forceinline=True, _nrt=False)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What compiling goes on in: signals wait for its end, and Python looks for no cycles meanwhile.

    Numba makes so many objects that it would do so all the time. Under Numba's lock, for which a fork waits, so that no
    process is left without collections.
    """
    with (
        signals_held_back(),
        global_compiler_lock,
        operators_looked_up(),
        lifetimes_put_off(),
        messages_left_plain(),
    ):
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


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

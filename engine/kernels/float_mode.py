"""The processor's mode for subnormal numbers, which each thread has for itself.

Kernels run where results and operands that are subnormal count as zeros: see engine/float32.py. On x86 that is said by
two bits of MXCSR, on ARM by one of FPCR. The mode is set by a call of its own, before any kernel begins: a compiler may
move arithmetic beyond an instruction inside the same function that changes the mode. It is put back when the work is
over, whatever becomes of it, so that NumPy and everything else in the calling thread see the mode that they know.

Other processors keep subnormal numbers; there they are as rare as anywhere, and only slow.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compilation import compiled_bare

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

_MACHINE = platform.machine().lower()
_X86 = _MACHINE in {"x86_64", "amd64"}
_ARM = _MACHINE in {"aarch64", "arm64"}

_FLUSHING = (1 << 15 | 1 << 6) if _X86 else (1 << 24 if _ARM else 0)
"""MXCSR: results (FTZ) and operands (DAZ) that are subnormal count as zeros; FPCR: both (FZ)."""

_WORD, _REGISTER = ir.IntType(32), ir.IntType(64)


def _function(builder, name, result, *arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def emit_read(builder):
    """Emit the reading of the mode, an i64."""
    if _X86:
        place = cgutils.alloca_once(builder, _WORD)
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        builder.call(_function(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), pointer.type), [pointer])
        return builder.zext(builder.load(place), _REGISTER)
    if _ARM:
        return builder.call(_function(builder, "llvm.aarch64.get.fpcr", _REGISTER), [])
    return _REGISTER(0)


def emit_write(builder, mode):
    """Emit the setting of the mode."""
    if _X86:
        place = cgutils.alloca_once_value(builder, builder.trunc(mode, _WORD))
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        builder.call(_function(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), pointer.type), [pointer])
    elif _ARM:
        builder.call(_function(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), _REGISTER), [mode])


@intrinsic
def _read(typing_context):
    """The thread's mode, with the flags of what has happened."""

    def generate(context, builder, signature, arguments):
        return emit_read(builder)

    return types.int64(), generate


@intrinsic
def _write(typing_context, mode):
    """Set the thread's mode."""

    def generate(context, builder, signature, arguments):
        emit_write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@compiled_bare
def read_mode():
    """The calling thread's mode."""
    return _read()


@compiled_bare
def set_mode(mode):
    """Set the calling thread's mode to what `read_mode` said."""
    _write(mode)


@compiled_bare
def change_mode(mode, bits):
    """Set the calling thread's mode to `mode`, but for the bits that say what subnormal numbers count as."""
    _write(mode & ~_FLUSHING | bits)


def flushing(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Decorator: while the function runs, subnormal numbers count as zeros in the thread that calls it."""
    return _in_mode(function, _FLUSHING)


def gradual(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Decorator: while the function runs, arithmetic in the calling thread is that of Python, within `flushing` too."""
    return _in_mode(function, 0)


def _in_mode(function: Callable[Arguments, Returned], bits: int) -> Callable[Arguments, Returned]:
    @functools.wraps(function)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Returned:
        # Read before anything is changed: an interrupt may come between any two calls.
        mode = read_mode()
        try:
            change_mode(mode, bits)
            return function(*arguments, **options)
        finally:
            set_mode(mode)

    return run

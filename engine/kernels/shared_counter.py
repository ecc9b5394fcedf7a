"""Counters that threads share, and waiting for them a little without sleeping.

A layer's counters lie side by side: ENTRIES, active neurons written so far; FINISHED, how much of it is done, bands or
threads; from TAKEN on, bands that have been taken of each thread's share.
"""

from __future__ import annotations

import os
import platform

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compilation import compiled_bare, compiled_inner
from .vectors import _data

ENTRIES, FINISHED, TAKEN = range(3)

GIVEN_UP = 1 << 40
"""Or more, of FINISHED: one of the threads will not come."""

_HAS_PAUSE = platform.machine().lower() in {"x86_64", "amd64", "i686"}
_HAS_YIELD = os.name == "posix"

_AWAKE = 2000
"""Looks at a counter before a thread lets others have the processor, between every two further looks."""


@intrinsic
def read_shared(typing_context, counters, index):
    """counters[index], (n,) int64, as another thread may have written it just now, and all it wrote before."""
    if counters.dtype != types.int64:
        return None  # no such overload

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[0], arguments[0])
        return builder.load_atomic(builder.gep(data, [arguments[1]], inbounds=True), "acquire", 8)

    return types.int64(counters, types.intp), generate


@intrinsic
def add_shared(typing_context, counters, index, amount):
    """Add to counters[index], (n,) int64, and return what it was; no two threads that add 1 are told the same."""
    if counters.dtype != types.int64:
        return None  # no such overload

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[0], arguments[0])
        place = builder.gep(data, [arguments[1]], inbounds=True)
        return builder.atomic_rmw("add", place, arguments[2], "acq_rel")

    return types.int64(counters, types.intp, types.int64), generate


@intrinsic
def _pause(typing_context):
    """Take a moment, and leave the core to its other thread meanwhile."""

    def generate(context, builder, signature, arguments):
        if _HAS_PAUSE:
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _yield(typing_context):
    """Let another thread have the processor."""

    def generate(context, builder, signature, arguments):
        if _HAS_YIELD:
            _call(builder, "sched_yield", ir.IntType(32))
        return context.get_dummy_value()

    return types.void(), generate


def _call(builder, name, result):
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, []), name), [])


@compiled_bare
def wait_for(counters, index, value, rounds):
    """Wait until counters[index] is at least `value`, but only for so many looks at it."""
    for _ in range(rounds):
        if read_shared(counters, index) >= value:
            return
        _pause()


@compiled_inner
def wait_until(counters, index, value):
    """Wait until counters[index] is at least `value`, however long that takes."""
    looks = 0
    while read_shared(counters, index) < value:
        looks += 1
        _pause()
        if looks > _AWAKE:
            _yield()


@numba.njit(inline="always")
def next_band(counters, shares, worker):
    """A band that no thread has taken, of the worker's own share where there is one; -1 where none is left.

    What a thread reads of the layer before is then what it has written itself, for the most part, and in its own cache.

    shares : (threads + 1,) int64, first band of each thread's share, and the number of bands
    """
    threads = shares.size - 1
    for other in range(threads):
        owner = (worker + other) % threads
        band = shares[owner] + add_shared(counters, TAKEN + owner, 1)
        if band < shares[owner + 1]:
            return band
    return -1

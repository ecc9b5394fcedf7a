"""Wait a little without sleeping: waking a thread takes longer than many a layer."""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector_block import _data, compiled_bare

_HAS_PAUSE = platform.machine().lower() in {"x86_64", "amd64", "i686"}


@intrinsic
def read_shared(typing_context, counter):
    """counter[0], (1,) int64, as another thread may have written it just now; takes a moment."""
    if counter.dtype != types.int64:
        return None  # no such overload

    def generate(context, builder, signature, arguments):
        if _HAS_PAUSE:
            function_type = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.sse2.pause"), [])
        data = _data(context, builder, signature.args[0], arguments[0])
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(counter), generate


@compiled_bare
def wait_for(counter, value, rounds):
    """Wait until counter[0] is at least `value`, but only for so many looks at it."""
    for _ in range(rounds):
        if read_shared(counter) >= value:
            return

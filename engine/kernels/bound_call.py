"""Kernels with all of their arguments, to be called from other kernels by address.

Kernels are compiled for the types of their arguments, and layers differ in those; so a kernel that goes from layer to
layer cannot name the ones that it calls. It is given two addresses instead: of a block of words in memory, in which a
kernel's arguments stand, and of a function that knows their types, reads them and calls the kernel. That function is
compiled with the kernel, and kept with it on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import BaseNativeLowering, NativeLowering
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compilation import InnerKernel, compiled_bare, kept, kernel, undisturbed


def bind(kernel: Any, arguments: tuple[Any, ...]) -> tuple[int, NDArray[np.int64]]:
    """Address of the function that calls a kernel with a number and such arguments, and the block that it takes.

    Arguments are tuples, with names or without, nested as may be, of integers, single float32 numbers, None and
    arrays; the arrays have to outlive the block.
    """
    # What Numba's own calls tell types apart by, in a hundredth of the time that it takes to say which they are.
    key = kernel, compute_fingerprint(arguments)
    address = _addresses.get(key)
    if address is None:
        with undisturbed():
            address = _addresses[key] = _way_in(kernel, (types.int64, *map(numba.typeof, arguments)))
    return address, np.array(words(arguments), np.int64)


_addresses: dict[tuple[Any, bytes], int] = {}
"""Of compiled code, which stays: of the function that calls a kernel with arguments of some types.

Asked for once: llvmlite has a lock, which a forked process may find locked by a thread that it does not have.
"""


def words(values: tuple[Any, ...]) -> list[int]:
    """Values as they lie in memory: each number, and each part of Numba's array structure, is a word of its own."""
    found: list[int] = []
    _add_words(values, found)
    return found


def _add_words(values: tuple[Any, ...], found: list[int]) -> None:
    for value in values:
        if isinstance(value, np.ndarray):
            # Owner and parent (none: nobody counts references), items, bytes of an item, data, shape, strides.
            found += (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
        elif isinstance(value, tuple):
            _add_words(value, found)
        elif isinstance(value, np.float32):
            found.append(int(value.view(np.uint32)))  # fills half of its word
        else:
            found.append(0 if value is None else int(value))


def _way_in(kernel: Any, signature: tuple[types.Type, ...]) -> int:
    """Where the function begins that calls a kernel, compiled for these types, with the arguments in a block."""
    compiled = kernel.overloads.get(signature)
    if compiled is None:
        kernel.compile(signature)
        compiled = kernel.overloads[signature]
    address = int(compiled.library.get_pointer_to_function(_PREFIX + compiled.fndesc.llvm_func_name))
    if not address:
        raise TypeError(f"{kernel.py_func.__name__} cannot be called by address: compile it with compiled_phase")
    return address


_PREFIX = "block."
"""What the name of such a function begins with; that of the kernel follows."""


class _LoweredWithWayIn(Lower):
    def lower(self):
        super().lower()
        context, kernel = self.context, self.fndesc
        module, convention = context.create_module("block"), context.call_conv
        kernel_type = convention.get_function_type(kernel.restype, kernel.argtypes)
        called = ir.Function(module, kernel_type, kernel.llvm_func_name)
        word = ir.IntType(64)
        function_type = ir.FunctionType(ir.VoidType(), [word.as_pointer(), word])
        function = ir.Function(module, function_type, _PREFIX + kernel.llvm_func_name)
        builder = ir.IRBuilder(function.append_basic_block())
        block_type = ir.LiteralStructType([context.get_data_type(each) for each in kernel.argtypes[1:]])
        block = builder.load(builder.bitcast(function.args[0], block_type.as_pointer()))
        given = [function.args[1], *cgutils.unpack_tuple(builder, block)]
        # Kernels raise nothing: what becomes of the call need not be looked at.
        convention.call_function(builder, called, kernel.restype, kernel.argtypes, given, attrs=("noinline",))
        builder.ret_void()
        self.library.add_ir_module(module)


@register_pass(mutates_CFG=True, analysis_only=False)
class _LoweringWithWayIn(BaseNativeLowering):
    _name = "native_lowering_with_way_in"

    @property
    def lowering_class(self):
        return _LoweredWithWayIn


class _PhaseCompiler(Compiler):
    """Numba's, which lowers a kernel together with its way in."""

    def define_pipelines(self):
        (pipeline,) = super().define_pipelines()
        pipeline.passes = [
            (_LoweringWithWayIn if each is NativeLowering else each, what) for each, what in pipeline.passes
        ]
        return [pipeline]


@intrinsic
def call(typing_context, function, block, number):
    """Call the function at an address with the address of a block, both as `bind` gives them, and a number."""

    def generate(context, builder, signature, arguments):
        pointer = ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer, arguments[2].type])
        function = builder.inttoptr(arguments[0], function_type.as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], pointer), arguments[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@compiled_bare
def _call_from_python(function, block, number):
    call(function, block, number)


class PhaseKernel(InnerKernel):
    """A kernel that takes a number before its other arguments and returns nothing, to be called by address."""

    pipeline = _PhaseCompiler

    def __call__(self, number: int, *arguments: Any) -> None:
        """Bind the kernel for this once."""
        self.bound(arguments)(number)

    def bound(self, arguments: tuple[Any, ...]) -> Callable[[int], None]:
        """The kernel with arguments that stay the same, of which it keeps the arrays alive."""
        function, block = bind(self, arguments)
        address, kept_alive = block.ctypes.data, (block, arguments)

        def run(number: int, _kept_alive: object = kept_alive) -> None:
            _call_from_python(function, address, number)

        return run


def compiled_phase(function: Callable[..., None]) -> Any:
    """`compiled_bare` for kernels that are called with the number of a band, or with any, by address."""
    return kept(kernel(PhaseKernel, function, _nrt=False), "phase")

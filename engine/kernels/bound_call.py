"""Kernels with all of their arguments, to be called from other kernels by address.

Kernels are compiled for the types of their arguments, and layers differ in those; so a kernel that goes from layer to
layer cannot name the ones that it calls. It is given two addresses instead: of a block of words in memory, in which a
kernel's own address and its arguments stand, and of a function that knows their types, reads them and calls the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compilation import InnerKernel, compiled_bare, compiled_callback, kept, kernel, undisturbed


def bind(kernel: Any, arguments: tuple[Any, ...]) -> tuple[int, NDArray[np.int64]]:
    """Address of the function that calls a kernel with a number and such arguments, and the block that it takes.

    Arguments are tuples, with names or without, nested as may be, of integers, single float32 numbers, None and
    arrays; the arrays have to outlive the block.
    """
    # What Numba's own calls tell types apart by, in a hundredth of the time that it takes to say which they are.
    key = kernel, compute_fingerprint(arguments)
    known = _addresses.get(key)
    if known is None:
        with undisturbed():
            signature = tuple(map(numba.typeof, arguments))
            caller = _caller(types.Tuple((types.int64, types.Tuple(signature))))
            known = _addresses[key] = caller.address, _kernel_address(kernel, (types.int64, *signature))
    function, address = known
    return function, np.array([address, *words(arguments)], np.int64)


_addresses: dict[tuple[Any, bytes], tuple[int, int]] = {}
"""Of compiled code, which stays: of the function that calls a kernel with arguments of some types, and of the kernel.

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


def _kernel_address(kernel: Any, signature: tuple[types.Type, ...]) -> int:
    """Where a kernel begins that is compiled for these types."""
    compiled = kernel.overloads.get(signature)
    if compiled is None:
        kernel.compile(signature)
        compiled = kernel.overloads[signature]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@functools.cache
def _caller(block: types.Type) -> Any:
    return compiled_callback(_call_from_block, types.void(types.CPointer(block), types.int64))


def _call_from_block(block, number):
    _call_kernel(block, number)


@intrinsic
def _call_kernel(typing_context, block, number):
    """Call the kernel whose address and arguments stand in a block, with a number before them."""
    arguments = (types.int64, *block.dtype.types[1].types)

    def generate(context, builder, signature, values):
        address, packed = cgutils.unpack_tuple(builder, builder.load(values[0]))
        function_type = context.call_conv.get_function_type(types.none, arguments)
        kernel = builder.inttoptr(address, function_type.as_pointer())
        # Kernels raise nothing: what becomes of the call need not be looked at.
        given = [values[1], *cgutils.unpack_tuple(builder, packed)]
        context.call_conv.call_function(builder, kernel, types.none, arguments, given)
        return context.get_dummy_value()

    return types.void(block, types.int64), generate


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

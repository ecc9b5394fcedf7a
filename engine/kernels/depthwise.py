"""Depthwise convolution of values: each channel for itself, or for a few output channels of its own."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compilation import compiled_bare


@intrinsic
def multiply_add(typing_context, factor, other, total):
    """Factor * other + total, rounded once, as the gathering kernels have it; of float32 or float64 numbers."""
    number = total if isinstance(total, types.Float) else None
    if number is None:
        return None  # no such overload

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(number)
        function_type = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fma.f{number.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)

    return number(number, number, number), generate


@compiled_bare
def convolve_depthwise(padded, weight, bias, geometry, currents):
    """Current of some output rows.

    padded : float, (M, rows under the kernel, columns with padding, C)
    weight : float, (kernel height, kernel width, outputs of a channel, C)
    bias : float, (outputs of a channel, C)
    geometry : stride y, x; dilation y, x
    currents : float, (M, rows, columns, outputs of a channel, C)
    """
    down, right, tall, wide = geometry
    pictures, rows, columns = currents.shape[:3]
    outputs, channels = currents.shape[3:]
    for picture in range(pictures):
        for y in range(rows):
            for x in range(columns):
                for output in range(outputs):
                    current = currents[picture, y, x, output]
                    for channel in range(channels):
                        current[channel] = bias[output, channel]
                    for i in range(weight.shape[0]):
                        for j in range(weight.shape[1]):
                            seen = padded[picture, y * down + i * tall, x * right + j * wide]
                            taps = weight[i, j, output]
                            for channel in range(channels):
                                current[channel] = multiply_add(seen[channel], taps[channel], current[channel])

"""Sums of products of levels and 8-bit weights where there are few output channels: vectors of levels.

A vector of outputs, as in dot.py, would be nearly empty. Here its lanes are levels of one output pixel, side by side in
memory, and are added up in the end.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .dot import CHUNK_LEVELS, GROUP, LANES
from .vectors import _data, _load_vector, _offset, _store_vector, _vector, token_length

_MOST_OUTPUTS = 4
"""Output channels up to which this is faster: each takes an instruction a chunk, as all 16 do for each quad of one, and
adding a vector's lanes up takes some more."""

_MOST_SUMS = 16
"""Sums that are in vector registers at once."""

_BYTE, _NUMBER, _PLACE = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def few_outputs(kind: str | None, outputs: int) -> int:
    """`outputs` where a kind of kernel has vectors of levels for so few, otherwise 0."""
    return outputs if kind == "vnni" and outputs <= _MOST_OUTPUTS else 0


class FewSums(types.Type):
    """Numba type of the sums of some pixels and few output channels, of each a vector whose lanes are to be added."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs
        self.pixels = next(pixels for pixels in (GROUP, GROUP // 2, GROUP // 4) if pixels * outputs <= _MOST_SUMS)
        super().__init__(name=f"FewSums({outputs})")


@register_model(FewSums)
class _FewSumsModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(LANES, _NUMBER), block.pixels * block.outputs))


@intrinsic
def zero_few(typing_context, token):
    """Start the sums; and how many pixels they are of."""
    block = FewSums(token_length(token, "few"))

    def generate(context, builder, signature, arguments):
        zeros = ir.Constant(context.get_value_type(block), None)
        return context.make_tuple(builder, signature.return_type, (zeros, _PLACE(block.pixels)))

    return types.Tuple((block, types.intp))(token), generate


@intrinsic
def multiply_levels(typing_context, block, planes, index, stride, weights, place):
    """Add the products of a chunk of levels of each pixel, at planes[index + pixel * stride], and of their weights."""

    def generate(context, builder, signature, arguments):
        result, planes, index, stride, weights, place = arguments
        planes, weights = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, planes), (4, weights))
        )
        vector = _vector(LANES, _NUMBER)
        rows = [
            builder.bitcast(_load_vector(builder, weights, _offset(builder, place, shift), CHUNK_LEVELS, _BYTE), vector)
            for shift in range(0, block.outputs * CHUNK_LEVELS, CHUNK_LEVELS)
        ]
        function_type = ir.FunctionType(vector, [vector] * 3)
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.vpdpbusd.512")
        for pixel in range(block.pixels):
            begin = builder.add(index, builder.mul(stride, stride.type(pixel)))
            levels = builder.bitcast(_load_vector(builder, planes, begin, CHUNK_LEVELS, _BYTE), vector)
            for output, row in enumerate(rows):
                position = pixel * block.outputs + output
                sum_ = builder.call(function, [builder.extract_value(result, position), levels, row])
                result = builder.insert_value(result, sum_, position)
        return result

    return block(block, planes, types.intp, types.intp, weights, types.intp), generate


@intrinsic
def store_few(typing_context, block, sums, index):
    """Write the sums: pixel, channel, and zeros for the channels that there are not."""

    def generate(context, builder, signature, arguments):
        block_value, sums, index = arguments
        sums, vector = _data(context, builder, signature.args[1], sums), _vector(LANES, _NUMBER)
        function_type = ir.FunctionType(_NUMBER, [vector])
        add = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.vector.reduce.add.v{LANES}i32")
        for pixel in range(block.pixels):
            row = ir.Constant(vector, None)
            for output in range(block.outputs):
                total = builder.call(add, [builder.extract_value(block_value, pixel * block.outputs + output)])
                row = builder.insert_element(row, total, _NUMBER(output))
            _store_vector(builder, row, sums, _offset(builder, index, pixel * LANES))
        return context.get_dummy_value()

    return types.void(block, sums, types.intp), generate


@numba.njit(inline="always")
def add_few(token, segments, ends, planes, begin, stride, weights, weight_base, sums, place):
    """Sums of a group into sums[place ...]: pixel, 16 lanes, the first few of which are output channels.

    As `add_groups`, of a single group.
    """
    pixel = 0
    while pixel < GROUP:
        block, pixels = zero_few(token)
        for segment in range(ends[0], ends[1]):
            source = begin + segments[segment].levels + pixel * stride
            weight = weight_base + segments[segment].weights
            for chunk in range((segments[segment].quads + LANES - 1) // LANES):
                row = weight + chunk * len(token.few) * CHUNK_LEVELS
                block = multiply_levels(block, planes, source + chunk * CHUNK_LEVELS, stride, weights, row)
        store_few(block, sums, place + pixel * LANES)
        pixel += pixels

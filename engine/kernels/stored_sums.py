"""Sums of products that a kernel has left in memory, of a pixel: what becomes a block of currents, or fires."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .vectors import _data, _load_vector, _offset, _vector
from .window_block import Token, _block_of


class StoredSums(NamedTuple):
    """Sums of a pixel's channels in memory.

    Parameters
    ----------
    vectors : tuple
        As long as there are vectors of output channels.
    block : Token
        Of one pixel's currents.
    sums : int32
        Those of step t are at first + t * step_stride.
    first, step_stride : int
    """

    vectors: tuple[int, ...]
    block: Token
    sums: NDArray[np.int32]
    first: int
    step_stride: int


@intrinsic
def block_of_sums(typing_context, token, sums, index, step_stride, scale, constant, channel, place):
    """Currents of a pixel as a block: constant[place + k] + scale[channel + k] * sums[index + step * step_stride + k].

    Both products and sums are exact, see engine/binding/integer_plan.py.
    """
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        _, sums, index, step_stride, scale, constant, channel, place = arguments
        sums, scale, constant = (
            _data(context, builder, signature.args[position], array)
            for position, array in ((1, sums), (4, scale), (5, constant))
        )
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        shifts = [vector * block.lanes for vector in range(block.vectors)]
        scales = [_load_vector(builder, scale, _offset(builder, channel, shift), block.lanes) for shift in shifts]
        offsets = [_load_vector(builder, constant, _offset(builder, place, shift), block.lanes) for shift in shifts]
        for step in range(block.steps):
            for vector, shift in enumerate(shifts):
                sum_ = _load_vector(builder, sums, _offset(builder, index, shift), block.lanes, ir.IntType(32))
                current = builder.fmul(builder.sitofp(sum_, _vector(block.lanes)), scales[vector])
                current = builder.fadd(offsets[vector], current)
                result = builder.insert_value(result, current, block.position(0, step, vector))
            index = builder.add(index, step_stride)
        return result

    number = types.intp
    return block(token, sums, number, number, scale, constant, number, number), generate

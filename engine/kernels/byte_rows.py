"""Rows of bytes that are 0 or 1: which ones are 1, and the sums of the integers that these meet.

What a row's events meet is added up in lanes of 16 bits, some vectors of outputs at a time in registers, from event to
event. Sums of integers do not depend on the order.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .dot import CHUNK_LEVELS, LANES
from .vectors import _data, _load_vector, _offset, _put_currents, _store_vector, _vector

_VECTORS = 8
"""Vectors that are in registers at once, where there are as many."""

_EVENTS_AT_ONCE = 256
"""As many bytes, from -128 to 127, add up in 16 bits."""

_BYTE, _SHORT, _NUMBER, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)


@intrinsic
def ones_of(typing_context, row, word):
    """Which of 64 bytes, from a word of the row on, are not 0: bits, uint64."""

    def generate(context, builder, signature, arguments):
        row, word = arguments
        data = builder.gep(_data(context, builder, signature.args[0], row), [word], inbounds=True)
        found = _load_vector(builder, builder.bitcast(data, _BYTE.as_pointer()), _WORD(0), CHUNK_LEVELS, _BYTE)
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(found.type, None)), _WORD)

    return types.uint64(row, types.intp), generate


@intrinsic
def lowest_one(typing_context, bits):
    """The place of the lowest bit that is 1, of bits that are not all 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@numba.njit(inline="always")
def active_channels(words, active):
    """Write the numbers of the channels that have an event to `active`, in order; how many there are.

    words : uint64, a row of a multiple of 64 bytes; a byte is 0 or 1, and 0 behind the last channel
    """
    count = np.int64(0)
    for word in range(0, words.size, CHUNK_LEVELS // 8):
        ones = ones_of(words, word)
        while ones != 0:
            active[count] = 8 * word + lowest_one(ones)
            count += 1
            ones &= ones - np.uint64(1)
    return count


class RowSums(types.Type):
    """Numba type of the sums of some vectors of outputs of a row."""

    def __init__(self, vectors: int) -> None:
        self.vectors = vectors
        super().__init__(name=f"RowSums({vectors})")


@register_model(RowSums)
class _RowSumsModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(LANES, _SHORT), block.vectors))


@intrinsic
def zero_row(typing_context, vectors):
    """Start the sums of as many vectors of outputs as the tuple is long."""
    block = RowSums(vectors.count)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(block), None)

    return block(vectors), generate


@intrinsic
def add_to_row(typing_context, block, weights, index):
    """Add weights[index ...], int8, to the sums."""

    def generate(context, builder, signature, arguments):
        result, weights, index = arguments
        weights = _data(context, builder, signature.args[1], weights)
        for vector in range(block.vectors):
            line = _load_vector(builder, weights, _offset(builder, index, vector * LANES), LANES, _BYTE)
            sum_ = builder.extract_value(result, vector)
            result = builder.insert_value(result, builder.add(sum_, builder.sext(line, sum_.type)), vector)
        return result

    return block(block, weights, types.intp), generate


@intrinsic
def keep_row(typing_context, block, sums, place, more):
    """Write the sums to sums[place ...], int32, for `finish_row`; added to what is there where there is more."""

    def generate(context, builder, signature, arguments):
        for _, value, sums, place in _sums_so_far(context, builder, signature, arguments):
            _store_vector(builder, value, sums, place)
        return context.get_dummy_value()

    return types.void(block, sums, types.intp, types.boolean), generate


@intrinsic
def finish_row(typing_context, block, sums, place, more, factors, target, adds):
    """Write currents, or add them to what is there: `bias` + the sums * `scale`, from `output` on.

    factors : scale, bias, output
    more : whether the sums are those of `keep_row`, too, from `place` on
    """

    def generate(context, builder, signature, arguments):
        *so_far, factors, target, adds = arguments
        scale, bias, output = cgutils.unpack_tuple(builder, factors, 3)
        scale, bias = (_data(context, builder, signature.args[4][k], array) for k, array in enumerate((scale, bias)))
        target = _data(context, builder, signature.args[5], target)
        for vector, value, _, _ in _sums_so_far(context, builder, signature, so_far):
            first = _offset(builder, output, vector * LANES)
            _put_currents(builder, value, scale, bias, first, target, first, adds)
        return context.get_dummy_value()

    return types.void(block, sums, types.intp, types.boolean, factors, target, types.boolean), generate


def _sums_so_far(context, builder, signature, arguments):
    """By number, each vector of sums, with what is kept, in 32 bits; the memory and the place of the latter."""
    block_value, sums, first, more = arguments
    sums = _data(context, builder, signature.args[1], sums)
    for vector in range(signature.args[0].vectors):
        place = _offset(builder, first, vector * LANES)
        value = builder.sext(builder.extract_value(block_value, vector), _vector(LANES, _NUMBER))
        there = builder.add(value, _load_vector(builder, sums, place, LANES, _NUMBER))
        yield vector, builder.select(more, there, value), sums, place


@numba.njit(inline="always")
def add_up_row(vectors, events, weights, sums, scale, bias, target, adds):
    """Currents of a row: sums of the rows of weights that events meet.

    vectors : a tuple, as long as there are vectors of 16 outputs at once, whose outputs make up a row of weights
    events : numbers of rows of weights, int32, and how many there are
    weights : int8, (channels, padded outputs)
    sums : int32, (padded outputs,), overwritten
    scale, bias : float32, (padded outputs,)
    target : float32, (padded outputs,)
    adds : whether currents are added to what is there
    """
    active, count = events
    for output in range(0, weights.shape[1], LANES * len(vectors)):
        begin = 0
        while begin + _EVENTS_AT_ONCE < count:
            block = _walked(vectors, active, begin, begin + _EVENTS_AT_ONCE, weights, output)
            keep_row(block, sums, output, begin > 0)
            begin += _EVENTS_AT_ONCE
        block = _walked(vectors, active, begin, count, weights, output)
        finish_row(block, sums, output, begin > 0, (scale, bias, output), target, adds)


@numba.njit(inline="always")
def _walked(vectors, active, begin, end, weights, output):
    """Sums of what some events meet, from `output` on."""
    block = zero_row(vectors)
    for place in range(begin, end):
        block = add_to_row(block, weights, active[place] * weights.shape[1] + output)
    return block


def vectors_at_once(padded: int) -> tuple[int, ...]:
    """A tuple as `add_up_row` takes it, for rows of `padded` outputs."""
    return (0,) * (1 if padded % (_VECTORS * LANES) else _VECTORS)

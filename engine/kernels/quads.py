"""Sums of integers that stay in vector registers, to which four events are added at a time.

As a `WindowBlock`, for a window of output pixels x steps x vectors of output channels, but of int32 numbers. Weights
are bytes. Those that four events meet are loaded, bytes of one channel are brought side by side, and one instruction
(AVX-512 VNNI) multiplies each with the level of its event and adds the four products up. No such sum is rounded, so
the order does not matter.

Bytes are interleaved within 128 bits, which all processors do fast; so the channels of a register are in another order,
which is put right when a pixel is done (`currents_of_sums`).

Where processors have no such instruction, but AVX2, weights are numbers of 16 bits, of two events each (pairs.py).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from .pairs import add_two_pairs
from .vectors import _data, _load_vector, _offset, _pairs_joined, _splat, _unpacked, _vector, _weights_of
from .window_block import Token, WindowBlock, accumulators

LANES = 16
"""Output channels of a vector."""

_BYTE, _PAIR, _NUMBER = ir.IntType(8), ir.IntType(16), ir.IntType(32)


class SumsBlock(types.Type):
    """Numba type of a block of sums; as `WindowBlock`. Lanes lie `in_order`, or as `_interleaved` leaves them.

    Three vectors whose bytes are interleaved are so with a fourth one, of whatever is behind them: that takes fewer
    instructions than two and one. So there are `held` vectors of sums.
    """

    def __init__(self, steps: int, window: int, vectors: int, row: int, in_order: bool = False) -> None:
        self.steps = steps
        self.window = window
        self.vectors = vectors
        self.row = row
        self.in_order = in_order
        first, count = grouped(vectors, not in_order)[-1]
        self.held = first + count
        super().__init__(name=f"SumsBlock({steps}, {window}, {vectors}, {row}, {in_order})")

    def position(self, pixel: int, step: int, vector: int) -> int:
        """Where a vector of sums stands."""
        return (pixel * self.steps + step) * self.held + vector

    @property
    def groups(self) -> list[tuple[int, int]]:
        """(first, count) of vectors whose bytes are interleaved together: four where there are so many."""
        return grouped(self.vectors, not self.in_order)


def grouped(vectors: int, together: bool) -> list[tuple[int, int]]:
    """(first, count) of vectors: four, two or one `together`, three as four; or one by one."""
    found: list[tuple[int, int]] = []
    first = 0
    while first < vectors:
        left = vectors - first if together else 1
        count = 4 if left >= 3 else left
        found.append((first, count))
        first += count
    return found


@register_model(SumsBlock)
class _SumsBlockModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(LANES, _NUMBER), block.position(block.window, 0, 0)))


class QuadToken(Token):
    """A token of sums."""


class PairToken(Token):
    """A token of sums whose weights have 16 bits, see pairs.py."""


class FourToken(Token):
    """A token of sums of four channels side by side."""


SumsToken = TypeVar("SumsToken", bound=Token)


def sums_token(kind: type[SumsToken], steps: int, window: int, block_width: int) -> SumsToken:
    """The token of a block for so many steps at once: as many accumulators as registers can hold."""
    return kind(*accumulators(steps, window, block_width, LANES))


def _sums_of(token):
    steps, window, vectors, lanes, row = (part.count for part in token)
    assert lanes == LANES
    return SumsBlock(steps, window, vectors, row, token.instance_class is not QuadToken)


@intrinsic
def empty_sums(typing_context, token):
    """Block of zeros, of a `sums_token`."""
    block = _sums_of(token)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(block), None)

    return block(token), generate


@intrinsic
def next_sums(typing_context, block):
    """Drop the block's first pixel, move the others up, and let the new last one start from 0."""

    def generate(context, builder, signature, arguments):
        (old,) = arguments
        result, first = old, block.position(1, 0, 0)
        for position in range(block.position(block.window, 0, 0)):
            moved = position + first
            last = moved >= block.position(block.window, 0, 0)
            value = ir.Constant(_vector(LANES, _NUMBER), None) if last else builder.extract_value(old, moved)
            result = builder.insert_value(result, value, position)
        return result

    return block(block), generate


@intrinsic
def weights_of(typing_context, shift, keys, entry, scale):
    """The place shift + keys[entry] * scale; the entry is none of those that Numba would count from the end."""

    def generate(context, builder, signature, arguments):
        shift, keys, entry, scale = arguments
        return _weights_of(builder, shift, _data(context, builder, signature.args[1], keys), entry, scale)

    number = types.intp
    return number(number, keys, number, number), generate


@intrinsic
def add_quad(typing_context, block, weights, rows, levels, entry, stride, present):
    """Block + the products of four events' levels and weights, for each of its numbers.

    weights : int8, or int16 as `for_pairs` leaves them; those of event e are at rows[e] + pixel * row + channel
    rows : four places
    levels : uint8; step t of event e is at entry + t * stride + e; or int8, where weights are uint8, too large by 128
    present : bits of the events that there are, a byte for each; the levels of others are not looked at
    """

    def generate(context, builder, signature, arguments):
        sums, weights, rows, levels, entry, stride, present = arguments
        kind = signature.args[1].dtype
        weights = _data(context, builder, signature.args[1], weights)
        levels = _data(context, builder, signature.args[3], levels)
        places = [builder.extract_value(rows, event) for event in range(4)]
        kept, numbers = builder.trunc(present, _NUMBER), []
        for _ in range(block.steps):
            pointer = builder.bitcast(builder.gep(levels, [entry], inbounds=True), _NUMBER.as_pointer())
            numbers.append(builder.and_(builder.load(pointer, align=1), kept))
            entry = builder.add(entry, stride)
        if kind.bitwidth > 8:
            return add_two_pairs(builder, block, sums, weights, places, numbers)
        factors = [_splat(builder, number, LANES) for number in numbers]
        result = sums
        for pixel in range(block.window):
            for vector, together in block.groups:
                offset = (pixel * block.row + vector) * LANES
                for number, quads in enumerate(_interleaved(builder, weights, places, offset, together)):
                    for step, factor in enumerate(factors):
                        position = block.position(pixel, step, vector + number)
                        pair = (factor, quads) if kind.signed else (quads, factor)
                        sum_ = _add_products(builder, builder.extract_value(result, position), *pair)
                        result = builder.insert_value(result, sum_, position)
        return result

    number = types.intp
    return block(block, weights, rows, levels, number, number, number), generate


@intrinsic
def add_four(typing_context, block, weights, shift, scale, keys, fours, entry, stride):
    """Block + the products of the levels and weights of four channels that are neighbours, for each of its numbers.

    weights : int32, four bytes each, of these channels; those of an output are at shift + keys[entry] * scale + pixel *
        row + channel
    keys : int32
    fours : uint32, four levels each; step t is at entry + t * stride
    """

    def generate(context, builder, signature, arguments):
        sums, weights, shift, scale, keys, fours, entry, stride = arguments
        weights, keys, fours = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, weights), (4, keys), (5, fours))
        )
        row = _weights_of(builder, shift, keys, entry, scale)
        factors = []
        for _ in range(block.steps):
            factors.append(_splat(builder, builder.load(builder.gep(fours, [entry], inbounds=True)), LANES))
            entry = builder.add(entry, stride)
        result = sums
        for pixel in range(block.window):
            for vector in range(block.vectors):
                place = _offset(builder, row, (pixel * block.row + vector) * LANES)
                found = _load_vector(builder, weights, place, LANES, _NUMBER)
                for step, factor in enumerate(factors):
                    position = block.position(pixel, step, vector)
                    sum_ = _add_products(builder, builder.extract_value(result, position), factor, found)
                    result = builder.insert_value(result, sum_, position)
        return result

    number = types.intp
    return block(block, weights, number, number, keys, fours, number, number), generate


@intrinsic
def less_each(typing_context, block, number):
    """Block less an integer, for each of its numbers."""

    def generate(context, builder, signature, arguments):
        result, number = arguments
        number = _splat(builder, builder.trunc(number, _NUMBER), LANES)
        for position in range(block.position(block.window, 0, 0)):
            left = builder.sub(builder.extract_value(result, position), number)
            result = builder.insert_value(result, left, position)
        return result

    return block(block, types.intp), generate


def _add_products(builder, sums, unsigned, signed):
    """Sums plus those of four products in each lane, of unsigned and signed bytes."""
    function_type = ir.FunctionType(sums.type, [sums.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [sums, unsigned, signed])


def _interleaved(builder, weights, places, offset, together):
    """Vectors whose lanes have a byte of each of four rows; of all 16 * `together` channels, see `_in_order`."""
    size = LANES * together
    first, second, third, fourth = (
        _load_vector(builder, weights, _offset(builder, place, offset), size, _BYTE) for place in places
    )
    quarters = []
    for half in range(2):
        left, right = (_unpacked(builder, *pair, half) for pair in ((first, second), (third, fourth)))
        left, right = (builder.bitcast(each, _vector(size // 2, _PAIR)) for each in (left, right))
        quarters += [_unpacked(builder, left, right, part) for part in range(2)]
    quarters = [builder.bitcast(quarter, _vector(4 * together, _NUMBER)) for quarter in quarters]
    while len(quarters) > together:
        quarters = _pairs_joined(builder, quarters)
    return quarters


def lanes_of_channels(vectors: int) -> NDArray[np.intp]:
    """Where each channel stands in so many vectors that `_interleaved` leaves, (16 * vectors,).

    The quarter k of 128 bits j of what is interleaved together has the channels 16 j + 4 k, ..., 16 j + 4 k + 3.
    """
    vector, quarter, place = np.unravel_index(np.arange(LANES * vectors), (vectors, 4, 4))
    return (quarter * vectors + vector) * 4 + place


def _in_order(builder, vectors):
    """Vectors as `_interleaved` leaves their lanes, in the order of the channels."""
    if len(vectors) == 1:
        return vectors
    blocks = [divmod(int(lane) // 4, 4) for lane in lanes_of_channels(len(vectors))[::4]]
    return [_gathered(builder, vectors, blocks[first : first + 4]) for first in range(0, len(blocks), 4)]


def _gathered(builder, vectors, blocks):
    """A vector of four blocks of 128 bits, each given by the number of its vector and its place there."""
    halves = []
    for (first, at), (second, below) in (blocks[:2], blocks[2:]):
        chosen = [4 * at + k for k in range(4)] + [LANES + 4 * below + k for k in range(4)]
        mask = ir.Constant(_vector(8, _NUMBER), chosen)
        halves.append(builder.shuffle_vector(vectors[first], vectors[second], mask))
    return builder.shuffle_vector(*halves, ir.Constant(_vector(LANES, _NUMBER), list(range(LANES))))


@intrinsic
def currents_of_sums(typing_context, block, scale, constant, channel, place):
    """Currents of the first pixel as a `WindowBlock`: constant[place + k] + scale[channel + k] * sums[k].

    Both products and sums are exact, see engine/binding/integer_plan.py.
    """
    return _currents(block, scale, constant, (None,))


@intrinsic
def currents_of_differences(typing_context, block, scale, constant, channel, place):
    """The same of sums that may be larger than float32 holds, as differences of two that it holds are.

    They are added in two parts, multiples of `PART` first: as long as the result leaves room for one more `PART`,
    nothing is rounded.
    """
    return _currents(block, scale, constant, (-PART, PART - 1))


PART = 1 << 12
"""Largest part of a difference that is added last."""


def _currents(block, scale, constant, masks):
    """What an intrinsic returns that adds sums to constants, in parts of these bits."""
    currents = WindowBlock(block.steps, 1, block.vectors, LANES, block.vectors)

    def generate(context, builder, signature, arguments):
        sums, scale, constant, channel, place = arguments
        scale, constant = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, scale), (2, constant))
        )
        result = ir.Constant(context.get_value_type(currents), ir.Undefined)
        for step in range(block.steps):
            found = [builder.extract_value(sums, block.position(0, step, vector)) for vector in range(block.held)]
            for first, together in block.groups:
                ordered = _in_order(builder, found[first : first + together])[: block.vectors - first]
                for vector, numbers in enumerate(ordered, first):
                    shift = vector * LANES
                    factor = _load_vector(builder, scale, _offset(builder, channel, shift), LANES)
                    current = _load_vector(builder, constant, _offset(builder, place, shift), LANES)
                    for mask in masks:
                        part = numbers if mask is None else builder.and_(numbers, _every(mask))
                        product = builder.fmul(builder.sitofp(part, _vector(LANES)), factor)
                        current = builder.fadd(current, product)
                    result = builder.insert_value(result, current, currents.position(0, step, vector))
        return result

    return currents(block, scale, constant, types.intp, types.intp), generate


def _every(number):
    """A vector of the same number."""
    return ir.Constant(_vector(LANES, _NUMBER), [number] * LANES)

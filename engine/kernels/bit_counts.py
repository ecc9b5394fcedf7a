"""Count the ones at each bit of many 64-bit words, with carry-save adders.

A full adder adds three words bit by bit: into their sums and their carries. Sixteen vectors pass through a tree of
fifteen such adders, whose sums (of weight 1, 2, 4 and 8) are kept for the next sixteen; only the carry of weight 16
is taken apart by bit and added to byte counters. W. Mula, N. Kurz, D. Lemire, Faster population counts using AVX2
instructions, The Computer Journal 61, 2018, section 3 (Harley and Seal's), here by position.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .processor import host_lanes
from .vectors import _data, _load_vector, _offset, _vector

PLANES = 4
"""Weights 1, 2, 4 and 8 of the sums that are kept."""

WORD_LANES = host_lanes() // 2
"""64-bit words of a vector register."""

GROUP = WORD_LANES << PLANES
"""Words that pass through the adders at once."""

MOST_GROUPS = 255
"""Groups after which a byte counter may be full."""

_LOW, _HIGH, _ONES, _EVEN = 0x7F * 0x0101010101010101, 0x8080808080808080, 0x0101010101010101, 0x00FF00FF00FF00FF
_WORD = ir.IntType(64)


def _all(value):
    return ir.Constant(_vector(WORD_LANES, _WORD), [value] * WORD_LANES)


def _mark_fired(builder, words):
    """The highest bit of each byte is set where the byte, at most 127, is not 0."""
    return builder.or_(words, builder.and_(builder.add(words, _all(_LOW)), _all(_HIGH)))


def _only_fired(builder, words):
    """The highest bit of each byte: whether any of its bits is set; the other bits are 0."""
    carried = builder.add(builder.and_(words, _all(_LOW)), _all(_LOW))
    return builder.and_(builder.or_(carried, words), _all(_HIGH))


def _at_bit(builder, words, bit):
    return builder.and_(builder.lshr(words, _all(bit)), _all(_ONES))


def _full_adder(builder, first, second, third):
    """Sum and carry of three words, at each bit."""
    either = builder.xor(first, second)
    carry = builder.or_(builder.and_(first, second), builder.and_(either, third))
    return builder.xor(either, third), carry


def _carry_of(builder, weight, planes, following):
    """The carry of weight 2**weight out of as many vectors, which `following` returns one after the other."""
    if weight == 0:
        return following()
    first = _carry_of(builder, weight - 1, planes, following)
    second = _carry_of(builder, weight - 1, planes, following)
    planes[weight - 1], carry = _full_adder(builder, planes[weight - 1], first, second)
    return carry


def _lane_sum(builder, words):
    name = f"llvm.vector.reduce.add.v{WORD_LANES}i64"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_WORD, [words.type]), name)
    return builder.call(function, [words])


def _totals(builder, bit, planes, counter):
    """Two words of four 16-bit numbers: the ones at a bit of the even bytes, and of the odd bytes."""
    few = _at_bit(builder, planes[0], bit)
    for weight in range(1, PLANES):
        few = builder.add(few, builder.shl(_at_bit(builder, planes[weight], bit), _all(weight)))
    for shift in (0, 8):
        halves = [builder.and_(builder.lshr(part, _all(shift)), _all(_EVEN)) for part in (few, counter)]
        yield _lane_sum(builder, builder.add(halves[0], builder.shl(halves[1], _all(PLANES))))


def _count_bits(prepare):
    """An intrinsic that counts the bits of words when `prepare` has changed them."""

    @intrinsic
    def count(typing_context, words, first, groups):
        result = types.UniTuple(types.uint64, 2 * 8)
        if words.dtype != types.uint64:
            return None  # no such overload

        def generate(context, builder, signature, arguments):
            words, first, groups = arguments
            words = _data(context, builder, signature.args[0], words)
            kept = [cgutils.alloca_once_value(builder, _all(0)) for _ in range(PLANES + 8)]
            with cgutils.for_range(builder, groups) as loop:
                start = builder.add(first, builder.mul(loop.index, ir.Constant(first.type, GROUP)))
                places = iter(range(0, GROUP, WORD_LANES))
                planes = [builder.load(plane) for plane in kept[:PLANES]]

                def following():
                    place = _offset(builder, start, next(places))
                    return prepare(builder, _load_vector(builder, words, place, WORD_LANES, _WORD))

                carry = _carry_of(builder, PLANES, planes, following)
                for plane, value in zip(kept, planes, strict=False):
                    builder.store(value, plane)
                for bit, counter in enumerate(kept[PLANES:]):
                    builder.store(builder.add(builder.load(counter), _at_bit(builder, carry, bit)), counter)
            planes = [builder.load(plane) for plane in kept[:PLANES]]
            totals = [
                total
                for bit, counter in enumerate(kept[PLANES:])
                for total in _totals(builder, bit, planes, builder.load(counter))
            ]
            return context.make_tuple(builder, result, totals)

        return result(words, types.intp, types.intp), generate

    return count


# Each returns 16 numbers. Of words[first : first + groups * GROUP], the ones at bit k of the bytes 0, 2, 4 and 6 are in
# number 2 k, in 16 bits each, and those of the bytes 1, 3, 5 and 7 in number 2 k + 1. At most MOST_GROUPS groups.
count_bits = _count_bits(lambda builder, words: words)
count_bits_and_fired = _count_bits(_mark_fired)
count_fired = _count_bits(_only_fired)

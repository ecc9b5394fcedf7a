"""The firing rule in integers, for neurons that fire once and keep nothing: from sums of products to levels.

Neurons with thresholds q, 2 q, 4 q, ... and a power of two q emit clip(ceil(v / q) - 1, 0, 2**K - 1) quanta for a
potential v (see `_Ladder.closed` in firing.py). Where v is a whole number of units of which q has 2**s, that is an
addition, a shift and two comparisons of integers; in float32 it takes three times as many instructions.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .quads import LANES, grouped
from .vectors import LEVEL_BITS, _data, _load_vector, _offset, _splat, _store_vector, _vector

_BYTE, _NUMBER, _EIGHT_BYTES = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def lanes_of_channels(vectors: int) -> NDArray[np.intp]:
    """Where the sum of each channel stands in so many vectors whose bytes were interleaved together, (16 * vectors,).

    The quarter k of 128 bits j has the channels 16 j + 4 k, ..., 16 j + 4 k + 3; quarters lie one after the other.
    """
    vector, quarter, place = np.unravel_index(np.arange(LANES * vectors), (vectors, 4, 4))
    return (quarter * vectors + vector) * 4 + place


def in_held_order(values: NDArray[np.int32], vectors: int, interleaved: bool) -> NDArray[np.int32]:
    """Numbers of channels, a whole number of blocks of so many vectors, in the order of the sums of `SumsBlock`."""
    if not interleaved:
        return values
    blocks = values.reshape(-1, LANES * vectors)
    parts = []
    for first, together in grouped(vectors, interleaved):
        part = blocks[:, LANES * first : LANES * (first + together)]
        filled = np.zeros((len(blocks), LANES * together), values.dtype)
        filled[:, lanes_of_channels(together)[: part.shape[1]]] = part
        parts.append(filled)
    return np.concatenate(parts, axis=1).reshape(-1)


@intrinsic
def fire_sums(typing_context, block, addends, shifts, channel, limits, words, word):
    """Levels of the block's first pixel, which has one step, to words[word ...], uint8.

    addends, shifts : int32, see `IntegerLadder`; those of `channel` on are taken
    limits : most, unused of `IntegerLadder`
    """

    def generate(context, builder, signature, arguments):
        sums, *others = arguments
        firing = _Firing(context, builder, signature.args[1:], others, block.held, block.vectors)
        for first, together in grouped(block.vectors, True):
            count = min(together, block.held - first)
            found = [builder.extract_value(sums, block.position(0, 0, first + each)) for each in range(count)]
            firing.fire(found, first, range(LANES * count) if block.in_order else lanes_of_channels(together))
        return context.get_dummy_value()

    number = types.intp
    return types.void(block, addends, shifts, number, limits, words, number), generate


@intrinsic
def fire_stored_sums(typing_context, vectors, sums, index, addends, shifts, channel, limits, words, word):
    """The same of sums in memory: sums[index ...], int32, as many vectors as the tuple is long."""
    count = vectors.count

    def generate(context, builder, signature, arguments):
        _, sums, index, *others = arguments
        sums = _data(context, builder, signature.args[1], sums)
        firing = _Firing(context, builder, signature.args[3:], others, count, count)
        for first, together in grouped(count, True):
            places = [_offset(builder, index, LANES * (first + each)) for each in range(min(together, count - first))]
            found = [_load_vector(builder, sums, place, LANES, _NUMBER) for place in places]
            firing.fire(found, first, range(LANES * len(found)))
        return context.get_dummy_value()

    number = types.intp
    return types.void(vectors, sums, number, addends, shifts, number, limits, words, number), generate


class _Firing:
    """Emits the rule for some vectors of sums at a time."""

    def __init__(self, context, builder, kinds, arguments, held, vectors):
        addends, shifts, channel, limits, words, self.word = arguments
        self.builder = builder
        self.vectors = vectors
        self.addends, self.shifts, self.words = (
            _data(context, builder, kinds[place], array) for place, array in ((0, addends), (1, shifts), (4, words))
        )
        self.place = channel
        if held != vectors:
            self.place = builder.mul(builder.udiv(channel, channel.type(vectors)), channel.type(held))
        self.most, self.unused = cgutils.unpack_tuple(builder, limits, 2)

    def fire(self, sums, first, order):
        """Levels of vectors of sums, the block's from `first` on, whose lanes have the channels in this order."""
        builder, nothing = self.builder, ir.Constant(_vector(LANES, _NUMBER), None)
        most = _splat(builder, builder.trunc(self.most, _NUMBER), LANES)
        packed = []
        for number, each in enumerate(sums):
            place = _offset(builder, self.place, LANES * (first + number))
            addend, shift = (_load_vector(builder, data, place, LANES, _NUMBER) for data in (self.addends, self.shifts))
            quanta = builder.ashr(builder.add(each, addend), shift)
            quanta = builder.select(builder.icmp_signed(">", quanta, nothing), quanta, nothing)
            quanta = builder.select(builder.icmp_signed("<", quanta, most), quanta, most)
            packed.append(builder.trunc(quanta, _vector(LANES, _BYTE)))
        while len(packed) > 1:
            count = 2 * packed[0].type.count
            both = ir.Constant(_vector(count, _NUMBER), list(range(count)))
            if len(packed) % 2:
                packed.append(ir.Constant(packed[0].type, None))
            packed = [builder.shuffle_vector(*pair, both) for pair in zip(packed[::2], packed[1::2], strict=True)]
        (levels,) = packed
        levels = self._backwards(builder.shuffle_vector(levels, levels, self._mask(order, levels.type.count)))
        left, place = LANES * min(len(sums), self.vectors - first), _offset(builder, self.word, LANES * first)
        done = 0
        for size in (4 * LANES, 2 * LANES, LANES):
            if done + size <= left:
                part = ir.Constant(_vector(size, _NUMBER), list(range(done, done + size)))
                value = levels if size == levels.type.count else builder.shuffle_vector(levels, levels, part)
                _store_vector(builder, value, self.words, _offset(builder, place, done))
                done += size

    def _mask(self, order, count):
        places = [int(each) for each in order]
        return ir.Constant(_vector(count, _NUMBER), places + list(range(len(places), count)))

    def _backwards(self, levels):
        """Numbers of K bits, read backwards: the bits of levels, as neurons with K thresholds have them."""
        builder = self.builder
        function_type = ir.FunctionType(levels.type, [levels.type])
        name = f"llvm.bitreverse.v{levels.type.count}i8"
        turned = builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), [levels])
        # Bytes have no shift of their own: shift eight of them together, and drop what came from the neighbour.
        eights = _vector(levels.type.count // 8, _EIGHT_BYTES)
        shifted = builder.lshr(builder.bitcast(turned, eights), _splat(builder, self.unused, eights.count))
        kept = builder.lshr(_BYTE((1 << LEVEL_BITS) - 1), builder.trunc(self.unused, _BYTE))
        return builder.and_(builder.bitcast(shifted, levels.type), _splat(builder, kept, levels.type.count))

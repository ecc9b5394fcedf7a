"""The firing rule in integers, for neurons of which nothing is kept: from sums of products to levels.

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

from .firing import _resized
from .quads import LANES, grouped, lanes_of_channels
from .vectors import (
    LEVEL_BITS,
    _backwards,
    _data,
    _load_vector,
    _offset,
    _pairs_joined,
    _splat,
    _store_vector,
    _vector,
)

_NUMBER = ir.IntType(32)


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
def fire_sums(typing_context, block, numbers, channel, limits, words, word):
    """Levels of the block's first pixel, a byte a step, to words[word ...], unsigned, as many bytes as steps.

    numbers : addends, biases, shifts of `IntegerLadder`; those of `channel` on are taken
    limits : most, unused of `IntegerLadder`
    """

    def generate(context, builder, signature, arguments):
        sums, *others = arguments
        firing = _Firing(context, builder, signature.args[1:], others, (block.held, block.vectors, block.steps))
        for first, together in grouped(block.vectors, True):
            count = min(together, block.held - first)
            found = [
                [builder.extract_value(sums, block.position(0, step, first + each)) for step in range(block.steps)]
                for each in range(count)
            ]
            firing.fire(found, first, range(LANES * count) if block.in_order else lanes_of_channels(together))
        return context.get_dummy_value()

    number = types.intp
    return types.void(block, numbers, number, limits, words, number), generate


@intrinsic
def fire_stored_sums(typing_context, lengths, sums, index, step_stride, numbers, channel, limits, words, word):
    """The same of sums in memory, int32.

    lengths : tuples as long as there are vectors, and steps
    index, step_stride : those of step t are at sums[index + t * step_stride], ...
    """
    vectors, steps = (each.count for each in lengths)

    def generate(context, builder, signature, arguments):
        _, sums, index, step_stride, *others = arguments
        sums = _data(context, builder, signature.args[1], sums)
        begins = [index]
        while len(begins) < steps:
            begins.append(builder.add(begins[-1], step_stride))
        firing = _Firing(context, builder, signature.args[4:], others, (vectors, vectors, steps))
        for first, together in grouped(vectors, True):
            places = range(first, first + min(together, vectors - first))
            found = [
                [_load_vector(builder, sums, _offset(builder, begin, LANES * each), LANES, _NUMBER) for begin in begins]
                for each in places
            ]
            firing.fire(found, first, range(LANES * len(found)))
        return context.get_dummy_value()

    number = types.intp
    return types.void(lengths, sums, number, number, numbers, number, limits, words, number), generate


class _Firing:
    """Emits the rule for some vectors of sums at a time."""

    def __init__(self, context, builder, kinds, arguments, lengths):
        numbers, channel, limits, words, self.word = arguments
        held, self.vectors, self.steps = lengths
        self.builder = builder
        self.addends, self.biases, self.shifts = (
            _data(context, builder, kind, array)
            for kind, array in zip(kinds[0], cgutils.unpack_tuple(builder, numbers, 3), strict=True)
        )
        self.words = _data(context, builder, kinds[3], words)
        self.element = ir.IntType(kinds[3].dtype.bitwidth)
        self.place = channel
        if held != self.vectors:
            self.place = builder.mul(builder.udiv(channel, channel.type(self.vectors)), channel.type(held))
        self.most, self.unused = cgutils.unpack_tuple(builder, limits, 2)

    def fire(self, sums, first, order):
        """Levels of vectors of sums, each of all steps: the block's from `first` on, of channels in this order."""
        builder = self.builder
        packed = [self._words(each, LANES * (first + number)) for number, each in enumerate(sums)]
        while len(packed) > 1:
            if len(packed) % 2:
                packed.append(ir.Constant(packed[0].type, None))
            packed = _pairs_joined(builder, packed)
        (words,) = packed
        places = [int(each) for each in order]
        words = self._chosen(words, [*places, *range(len(places), words.type.count)])
        levels = _vector(words.type.count * self.steps, ir.IntType(LEVEL_BITS))
        words = builder.bitcast(_backwards(builder, builder.bitcast(words, levels), self.unused), words.type)
        left, done = LANES * min(len(sums), self.vectors - first), 0
        for size in (4 * LANES, 2 * LANES, LANES):
            if done + size <= left:
                part = self._chosen(words, range(done, done + size))
                _store_vector(builder, part, self.words, _offset(builder, self.word, LANES * first + done))
                done += size

    def _chosen(self, words, places):
        mask = ir.Constant(_vector(len(places), _NUMBER), list(places))
        return self.builder.shuffle_vector(words, words, mask)

    def _words(self, sums, shift):
        """What a vector of neurons fires, a byte a step."""
        builder, nothing = self.builder, ir.Constant(_vector(LANES, _NUMBER), None)
        most = _splat(builder, builder.trunc(self.most, _NUMBER), LANES)
        place = _offset(builder, self.place, shift)
        addend, bias, units = (
            _load_vector(builder, data, place, LANES, _NUMBER) for data in (self.addends, self.biases, self.shifts)
        )
        words, left = ir.Constant(_vector(LANES, self.element), None), addend
        for step, each in enumerate(sums):
            driven = builder.add(each, left)
            quanta = builder.ashr(driven, units)
            quanta = builder.select(builder.icmp_signed(">", quanta, nothing), quanta, nothing)
            quanta = builder.select(builder.icmp_signed("<", quanta, most), quanta, most)
            if step + 1 < len(sums):
                left = builder.add(builder.sub(driven, builder.shl(quanta, units)), bias)
            shift = ir.Constant(words.type, [LEVEL_BITS * step] * LANES)
            words = builder.or_(words, builder.shl(_resized(builder, quanta, words.type), shift))
        return words

"""The firing rule, on blocks of accumulators in vector registers: ladders of thresholds."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector_block import LEVEL_BITS, _data, _load_vector, _offset, _splat, _store_vector, _vector


def neuron_array(decay: float, keep: float, compare: np.ndarray, subtract: np.ndarray) -> np.ndarray:
    """Parameters of a neuron in the flat order that `fire` reads."""
    pairs = np.stack([compare, subtract], axis=1).ravel()
    return np.concatenate([np.array([decay, keep]), pairs]).astype(np.float32)


@intrinsic
def fire(typing_context, block, before, source, after, target, neuron, words, word):
    """Run the neurons of the block's first pixel through its steps; pack each neuron's levels, a byte a step.

    Reads the membrane potentials before[source ...], writes after[target ...] and words[word ...], unsigned integers of
    at least as many bytes as steps. `neuron` is the flat float32 array that `neuron_array` makes; see
    engine/neurons/firing.py for the rule.
    """

    def generate(context, builder, signature, arguments):
        current, before, source, after, target, neuron, words, word = arguments
        before = _data(context, builder, signature.args[1], before)
        after = _data(context, builder, signature.args[3], after)
        ladder = context.make_array(signature.args[5])(context, builder, neuron)
        word_type = _vector(block.lanes, ir.IntType(signature.args[6].dtype.bitwidth))
        words = _data(context, builder, signature.args[6], words)
        parameters = _Ladder(context, builder, ladder, block.lanes)
        shifts = [vector * block.lanes for vector in range(block.vectors)]
        potentials = [_load_vector(builder, before, _offset(builder, source, shift), block.lanes) for shift in shifts]
        packed = [ir.Constant(word_type, None)] * block.vectors
        for step in range(block.steps):
            positions = [block.position(0, step, vector) for vector in range(block.vectors)]
            drives = [builder.extract_value(current, position) for position in positions]
            potentials, levels = parameters.step(potentials, drives)
            places = ir.Constant(word_type, [step * LEVEL_BITS] * block.lanes)
            for vector, level in enumerate(levels):
                packed[vector] = builder.or_(packed[vector], builder.shl(_resized(builder, level, word_type), places))
        for shift, potential, levels in zip(shifts, potentials, packed, strict=True):
            _store_vector(builder, potential, after, _offset(builder, target, shift))
            _store_vector(builder, levels, words, _offset(builder, word, shift))
        return context.get_dummy_value()

    return types.void(block, before, types.intp, after, types.intp, neuron, words, types.intp), generate


def _resized(builder, value, vector_type):
    widths = [each.element.width for each in (value.type, vector_type)]
    if widths[0] == widths[1]:
        return value
    return (builder.zext if widths[0] < widths[1] else builder.trunc)(value, vector_type)


class _Ladder:
    """Emits one step of the firing rule for vectors of neurons: a loop over thresholds, the vectors side by side."""

    def __init__(self, context, builder, ladder, lanes):
        self.builder = builder
        self.lanes = lanes
        self.data = ladder.data
        size = builder.extract_value(ladder.shape, 0)
        self.count = builder.lshr(builder.sub(size, size.type(2)), size.type(1))
        self.decay = _splat(builder, self._number(size.type(0)), lanes)
        self.keep = _splat(builder, self._number(size.type(1)), lanes)

    def _number(self, index):
        return self.builder.load(self.builder.gep(self.data, [index], inbounds=True))

    def step(self, potentials, drives):
        builder = self.builder
        nothing = ir.Constant(_vector(self.lanes, ir.IntType(32)), None)
        driven = [
            builder.fadd(builder.fmul(self.decay, potential), drive)
            for potential, drive in zip(potentials, drives, strict=True)
        ]
        states = [cgutils.alloca_once_value(builder, potential) for potential in driven]
        levels = [cgutils.alloca_once_value(builder, nothing) for _ in driven]
        for state, level, potential in zip(states, levels, driven, strict=True):
            builder.store(potential, state)
            builder.store(nothing, level)
        with cgutils.for_range(builder, self.count) as loop:
            place = builder.shl(_offset(builder, loop.index, 1), loop.index.type(1))
            compare = _splat(builder, self._number(place), self.lanes)
            subtract = _splat(builder, self._number(_offset(builder, place, 1)), self.lanes)
            bit = _splat(builder, builder.shl(ir.IntType(32)(1), builder.trunc(loop.index, ir.IntType(32))), self.lanes)
            for state, level in zip(states, levels, strict=True):
                before, marked = builder.load(state), builder.load(level)
                crossed = builder.fcmp_ordered(">", before, compare)
                after = builder.fsub(builder.fmul(self.keep, before), subtract)
                builder.store(builder.select(crossed, after, before), state)
                builder.store(builder.select(crossed, builder.or_(marked, bit), marked), level)
        return [builder.load(state) for state in states], [builder.load(level) for level in levels]

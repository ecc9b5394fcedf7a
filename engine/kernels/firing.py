"""The firing rule, on blocks of accumulators in vector registers: ladders of thresholds."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector_block import LEVEL_BITS, _data, _load_vector, _offset, _splat, _store_vector, _vector

_HEAD = 5
"""Numbers before the thresholds in a neuron's parameters."""

_EXACT = 2.0**23
"""Quanta in a potential up to which taking some away is exact."""


def neuron_array(decay: float, keep: float, compare: np.ndarray, subtract: np.ndarray) -> np.ndarray:
    """Parameters of a neuron in the flat order that `fire` reads."""
    pairs = np.stack([compare, subtract], axis=1).ravel()
    quantum = _quantum(keep, compare, subtract)
    closed = [quantum, 1 / quantum if quantum else 0.0, 2.0 ** len(compare) - 1]
    return np.concatenate([np.array([decay, keep, *closed]), pairs]).astype(np.float32)


def _quantum(keep: float, compare: np.ndarray, subtract: np.ndarray) -> float:
    """The lowest threshold of a ladder whose level has a closed form, see `_Ladder.closed`; 0 for others.

    Thresholds are q, 2 q, 4 q, ... with a power of two q: no product or difference is rounded then.
    """
    quantum = float(subtract[-1])
    mantissa, exponent = math.frexp(quantum)
    doubled = quantum * 2.0 ** np.arange(len(subtract))[::-1]
    plain = keep == 1 and mantissa == 0.5 and abs(exponent) < 64
    return quantum if plain and (compare == doubled).all() and (subtract == doubled).all() else 0.0


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
    """Emits one step of the firing rule for vectors of neurons: the vectors side by side, to hide latencies."""

    def __init__(self, context, builder, ladder, lanes):
        self.builder = builder
        self.lanes = lanes
        self.data = ladder.data
        size = builder.extract_value(ladder.shape, 0)
        self.count = builder.lshr(builder.sub(size, size.type(_HEAD)), size.type(1))
        self.numbers = [self._number(size.type(place)) for place in range(_HEAD)]
        self.decay, self.keep = (_splat(builder, number, lanes) for number in self.numbers[:2])

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
        scaled = [builder.fmul(potential, _splat(builder, self.numbers[3], self.lanes)) for potential in driven]
        with builder.if_else(self._has_closed_form(scaled), likely=True) as (closed, walked):
            with closed:
                for state, level, potential, quanta in zip(states, levels, driven, scaled, strict=True):
                    found, left = self._closed(potential, quanta)
                    builder.store(left, state)
                    builder.store(found, level)
            with walked:
                self._walk(states, levels)
        return [builder.load(state) for state in states], [builder.load(level) for level in levels]

    def _has_closed_form(self, scaled):
        """Whether the ladder is q, 2 q, 4 q, ... and no potential so large that differences are rounded."""
        builder = self.builder
        limit = ir.Constant(scaled[0].type, [_EXACT] * self.lanes)
        large = builder.fcmp_ordered(">", scaled[0], limit)
        for quanta in scaled[1:]:
            large = builder.or_(large, builder.fcmp_ordered(">", quanta, limit))
        bits = ir.IntType(self.lanes)
        none = builder.icmp_unsigned("==", builder.bitcast(large, bits), bits(0))
        quantum = self.numbers[2]
        return builder.and_(none, builder.fcmp_ordered(">", quantum, quantum.type(0)))

    def _closed(self, potential, quanta):
        """Level and what is left: of v, clip(ceil(v / q) - 1, 0, 2**K - 1) quanta are fired.

        The bits of that number are those of the level from the last one to the first.
        """
        builder, lanes = self.builder, self.lanes
        quantum, most = (_splat(builder, self.numbers[place], lanes) for place in (2, 4))
        number, word = ir.Constant(quanta.type, None), _vector(lanes, ir.IntType(32))
        fired = builder.fsub(self._call("ceil", quanta), ir.Constant(quanta.type, [1.0] * lanes))
        fired = builder.select(builder.fcmp_ordered(">", fired, number), fired, number)
        fired = builder.select(builder.fcmp_ordered("<", fired, most), fired, most)
        reversed_bits = self._call("bitreverse", builder.fptosi(fired, word))
        unused = builder.sub(ir.IntType(32)(32), builder.trunc(self.count, ir.IntType(32)))
        level = builder.lshr(reversed_bits, _splat(builder, unused, lanes))
        return level, builder.fsub(potential, builder.fmul(fired, quantum))

    def _call(self, name, value):
        kind = "i32" if isinstance(value.type.element, ir.IntType) else "f32"
        function_type = ir.FunctionType(value.type, [value.type])
        name = f"llvm.{name}.v{self.lanes}{kind}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function_type, name), [value])

    def _walk(self, states, levels):
        """One threshold after the other."""
        builder = self.builder
        with cgutils.for_range(builder, self.count) as loop:
            place = _offset(builder, builder.shl(loop.index, loop.index.type(1)), _HEAD)
            compare = _splat(builder, self._number(place), self.lanes)
            subtract = _splat(builder, self._number(_offset(builder, place, 1)), self.lanes)
            bit = _splat(builder, builder.shl(ir.IntType(32)(1), builder.trunc(loop.index, ir.IntType(32))), self.lanes)
            for state, level in zip(states, levels, strict=True):
                before, marked = builder.load(state), builder.load(level)
                crossed = builder.fcmp_ordered(">", before, compare)
                after = builder.fsub(builder.fmul(self.keep, before), subtract)
                builder.store(builder.select(crossed, after, before), state)
                builder.store(builder.select(crossed, builder.or_(marked, bit), marked), level)

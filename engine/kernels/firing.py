"""The firing rule, on blocks of accumulators in vector registers: ladders of thresholds."""

from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import LEVEL_BITS, _data, _load_vector, _offset, _splat, _store_vector, _vector

_HEAD = 5
"""Numbers before the thresholds in a neuron's parameters."""

_EXACT = 2.0**23
"""Quanta in a potential up to which taking some away is exact."""


def neuron_array(decay: float, keep: float, compare: np.ndarray, subtract: np.ndarray) -> np.ndarray:
    """Parameters of a neuron in the flat order that `fire` reads."""
    pairs = np.stack([compare, subtract], axis=1).ravel()
    quantum = _quantum(decay, keep, compare, subtract)
    closed = [quantum, 1 / quantum if quantum else 0.0, 2.0 ** len(compare) - 1]
    return np.concatenate([np.array([decay, keep, *closed]), pairs]).astype(np.float32)


def _quantum(decay: float, keep: float, compare: np.ndarray, subtract: np.ndarray) -> float:
    """The lowest threshold of a ladder whose level has a closed form, see `_Ladder.closed`; 0 for others.

    Thresholds are q, 2 q, 4 q, ... with a power of two q, 1 or less: no product or difference is rounded then.
    """
    quantum = float(subtract[-1])
    mantissa, exponent = math.frexp(quantum)
    doubled = quantum * 2.0 ** np.arange(len(subtract))[::-1]
    plain = decay == keep == 1 and mantissa == 0.5 and -64 < exponent <= 1
    return quantum if plain and (compare == doubled).all() and (subtract == doubled).all() else 0.0


def closed_form(neuron: np.ndarray) -> tuple[float, int]:
    """Of what `neuron_array` has made: the lowest threshold of a ladder with a closed form, else 0; and how many."""
    return float(neuron[2]), (neuron.size - _HEAD) // 2


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
        drives = [
            [builder.extract_value(current, block.position(0, step, vector)) for vector in range(block.vectors)]
            for step in range(block.steps)
        ]
        closed, left, levels = parameters.closed(potentials, drives, word_type)
        states = [cgutils.alloca_once_value(builder, potential) for potential in left]
        packed = [cgutils.alloca_once_value(builder, level) for level in levels]
        with builder.if_then(builder.not_(closed), likely=False):
            left, levels = parameters.walk(potentials, drives, word_type)
            for place, value in zip(states + packed, left + levels, strict=True):
                builder.store(value, place)
        for shift, state, word_of in zip(shifts, states, packed, strict=True):
            _store_vector(builder, builder.load(state), after, _offset(builder, target, shift))
            _store_vector(builder, builder.load(word_of), words, _offset(builder, word, shift))
        return context.get_dummy_value()

    return types.void(block, before, types.intp, after, types.intp, neuron, words, types.intp), generate


@numba.njit(inline="always")
def fire_pixel(block, neurons, pixel, channel, words, word):
    """`fire` the neurons of a pixel, from a channel on.

    neurons : LadderNeurons
    """
    source = pixel * neurons.before_stride + channel
    kept = pixel * neurons.after_stride + channel
    fire(block, neurons.before, source, neurons.after, kept, neurons.parameters, words, word)


def _resized(builder, value, vector_type):
    widths = [each.element.width for each in (value.type, vector_type)]
    if widths[0] == widths[1]:
        return value
    return (builder.zext if widths[0] < widths[1] else builder.trunc)(value, vector_type)


class _Ladder:
    """Emits the firing rule for vectors of neurons: the vectors side by side, to hide latencies."""

    def __init__(self, context, builder, ladder, lanes):
        self.builder = builder
        self.lanes = lanes
        self.data = ladder.data
        size = builder.extract_value(ladder.shape, 0)
        self.count = builder.lshr(builder.sub(size, size.type(_HEAD)), size.type(1))
        self.numbers = [self._number(size.type(place)) for place in range(_HEAD)]
        self.decay, self.keep, self.quantum, self.per_quantum, self.most = (
            _splat(builder, number, lanes) for number in self.numbers
        )

    def _number(self, index):
        return self.builder.load(self.builder.gep(self.data, [index], inbounds=True))

    # --- The closed form -------------------------------------------------------------------------------------------

    def closed(self, potentials, drives, word_type):
        """All steps of a ladder q, 2 q, 4 q, ... of which q is a power of two: whether they are right, and the result.

        Of v, clip(ceil(v / q) - 1, 0, 2**K - 1) quanta are fired, and the bits of that number are those of the level
        from the last one to the first. q is a power of two, at most 1: multiplying by 1 / q rounds nothing then, and
        what is left of v is as exact. Only v itself is rounded, as threshold after threshold, or is zero where it is
        smaller than float32 numbers are. The result is not right where a potential is so large that taking some away
        rounds, or is more than float32 can say in quanta; or infinite, or NaN.
        """
        builder = self.builder
        nothing, one = (ir.Constant(self.decay.type, [number] * self.lanes) for number in (0.0, 1.0))
        limit = ir.Constant(self.decay.type, [_EXACT] * self.lanes)
        left = list(potentials)
        packed = [ir.Constant(word_type, None)] * len(left)
        large = ir.Constant(_vector(self.lanes, ir.IntType(1)), None)
        for step, currents in enumerate(drives):
            for vector, current in enumerate(currents):
                driven = builder.fadd(left[vector], current)
                quanta = builder.fmul(driven, self.per_quantum)
                # Unordered: a NaN, too, is beyond.
                beyond = builder.fcmp_unordered(">", self._call("fabs", quanta), limit)
                large = builder.or_(large, beyond)
                fired = builder.fsub(self._call("ceil", quanta), one)
                fired = builder.select(builder.fcmp_ordered(">", fired, nothing), fired, nothing)
                fired = builder.select(builder.fcmp_ordered("<", fired, self.most), fired, self.most)
                left[vector] = self._less(driven, fired)
                packed[vector] = self._packed(packed[vector], self._level(fired), step)
        bits = ir.IntType(self.lanes)
        none = builder.icmp_unsigned("==", builder.bitcast(large, bits), bits(0))
        has_form = builder.fcmp_ordered(">", self.numbers[2], self.numbers[2].type(0))
        return builder.and_(none, has_form), left, packed

    def _less(self, driven, fired):
        """`driven` less so many quanta; exact, so that it does not matter whether the processor fuses."""
        builder, kind = self.builder, self.decay.type
        function_type = ir.FunctionType(kind, [kind] * 3)
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fmuladd.v{self.lanes}f32")
        return builder.call(function, [builder.fneg(fired), self.quantum, driven])

    def _level(self, fired):
        builder = self.builder
        word = _vector(self.lanes, ir.IntType(32))
        unused = builder.sub(ir.IntType(32)(32), builder.trunc(self.count, ir.IntType(32)))
        return builder.lshr(self._call("bitreverse", builder.fptosi(fired, word)), _splat(builder, unused, self.lanes))

    def _packed(self, packed, level, step):
        """`packed` with the level of a step in its byte."""
        builder = self.builder
        places = ir.Constant(packed.type, [step * LEVEL_BITS] * self.lanes)
        return builder.or_(packed, builder.shl(_resized(builder, level, packed.type), places))

    def _call(self, name, value):
        kind = "i32" if isinstance(value.type.element, ir.IntType) else "f32"
        function_type = ir.FunctionType(value.type, [value.type])
        name = f"llvm.{name}.v{self.lanes}{kind}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function_type, name), [value])

    # --- Threshold after threshold ---------------------------------------------------------------------------------

    def walk(self, potentials, drives, word_type):
        """All steps of any ladder: potentials and packed levels."""
        builder = self.builder
        packed = [ir.Constant(word_type, None)] * len(potentials)
        for step, currents in enumerate(drives):
            driven = [
                builder.fadd(builder.fmul(self.decay, potential), current)
                for potential, current in zip(potentials, currents, strict=True)
            ]
            potentials, levels = self._walk_step(driven)
            packed = [self._packed(word, level, step) for word, level in zip(packed, levels, strict=True)]
        return list(potentials), packed

    def _walk_step(self, driven):
        builder = self.builder
        nothing = ir.Constant(_vector(self.lanes, ir.IntType(32)), None)
        states = [cgutils.alloca_once(builder, potential.type) for potential in driven]
        levels = [cgutils.alloca_once(builder, nothing.type) for _ in driven]
        for state, level, potential in zip(states, levels, driven, strict=True):
            builder.store(potential, state)
            builder.store(nothing, level)
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
        return [builder.load(state) for state in states], [builder.load(level) for level in levels]

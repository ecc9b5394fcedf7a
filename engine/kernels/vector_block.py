"""Accumulators that stay in vector registers: a block of steps x vectors x lanes float32 numbers.

Numba keeps a value in registers when its data model is made of LLVM vectors. A `VectorBlock` holds, for one output
pixel, the input current of `vectors * lanes` channels at `steps` time steps; the functions below load, update, fire and
store it. How many steps, vectors and lanes there are is part of the type: kernels take a token (see `block_token`)
whose type carries the three numbers, so that one source compiles to a few specialisations.

No fastmath anywhere: `multiply_add` is a fused multiply-add with a single rounding on every processor, all other
operations round once each, so the same numbers come out whatever the vector width.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LEVEL_BITS = 8
"""Bits of a level in a 64-bit word that holds a neuron's levels over up to eight steps."""


@functools.cache
def host_lanes() -> int:
    """Number of float32 lanes in this processor's vector registers, as far as Numba is allowed to use them."""
    features = os.environ.get("NUMBA_CPU_FEATURES")
    enabled = features.split(",") if features is not None else llvm.get_host_cpu_features().flatten().split(",")
    if "+avx512f" in enabled:
        return 16
    return 8 if "+avx2" in enabled else 4


def block_token(steps: int, vectors: int, lanes: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A value whose Numba type says how many steps, vectors and lanes a block has."""
    return ((0,) * steps, (0,) * vectors, (0,) * lanes)


class VectorBlock(types.Type):
    """Numba type of a block of accumulators."""

    def __init__(self, steps: int, vectors: int, lanes: int) -> None:
        self.steps = steps
        self.vectors = vectors
        self.lanes = lanes
        super().__init__(name=f"VectorBlock({steps}, {vectors}, {lanes})")


def _vector(lanes, element=None):
    return ir.VectorType(element or ir.FloatType(), lanes)


@register_model(VectorBlock)
class _VectorBlockModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(block.lanes), block.steps * block.vectors))


def _block_of(token):
    return VectorBlock(token[0].count, token[1].count, token[2].count)


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _load_vector(builder, data, index, lanes, element=None):
    pointer = builder.gep(data, [index], inbounds=True)
    pointer = builder.bitcast(pointer, _vector(lanes, element).as_pointer())
    return builder.load(pointer, align=4)


def _store_vector(builder, value, data, index):
    pointer = builder.gep(data, [index], inbounds=True)
    pointer = builder.bitcast(pointer, value.type.as_pointer())
    builder.store(value, pointer, align=4)


def _splat(builder, value, lanes):
    vector_type = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector_type, ir.Undefined), zeros)


def _fused_multiply_add(builder, lanes):
    vector = _vector(lanes)
    function_type = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fma.v{lanes}f32")


def _offset(builder, index, amount):
    return builder.add(index, ir.Constant(index.type, amount))


@intrinsic
def load_constant(typing_context, token, array, index):
    """Block whose steps all start from array[index], array[index + 1], ... (a bias, or an analog input's current)."""
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        for vector in range(block.vectors):
            index = _offset(builder, arguments[2], vector * block.lanes)
            value = _load_vector(builder, data, index, block.lanes)
            for step in range(block.steps):
                result = builder.insert_value(result, value, step * block.vectors + vector)
        return result

    return block(token, array, types.intp), generate


@intrinsic
def load_steps(typing_context, token, array, index, stride):
    """Block whose step t is array[index + t * stride], array[index + t * stride + 1], ..."""
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        index = arguments[2]
        for step in range(block.steps):
            for vector in range(block.vectors):
                value = _load_vector(builder, data, _offset(builder, index, vector * block.lanes), block.lanes)
                result = builder.insert_value(result, value, step * block.vectors + vector)
            index = builder.add(index, arguments[3])
        return result

    return block(token, array, types.intp, types.intp), generate


@intrinsic
def multiply_add(typing_context, block, weights, weight, values, value):
    """Block + weights[weight + channel] * values[value + step], fused, for every channel and step of the block."""

    def generate(context, builder, signature, arguments):
        current, weights, weight, values, value = arguments
        weights = _data(context, builder, signature.args[1], weights)
        values = _data(context, builder, signature.args[3], values)
        rows = [
            _load_vector(builder, weights, _offset(builder, weight, vector * block.lanes), block.lanes)
            for vector in range(block.vectors)
        ]
        fused = _fused_multiply_add(builder, block.lanes)
        result = current
        for step in range(block.steps):
            scalar = builder.load(builder.gep(values, [_offset(builder, value, step)], inbounds=True))
            factor = _splat(builder, scalar, block.lanes)
            for vector, row in enumerate(rows):
                position = step * block.vectors + vector
                sum_ = builder.call(fused, [factor, row, builder.extract_value(current, position)])
                result = builder.insert_value(result, sum_, position)
        return result

    return block(block, weights, types.intp, values, types.intp), generate


@intrinsic
def store_steps(typing_context, block, array, index, stride):
    """Write step t of the block to array[index + t * stride], array[index + t * stride + 1], ..."""

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        index = arguments[2]
        for step in range(block.steps):
            for vector in range(block.vectors):
                value = builder.extract_value(arguments[0], step * block.vectors + vector)
                _store_vector(builder, value, data, _offset(builder, index, vector * block.lanes))
            index = builder.add(index, arguments[3])
        return context.get_dummy_value()

    return types.void(block, array, types.intp, types.intp), generate


@intrinsic
def fire(typing_context, block, before, source, after, target, neuron, words, word):
    """Run the neurons of a block through its steps; pack each neuron's levels into a 64-bit word.

    Reads the membrane potentials before[source ...], writes after[target ...] and words[word ...]. `neuron` is the flat
    float32 array that `neuron_array` makes; see engine/neurons/firing.py for the rule.
    """

    def generate(context, builder, signature, arguments):
        current, before, source, after, target, neuron, words, word = arguments
        before = _data(context, builder, signature.args[1], before)
        after = _data(context, builder, signature.args[3], after)
        ladder = context.make_array(signature.args[5])(context, builder, neuron)
        words = _data(context, builder, signature.args[6], words)
        parameters = _Ladder(context, builder, ladder, block.lanes)
        for vector in range(block.vectors):
            shift = vector * block.lanes
            potential = _load_vector(builder, before, _offset(builder, source, shift), block.lanes)
            packed = ir.Constant(_vector(block.lanes, ir.IntType(64)), None)
            for step in range(block.steps):
                drive = builder.extract_value(current, step * block.vectors + vector)
                potential, level = parameters.step(potential, drive)
                wide = builder.zext(level, packed.type)
                places = ir.Constant(packed.type, [step * LEVEL_BITS] * block.lanes)
                packed = builder.or_(packed, builder.shl(wide, places))
            _store_vector(builder, potential, after, _offset(builder, target, shift))
            _store_vector(builder, packed, words, _offset(builder, word, shift))
        return context.get_dummy_value()

    return types.void(block, before, types.intp, after, types.intp, neuron, words, types.intp), generate


class _Ladder:
    """Emits one step of the firing rule for a vector of neurons: a loop over the thresholds."""

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

    def step(self, potential, drive):
        builder = self.builder
        level_type = _vector(self.lanes, ir.IntType(32))
        potential = builder.fadd(builder.fmul(self.decay, potential), drive)
        state = cgutils.alloca_once_value(builder, potential)
        level = cgutils.alloca_once_value(builder, ir.Constant(level_type, None))
        builder.store(potential, state)
        builder.store(ir.Constant(level_type, None), level)
        with cgutils.for_range(builder, self.count) as loop:
            place = builder.shl(_offset(builder, loop.index, 1), loop.index.type(1))
            compare = _splat(builder, self._number(place), self.lanes)
            subtract = _splat(builder, self._number(_offset(builder, place, 1)), self.lanes)
            bit = builder.shl(ir.IntType(32)(1), builder.trunc(loop.index, ir.IntType(32)))
            before = builder.load(state)
            crossed = builder.fcmp_ordered(">", before, compare)
            after = builder.fsub(builder.fmul(self.keep, before), subtract)
            builder.store(builder.select(crossed, after, before), state)
            marked = builder.or_(builder.load(level), _splat(builder, bit, self.lanes))
            builder.store(builder.select(crossed, marked, builder.load(level)), level)
        return builder.load(state), builder.load(level)


def neuron_array(decay: float, keep: float, compare: np.ndarray, subtract: np.ndarray) -> np.ndarray:
    """Parameters of a neuron in the flat order that `fire` reads."""
    pairs = np.stack([compare, subtract], axis=1).ravel()
    return np.concatenate([np.array([decay, keep]), pairs]).astype(np.float32)


def compiled(function):
    """Decorator of every kernel: releases the GIL (threads are Python's), cached on disk, no parallel back end."""
    kernel = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    cache_file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        # Numba compares the stamp of the kernel's own file; a kernel also changes with the intrinsics that it uses.
        cache_file._source_stamp = source_digest()
    return kernel


@functools.cache
def source_digest() -> str:
    """Digest of the source of all kernels: what is on disk is used again only while it stays the same."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

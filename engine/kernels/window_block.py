"""Accumulators that stay in vector registers: a window of pixels x steps x vectors x lanes float32 numbers.

Numba keeps a value in registers when its data model is made of LLVM vectors. A `WindowBlock` holds, for a window of
output pixels in a row, the input current of `vectors * lanes` channels at `steps` time steps; the functions below move
the window, add an event to all of its pixels and store its first pixel. How many pixels, steps, vectors and lanes there
are is part of the type: kernels take a token (see `window_token`), so that one source compiles to a few
specialisations.

`multiply_add` is a fused multiply-add with a single rounding on every processor, so the same numbers come out whatever
the vector width and the window.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .processor import host_accumulators, host_lanes
from .vectors import _data, _fused_multiply_add, _load_vector, _offset, _splat, _store_vector, _vector, _weights_of


class Token(NamedTuple):
    """A value whose Numba type says what a block has; each part is as long as there are of them.

    Parameters
    ----------
    steps : tuple
    window : tuple
        Output pixels.
    vectors : tuple
        Of output channels.
    lanes : tuple
        Of a vector.
    row : tuple
        Vectors from a pixel's weights to those of the next one in memory, of which a block may use a part; where there
        is one pixel, those of the block.
    """

    steps: tuple[int, ...]
    window: tuple[int, ...]
    vectors: tuple[int, ...]
    lanes: tuple[int, ...]
    row: tuple[int, ...]


@functools.cache
def window_token(steps: int, window: int, vectors: int, lanes: int, row: int) -> Token:
    """The token of a block."""
    return Token(*((0,) * count for count in (steps, window, vectors, lanes, row)))


def accumulators(steps: int, window: int, block_width: int, lanes: int | None = None) -> Token:
    """The token of a block for so many steps at once: as many accumulators as registers can hold.

    Vectors have `lanes`, by default those of a register; of more, several registers hold one.
    """
    lanes = lanes or host_lanes()
    most = host_accumulators() * host_lanes() // (lanes * steps)
    window = 1 if window > most else window
    row = vectors = block_width // lanes
    while vectors > 1 and (row % vectors or window * vectors > most):
        vectors -= 1
    return window_token(steps, window, vectors, lanes, vectors if window == 1 else row)


def pixels_token(block_width: int) -> Token:
    """The token of a block for one step of neighbouring pixels that read the same weights, four of them or fewer."""
    lanes = host_lanes()
    row = block_width // lanes
    vectors = next(count for count in (4, 3, 2, 1) if row % count == 0)
    return window_token(1, max(min(host_accumulators() // vectors, 4), 1), vectors, lanes, vectors)


class WindowBlock(types.Type):
    """Numba type of a block of accumulators."""

    def __init__(self, steps: int, window: int, vectors: int, lanes: int, row: int) -> None:
        self.steps = steps
        self.window = window
        self.vectors = vectors
        self.lanes = lanes
        self.row = row
        super().__init__(name=f"WindowBlock({steps}, {window}, {vectors}, {lanes}, {row})")

    def position(self, pixel: int, step: int, vector: int) -> int:
        """Where an accumulator stands."""
        return (pixel * self.steps + step) * self.vectors + vector


@register_model(WindowBlock)
class _WindowBlockModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(block.lanes), block.position(block.window, 0, 0)))


def _block_of(token):
    return WindowBlock(*(part.count for part in token))


@intrinsic
def empty_block(typing_context, token):
    """Block of zeros."""
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(block), None)

    return block(token), generate


@intrinsic
def next_pixel(typing_context, block, array, index, stride):
    """Drop the block's first pixel, move the others up, and let the new last one's step t start from array[index ...].

    Step t starts from array[index + t * stride], ..., so with stride 0 (a bias, an analog input's current) all steps
    start alike.
    """

    def generate(context, builder, signature, arguments):
        old, array, index, stride = arguments
        data = _data(context, builder, signature.args[1], array)
        result = old
        for step in range(block.steps):
            for vector in range(block.vectors):
                for pixel in range(1, block.window):
                    value = builder.extract_value(old, block.position(pixel, step, vector))
                    result = builder.insert_value(result, value, block.position(pixel - 1, step, vector))
                value = _load_vector(builder, data, _offset(builder, index, vector * block.lanes), block.lanes)
                result = builder.insert_value(result, value, block.position(block.window - 1, step, vector))
            index = builder.add(index, stride)
        return result

    return block(block, array, types.intp, types.intp), generate


@intrinsic
def multiply_add(typing_context, block, weights, shift, keys, scale, values, entry):
    """Block + weights[place + pixel * row + channel] * values[entry * steps + step], fused, for each of its numbers.

    The entry's weights are at place = shift + keys[entry] * scale.
    """

    def generate(context, builder, signature, arguments):
        current, weights, shift, keys, scale, values, entry = arguments
        weights = _data(context, builder, signature.args[1], weights)
        keys = _data(context, builder, signature.args[3], keys)
        values = _data(context, builder, signature.args[5], values)
        weight = _weights_of(builder, shift, keys, entry, scale)
        value = builder.mul(entry, ir.Constant(entry.type, block.steps))
        fused = _fused_multiply_add(builder, block.lanes)
        rows = list(itertools.product(range(block.window), range(block.vectors)))

        def weight_of(pixel, vector):
            place = (pixel * block.row + vector) * block.lanes
            return _load_vector(builder, weights, _offset(builder, weight, place), block.lanes)

        def value_of(step):
            scalar = builder.load(builder.gep(values, [_offset(builder, value, step)], inbounds=True))
            return _splat(builder, scalar, block.lanes)

        def add(result, pixel, step, vector, row, factor):
            position = block.position(pixel, step, vector)
            sum_ = builder.call(fused, [factor, row, builder.extract_value(result, position)])
            return builder.insert_value(result, sum_, position)

        # Whatever there are fewer of stays in registers: values of the steps, or rows of weights.
        result = current
        if block.steps < len(rows):
            factors = [value_of(step) for step in range(block.steps)]
            for pixel, vector in rows:
                row = weight_of(pixel, vector)
                for step, factor in enumerate(factors):
                    result = add(result, pixel, step, vector, row, factor)
            return result
        loaded = [weight_of(pixel, vector) for pixel, vector in rows]
        for step in range(block.steps):
            factor = value_of(step)
            for (pixel, vector), row in zip(rows, loaded, strict=True):
                result = add(result, pixel, step, vector, row, factor)
        return result

    return block(block, weights, types.intp, keys, types.intp, values, types.intp), generate


@intrinsic
def multiply_add_pixels(typing_context, block, weights, place, values, index, stride):
    """Block + weights[place + channel] * values[index + pixel * stride], fused, for each number of its only step."""

    def generate(context, builder, signature, arguments):
        result, weights, place, values, index, stride = arguments
        weights, values = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, weights), (3, values))
        )
        fused, factors = _fused_multiply_add(builder, block.lanes), []
        for _ in range(block.window):
            scalar = builder.load(builder.gep(values, [index], inbounds=True))
            factors.append(_splat(builder, scalar, block.lanes))
            index = builder.add(index, stride)
        for vector in range(block.vectors):
            row = _load_vector(builder, weights, _offset(builder, place, vector * block.lanes), block.lanes)
            for pixel, factor in enumerate(factors):
                position = block.position(pixel, 0, vector)
                sum_ = builder.call(fused, [factor, row, builder.extract_value(result, position)])
                result = builder.insert_value(result, sum_, position)
        return result

    number = types.intp
    return block(block, weights, number, values, number, number), generate


@intrinsic
def store_pixel(typing_context, block, array, index, stride):
    """Write step t of the block's first pixel to array[index + t * stride], array[index + t * stride + 1], ..."""

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        index = arguments[2]
        for step in range(block.steps):
            for vector in range(block.vectors):
                value = builder.extract_value(arguments[0], block.position(0, step, vector))
                _store_vector(builder, value, data, _offset(builder, index, vector * block.lanes))
            index = builder.add(index, arguments[3])
        return context.get_dummy_value()

    return types.void(block, array, types.intp, types.intp), generate

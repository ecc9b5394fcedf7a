"""Products of levels and weights of 16 bits, those of two events in one instruction, which AVX2 has.

Weights that fit a byte take twice the room so, half of what they take in float32, and nothing has to be widened where
they are read. Those of two events are brought side by side within 128 bits, and the processor adds both products. So
that sums come out in the order of the channels, weights lie in another one in memory.
"""

from __future__ import annotations

import itertools

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numpy.typing import NDArray

from .processor import host_features, host_lanes
from .vectors import _load_vector, _offset, _pairs_joined, _splat, _unpacked, _vector

LANES = 16
"""Output channels of a vector, which two registers hold."""

_BYTE, _SHORT, _NUMBER = ir.IntType(8), ir.IntType(16), ir.IntType(32)


def host_pairs() -> bool:
    """Whether this processor has these instructions, and no wider ones."""
    return host_lanes() == 8 and "avx2" in host_features()


def for_pairs(weights: NDArray[np.int8]) -> NDArray[np.int16]:
    """(..., channels), filled up to whole vectors, as they lie in memory: of 16, the second four follow the third."""
    filled = np.pad(weights, (*[(0, 0)] * (weights.ndim - 1), (0, -weights.shape[-1] % LANES)))
    quarters = filled.reshape(*weights.shape[:-1], -1, 4, LANES // 4)
    return quarters[..., [0, 2, 1, 3], :].reshape(filled.shape).astype(np.int16)


def add_two_pairs(builder, block, sums, weights, places, numbers):
    """What `add_quad` returns for weights of 16 bits, int16, as `for_pairs` leaves them.

    places : of the four events' weights
    numbers : for each step the levels of all four, unsigned bytes of a number
    """
    of_steps = [_pairs_of_levels(builder, levels) for levels in numbers]
    # One pair after the other: both at once would take more registers than there are.
    for pair, of_pair in enumerate(zip(*of_steps, strict=True)):
        for pixel, vector in itertools.product(range(block.window), range(block.vectors)):
            shift = (pixel * block.row + vector) * LANES
            both = [
                _load_vector(builder, weights, _offset(builder, place, shift), LANES, _SHORT)
                for place in places[2 * pair : 2 * pair + 2]
            ]
            for step, products in enumerate(_products_of_pair(builder, both, of_pair)):
                position = block.position(pixel, step, vector)
                added = builder.add(builder.extract_value(sums, position), products)
                sums = builder.insert_value(sums, added, position)
    return sums


def _pairs_of_levels(builder, levels):
    """Vectors of 16 bits that repeat the first two of four levels, unsigned bytes of a number, and the last two."""
    wide = builder.zext(builder.bitcast(levels, _vector(4, _BYTE)), _vector(4, _SHORT))
    pairs = builder.bitcast(wide, _vector(2, _NUMBER))
    found = []
    for number in range(2):
        repeated = _splat(builder, builder.extract_element(pairs, _NUMBER(number)), LANES // 2)
        found.append(builder.bitcast(repeated, _vector(LANES, _SHORT)))
    return found


def _products_of_pair(builder, weights, of_steps):
    """For each step the sums of two events' products, 16 int32 numbers in the order of the channels.

    weights : of each event a vector
    of_steps : for each step a vector that repeats the levels of both
    """
    first, second = weights
    halves = [_unpacked(builder, first, second, half) for half in range(2)]
    products = [[_products(builder, half, levels) for half in halves] for levels in of_steps]
    return [_pairs_joined(builder, of_step)[0] for of_step in products]


def _products(builder, pairs, levels):
    """(8,) int32: sums of the products of two numbers each."""
    result = _vector(LANES // 2, _NUMBER)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [pairs.type] * 2), "llvm.x86.avx2.pmadd.wd"
    )
    return builder.call(function, [pairs, levels])

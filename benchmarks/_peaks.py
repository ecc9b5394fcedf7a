"""Peaks of one core, with the engine's own instructions: multiply-adds, weight rows from each level of cache, products.

The products are those of bytes, 4 of them for each lane of a vector (VNNI) or 64 for each number of a tile (AMX).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikeunet.engine.kernels import dot
from spikeunet.engine.kernels.compilation import compiled_bare
from spikeunet.engine.kernels.dot import _call, _quad_product
from spikeunet.engine.kernels.processor import host_accumulators, host_lanes
from spikeunet.engine.kernels.vectors import _splat
from spikeunet.engine.kernels.window_block import empty_block, multiply_add, next_pixel, store_pixel, window_token
from spikeunet.engine.memory import aligned_empty

_L1_BYTES, _L2_BYTES, _FAR_BYTES = 24 << 10, 1 << 20, 64 << 20

_VECTORS, _TILES = 2, 4
"""Vectors of channels, and tiles of sums, that the dot kernels keep in registers."""

_PIXELS = dot.GROUP // 2
"""Whose sums are in vector registers at once."""

_PRODUCTS = {"vnni": _PIXELS * _VECTORS * dot.LANES * 4, "amx": _TILES * dot.GROUP * dot.CHUNK_BYTES}
"""Of a round of the kernels below."""

_ROUNDS = 1 << 19


@compiled_bare
def multiply_adds(token, weights, keys, values, scale, rounds, target):
    """Add the entries `keys` to a block, `rounds` times."""
    block = next_pixel(empty_block(token), values, 0, 0)
    for _ in range(rounds):
        for entry in range(keys.size):
            block = multiply_add(block, weights, 0, keys, scale, values, entry)
    store_pixel(block, target, 0, len(token[2]) * len(token[3]))


@dataclass(frozen=True)
class Peaks:
    """G multiply-adds/s of one core with all numbers at hand, and GB/s of weight rows by where they come from."""

    multiply_adds: float
    first_cache: float
    second_cache: float
    beyond: float


def measure_peaks(repeats: int = 7) -> Peaks:
    """Medians; thread time, so that other processes disturb little."""
    lanes = host_lanes()
    # A block of one pixel: what is never stored would not be computed.
    many = window_token(8 if host_accumulators() == 24 else 4, 1, 3, lanes, 3)
    # One accumulator for each vector that is read: a row of many vectors, as at one step.
    row = host_accumulators()
    wide = window_token(1, 1, row, lanes, row)
    reading = [_rate(wide, 4 * row * lanes, size, repeats) for size in (_L1_BYTES, _L2_BYTES, _FAR_BYTES)]
    return Peaks(_rate(many, many_adds(many), 1 << 12, repeats), *reading)


def many_adds(token) -> int:
    """Multiply-adds of an entry."""
    return int(np.prod([len(part) for part in token[:4]]))


def _rate(token, amount: int, size: int, repeats: int) -> float:
    """`amount` of an entry times entries a second, in thousand millions; weights of so many bytes."""
    lanes, steps = len(token[3]), len(token[0])
    row = len(token[1]) * len(token[4]) * lanes
    entries = max(size // 4 // row, 1)
    weights, values = aligned_empty(entries * row), aligned_empty(entries * steps + row)
    weights[:], values[:] = 0, 0
    keys = np.random.default_rng(0).permutation(entries).astype(np.int32)
    target = aligned_empty(row * steps)
    rounds = max(1, (256 << 20) // (4 * entries * row))
    run = (token, weights, keys, values, row, rounds, target)
    multiply_adds(*run)
    seconds = []
    for _ in range(repeats):
        begin = time.thread_time()
        multiply_adds(*run)
        seconds.append(time.thread_time() - begin)
    return amount * entries * rounds / statistics.median(seconds) / 1e9


# --- Products of bytes -----------------------------------------------------------------------------------------------


@intrinsic
def multiply_registers(_typing_context, block, quad, row):
    """`dot.multiply_quad` without reading memory: levels and weights are those of two int32 numbers."""

    def generate(_context, builder, _signature, arguments):
        result, quad, row = arguments
        number = ir.IntType(32)
        # Different ones, as in a dot kernel: equal sums would be computed once.
        rows = [_splat(builder, builder.add(row, number(vector)), dot.LANES) for vector in range(block.vectors)]
        for position in range(_PIXELS * block.vectors):
            pixel, vector = divmod(position, block.vectors)
            levels, sum_ = builder.add(quad, number(pixel)), builder.extract_value(result, position)
            sum_ = _quad_product(builder, block.kind, sum_, levels, rows[vector])
            result = builder.insert_value(result, sum_, position)
        return result

    return block(block, quad, row), generate


@intrinsic
def multiply_tiles(_typing_context):
    """`dot.multiply_chunk` of two vectors of channels without reading memory."""

    def generate(context, builder, _signature, _arguments):
        for tile in range(_TILES):
            group, vector = divmod(tile, _VECTORS)
            numbers = (ir.IntType(8)(register) for register in (tile, 4 + group, 6 + vector))
            _call(builder, "tdpbusd", *numbers)
        return context.get_dummy_value()

    return types.void(), generate


@compiled_bare
def add_in_vectors(token, levels, weights, rounds, sums):
    """Add up products in vector registers, `rounds` times."""
    quad, row = levels.view(np.int32)[0], weights.view(np.int32)[0]
    block = dot.zero_sums(token)
    for _ in range(rounds):
        block = multiply_registers(block, quad, row)
    dot.store_sums(block, sums, 0)


@compiled_bare
def add_in_tiles(token, levels, weights, rounds, sums, tiles):
    """Add up products in tiles, `rounds` times."""
    dot.load_configuration(tiles)
    dot.zero_tiles()
    # Levels and weights come with the first products.
    dot.multiply_chunk(token, levels, 0, 0, dot.CHUNK_LEVELS, weights, 0)
    for _ in range(rounds):
        multiply_tiles()
    dot.store_tiles(token, sums, 0)
    dot.release_tiles()


def product_peaks(repeats: int = 7) -> dict[str, float]:
    """G products of bytes a second of one core, by kind of kernel, with all numbers in registers; medians."""
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 128, dot.GROUP * dot.CHUNK_LEVELS).astype(np.uint8)
    weights = generator.integers(-127, 128, _VECTORS * dot.CHUNK_BYTES).astype(np.int8)
    sums = np.zeros(_TILES * dot.GROUP * dot.LANES, np.int32)
    peaks = {}
    for kind in reversed(dot.host_dots()):
        if kind not in _PRODUCTS:
            continue
        arguments = (dot.dot_token(kind, _VECTORS), levels, weights, _ROUNDS, sums)
        tiles = (dot.tile_configuration(),) * (kind == "amx")
        kernel = add_in_tiles if kind == "amx" else add_in_vectors
        kernel(*arguments, *tiles)
        seconds = []
        for _ in range(repeats):
            begin = time.thread_time()
            kernel(*arguments, *tiles)
            seconds.append(time.thread_time() - begin)
        peaks[kind] = _PRODUCTS[kind] * _ROUNDS / statistics.median(seconds) / 1e9
    return peaks

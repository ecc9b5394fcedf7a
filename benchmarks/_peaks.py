"""Peaks of one core, with the engine's own instructions: multiply-adds, and weight rows from each level of cache."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from spikeunet.engine.kernels.vector_block import compiled_bare, host_accumulators, host_lanes
from spikeunet.engine.kernels.window_block import empty_block, multiply_add, next_pixel, store_pixel, window_token
from spikeunet.engine.memory import aligned_empty

_L1_BYTES, _L2_BYTES, _FAR_BYTES = 24 << 10, 1 << 20, 64 << 20


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

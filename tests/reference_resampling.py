"""LeRF written down slowly in plain Python and NumPy, from the paper: what the compiled resampling is held against."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

PATTERNS = {"s": [(0, 0), (0, 1), (1, 0), (1, 1)], "c": [(0, k) for k in range(4)], "t": [(k, k) for k in range(4)]}


def random_tables(outputs, seed=0):
    """Tables of random numbers, which stage 1 leaves within the range of a picture more often than not."""
    from spikeunet.engine.resampling import Tables

    random = np.random.default_rng(seed)

    def table(count, low, high):
        return random.integers(low, high, (17**4, count), np.int8, endpoint=True)

    return Tables(
        {pattern: table(1, -20, 127) for pattern in PATTERNS},
        {(pattern, turn): table(outputs, -127, 127) for pattern in PATTERNS for turn in (0, 1)},
    )


def interpolated(table, samples, cell):
    """The value of a table (17, 17, 17, 17, outputs) at four samples: barycentric on the simplex that holds them.

    Down the samples' rests, the largest first, each corner of the simplex has one coordinate more of the upper ones.
    """
    corner = [sample // cell for sample in samples]
    rests = [Fraction(int(sample % cell), cell) for sample in samples]
    order = sorted(range(4), key=lambda axis: -rests[axis])
    heights = [Fraction(1), *(rests[axis] for axis in order), Fraction(0)]
    total = 0
    for step in range(5):
        total = total + (heights[step] - heights[step + 1]) * table[tuple(corner)].astype(object)
        if step < 4:
            corner[order[step]] += 1
    return total


def stage(plane, tables, cell):
    """Sum over turns and patterns; `tables` has, by pattern, the table of each of the four turns. Exact fractions."""
    total = 0
    for pattern, by_turn in tables.items():
        for turn, table in enumerate(by_turn):
            rotated = np.pad(np.rot90(plane, turn), ((0, 3), (0, 3)), mode="edge")
            height, width = np.rot90(plane, turn).shape
            found = np.empty((height, width, table.shape[-1]), object)
            for y in range(height):
                for x in range(width):
                    samples = [rotated[y + down, x + right] for down, right in PATTERNS[pattern]]
                    found[y, x] = interpolated(table, samples, cell)
            total = total + np.rot90(found, -turn)
    return total


def prefiltered(plane, unit, tables):
    total = stage(plane, {pattern: [table] * 4 for pattern, table in tables.prefilter.items()}, 16 * unit)
    levels = np.vectorize(lambda value: round(Fraction(value) * unit / 3), otypes=[np.int64])(total[..., 0])
    return np.clip(levels, 0, 255 * unit)


def shapes(plane, unit, tables):
    by_turn = {pattern: [tables.shape[pattern, turn % 2] for turn in range(4)] for pattern in PATTERNS}
    total = stage(plane, by_turn, 16 * unit)
    levels = np.vectorize(lambda value: round(Fraction(value) / 12 + 127), otypes=[np.int64])(total)
    return np.clip(levels, 0, 255)


def weight(shape, down, right):
    """Of a pixel whose weights have this shape, at a place so far away: LeRF-G's Gaussian or LeRF-L's tent."""
    if len(shape) == 1:
        slope = shape[0] / 255 * 2 - 1
        tents = [max(1 - slope * abs(distance), 0) if abs(distance) <= 1 else 0 for distance in (down, right)]
        return tents[0] * tents[1]
    correlation, down, right = shape[0] / 255 * 2 - 1, shape[1] / 25.5 * down, shape[2] / 25.5 * right
    return np.exp(-0.5 * (down**2 - 2 * correlation * down * right + right**2))


def resampled(plane, shape, size):
    """Weighted means over the 2x2 pixels around each place, the middles of both pictures upon each other."""
    height, width = plane.shape
    found = np.empty(size)
    for y in range(size[0]):
        for x in range(size[1]):
            # In this order: one pixel away, where a tent ends, it is rounding that says what still counts.
            place = [
                k / (m / n) + (n - 1) / 2 - (m - 1) / (2 * (m / n))
                for k, n, m in zip((y, x), (height, width), size, strict=True)
            ]
            first = [math.ceil(each - 1 - 2**-23) for each in place]
            total = weights = 0.0
            for row in (first[0], first[0] + 1):
                for column in (first[1], first[1] + 1):
                    at = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                    share = weight(shape[at], place[0] - row, place[1] - column)
                    total, weights = total + share * plane[at], weights + share
            found[y, x] = total / weights
    return found

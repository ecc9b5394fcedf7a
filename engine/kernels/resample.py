"""Learned resampling: look-up tables of four samples with interpolation on a simplex, and weights of each own shape."""

from __future__ import annotations

import math

import numba
import numpy as np

from .compilation import compiled_bare


@numba.njit(inline="always")
def _larger_first(a, b):
    return max(a, b), min(a, b)


_SLOPE, _DOWN, _RIGHT = range(3)
"""Parameters of a weight: correlation or slope, and the extents down and to the right."""


@compiled_bare
def look_up(plane, unit, table, offsets, rows, sums):
    """Add what a table says of four samples around each pixel, for each rotation of where they lie.

    A sample is a cell of the table and a rest. From the corner below all four the way leads along the axis of the
    largest rest that is left, and each corner on it counts by how much its rest is above the next one's.

    plane : int32, (H, W), from 0 to 255 * unit
    table : int8, (17, 17, 17, 17, outputs)
    offsets : int64, (rotations, 4, 2), rows and columns; beyond the border the last sample goes on
    rows : first, last + 1 row to compute
    sums : int32, (H, W, outputs), in 1 / (16 * unit)
    """
    height, width = plane.shape
    cell = 16 * unit
    outputs = table.shape[4]
    flat = table.reshape(-1)
    side = table.shape[0]
    strides = (outputs * side * side * side, outputs * side * side, outputs * side, outputs)
    for y in range(rows[0], rows[1]):
        for x in range(width):
            for rotation in range(len(offsets)):
                place = 0
                # A rest and the axis it belongs to in one number, so that both are sorted together.
                a = b = c = d = 0
                for tap in range(4):
                    row = min(max(y + offsets[rotation, tap, 0], 0), height - 1)
                    column = min(max(x + offsets[rotation, tap, 1], 0), width - 1)
                    sample = np.int64(plane[row, column])
                    whole = sample // cell
                    place += whole * strides[tap]
                    rest = (sample - whole * cell) * 4 + tap
                    a, b, c, d = b, c, d, rest
                a, b = _larger_first(a, b)
                c, d = _larger_first(c, d)
                a, c = _larger_first(a, c)
                b, d = _larger_first(b, d)
                b, c = _larger_first(b, c)
                second = place + strides[a & 3]
                third = second + strides[b & 3]
                fourth = third + strides[c & 3]
                last = fourth + strides[d & 3]
                a, b, c, d = a >> 2, b >> 2, c >> 2, d >> 2
                for output in range(outputs):
                    sums[y, x, output] += (
                        (cell - a) * flat[place + output]
                        + (a - b) * flat[second + output]
                        + (b - c) * flat[third + output]
                        + (c - d) * flat[fourth + output]
                        + d * flat[last + output]
                    )


@compiled_bare
def weigh(plane, shapes, table, vertical, horizontal, rows, resampled):
    """Mean of the four pixels around each place, weighted by what each of them says of its own surroundings.

    plane : int32, (H, W)
    shapes : uint8, (H, W, 3 or 1), what the weights' parameters are in `table`
    table : float64, (3 or 1, 256): correlation, inverse widths down and across of a Gaussian; or the slope of a tent
    vertical, horizontal : first pixel, int64, and the place's distance from it, float64, by row and by column
    rows : first, last + 1 row to compute
    resampled : float64, (output rows, output columns)
    """
    height, width = plane.shape
    tops, downs = vertical
    lefts, rights = horizontal
    gaussian = len(table) == 3
    for y in range(rows[0], rows[1]):
        for x in range(len(lefts)):
            total, weights = 0.0, 0.0
            for tap in range(4):
                i, j = tap & 1, tap >> 1
                row = min(max(tops[y] + i, 0), height - 1)
                column = min(max(lefts[x] + j, 0), width - 1)
                down, right = downs[y] - i, rights[x] - j
                if gaussian:
                    correlation = table[_SLOPE, shapes[row, column, _SLOPE]]
                    down *= table[_DOWN, shapes[row, column, _DOWN]]
                    right *= table[_RIGHT, shapes[row, column, _RIGHT]]
                    weight = math.exp(-0.5 * (down * down - 2 * correlation * (down * right) + right * right))
                else:
                    slope = table[_SLOPE, shapes[row, column, _SLOPE]]
                    weight = _tent(slope, down) * _tent(slope, right)
                weights += weight
                total += weight * plane[row, column]
            resampled[y, x] = total / weights


@numba.njit(inline="always")
def _tent(slope, distance):
    """1 - slope * |distance| where that is positive and the distance at most 1."""
    return max(1 - slope * abs(distance), 0.0) if abs(distance) <= 1 else 0.0

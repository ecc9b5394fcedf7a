"""The two stages of LeRF by its tables: a picture that is prefiltered, and the shapes of its pixels' weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..threads import on_threads
from .means import Plane, bands
from .tables import PATTERNS, Tables


def prefiltered(plane: Plane, unit: int, tables: Tables) -> Plane:
    """Stage 1: (H, W) int32 from 0 to 255 * unit."""
    sums = np.zeros((*plane.shape, 1), np.int32)
    for pattern, table in tables.prefilter.items():
        _look_up(plane, unit, table, turned(pattern, (0, 1, 2, 3)), sums)
    # A sum in sixteenths of a level over three patterns, whose four turns add up.
    return np.clip(halves_to_even(sums[..., 0], 16 * len(PATTERNS)), 0, 255 * unit)


def shapes_of(filtered: Plane, unit: int, tables: Tables) -> NDArray[np.uint8]:
    """Stage 2: what the tables say of each pixel's weights, (H, W, 3 or 1) uint8; 127 is half way."""
    sums = np.zeros((*filtered.shape, tables.outputs), np.int32)
    for (pattern, turn), table in tables.shape.items():
        _look_up(filtered, unit, table, turned(pattern, (turn, turn + 2)), sums)
    divisor = 16 * unit * len(PATTERNS) * 4
    return np.clip(halves_to_even(sums + 127 * divisor, divisor), 0, 255).astype(np.uint8)


def turned(pattern: str, turns: tuple[int, ...]) -> NDArray[np.int64]:
    """Where a pattern's samples lie, (turns, 4, 2), when the picture is turned counter-clockwise by quarters.

    A step right in the turned picture is one down in the picture itself, and a step down is one to the left.
    """
    found = []
    for turn in turns:
        offsets = PATTERNS[pattern]
        for _ in range(turn):
            offsets = tuple((right, -down) for down, right in offsets)
        found.append(offsets)
    return np.array(found, np.int64)


def halves_to_even(sums: NDArray[np.int32], divisor: int) -> NDArray[np.int32]:
    """The quotient rounded to the nearest whole number, halves to an even one, without leaving whole numbers."""
    quotient, rest = np.divmod(sums, np.int32(divisor))
    up = (2 * rest > divisor) | ((2 * rest == divisor) & (quotient % 2 == 1))
    found: NDArray[np.int32] = quotient + up
    return found


def _look_up(plane: Plane, unit: int, table: NDArray[np.int8], offsets: NDArray[np.int64], sums: Plane) -> None:
    from ..kernels.resample import look_up

    on_threads(lambda rows: look_up(plane, unit, table, offsets, rows, sums), bands(plane.shape[0]))

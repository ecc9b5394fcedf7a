"""Sizes to which a picture can be enlarged."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InputError
from ..pictures.decoding import MAXIMUM_PIXELS

MOST_SCALE = 64.0
"""What nobody enlarges a picture by."""


def checked_size(shape: tuple[int, ...], scale: object, size: object) -> tuple[int, int]:
    """Height and width of the result; InputError where they make no sense."""
    if (scale is None) == (size is None):
        raise InputError(f"name either a scale or a size (got scale {scale!r}, size {size!r})")
    height, width = shape[:2]
    if size is None:
        factor = check_scale(scale)
        found = math.ceil(factor * height), math.ceil(factor * width)
    else:
        found = _two_numbers(size)
    if found[0] < height or found[1] < width or max(found[0] / height, found[1] / width) > MOST_SCALE:
        raise InputError(
            f"{width}x{height} pixels can become at least as many and at most {MOST_SCALE:g} times as many in each "
            f"direction (got {found[1]}x{found[0]}); resampling is made to enlarge"
        )
    if found[0] * found[1] > MAXIMUM_PIXELS:
        raise InputError(f"{found[1]}x{found[0]} pixels are more than the limit of {MAXIMUM_PIXELS}; cut it into parts")
    return found


def check_scale(scale: object) -> float:
    """The scale as a float; InputError where it is no number or one that nobody enlarges by."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)) or not 1 <= scale <= MOST_SCALE:
        raise InputError(
            f"the scale must be a number from 1 to {MOST_SCALE:g} (got {scale!r}); resampling is made to enlarge, take "
            "another program to shrink"
        )
    return float(scale)


def _two_numbers(size: object) -> tuple[int, int]:
    numbers = list(size) if isinstance(size, (tuple, list)) else []
    if len(numbers) != 2 or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers):
        raise InputError(f"the size must be two whole numbers, height and width (got {size!r:.60})")
    return int(numbers[0]), int(numbers[1])

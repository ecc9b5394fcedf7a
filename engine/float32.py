"""What counts as a float32 number here: zero, and sizes from 2**-126 to the largest finite one.

Smaller numbers, the subnormal ones, count as zeros, and a result that would be one is zero. Many processors take a
hundred times longer over them, and a membrane that leaks, or a product of small weights and small spikes, gets there
sooner or later. What a run computes with them would be of no use to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import RangeError

SMALLEST = 2.0**-126
"""The smallest positive float32 number that is not subnormal."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest finite float32 number."""

_PART = 1 << 16
"""Numbers that are looked at in one go."""

Real = TypeVar("Real", bound=np.floating[Any])


def held(value: float) -> float:
    """`value` as a float32 number; 0 where that would be subnormal. Finite float32 numbers only."""
    return 0.0 if abs(value) < SMALLEST else float(np.float32(value))


def without_subnormals(array: NDArray[Real]) -> NDArray[Real]:
    """The array, with zeros instead of numbers that are subnormal in float32; a copy only where there are some."""
    if not any(map(_has_subnormals, _parts(array))):
        return array
    return np.where(np.abs(array) < SMALLEST, array.dtype.type(0), array)


def _has_subnormals(array: NDArray[Real]) -> bool:
    tiny = np.count_nonzero(np.abs(array) < SMALLEST)
    return bool(tiny and tiny > array.size - np.count_nonzero(array))  # The others are zeros.


def _parts(array: NDArray[Real]) -> Iterator[NDArray[Real]]:
    """All numbers, in parts of which what is computed stays in the cache."""
    flat = array.reshape(-1)
    return (flat[first : first + _PART] for first in range(0, flat.size, _PART))


def largest_size(array: NDArray[np.float32]) -> float:
    """The largest size of a number, of either sign; 0 of none."""
    return float(max(array.max(initial=0), -array.min(initial=0)))


def all_finite(array: NDArray[np.float32]) -> bool:
    """Whether no number is infinite or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is NaN or infinite where a number is, and takes a single pass.
        if np.isfinite(array.sum()):
            return True
    return bool(np.isfinite(array).all())


def beyond(name: str, what: str) -> RangeError:
    """What to raise where a number of the node `name` is infinite or NaN."""
    return RangeError(
        f"{what} of {name!r} leaves the range of float32 (sizes up to {LARGEST:.2g}); scale its weights and biases, or "
        "the picture, down"
    )

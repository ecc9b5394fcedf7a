"""What an enlarged picture is made of: for each of its places the weighted mean of four pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..threads import on_threads

_BAND = 16
"""Rows that a thread takes at a time."""

_WIDEST = 10.0
"""Inverse width, in pixels, that the largest level of a width stands for."""

Plane = NDArray[np.int32]
"""One channel, (H, W), whole numbers from 0 to 255 * unit."""

Axis = tuple[NDArray[np.int64], NDArray[np.float64]]


def axis(pixels: int, wanted: int, factor: float) -> Axis:
    """First of the two pixels that a place of the result lies between, and how far behind it, for all along a side.

    The middles of both pictures lie on each other. LeRF-L's tent ends abruptly one pixel away, and where a place is a
    pixel's but for rounding, rounding decides: it is the published code's, to the bit, and so are the figures.
    """
    places = np.arange(wanted) / factor + (pixels - 1) / 2 - (wanted - 1) / (2 * factor)
    first = np.ceil(places - 1 - np.finfo(np.float32).eps)
    return first.astype(np.int64), places - first


def weighted(filtered: Plane, shapes: NDArray[np.uint8], axes: Sequence[Axis]) -> NDArray[np.float64]:
    """The weighted means at all places of the result, on the scale of `filtered`."""
    from ..kernels.resample import weigh

    table = _parameters(shapes.shape[2])
    shapes = np.ascontiguousarray(shapes)
    resampled = np.empty((len(axes[0][0]), len(axes[1][0])))
    on_threads(
        lambda rows: weigh(filtered, shapes, table, axes[0], axes[1], rows, resampled), bands(resampled.shape[0])
    )
    return resampled


def _parameters(count: int) -> NDArray[np.float64]:
    """What the levels 0 to 255 stand for: correlation from -1 to 1 and inverse widths from 0 to 10, or the slope."""
    share = np.arange(256, dtype=np.float32) / np.float32(255)
    signed = share * np.float32(2) - np.float32(1)
    rows = [signed] if count == 1 else [signed, share * np.float32(_WIDEST), share * np.float32(_WIDEST)]
    return np.stack(rows).astype(np.float64)


def linear(transparency: NDArray[Any], axes: Sequence[Axis]) -> NDArray[Any]:
    """Linear interpolation, which keeps what is opaque everywhere opaque."""
    (tops, downs), (lefts, rights) = axes
    height, width = transparency.shape
    above, below = np.clip(tops, 0, height - 1), np.clip(tops + 1, 0, height - 1)
    left, right = np.clip(lefts, 0, width - 1), np.clip(lefts + 1, 0, width - 1)
    values = transparency.astype(np.float64)
    lines = values[above] + (values[below] - values[above]) * downs[:, None]
    found = lines[:, left] + (lines[:, right] - lines[:, left]) * rights
    return (np.rint(found) if transparency.dtype.kind == "u" else found).astype(transparency.dtype)


def bands(rows: int) -> list[tuple[int, int]]:
    """Rows from and to that a thread takes at a time."""
    return [(first, min(first + _BAND, rows)) for first in range(0, rows, _BAND)]

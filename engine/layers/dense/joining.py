"""Channels-last batches: the parts that a node reads, joined into one array, and a gradient cut into parts again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...threads import on_threads

Array = NDArray[Any]
Value = tuple[Array, ...]
"""Arrays (M, H, W, channels of this part) that follow one another along the channels; M is steps times pictures."""


def joined(value: Value, padding: tuple[int, int] = (0, 0)) -> Array:
    """The parts joined along the channels and surrounded by zeros.

    Parameters
    ----------
    value : tuple of (M, H, W, C_part)
    padding : (int, int)
        Rows above and below, columns left and right.

    Returns
    -------
    (M, H + 2 * padding[0], W + 2 * padding[1], C), C-contiguous; `value`'s own array where nothing had to move.
    """
    rows, columns = padding
    if len(value) == 1 and not rows and not columns:
        return np.ascontiguousarray(value[0])
    pictures, height, width, _ = value[0].shape
    result = np.empty((pictures, height + 2 * rows, width + 2 * columns, channels_of(value)), value[0].dtype)
    result[:, :rows] = 0
    result[:, rows + height :] = 0
    result[:, rows : rows + height, :columns] = 0
    result[:, rows : rows + height, columns + width :] = 0
    inside = result[:, rows : rows + height, columns : columns + width]
    for part, target in zip(value, split(inside, [part.shape[3] for part in value]), strict=True):
        target[...] = part
    return result


def channels_of(value: Value) -> int:
    """Channels of all parts together."""
    return sum(part.shape[3] for part in value)


def split(array: Array, widths: Sequence[int]) -> Iterator[Array]:
    """Views of `array` along its last axis, one of each width."""
    start = 0
    for width in widths:
        yield array[..., start : start + width]
        start += width


def sum_by_channel(gradient: Array) -> Array:
    """Sum over all pixels, (C,), of (M, H, W, C)."""

    def work(picture: Array) -> Array:
        pixels = np.ascontiguousarray(picture).reshape(-1, picture.shape[2])
        return np.asarray(np.ones(len(pixels), pixels.dtype) @ pixels)

    return np.asarray(np.sum(on_threads(work, gradient), axis=0))

"""Channels-last values: what the layers hand to one another, and the zero-padded array that a kernel reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Value = tuple[NDArray[np.float32], ...]
"""Arrays (H, W, channels of this part) that follow one another along the channels."""


def padded(value: Value, padding: tuple[int, int]) -> NDArray[np.float32]:
    """The parts joined along the channels and surrounded by zeros.

    Parameters
    ----------
    value : tuple of (H, W, C_part) float32
    padding : (int, int)
        Rows above and below, columns left and right.

    Returns
    -------
    (H + 2 * padding[0], W + 2 * padding[1], C) float32, C-contiguous; `value`'s own array where nothing had to move.
    """
    rows, columns = padding
    if len(value) == 1 and not rows and not columns:
        return np.ascontiguousarray(value[0])
    height, width = value[0].shape[:2]
    shape = (height + 2 * rows, width + 2 * columns, sum(part.shape[2] for part in value))
    joined = np.zeros(shape, np.float32) if rows or columns else np.empty(shape, np.float32)
    start = 0
    for part in value:
        joined[rows : rows + height, columns : columns + width, start : start + part.shape[2]] = part
        start += part.shape[2]
    return joined


def channels_first(value: Value) -> NDArray[np.float32]:
    """The parts joined, (C, H, W) float32, a new C-contiguous array."""
    return np.concatenate([part.transpose(2, 0, 1) for part in value])

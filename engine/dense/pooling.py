"""Dense average pooling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph import AvgPool2d
from .layout import Value, padded


def average(node: AvgPool2d, value: Value) -> NDArray[np.float32]:
    """The current of an AvgPool2d: means over its windows, padding counted as zeros.

    Parameters
    ----------
    node : AvgPool2d
    value : tuple of (H, W, C_part) float32

    Returns
    -------
    (H', W', C) float32
    """
    source = padded(value, node.padding)
    sizes = zip(source.shape, node.kernel_size, node.stride, strict=False)
    height, width = ((size - kernel) // stride + 1 for size, kernel, stride in sizes)
    down, right = node.stride
    total = np.zeros((height, width, source.shape[2]), np.float32)
    for row, column in node.taps(value[0].shape[:2]):
        bottom, end = row + (height - 1) * down + 1, column + (width - 1) * right + 1
        total += source[row:bottom:down, column:end:right]
    total *= np.float32(1 / (node.kernel_size[0] * node.kernel_size[1]))
    return total

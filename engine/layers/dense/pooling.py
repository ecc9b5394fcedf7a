"""Pools on batches: means, and what windows give back to what lies in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .joining import Value, joined
from .windows import Taps

if TYPE_CHECKING:
    from ..pool import Pool2d

Array = NDArray[Any]


def means(node: Pool2d, value: Value) -> Array:
    """Means (M, H', W', C) over the windows, padding counted as zeros, for `value`, parts (M, H, W, C_part)."""
    source = joined(value, node.padding)
    taps = _taps(node, source)
    total = np.zeros((len(source), *taps.windows, source.shape[3]), source.dtype)
    for row, column in node.taps(value[0].shape[1:3]):
        total += taps.seen(source, row, column)
    total *= share(node, source)
    return total


def spread(node: Pool2d, value: Value, flow: Array) -> Array:
    """(M, H, W, C): the sum of what each window that an input lies in has, of (M, H', W', C)."""
    (rows, columns), (pictures, height, width, _) = node.padding, value[0].shape
    padded = np.zeros((pictures, height + 2 * rows, width + 2 * columns, flow.shape[3]), flow.dtype)
    taps = _taps(node, padded)
    for row, column in node.taps((height, width)):
        seen = taps.seen(padded, row, column)
        seen += flow
    return padded[:, rows : rows + height, columns : columns + width]


def share(node: Pool2d, source: Array) -> Any:
    """What a mean takes of each input of a window."""
    return source.dtype.type(1 / (node.kernel_size[0] * node.kernel_size[1]))


def _taps(node: Pool2d, source: Array) -> Taps:
    sizes = zip(source.shape[1:3], node.kernel_size, node.stride, strict=True)
    height, width = ((size - kernel) // stride + 1 for size, kernel, stride in sizes)
    return Taps(node.kernel_size, node.stride, (1, 1), (height, width))

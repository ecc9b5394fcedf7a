"""Average pooling on batches: current, and the gradient of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .joining import Value, joined
from .windows import Taps

if TYPE_CHECKING:
    from ..avg_pool2d import AvgPool2d

Array = NDArray[Any]


def current(node: AvgPool2d, value: Value) -> Array:
    """Means (M, H', W', C) over the windows, padding counted as zeros, for `value`, parts (M, H, W, C_part)."""
    source = joined(value, node.padding)
    taps = _taps(node, source)
    total = np.zeros((len(source), *taps.windows, source.shape[3]), source.dtype)
    for row, column in node.taps(value[0].shape[1:3]):
        total += taps.seen(source, row, column)
    total *= _share(node, source)
    return total


def gradients(node: AvgPool2d, value: Value, gradient: Array, into_input: bool) -> Array | None:
    """Gradient of the input (M, H, W, C), or None where it is not wanted."""
    if not into_input:
        return None
    (rows, columns), (pictures, height, width, _) = node.padding, value[0].shape
    padded = np.zeros((pictures, height + 2 * rows, width + 2 * columns, gradient.shape[3]), gradient.dtype)
    taps = _taps(node, padded)
    flow = gradient * _share(node, gradient)
    for row, column in node.taps((height, width)):
        seen = taps.seen(padded, row, column)
        seen += flow
    return padded[:, rows : rows + height, columns : columns + width]


def _taps(node: AvgPool2d, source: Array) -> Taps:
    sizes = zip(source.shape[1:3], node.kernel_size, node.stride, strict=True)
    height, width = ((size - kernel) // stride + 1 for size, kernel, stride in sizes)
    return Taps(node.kernel_size, node.stride, (1, 1), (height, width))


def _share(node: AvgPool2d, source: Array) -> Any:
    return source.dtype.type(1 / (node.kernel_size[0] * node.kernel_size[1]))

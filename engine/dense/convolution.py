"""Dense convolution and transposed convolution as matrix products, without an im2col copy for stride 1.

In a padded, flattened, channels-last picture of width W', the input of every output pixel for one tap (ky, kx) of the
kernel is the contiguous run that starts ky * dilation * W' + kx * dilation pixels later. One sgemm a tap, accumulating
in place, therefore convolves the whole picture; the columns that wrap around a row's end are computed and ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Conv2d, ConvTranspose2d, Linear
from .layout import Value, channels_first, padded

Array = NDArray[np.float32]
Weighted = TypeVar("Weighted", Conv2d, ConvTranspose2d)


def add_product(pixels: Array, weight: Array, total: Array, beta: float = 1.0) -> Array:
    """`pixels @ weight + beta * total`, written into `total`; what `total` holds is not read where beta is 0.

    (M, N) float32 from (M, K) and (K, N), all C-contiguous.
    """
    # Imported here because SciPy would slow down the start of programs that only simulate.
    from scipy.linalg.blas import sgemm

    # BLAS thinks in columns: the transposed views make it read and write C-contiguous memory without a copy.
    product: Array = sgemm(1.0, weight.T, pixels.T, beta, total.T, overwrite_c=1)
    return product.T


def convolve(node: Conv2d, value: Value) -> Array:
    """The current of a Conv2d, bias included.

    Parameters
    ----------
    node : Conv2d
    value : tuple of (H, W, C_part) float32

    Returns
    -------
    (H', W', out_channels) float32, not necessarily contiguous
    """
    return _by_groups(_convolve_group, node, padded(value, node.padding))


def _by_groups(work: Callable[[Weighted, Array, Array], Array], node: Weighted, source: Array) -> Array:
    """`work` of the node, the input channels of a group and their weights, for every group; and the bias."""
    if node.groups == 1:
        current = work(node, source, node.weight)
    else:
        weights = np.split(node.weight, node.groups)
        sources = np.split(source, node.groups, axis=2)
        groups = zip(sources, weights, strict=True)
        current = np.concatenate([work(node, part, weight) for part, weight in groups], axis=2)
    current += node.bias
    return current


def _convolve_group(node: Conv2d, source: Array, weight: Array) -> Array:
    taps = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    source = np.ascontiguousarray(source)
    return _convolve_dense(node, source, taps) if node.stride == (1, 1) else _convolve_strided(node, source, taps)


def _convolve_dense(node: Conv2d, source: Array, taps: Array) -> Array:
    columns, channels = source.shape[1:]
    height, width = _output_size(node, source, taps)
    pixels = source.reshape(-1, channels)
    count = (height - 1) * columns + width
    total = np.empty((count, taps.shape[3]), np.float32)
    for index, (row, column) in enumerate(np.ndindex(taps.shape[:2])):
        start = row * node.dilation[0] * columns + column * node.dilation[1]
        total = add_product(pixels[start : start + count], taps[row, column], total, beta=float(index > 0))
    return _rows_of(total, height, width, columns)


def _rows_of(total: Array, height: int, width: int, columns: int) -> Array:
    """View (height, width, channels) of pixels whose rows lie `columns` apart; the last row may end at `width`."""
    pixel, item = total.strides
    shape = (height, width, total.shape[1])
    return np.lib.stride_tricks.as_strided(total, shape, (columns * pixel, pixel, item))


def _convolve_strided(node: Conv2d, source: Array, taps: Array) -> Array:
    height, width = _output_size(node, source, taps)
    down, right = node.stride
    total = np.empty((height * width, taps.shape[3]), np.float32)
    for index, (row, column) in enumerate(np.ndindex(taps.shape[:2])):
        top, left = row * node.dilation[0], column * node.dilation[1]
        seen = source[top : top + (height - 1) * down + 1 : down, left : left + (width - 1) * right + 1 : right]
        pixels = seen.reshape(height * width, -1)
        total = add_product(pixels, taps[row, column], total, beta=float(index > 0))
    return total.reshape(height, width, -1)


def _output_size(node: Conv2d, source: Array, taps: Array) -> tuple[int, int]:
    sizes = zip(source.shape, taps.shape, node.dilation, node.stride, strict=False)
    height, width = ((size - dilation * (k - 1) - 1) // stride + 1 for size, k, dilation, stride in sizes)
    return height, width


def convolve_transposed(node: ConvTranspose2d, value: Value) -> Array:
    """The current of a ConvTranspose2d, bias included.

    Parameters
    ----------
    node : ConvTranspose2d
    value : tuple of (H, W, C_part) float32

    Returns
    -------
    (H', W', out_channels) float32, not necessarily contiguous
    """
    return _by_groups(_spread_group, node, padded(value, (0, 0)))


def _spread_group(node: ConvTranspose2d, source: Array, weight: Array) -> Array:
    """Each input pixel's products with all taps, added up where the taps fall."""
    height, width, channels = source.shape
    out_channels, *kernel = weight.shape[1:]
    taps = weight.transpose(0, 2, 3, 1).reshape(channels, -1)
    pixels = np.ascontiguousarray(source).reshape(-1, channels)
    products = add_product(pixels, taps, np.empty((len(pixels), taps.shape[1]), np.float32), beta=0.0)
    products = products.reshape(height, width, *kernel, out_channels)
    _, full_height, full_width = node.output_shape((node.in_channels, height, width))
    top, left = node.padding
    total = np.zeros((full_height + 2 * top, full_width + 2 * left, out_channels), np.float32)
    down, right = node.stride
    for row, column in np.ndindex(*kernel):
        y, x = row * node.dilation[0], column * node.dilation[1]
        reached = total[y : y + (height - 1) * down + 1 : down, x : x + (width - 1) * right + 1 : right]
        reached += products[:, :, row, column]
    return total[top : top + full_height, left : left + full_width]


def connect(node: Linear, value: Value) -> Array:
    """The current of a Linear node, (1, 1, out_features) float32, bias included; features ordered (C, H, W)."""
    features = channels_first(value).reshape(-1)
    return (node.weight @ features + node.bias).reshape(1, 1, -1)

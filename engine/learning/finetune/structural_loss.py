"""Structural similarity as a loss: 1 - SSIM of pictures, and its gradient written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from ...errors import InputError
from ...pictures.metrics import SSIM_WINDOW

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_RADIUS = SSIM_WINDOW // 2
_LOW, _HIGH = 0.01**2, 0.03**2
"""Of pictures from black 0 to white 1."""

_WEIGHTS = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / 1.5) ** 2)
_WEIGHTS /= _WEIGHTS.sum()


def structural_dissimilarity(output: Array, target: Array) -> tuple[float, Array]:
    """1 - SSIM, mean over pictures, channels and all places where the window fits; both (N, H, W, O), black 0, white 1.

    That is 1 - `pictures.metrics.ssim`: Wang et al., IEEE Transactions on Image Processing 13(4), 2004, a Gaussian
    window of 11x11 pixels with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03.

    Raises
    ------
    InputError
        If the two differ in shape or a side is shorter than 11 pixels.
    """
    if output.shape != target.shape or min(output.shape[1:3]) < SSIM_WINDOW:
        shapes = ("x".join(map(str, each.shape)) for each in (output, target))
        raise InputError(
            "SSIM compares pictures of one size, at least {0}x{0} pixels (got {1} and {2}, pictures x height x width x "
            "channels); take larger crops".format(SSIM_WINDOW, *shapes)
        )
    x, y = output.astype(np.float64), target.astype(np.float64)
    mean, wanted_mean = _local_mean(x), _local_mean(y)
    alike = 2 * mean * wanted_mean + _LOW, 2 * (_local_mean(x * y) - mean * wanted_mean) + _HIGH
    size = (
        mean**2 + wanted_mean**2 + _LOW,
        _local_mean(x * x) - mean**2 + _local_mean(y * y) - wanted_mean**2 + _HIGH,
    )
    scale = 1 / (size[0] * size[1])
    similarity = alike[0] * alike[1] * scale
    # By the local means of x, of its square and of its product with y, one after the other.
    by_mean = 2 * wanted_mean * (alike[1] - alike[0]) * scale - 2 * mean * similarity * (1 / size[0] - 1 / size[1])
    by_square, by_product = -similarity / size[1], 2 * alike[0] * scale
    gradient = _from_local_mean(by_mean) + 2 * x * _from_local_mean(by_square) + y * _from_local_mean(by_product)
    return 1 - float(similarity.mean()), (gradient / -similarity.size).astype(output.dtype)


def _local_mean(values: Float64) -> Float64:
    """Weighted means of (N, H, W, O) where the window fits."""
    for axis in (1, 2):
        values = correlate1d(values, _WEIGHTS, axis, mode="constant")
    return values[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _from_local_mean(gradient: Float64) -> Float64:
    """Gradients by what `_local_mean` took, from those by what it gave: the window is symmetric."""
    values = np.pad(gradient, ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)))
    for axis in (1, 2):
        values = correlate1d(values, _WEIGHTS, axis, mode="constant")
    return values

"""Structural similarity as a loss: 1 - SSIM of pictures, and its gradient written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...pictures.metrics import SSIM_WINDOW, Float64, ssim_terms, window_means

Array = NDArray[Any]


def structural_dissimilarity(output: Array, target: Array) -> tuple[float, Array]:
    """1 - SSIM, mean over pictures, channels and all places where the window fits; both (N, H, W, O), black 0, white 1.

    That is 1 - `pictures.metrics.ssim`: Wang et al., IEEE Transactions on Image Processing 13(4), 2004.

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
    terms = ssim_terms(x, y, 1)
    (mean, wanted_mean), alike, size, similarity = *terms, terms.similarity
    scale = 1 / (size[0] * size[1])
    # By the local means of x, of its square and of its product with y, one after the other.
    by_mean = 2 * wanted_mean * (alike[1] - alike[0]) * scale - 2 * mean * similarity * (1 / size[0] - 1 / size[1])
    by_square, by_product = -similarity / size[1], 2 * alike[0] * scale
    gradient = _from_window_means(by_mean) + 2 * x * _from_window_means(by_square) + y * _from_window_means(by_product)
    return 1 - float(similarity.mean()), (gradient / -similarity.size).astype(output.dtype)


def _from_window_means(gradient: Float64) -> Float64:
    """Gradients by what `window_means` took, from those by what it gave: the window is symmetric."""
    margin = 2 * (SSIM_WINDOW // 2)
    return window_means(np.pad(gradient, ((0, 0), (margin, margin), (margin, margin), (0, 0))))

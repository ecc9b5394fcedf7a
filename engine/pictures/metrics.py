"""Picture quality: PSNR and SSIM on the 0-255 scale, without rounding; confusion matrices of labels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .samples import as_unit

SSIM_WINDOW = 11
"""Width of the Gaussian window in pixels; a picture must be at least as large."""

_SIGMA_BY_AXIS = (0, 1.5, 1.5, 0)

Float64 = NDArray[np.float64]


def psnr(reference: ArrayLike, picture: ArrayLike) -> float:
    """Peak signal-to-noise ratio, 20 log10(255 / RMSE), over all samples.

    Parameters
    ----------
    reference, picture : (H, W) or (H, W, C) float, uint8 or uint16
        Float samples in [0, 1]; all are taken to the 0-255 scale without rounding.

    Returns
    -------
    float
        In dB; infinite where the two are equal.

    Raises
    ------
    InputError
        If one is no array of such samples, the shapes differ or the pictures are empty.
    """
    first, second = _pair(reference, picture)
    error = float(np.mean((first - second) ** 2))
    return 10 * math.log10(255.0**2 / error) if error else math.inf


def ssim(reference: ArrayLike, picture: ArrayLike) -> float:
    """Structural similarity (Wang et al., IEEE Transactions on Image Processing 13(4), 2004), mean over channels.

    Gaussian window of 11x11 pixels with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03, data range 255, population
    covariance, mean over the area where the window fits.

    Parameters
    ----------
    reference, picture : (H, W) or (H, W, C) float, uint8 or uint16
        Float samples in [0, 1]; both sides at least 11 pixels.

    Raises
    ------
    InputError
        If one is no array of such samples, the shapes differ or a side is shorter than 11 pixels.
    """
    first, second = _pair(reference, picture)
    if min(first.shape[:2]) < SSIM_WINDOW:
        height, width = first.shape[:2]
        raise InputError(f"SSIM needs pictures of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels (got {height}x{width})")
    channels = [np.moveaxis(each.reshape(*each.shape[:2], -1), 2, 0) for each in (first, second)]
    return float(np.mean([_plane_ssim(*planes) for planes in zip(*channels, strict=True)]))


def _plane_ssim(first: Float64, second: Float64) -> float:
    """SSIM of one channel, (H, W) from 0 to 255."""
    terms = ssim_terms(first[None, :, :, None], second[None, :, :, None], 255)
    return float(terms.similarity.mean())


class SsimTerms(NamedTuple):
    """What SSIM is made of at each place where the window fits, (N, H', W', C): product of `alike` over that of `size`.

    Each has a factor for the means, then one for the variances.
    """

    means: tuple[Float64, Float64]
    alike: tuple[Float64, Float64]
    size: tuple[Float64, Float64]

    @property
    def similarity(self) -> Float64:
        """Of each place."""
        return self.alike[0] * self.alike[1] / (self.size[0] * self.size[1])


def ssim_terms(first: Float64, second: Float64, white: float) -> SsimTerms:
    """Of pictures (N, H, W, C) from black 0 to `white`, at least 11 pixels high and wide; see `ssim`."""
    mean1, mean2 = means = window_means(first), window_means(second)
    variance1, variance2 = window_means(first * first) - mean1 * mean1, window_means(second * second) - mean2 * mean2
    covariance = window_means(first * second) - mean1 * mean2
    low, high = (0.01 * white) ** 2, (0.03 * white) ** 2
    alike = 2 * mean1 * mean2 + low, 2 * covariance + high
    return SsimTerms(means, alike, (mean1**2 + mean2**2 + low, variance1 + variance2 + high))


def window_means(values: Float64) -> Float64:
    """Means of (N, H, W, C) weighted by the window, where it fits."""
    from scipy.ndimage import gaussian_filter

    # Nearer to the border the window sticks out of the picture.
    margin = SSIM_WINDOW // 2
    blurred: Float64 = gaussian_filter(values, _SIGMA_BY_AXIS, radius=margin, mode="constant")
    return blurred[:, margin:-margin, margin:-margin]


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """How many pixels of each class were taken for each class.

    Parameters
    ----------
    labels : (H, W) int64
        True classes, 0 to classes - 1; pixels with a negative label do not count.
    predicted : (H, W) integer
    classes : int

    Returns
    -------
    (classes, classes) int64, a row for each true class
    """
    counted = labels >= 0
    cells = labels[counted] * classes + predicted[counted].astype(np.int64)
    counts: NDArray[np.int64] = np.bincount(cells, minlength=classes**2)
    return counts.reshape(classes, classes)


def class_ious(matrix: NDArray[np.int64]) -> list[float | None]:
    """Intersection over union of each class of a confusion matrix; None where no pixel is of it or was taken for it."""
    hits = np.diag(matrix)
    unions = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
    return [int(hit) / int(union) if union else None for hit, union in zip(hits, unions, strict=True)]


def _pair(reference: ArrayLike, picture: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = as_unit(reference, "the reference"), as_unit(picture, "the picture")
    if first.shape != second.shape:
        raise InputError(f"the pictures to compare differ in shape: {_shape(first)} and {_shape(second)}")
    if not first.size:
        raise InputError(f"the pictures to compare are empty (shape {_shape(first)})")
    return first * 255, second * 255


def _shape(array: NDArray[np.float64]) -> str:
    return "x".join(map(str, array.shape)) or "a single number"

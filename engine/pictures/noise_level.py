"""The level of white noise in a picture: the least variance of its patches in any direction, where texture is weak.

Principal components of patches, after X. Liu, M. Tanaka and M. Okutomi, "Single-image noise level estimation for blind
denoising", IEEE Transactions on Image Processing 22 (2013). Texture fills some directions of the space of patches,
white noise all of them alike, so that the least eigenvalue of their covariance is the noise's variance. Of all methods
that were measured (docs/noise.md) it is the one that does not take texture for noise.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..threads import limited_blas

SIDE = 7
"""Side of a patch."""

PATCHES = 15_000
"""Patches that are looked at, evenly spread over the picture."""

LEAST_SIDE = 24
"""Smaller pictures have too few patches."""

_LEAST_VARIED, _MOST_EQUAL = 0.1, 0.3
"""Patches of a single shade do not count where at least such a share of all is not, and of neighbouring samples in
those no more than such a share are equal, as they are in drawings."""

_CONFIDENCE = 1 - 1e-6
_ITERATIONS = 5
_LEAST_SELECTED = 8 * SIDE * SIDE
_SHRINKAGE = 0.5
"""How far the least eigenvalue of few patches lies below that of many, in units of the square root of SIDE^2 / patches:
1 for patches of pure noise that share no pixel (Marchenko and Pastur), measured for these."""


class WhiteNoise(NamedTuple):
    """White noise in a picture.

    `level` is its standard deviation in the picture's unit, `smooth` the share of patches whose gradients are no
    stronger than those of such noise: where next to none are, the level says what texture is there at least.
    """

    level: float
    smooth: float


def white_noise(plane: NDArray[Any]) -> WhiteNoise:
    """The white noise in a picture (H, W); NaN where that is too small to tell.

    Patches of a single shade do not count where others are to be seen: what surrounds a round field of view, and bars
    above and below a picture, have no noise and say nothing of that beside them.
    """
    if min(plane.shape) < LEAST_SIDE:
        return WhiteNoise(math.nan, math.nan)
    patches = _spread_patches(np.asarray(plane, np.float32))
    energy = _gradient_energy(patches)
    if not energy.all():
        counts = _counting(patches, energy > 0)
        patches, energy = patches[counts], energy[counts]
    flat = patches.reshape(len(patches), -1)
    least = np.partition(energy, min(_LEAST_SELECTED, len(energy) - 1))[min(_LEAST_SELECTED, len(energy) - 1)]
    selected = np.ones(len(flat), bool)
    variance = _least_variance(flat)
    for _ in range(_ITERATIONS):
        weak = energy <= max(variance * _energy_limit(), least)
        if (weak == selected).all():
            break
        selected, variance = weak, _least_variance(flat[weak])
    return WhiteNoise(math.sqrt(variance), float(np.mean(energy <= variance * _energy_limit())))


def _spread_patches(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Patches (n, SIDE, SIDE), in raster order with a stride that has no common divisor with the width."""
    windows = sliding_window_view(plane, (SIDE, SIDE))
    rows, columns = windows.shape[:2]
    stride = max(1, -(-rows * columns // PATCHES))
    while stride > 1 and math.gcd(stride, columns) > 1:
        stride += 1
    row, column = np.divmod(np.arange(0, rows * columns, stride), columns)
    return windows[row, column]


def _counting(patches: NDArray[np.float32], varied: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which patches count: those that are not of a single shade, or all where these are few, or drawn."""
    found = patches[varied]
    few = varied.mean() < _LEAST_VARIED or len(found) <= _LEAST_SELECTED
    return varied if not few and (found[:, :, 1:] == found[:, :, :-1]).mean() <= _MOST_EQUAL else np.ones_like(varied)


def _gradient_energy(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the squared central differences of each patch."""
    across = patches[:, :, 2:] - patches[:, :, :-2]
    down = patches[:, 2:] - patches[:, :-2]
    energy: NDArray[np.float32] = (np.square(across).sum((1, 2)) + np.square(down).sum((1, 2))) / 4
    return energy


@cache
def _energy_limit() -> float:
    """Gradient energy that a patch of white noise of variance 1 all but never exceeds."""
    from scipy.stats import gamma

    places = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    pairs = [*zip(places[:, 2:].flat, places[:, :-2].flat, strict=True)]
    pairs += zip(places[2:].flat, places[:-2].flat, strict=True)
    differences = np.zeros((len(pairs), SIDE * SIDE))
    for row, (plus, minus) in enumerate(pairs):
        differences[row, plus], differences[row, minus] = 0.5, -0.5
    form = differences.T @ differences
    rank = int(np.linalg.matrix_rank(form))
    return float(gamma.ppf(_CONFIDENCE, rank / 2, scale=2 * np.trace(form) / rank))


def _least_variance(patches: NDArray[np.float32]) -> float:
    """The least eigenvalue of the patches' covariance, corrected for their number."""
    centred = patches - patches.mean(0)
    # How a library of many threads cuts a sum decides its last bits.
    with limited_blas(1):
        covariance = (centred.T @ centred).astype(np.float64) / max(1, len(patches) - 1)
        least = float(np.linalg.eigvalsh(covariance)[0])
    shrunk = 1 - _SHRINKAGE * math.sqrt(SIDE * SIDE / len(patches))
    return max(least, 0.0) / max(shrunk, 0.1) ** 2

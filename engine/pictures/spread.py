"""Where the samples of a picture lie: all but a few at either end, and whether noise explains those beyond 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT_LIMITS = (-8.0, 9.0)
"""Noise of any sensible strength keeps a picture in [0, 1] within these; samples from 0 to 255 are outside."""

LOOKED_AT = 2**20
"""Of larger pictures about so many samples are looked at."""

_TAIL = 0.001

_MOST_PILED = 0.01
_FAR = 0.25
_FLANKS, _FAR_WITH_FLANKS = 10, 1 / 12
"""Around stars that are saturated in the middle, so many times as many samples are bright; measured."""

_BLOCK, _PART = 16, 4
_ERRORS, _LEAST_PARTS = 8.0, 8
_CERTAIN = 0.4
"""What no noise up to a standard deviation of the whole scale makes of the mean of a block."""

_DEVIATIONS = 10.0
_LAG = 6
_SLACK = 0.02
_MEDIAN_OF_DIFFERENCES = 0.6745 * 2**0.5
"""Median of the absolute difference of two samples with normal noise of a standard deviation of 1."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Where the samples of one picture lie.

    Parameters
    ----------
    dtype : dtype
        Of the samples.
    least, most : float
        The ends of all of them.
    values : (N,) float64
        The samples, of a large picture some of them, evenly spread.
    foreign : bool
        Whether they are float and cannot be on the scale from 0 to 1.
    """

    dtype: np.dtype[Any]
    least: float
    most: float
    values: NDArray[np.float64]
    foreign: bool


def spread_of(samples: NDArray[Any], looked_at: int = LOOKED_AT) -> Spread:
    """The spread of samples without transparency, (H, W) or (H, W, C), by rows with about `looked_at` of them."""
    rows = samples[:: max(1, samples.size // looked_at)] if len(samples) > 1 else samples
    least, most = float(samples.min()), float(samples.max())
    foreign = samples.dtype.kind == "f" and np.isfinite([least, most]).all() and _is_foreign(samples, least, most)
    return Spread(samples.dtype, least, most, rows.astype(np.float64).ravel(), bool(foreign))


def _is_foreign(samples: NDArray[Any], least: float, most: float) -> bool:
    return not FLOAT_LIMITS[0] <= least <= most <= FLOAT_LIMITS[1] or is_beyond_noise(samples)


def without_tails(values: NDArray[np.float64]) -> tuple[float, float]:
    """The values that a thousandth lies below and above, and also what is saturated or dead, far from all others.

    Saturated are up to a hundredth of the values that all equal the largest one: hot pixels. With them goes what is as
    bright around as the flanks of stars that are saturated in the middle, where all others span next to nothing. Dead
    are as many that equal the least one.
    """
    # Not interpolated: found among the samples, whole numbers stay whole.
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL), method="nearest")
    high = _without_pile(values, low, high, ((1, _FAR), (_FLANKS, _FAR_WITH_FLANKS)))
    low = -_without_pile(-values, -high, -low, ((1, _FAR),))
    return float(low) + 0.0, float(high) + 0.0  # no negative zero


def _without_pile(values: NDArray[np.float64], low: float, high: float, ways: tuple[tuple[float, float], ...]) -> float:
    """`high`, or less where values that equal the largest one lie far from the others.

    `ways` are pairs: how many times as many values are left out, and what share of the range from `low` to `high` the
    others must not span.
    """
    piled = float((values == values.max()).mean())
    if not _TAIL < piled <= _MOST_PILED:
        return high
    for times, share in ways:
        inner = float(np.quantile(values, 1 - times * piled - _TAIL, method="nearest"))
        if 0 < inner - low < share * (high - low):
            return inner
    return high


def is_beyond_noise(samples: NDArray[Any]) -> bool:
    """Whether float samples (H, W) or (H, W, C) cannot be on the scale from 0 to 1, however noisy.

    Means over blocks of 16x16, in which noise averages out, lie beyond it by more than eight of their standard errors.
    These come from the means over parts of 4x4, so that noise that a few neighbours share counts as such, too; a
    highlight, whose parts differ by themselves, lies so far beyond that no noise explains it.
    """
    if samples.min() >= 0 and samples.max() <= 1:
        return False
    planes = samples.reshape(*samples.shape[:2], -1)
    parts = _blocks(planes, _PART).mean(axis=(1, 3), dtype=np.float64)
    blocks = _blocks(parts, _BLOCK // _PART)
    means, count = blocks.mean(axis=(1, 3)), blocks.shape[1] * blocks.shape[3]
    if count < _LEAST_PARTS:  # of which no error can be told
        return False
    beyond = np.maximum(-means, means - 1)
    errors = blocks.std(axis=(1, 3)) / (count - 1) ** 0.5
    return bool((beyond > np.minimum(_ERRORS * errors + _SLACK, _CERTAIN)).any())


def has_outliers(samples: NDArray[Any]) -> bool:
    """Whether single float samples lie farther beyond 0 or 1 than the noise around takes them. (H, W) or (H, W, C).

    The noise around is what samples of a row differ by, so far apart that they share none, at the median of a block. A
    block whose samples differ more than twice as much as those of a quarter of all has highlights, and no more noise.
    """
    planes = samples.reshape(*samples.shape[:2], -1)
    beyond = np.maximum(-planes, planes - np.ones((), samples.dtype))
    if beyond.max() <= _SLACK or samples.shape[1] <= _LAG:
        return False
    differences = _blocks(np.abs(planes[:, _LAG:] - planes[:, :-_LAG]), _BLOCK)
    noise = np.median(differences, axis=(1, 3)) / _MEDIAN_OF_DIFFERENCES
    noise = np.minimum(noise, 2 * np.quantile(noise, 0.75))
    # Both ends of each difference.
    most = _blocks(np.maximum(beyond[:, _LAG:], beyond[:, :-_LAG]), _BLOCK).max(axis=(1, 3))
    return bool((most > _DEVIATIONS * noise + _SLACK).any())


def _blocks(planes: NDArray[Any], side: int) -> NDArray[Any]:
    """(rows, side, columns, side, C) of (H, W, C), what is left over at the ends cut off; fewer where the sides are."""
    high, wide = min(side, planes.shape[0]), min(side, planes.shape[1])
    rows, columns = planes.shape[0] // high, planes.shape[1] // wide
    return planes[: rows * high, : columns * wide].reshape(rows, high, columns, wide, planes.shape[2])

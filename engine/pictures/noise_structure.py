"""What else is to be known of a picture's noise: whether it grows with the signal, and whether JPEG left blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
"""Side of the blocks that are compared; JPEG's, too."""

_DRAWN = 20.0
"""Steps between blocks, beside others, that no compression leaves."""

_BLACK, _WHITE = 0, 255

_BINS = 12
_FLATTEST = 0.3
"""Share of a bin's blocks, those with the least structure, that its noise is measured on."""

_LEAST_BLOCKS = 8 * _BINS

_CLIPPED, _LEAST_BINS = 0.02, 4
"""A bin with more than such a share of its samples at black or white tells nothing of its noise, which is cut off
there; fewer bins than that tell no line."""


@dataclass(frozen=True)
class SignalDependence:
    """Variance of noise as a line: slope * sample + intercept.

    `low` and `high` are the standard deviations that it gives for the darkest and the brightest twentieth, as far as
    noise was measured there.
    """

    slope: float
    intercept: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """How many times stronger the noise is in bright places than in dark ones."""
        return self.high / max(self.low, 1e-9)


def high_pass(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Second differences across and down, (H - 2, W - 2), scaled so that white noise keeps its variance.

    The mask of J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996), which
    does not see planes and straight edges along the axes.
    """
    samples = np.asarray(plane, np.float32)
    down = samples[:-2] - 2 * samples[1:-1] + samples[2:]
    across: NDArray[np.float32] = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    return across / np.float32(6)


def block_means(plane: NDArray[Any], side: int = BLOCK) -> NDArray[np.float32]:
    """Means of blocks (H // side, W // side); what is left over at the right and the bottom does not count."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    whole = np.asarray(plane[: rows * side, : columns * side], np.float32)
    means: NDArray[np.float32] = whole.reshape(rows, side, columns, side).mean((1, 3))
    return means


def halved(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Means of 2x2 pixels."""
    return block_means(plane, 2)


def signal_dependence(planes: list[NDArray[Any]]) -> SignalDependence | None:
    """The line of variance over samples through blocks of all planes; None where there are too few blocks.

    In the way of A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical Poissonian-Gaussian noise modeling and
    fitting for single-image raw-data", IEEE Transactions on Image Processing 17 (2008): samples are sorted into bins of
    like intensity, the noise is measured in each by the high-pass, and a line is fitted robustly. The blocks of a bin
    that count are those whose quarters differ least, of which the high-pass knows nothing, so that choosing does not
    bias. Where black or white cut the noise off, it looks weaker than it is: such bins do not count.
    """
    means, energies, spreads, clipped = (np.concatenate(parts) for parts in zip(*map(_blocks, planes), strict=True))
    if len(means) < _LEAST_BLOCKS:
        return None
    points = []
    for members in np.array_split(np.argsort(means, kind="stable"), _BINS):
        flattest = members[np.argsort(spreads[members], kind="stable")[: max(4, int(_FLATTEST * len(members)))]]
        if clipped[flattest].mean() <= _CLIPPED:
            points.append((means[flattest].mean(), energies[flattest].mean()))
    if len(points) < _LEAST_BINS:
        return None
    slope, intercept = _line(np.asarray(points, np.float64))
    # Not beyond the bins that count, where the line is a guess.
    ends = np.clip(np.quantile(means, (0.05, 0.95)), points[0][0], points[-1][0])
    low, high = (float(np.sqrt(max(slope * end + intercept, 0.0))) for end in ends)
    return SignalDependence(slope, intercept, low, high)


def _blocks(plane: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
    """Of each block of a plane: mean, high-pass energy, variance of its quarters' means, share of samples cut off."""
    inner = plane[1:-1, 1:-1]
    means, energies = block_means(inner), block_means(np.square(high_pass(plane)))
    quarters = block_means(inner, BLOCK // 2)
    rows, columns = means.shape
    quarters = quarters[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    clipped = block_means((inner == _BLACK) | (inner == _WHITE))
    return means.ravel(), energies.ravel(), quarters.var(axis=(1, 3)).ravel(), clipped.ravel()


def _line(points: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept through (sample, variance), by relative deviations, those beyond a fifth with less weight."""
    samples, variances = points.T
    least = 0.02 * variances.max() + 1e-12
    expected = np.full(len(samples), max(float(np.median(variances)), least))
    design = np.stack([samples, np.ones_like(samples)], axis=1)
    slope = intercept = 0.0
    for _ in range(10):
        deviation = np.abs(variances - expected) / expected / 0.2
        weight = np.sqrt(np.minimum(1, 1 / np.maximum(deviation, 1e-9))) / expected
        slope, intercept = np.linalg.lstsq(design * weight[:, None], variances * weight, rcond=None)[0]
        expected = np.maximum(slope * samples + intercept, least)
    return float(slope), float(intercept)


def blockiness(plane: NDArray[Any]) -> float:
    """How much larger steps are between blocks of 8x8 than elsewhere: about 1 without blocks, whatever their offset.

    1 where they are so much larger that the blocks are drawn.
    """
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(np.asarray(plane, np.float32), axis=axis)).mean(axis=1 - axis)
        count = len(steps) // BLOCK * BLOCK
        if count < 4 * BLOCK:
            return 1.0
        phases = np.sort(np.median(steps[:count].reshape(-1, BLOCK), axis=0))
        found.append(float(phases[-1] / max(float(phases[-2]), 1e-6)) if phases[-2] > 0 else 1.0)
    ratio = min(found)
    return ratio if ratio < _DRAWN else 1.0

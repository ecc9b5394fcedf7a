"""Cells of the retina's foveal pit: their kernels, what they answer to a picture, and a picture out of answers.

Four kinds of ganglion cells, each a difference of two Gaussians, the surround's wider by a ratio, with sizes and widths
of S. Gupta and B. S. Bhattacharya's study with spiking convolutional networks (IJCNN 2020, arXiv 2105.14326); and
lateral inhibition, which is matching pursuit (Mallat and Zhang, IEEE Transactions on Signal Processing 41(12), 1993)
with each kernel used once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST_SHARE = 1e-9
"""Coefficients below this share of the first one are rounding errors, and none."""


@dataclass(frozen=True)
class Cell:
    """A kind of ganglion cell: a difference of Gaussians on a square window.

    Parameters
    ----------
    size : int
        Odd side of the window, in pixels.
    deviation : float
        Of the centre's Gaussian, in pixels.
    ratio : float
        The surround's deviation is so many times as large.
    sign : int
        1 where light in the centre excites (on), -1 where it inhibits (off).
    """

    size: int
    deviation: float
    ratio: float
    sign: int

    @functools.cached_property
    def profiles(self) -> Array:
        """(2, size) Gaussians of centre and surround along an axis, each of the sum 1 on the window."""
        places = np.arange(self.size) - self.size // 2
        widths = np.array([[self.deviation], [self.deviation * self.ratio]])
        gaussians = np.exp(-(places**2) / (2 * widths**2))
        return np.asarray(gaussians / gaussians.sum(axis=1, keepdims=True))

    def kernel(self) -> Array:
        """(size, size): the difference, whose sum is 0, scaled to the norm 1; its centre is the window's."""
        centre, surround = (np.outer(profile, profile) for profile in self.profiles)
        difference = self.sign * (centre - surround)
        return np.asarray(difference / np.sqrt((difference**2).sum()))


CELLS: Mapping[str, Cell] = {
    "off_midget": Cell(5, 0.8, 6.7, -1),
    "on_midget": Cell(11, 1.04, 6.7, 1),
    "off_parasol": Cell(61, 8.0, 4.8, -1),
    "on_parasol": Cell(243, 10.4, 4.8, 1),
}
"""Kinds of cells by name, in the order in which equal coefficients are ranked."""


def norms(cell: Cell, height: int, width: int) -> Array:
    """(H, W): norm of the kernel around each pixel, without what lies beyond the picture."""
    centre, surround = cell.profiles
    squares = []
    for one, other in ((centre, centre), (centre, surround), (surround, surround)):
        rows, columns = (_filtered_1d(np.ones(extent), one * other) for extent in (height, width))
        squares.append(np.outer(rows, columns))
    return np.asarray(np.sqrt(np.maximum(squares[0] - 2 * squares[1] + squares[2], 0)))


def responses(cell: Cell, picture: Array) -> Array:
    """(H, W): what a cell at each pixel answers, its kernel cut at the edge and scaled to the norm 1.

    A window that shows the same everywhere, as one of a single pixel does, is answered by 0.
    """
    return divided(_filtered(cell, picture), norms(cell, *picture.shape))


def divided(values: Array, by: Array) -> Array:
    """Values divided by norms, 0 where the norm is 0."""
    return np.divide(values, by, out=np.zeros_like(values), where=by > SMALLEST_SHARE)


def spread_out(cell: Cell, coefficients: Array) -> Array:
    """(H, W): the sum of unit kernels around each pixel, times its coefficient."""
    return _filtered(cell, divided(coefficients, norms(cell, *coefficients.shape)))


def _filtered(cell: Cell, picture: Array) -> Array:
    """Correlation with the kernel, zeros beyond the edge: the kernel is symmetric, so it is the convolution, too."""
    passes = (_filtered_1d(_filtered_1d(picture, profile, 0), profile, 1) for profile in cell.profiles)
    centre, surround = passes
    return cell.sign * (centre - surround)


def _filtered_1d(values: Array, profile: Array, axis: int = 0) -> Array:
    from scipy.ndimage import correlate1d

    filtered: Any = correlate1d(values, profile, axis, mode="constant")
    return np.asarray(filtered)

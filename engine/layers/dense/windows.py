"""What each tap of a kernel sees, gathered into rows, and the reverse: rows scattered to where the taps reach.

Gathering and scattering are each other's adjoint. A convolution gathers and multiplies; a transposed convolution
multiplies and scatters; the backward pass of either does what the other does forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Taps:
    """Where the taps of a kernel lie: tap (i, j) of the window (y, x) is the pixel y * stride + i * dilation, ..."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    windows: Pair

    def seen(self, picture: Array, row: int, column: int) -> Array:
        """View (M, windows down, windows across, C) of what the tap (row, column) sees in `picture`, (M, H, W, C)."""
        (down, right), (height, width) = self.stride, self.windows
        top, left = row * self.dilation[0], column * self.dilation[1]
        bottom, end = top + (height - 1) * down + 1, left + (width - 1) * right + 1
        return picture[:, top:bottom:down, left:end:right]

    def gather(self, picture: Array) -> Array:
        """(M * windows, taps * C): one row for each window, taps in the order (row, column)."""
        pictures, _, _, channels = picture.shape
        rows = np.empty((pictures, *self.windows, *self.kernel, channels), picture.dtype)
        for row, column in np.ndindex(*self.kernel):
            rows[:, :, :, row, column] = self.seen(picture, row, column)
        return rows.reshape(pictures * self.windows[0] * self.windows[1], -1)

    def scatter(self, rows: Array, picture: Array) -> None:
        """Add rows such as `gather` makes to the pixels of `picture`, (M, H, W, C), that they came from."""
        by_tap = rows.reshape(len(picture), *self.windows, *self.kernel, picture.shape[3])
        for row, column in np.ndindex(*self.kernel):
            seen = self.seen(picture, row, column)
            seen += by_tap[:, :, :, row, column]

"""An exact percentile of numbers that arrive in pieces, holding no more of them than its rank needs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class UpperPercentile:
    """Exact percentile, linearly interpolated as `numpy.percentile` does, of `count` numbers.

    Only the numbers that can still matter are held, the largest (1 - percentile / 100) * count: at 99.9, one in a
    thousand.

    Parameters
    ----------
    count : int
        How many numbers there will be.
    percentile : float
        In (0, 100].
    """

    def __init__(self, count: int, percentile: float) -> None:
        rank = (count - 1) * percentile / 100
        self.fraction = rank - math.floor(rank)
        self.kept = count - math.floor(rank)
        self.missing = count
        self.largest: NDArray[np.float32] = np.empty(0, np.float32)
        self.floor = np.float32(-np.inf)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in an array of any shape."""
        self.missing -= values.size
        candidates = values[values > self.floor] if len(self.largest) == self.kept else values.reshape(-1)
        joined = np.concatenate([self.largest, candidates])
        if len(joined) > self.kept:
            joined = np.partition(joined, len(joined) - self.kept)[len(joined) - self.kept :]
        self.largest = joined
        if len(joined) == self.kept:
            self.floor = joined.min()

    @property
    def value(self) -> float:
        """The percentile, once all numbers are in."""
        if self.missing:
            raise ValueError(f"{self.missing} numbers are missing")
        low, *rest = np.partition(self.largest, range(min(2, self.kept)))[:2].astype(np.float64)
        return float(low + self.fraction * (rest[0] - low)) if rest else float(low)

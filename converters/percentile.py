"""Scales that are a percentile of the activations, exact: no more numbers are held than its rank needs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.neurons import NeuronModel, rectifies

Array = NDArray[np.float64]


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


class Percentiles:
    """A percentile of each group's activations, of the sizes where neurons are signed, zeros included.

    Parameters
    ----------
    counts : (G,) int
        How many activations each group will have.
    percentile : float
        In (0, 100]; 100 is the maximum.
    """

    def __init__(self, counts: NDArray[np.int64], percentile: float) -> None:
        self._collected = [UpperPercentile(int(count), percentile) if count else None for count in counts]

    def add(self, currents: NDArray[np.float32], groups: NDArray[np.int64], model: NeuronModel) -> None:
        """Take in (N, C) currents before the activation; the groups are (C,)."""
        activations = np.maximum(currents, np.float32(0)) if rectifies(model) else np.abs(currents)
        for group in np.unique(groups):
            collected = self._collected[group]
            if collected is not None:
                collected.add(activations[:, groups == group] if (groups != group).any() else activations)

    def values(self) -> Array:
        """(G,) the percentiles; 0 of a group that has no activations."""
        return np.array([collected.value if collected else 0.0 for collected in self._collected])

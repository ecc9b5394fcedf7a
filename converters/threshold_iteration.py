"""Threshold iteration: scales that a fixed point gives, for currents that are distributed normally.

The mean squared error between a ReLU (or the identity) and evenly spaced levels is smallest where the distance q of the
levels is E[x k(x)] / E[k(x)**2], k(x) being the number of the level that is nearest to x. With the mean and the
variance of the currents before the activation, both expectations are sums over normal tails; they are computed with
the last q until it stays (Generalized Threshold Optimization with Harmony Multi-Threshold Neurons, AAAI 2026,
github.com/faizwh/H-MT; there one such iteration for ReLUs, one for the identity).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from spikeunet.engine.errors import InputError
from spikeunet.engine.neurons import NeuronModel, level_table, rectifies

from .least_squares import fitting_steps

Array = NDArray[np.float64]

ROUNDS = 500
CLOSE = 1e-6
"""The iteration ends where no distance changes by more than this share."""


class ThresholdIteration:
    """The scale of each group by threshold iteration.

    Parameters
    ----------
    count : int
        Number of groups.
    steps : int or None
        Time steps that the network will run for; `fitting_steps` of the neurons where nobody knows.
    """

    def __init__(self, count: int, steps: int | None) -> None:
        self._steps = steps
        self._moments = np.zeros((3, count))
        self._models: dict[int, NeuronModel] = {}

    def add(self, currents: NDArray[np.float32], groups: NDArray[np.int64], model: NeuronModel) -> None:
        """Take in (N, C) currents before the activation; the groups are (C,)."""
        values = currents.astype(np.float64)
        found = np.full(values.shape[1], len(values)), values.sum(0), np.square(values).sum(0)
        for moment, addend in zip(self._moments, found, strict=True):
            np.add.at(moment, groups, addend)
        for group in np.unique(groups):
            self._models.setdefault(int(group), model)

    def values(self) -> Array:
        """(G,) the scales; 0 of a group whose currents never vary.

        Raises
        ------
        InputError
            If the levels of a neuron model are not evenly spaced.
        """
        scales = np.zeros(self._moments.shape[1])
        count, total, squares = self._moments
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean * mean, 0))
        for model in set(self._models.values()):
            own = np.array([group for group, each in self._models.items() if each == model])
            own = own[(own > 0) & (deviation[own] > 0)]
            unit, levels = _levels(model)
            steps = fitting_steps(model, self._steps)
            lowest = 0 if rectifies(model) else -levels * steps
            scales[own] = _iterate(mean[own], deviation[own], lowest, levels * steps) * steps / unit
        return scales


def _levels(model: NeuronModel) -> tuple[float, int]:
    """The distance of a model's levels, and how many there are above 0."""
    table = level_table(model)
    emitted = np.unique(table.emit[: table.highest + 1].astype(np.float64))
    distances = np.diff(emitted)
    if not np.allclose(distances, distances[0], rtol=1e-6) or -emitted[0] not in (0, emitted[-1]):
        raise InputError(
            f"threshold iteration needs levels that are evenly spaced, such as those of thresholds 1, 0.5, 0.25 (got "
            f"{model!r}); take scales='least-squares'"
        )
    return float(distances[0]), round(float(emitted[-1] / distances[0]))


def _iterate(mean: Array, deviation: Array, lowest: int, highest: int) -> Array:
    """(G,) distances of levels lowest ... highest with the least error for normal distributions."""
    levels = np.arange(lowest + 1, highest + 1)
    distance = (np.abs(mean) + 4 * deviation) / highest
    for _ in range(ROUNDS):
        # A number's level is the lowest one and as many more as there are edges below it.
        edges = ((levels - 0.5) * distance[:, None] - mean[:, None]) / deviation[:, None]
        above = ndtr(-edges)
        density = np.exp(-edges * edges / 2) / math.sqrt(2 * math.pi)
        first = (mean[:, None] * above + deviation[:, None] * density).sum(1) + lowest * mean
        second = ((2 * levels - 1) * above).sum(1) + lowest * lowest
        found = np.where(second > 0, first / np.where(second > 0, second, 1), distance)
        if (np.abs(found - distance) <= CLOSE * distance).all():
            break
        distance = np.where(found > 0, found, distance)
    return distance

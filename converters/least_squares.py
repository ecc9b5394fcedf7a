"""Scales with the least squared error between activations and what neurons emit in their place.

Neurons with the scale lambda emit lambda * r(x / lambda) of a current x that is the same in all steps, r being their
response curve (`mean_emission`). A large scale makes coarse stairs, a small one cuts large activations off; lambda is
where the mean of (lambda * r(x / lambda) - relu(x))**2 over the calibration pictures is smallest, for these neurons and
this number of steps. The same balance as in choosing the range of quantised activations (Banner, Nahshan and Soudry,
NeurIPS 2019, arXiv 1810.05723), with a histogram of x in place of an assumed distribution.

N numbers say nothing about what is above the largest of them, and the next one is there with a chance of 1 / (N + 1).
So one more number is counted, 1.3 times as large: among a million it does not matter, among a hundred, of a neuron of a
full connection on a hundred pictures, it keeps the scale from fitting these pictures alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.neurons import NeuronModel, analog_activation, level_table, mean_emission, rectifies

Array = NDArray[np.float64]

BINS = 4096
"""Of a histogram, at least half of them in use: eight or more to each stair of seven thresholds."""

CANDIDATES = 192
"""Scales that are tried, each 2.8 % larger than the one before."""

BEYOND = 1.3
"""The number that is added, in largest ones."""

NARROWEST = 1 / 128
"""The smallest scale that is tried, as a share of that with which the neurons just reach the largest activation."""

MOST_STEPS = 4
"""Scales are fitted for so many times the steps that neurons need, at most: more stairs do not show in a histogram, and
what they round off no longer matters beside what is cut off."""

ENOUGH_LEVELS = 127
"""Levels above 0 with which activations are hit as well as hardly anybody needs."""

_ENDLESS = 1e9
"""A current with which neurons emit all that they can."""

_POINTS, _FARTHEST = 16384, 2
"""Currents at which the response is computed, up to so many times what neurons can emit; it stays the same beyond."""


def fitting_steps(model: NeuronModel, steps: int | None = None) -> int:
    """Steps that scales are fitted for: those that are known, up to four times what neurons need; else the latter.

    A neuron needs as many as tell 127 levels apart: 1 with seven thresholds, 127 with a single one.
    """
    emitted = np.unique(level_table(model).emit)
    enough = -(-ENOUGH_LEVELS // max(1, int((emitted > 0).sum())))
    return enough if steps is None else min(steps, MOST_STEPS * enough)


class Histograms:
    """A histogram of each group's numbers, with a range of its own: a power of two, which doubles as numbers come in.

    Parameters
    ----------
    count : int
        Number of groups.
    signed : bool
        Whether a range is on both sides of 0, and not above it alone.
    """

    def __init__(self, count: int, signed: bool) -> None:
        self.signed = signed
        self.counts: dict[int, NDArray[np.int64]] = {}
        self.limits = np.zeros(count)
        self.largest = np.zeros(count)

    @property
    def centres(self) -> Array:
        """(BINS,) middles of the bins, as shares of the limit."""
        middles = (np.arange(BINS) + 0.5) / BINS
        return 2 * middles - 1 if self.signed else middles

    def add(self, numbers: NDArray[np.float32], groups: NDArray[np.int64]) -> None:
        """Take in (N, C) numbers; the groups are (C,), 0 for none. Numbers above the range are in a larger one then."""
        largest = np.zeros(len(self.limits))
        np.maximum.at(largest, groups, np.abs(numbers).max(0))
        self.largest = np.maximum(self.largest, largest)
        for group in np.unique(groups):
            if group and largest[group] > 0:
                self._widen(int(group), float(largest[group]))
                self.counts[group] += self._binned(numbers[:, groups == group], self.limits[group])

    def _binned(self, numbers: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
        shares = numbers.reshape(-1) / limit
        places = ((shares + 1) / 2 if self.signed else shares) * BINS
        return np.bincount(np.minimum(places.astype(np.int64), BINS - 1), minlength=BINS)

    def widen(self, group: int, limit: float) -> None:
        """Let the range of a group that has numbers reach at least to `limit`."""
        if group in self.counts:
            self._widen(group, limit)

    def _widen(self, group: int, largest: float) -> None:
        if group not in self.counts:
            self.counts[group] = np.zeros(BINS, np.int64)
            self.limits[group] = 2.0 ** np.ceil(np.log2(largest))
        while self.limits[group] < largest:
            pairs = self.counts[group].reshape(-1, 2).sum(1)
            first = BINS // 4 if self.signed else 0
            self.counts[group] = np.zeros(BINS, np.int64)
            self.counts[group][first : first + BINS // 2] = pairs
            self.limits[group] *= 2


class LeastSquares:
    """The scale of each group with which its neurons come closest to its activations.

    Parameters
    ----------
    count : int
        Number of groups.
    steps : int or None
        Time steps that the network will run for; `fitting_steps` of the neurons where nobody knows.
    """

    def __init__(self, count: int, steps: int | None) -> None:
        self._count, self._steps = count, steps
        self._histograms: dict[NeuronModel, Histograms] = {}

    def add(self, currents: NDArray[np.float32], groups: NDArray[np.int64], model: NeuronModel) -> None:
        """Take in (N, C) currents before the activation; the groups are (C,)."""
        if model not in self._histograms:
            self._histograms[model] = Histograms(self._count, signed=not rectifies(model))
        self._histograms[model].add(analog_activation(model, currents), groups)

    def values(self) -> Array:
        """(G,) the scales; 0 of a group whose activations are all 0."""
        if not self._histograms:
            return np.zeros(self._count)
        limits = np.max([found.limits for found in self._histograms.values()], axis=0)
        responses = [_Response(model, fitting_steps(model, self._steps)) for model in self._histograms]
        shares = np.geomspace(NARROWEST, 1.05 * BEYOND, CANDIDATES) / min(response.reach for response in responses)
        errors = np.zeros((self._count, CANDIDATES))
        for response, found in zip(responses, self._histograms.values(), strict=True):
            table = response.errors(found.centres, shares)
            for group in list(found.counts):
                found.widen(group, float(limits[group]))
                errors[group] += table @ found.counts[group]
            further = BEYOND * found.largest / np.where(limits > 0, limits, 1.0)
            errors += response.errors(further, shares).T
        best: Array = np.where(limits > 0, shares[errors.argmin(1)] * limits, 0.0)
        return best


class _Response:
    """What a neuron emits of a current, and how far that is from what it stands for."""

    def __init__(self, model: NeuronModel, steps: int) -> None:
        self._rectifies = rectifies(model)
        self.reach = float(np.abs(mean_emission(model, [_ENDLESS], steps))[0]) or 1.0
        farthest = _FARTHEST * self.reach
        self._lowest = 0.0 if self._rectifies else -farthest
        self._distance = (farthest - self._lowest) / (_POINTS - 1)
        self._emitted = mean_emission(model, self._lowest + self._distance * np.arange(_POINTS), steps)

    def errors(self, numbers: Array, scales: Array) -> Array:
        """(S, N) squared error of each number with each scale."""
        wanted = np.maximum(numbers, 0) if self._rectifies else numbers
        places = np.rint((numbers / scales[:, None] - self._lowest) / self._distance)
        emitted = self._emitted[np.clip(places, 0, _POINTS - 1).astype(np.int64)]
        return np.square(scales[:, None] * emitted - wanted)

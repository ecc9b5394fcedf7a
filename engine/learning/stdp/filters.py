"""A population of filters that learns by spike-timing-dependent plasticity: who spikes first, learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...kernels.stdp import compete, spike_features
from ...threads import on_threads

Times = NDArray[np.float64]
_SAMPLES = 8


class StdpRule(NamedTuple):
    """Constants of learning.

    Parameters
    ----------
    window : float
        Time over which a spike's influence on a weight falls to 1 / e.
    wanted : float
        Time at which neurons should spike; thresholds move until they do.
    least : float
        Smallest threshold.
    silent : float
        Time that counts in learning for inputs that never spike.
    """

    window: float = 0.1
    wanted: float = 0.7
    least: float = 1.0
    silent: float = 1.0


@dataclass(eq=False)
class StdpFilters:
    """Filters of a convolution without a bias, stride 1.

    Parameters
    ----------
    weights : (J, C, side, side) float64
        From 0 to 1.
    thresholds : (J,) float64
    """

    weights: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def side(self) -> int:
        """Of the kernel, in pixels."""
        return int(self.weights.shape[-1])

    def learn(self, patches: Times, rule: StdpRule, rate: float, threshold_rate: float) -> NDArray[np.int64]:
        """Learn from patches, one after the other; weights and thresholds change in place.

        For each patch the neurons add the weights of their inputs in the order of the spikes. The first to reach its
        threshold, at t, is the only one that learns: a weight grows by rate exp(-(t - t_i) / window) where the input
        spiked at t_i <= t, else it falls by rate exp(-(t_i - t) / window). All thresholds fall by threshold_rate
        (t - wanted); then that of the winner grows by threshold_rate, and those of the others fall by as much together.

        Parameters
        ----------
        patches : (P, C, side, side) float64
            Times of the inputs.
        rule : StdpRule
        rate, threshold_rate : float

        Returns
        -------
        winners : (P,) int64
            -1 where no neuron spiked, and nothing changed.

        Raises
        ------
        InputError
            If patches are of another size than the filters.
        """
        if patches.shape[1:] != self.weights.shape[1:]:
            raise InputError(f"filters take patches of the shape {self.weights.shape[1:]} (got {patches.shape[1:]})")
        flat = np.ascontiguousarray(patches.reshape(len(patches), self.weights[0].size), np.float64)
        orders, counts = _sorted(flat)
        weights = self.weights.reshape(len(self.weights), -1)
        winners = np.empty(len(flat), np.int64)
        compete(flat, orders, counts, weights, self.thresholds, rule, rate, threshold_rate, winners)
        return winners

    def respond(self, times: Times, inhibit: bool = True) -> tuple[Times, int]:
        """When the neurons of the convolution spike.

        Parameters
        ----------
        times : (N, C, H, W) float64
            Of the inputs.
        inhibit : bool
            Whether the first spike at a place silences the other filters there.

        Returns
        -------
        found : (N, H - side + 1, W - side + 1, J) float64
            Infinite where there is no spike.
        operations : int
            Synaptic operations: weights that were added.

        Raises
        ------
        InputError
            If there are other channels than those of the filters, or pictures are smaller than these.
        """
        number, channels, height, width = times.shape
        if channels != self.weights.shape[1] or min(height, width) < self.side:
            raise InputError(
                f"filters take {self.weights.shape[1]} channels of at least {self.side}x{self.side} (got {channels} of "
                f"{height}x{width})"
            )
        flat = np.ascontiguousarray(times.reshape(number, channels * height * width), np.float64)
        orders, counts = _sorted(flat)
        by_place = np.ascontiguousarray(self.weights.transpose(1, 2, 3, 0))
        found = np.empty((number, height - self.side + 1, width - self.side + 1, len(self.weights)))

        def work(part: slice) -> int:
            return int(
                spike_features(
                    flat[part], orders[part], counts[part], by_place, self.thresholds, self.side, inhibit, found[part]
                )
            )

        parts = [slice(first, first + _SAMPLES) for first in range(0, number, _SAMPLES)]
        return found, sum(on_threads(work, parts))


def random_filters(
    generator: np.random.Generator, number: int, channels: int, side: int, threshold: float = 8.0
) -> StdpFilters:
    """Filters before learning: weights uniform from 0 to 1, thresholds normal around `threshold`, none below 1."""
    weights = generator.uniform(0, 1, (number, channels, side, side))
    return StdpFilters(weights, np.maximum(generator.normal(threshold, 0.1, number), StdpRule().least))


def drawn_patches(times: Times, side: int, number: int, generator: np.random.Generator) -> Times:
    """(N number, C, side, side): patches of each picture at random places."""
    windows = np.lib.stride_tricks.sliding_window_view(times, (side, side), axis=(2, 3))
    rows, columns = windows.shape[2:4]
    which = np.repeat(np.arange(len(times)), number)
    places = generator.integers(rows, size=len(which)), generator.integers(columns, size=len(which))
    return np.ascontiguousarray(windows[which, :, places[0], places[1]])


def pooled(found: Times, cells: int) -> NDArray[np.float64]:
    """(N, cells cells J): values 1 - t, of spikes by time 1, added up in a grid of cells."""
    values = np.maximum(1 - np.minimum(found, 1), 0)
    # A spike at the very end counts a little, too.
    values = np.where(np.isfinite(found), values + 1 / 64, 0)
    rows, columns = ([round(i * size / cells) for i in range(cells)] for size in values.shape[1:3])
    summed = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
    return np.asarray(summed.reshape(len(found), -1))


def _sorted(times: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.argsort(times, axis=1, kind="stable"), np.isfinite(times).sum(axis=1)


def _regression() -> Any:
    """scikit-learn's logistic regression; InputError where it is missing."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise InputError(
            "the readout of stdp comes with scikit-learn, which is missing; pip install 'spikeunet[evaluate]'"
        ) from None
    return LogisticRegression


def readout(
    features: NDArray[Any], labels: NDArray[np.int64], classes: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """A linear readout: what is taken off the features and what they are divided by, weights and biases.

    Multinomial logistic regression by scikit-learn (extra `evaluate`).

    Raises
    ------
    InputError
        If all labels are one, or scikit-learn is missing.
    """
    regression = _regression()
    if (labels == labels[0]).all():
        raise InputError("a readout tells two classes or more apart, and all pictures are of one; give others, too")
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1)
    found = regression(C=0.03, max_iter=300, random_state=seed).fit((features - mean) / deviation, labels)
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, -np.inf)
    if len(found.classes_) == 2:
        found.coef_ = np.concatenate([-found.coef_, found.coef_]) / 2
        found.intercept_ = np.concatenate([-found.intercept_, found.intercept_]) / 2
    weight[found.classes_], bias[found.classes_] = found.coef_, found.intercept_
    return {"mean": mean, "deviation": deviation, "weight": weight, "bias": bias}

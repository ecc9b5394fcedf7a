"""Run networks in continuous time, from arrival to arrival; or, to compare with, on a grid of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import as_array
from ...errors import InputError
from ...graph import Network, Weighted
from ...kernels.spike_times import first_crossings, grid_crossings
from ...threads import on_threads, using_threads
from .layers import Times, TimesNetwork, times_network

_SAMPLES = 8
"""Samples that a thread takes at a time."""


@dataclass(frozen=True, eq=False)
class TimesResult:
    """When the neurons of each layer spiked.

    Parameters
    ----------
    times : tuple of (N, J) float64
        By layer; infinite where a neuron never spikes.
    slopes : tuple of (N, J) float64
        Of the potential at the spike, the sum of the weights that led to it; empty on a grid.
    synops : tuple of (N,) int64
        Synaptic operations: arrivals that neurons took in, a neuron none after its own spike. All weights count, zeros
        too; the biases do not.
    updates : tuple of (N,) int64
        Potentials that were moved on without an arrival: none but on a grid, where it is each neuron in each step until
        its spike.
    """

    times: tuple[Times, ...]
    slopes: tuple[Times, ...]
    synops: tuple[NDArray[np.int64], ...]
    updates: tuple[NDArray[np.int64], ...]

    @property
    def spikes(self) -> tuple[NDArray[np.int64], ...]:
        """(N,) int64 by layer: neurons that spiked, each once."""
        return tuple(np.isfinite(each).sum(axis=1) for each in self.times)

    @property
    def operations(self) -> int:
        """All synaptic operations and updates."""
        return sum(int(each.sum()) for each in (*self.synops, *self.updates))


def simulate_times(
    network: TimesNetwork | Network | Sequence[Weighted | NDArray[Any]], times: NDArray[Any], threads: int | None = None
) -> TimesResult:
    """Spike times of a network, exact but for the rounding of float64: there are no time steps.

    A source that spikes at t_i adds w max(t - t_i, 0) to the potential of a neuron. The neuron spikes, once, when that
    first reaches its threshold.

    Parameters
    ----------
    network : TimesNetwork, Network, or sequence of Linear or of (J, I) array
        See `times_network`.
    times : (N, I) or (I,) array
        When each input spikes, from 0 on; infinite where it never does.
    threads : int, optional
        By default all processors; the result does not depend on them.

    Raises
    ------
    InputError
        If the times do not fit the network, or are negative or NaN.
    """
    network = times_network(network)
    current = _checked_times(network, times)
    found = list[tuple[Times, Times, NDArray[np.int64]]]()
    with using_threads(threads):
        for weight, bias, threshold in zip(network.weights, network.biases, network.thresholds, strict=True):
            found.append(layer_times(current, np.ascontiguousarray(weight.T), bias, threshold))
            current = found[-1][0]
    layers, slopes, arrivals = zip(*found, strict=True)
    synops = tuple(each.sum(axis=1) for each in arrivals)
    return TimesResult(layers, slopes, synops, tuple(np.zeros(len(each), np.int64) for each in synops))


def layer_times(
    times: Times, by_source: Times, bias: Times, threshold: float
) -> tuple[Times, Times, NDArray[np.int64]]:
    """Times (N, J), slopes (N, J) and arrivals (N, J) of a layer whose weights (I, J) go by source."""
    orders, counts = _sorted(times)
    shape = (len(times), by_source.shape[1])
    crossed, slopes, arrivals = np.empty(shape), np.empty(shape), np.empty(shape, np.int64)

    def work(part: slice) -> None:
        first_crossings(
            times[part], orders[part], counts[part], by_source, bias, threshold,
            crossed[part], slopes[part], arrivals[part],
        )  # fmt: skip

    on_threads(work, _parts(len(times)))
    return crossed, slopes, arrivals


def simulate_grid(
    network: TimesNetwork | Network | Sequence[Weighted | NDArray[Any]],
    times: NDArray[Any],
    step: float,
    duration: float,
    threads: int | None = None,
) -> TimesResult:
    """The same network on a grid of time, as other simulators have it.

    A spike counts from the next step on the grid, potentials move at each step and are compared there. With shorter
    steps the times come closer to those of `simulate_times`, and the work grows. What comes after `duration` is not
    seen.

    Parameters
    ----------
    network, times, threads
        As of `simulate_times`.
    step : float
        Length of a step, above 0.
    duration : float
        Where the run ends.

    Raises
    ------
    InputError
        As `simulate_times` does, or if there are no steps, or more than 10**8.
    """
    network = times_network(network)
    current = _checked_times(network, times)
    if not (step > 0 and step <= duration < np.inf and duration / step <= 1e8):
        raise InputError(f"step must lie above 0, and 1 to 10**8 steps in duration (got {step!r} in {duration!r})")
    last = int(np.ceil(duration / step - 1e-9))
    layers, synops, updates = list[Times](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    with using_threads(threads):
        for weight, bias, threshold in zip(network.weights, network.biases, network.thresholds, strict=True):
            current, *counts = _grid_layer(current, np.ascontiguousarray(weight.T), bias, threshold, step, last)
            layers.append(current)
            synops.append(counts[0])
            updates.append(counts[1])
    return TimesResult(tuple(layers), (), tuple(synops), tuple(updates))


def _grid_layer(
    times: Times, by_source: Times, bias: Times, threshold: float, step: float, last: int
) -> tuple[Times, NDArray[np.int64], NDArray[np.int64]]:
    late = times > last * step * (1 + 1e-12)
    steps = np.ceil(np.where(late, 0, times) / step - 1e-9).astype(np.int64)
    orders, counts = _sorted(np.where(late, np.inf, times))
    crossed, operations = np.empty((len(times), by_source.shape[1]), np.int64), np.empty((len(times), 2), np.int64)

    def work(part: slice) -> None:
        grid_crossings(
            steps[part], orders[part], counts[part], by_source, bias, threshold, step, last, crossed[part],
            operations[part],
        )  # fmt: skip

    on_threads(work, _parts(len(times)))
    return np.where(crossed < 0, np.inf, crossed * step), operations[:, 0], operations[:, 1]


def _parts(samples: int) -> list[slice]:
    return [slice(first, first + _SAMPLES) for first in range(0, samples, _SAMPLES)]


def _sorted(times: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sources in the order of their times, and how many spike at all."""
    return np.argsort(times, axis=1, kind="stable"), np.isfinite(times).sum(axis=1)


def _checked_times(network: TimesNetwork, times: Any) -> Times:
    array = np.atleast_2d(as_array(times, "times"))
    if array.ndim != 2 or array.shape[1] != network.sources or array.dtype.kind not in "fiu":
        raise InputError(
            f"times must be numbers (N, {network.sources}), one for each input (got {array.dtype} {array.shape})"
        )
    wrong = ~(array >= 0)
    if wrong.any():
        raise InputError(f"times must be 0 or more, or infinite for inputs that never spike (got {array[wrong][0]})")
    return np.ascontiguousarray(array, np.float64)

"""Gradients of spike times in closed form.

A neuron spikes at t_j = (threshold + sum of w_i t_i) / (sum of w_i), sums over the arrivals before t_j; S is the latter
sum, the potential's slope there. So dt_j/dw_i = (t_i - t_j) / S and dt_j/dt_i = w_i / S for these arrivals, and 0 for
all others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...kernels.spike_times import time_gradients, weight_gradients
from ...threads import on_threads
from .layers import Times, TimesNetwork
from .simulation import TimesResult

_SOURCES = 32
"""Sources that a thread takes at a time."""


def network_gradients(
    network: TimesNetwork, times: Times, result: TimesResult, gradient: Times, least_slope: float = 0.0
) -> list[Times]:
    """Gradients of what depends on the times of the last layer's spikes.

    Parameters
    ----------
    network : TimesNetwork
    times : (N, I) float64
        Of the inputs.
    result : TimesResult
        Of `simulate_times` for these.
    gradient : (N, K) float64
        By the times of the last layer; where there is no spike it is not looked at.
    least_slope : float
        Smaller slopes count as this one: a potential that just reaches its threshold has gradients without bounds. 0
        for the exact ones.

    Returns
    -------
    list of (J, I) float64, by layer
    """
    found = list[Times]()
    for index in reversed(range(len(network.weights))):
        before = result.times[index - 1] if index else times
        by_source = np.ascontiguousarray(network.weights[index].T)
        part, crossed = scaled_gradient(result.times[index], result.slopes[index], gradient, least_slope)
        found.append(np.ascontiguousarray(gradient_by_weights(before, crossed, part).T))
        if index:
            gradient = gradient_by_times(before, crossed, part, by_source)
    return found[::-1]


def scaled_gradient(crossed: Times, slopes: Times, gradient: Times, least_slope: float) -> tuple[Times, Times]:
    """Gradient over slopes (N, J), 0 where there is no spike, and the spike times, -1 there: nothing comes before."""
    fired = np.isfinite(crossed)
    part = np.where(fired, gradient, 0) / np.where(fired, np.maximum(slopes, least_slope), 1)
    return part, np.where(fired, crossed, -1.0)


def gradient_by_weights(times: Times, crossed: Times, scaled: Times) -> Times:
    """(I, J) from spike times and gradients (N, J) as `scaled_gradient` has them."""
    found = np.empty((times.shape[1], crossed.shape[1]))

    def work(part: slice) -> None:
        weight_gradients(np.ascontiguousarray(times[:, part]), crossed, scaled, found[part])

    on_threads(work, [slice(first, first + _SOURCES) for first in range(0, len(found), _SOURCES)])
    return found


def gradient_by_times(times: Times, crossed: Times, scaled: Times, by_source: Times) -> Times:
    """(N, I) from spike times and gradients (N, J) as `scaled_gradient` has them, and weights (I, J)."""
    found = np.empty_like(times)
    time_gradients(times, crossed, scaled, by_source, found)
    return found


def latency(pictures: NDArray[np.float32]) -> Times:
    """(N, C H W) float64: times 1 - x of pictures (N, C, H, W); what is black never spikes."""
    values = pictures.reshape(len(pictures), -1).astype(np.float64)
    return np.where(values > 0, 1 - values, np.inf)

"""Spike times of layers of neurons in continuous time, their gradients, and the same neurons on a grid of time.

A source that spikes at t_i adds w (t - t_i) to the potential from then on. Between two arrivals a potential is a
straight line, so that its running sums, of w and of w t_i, say where it crosses the threshold.
"""

from __future__ import annotations

import numpy as np

from .compilation import compiled

_END = 1e300
"""Later than all arrivals, and still a number."""
_SLOW = 1e6
"""A crossing so many times later than the last arrival is looked at again: its slope may be rounding."""
_UNIT = 2.0**-52


@compiled
def forget_rounding(order, times, weights, bias, slopes, crossed):
    """Take spikes back whose slope is no more than the rounding of its sum: of weights that cancel out some is left.

    order : int64, (A,), sources that spike, in the order of their times
    times, weights, bias : as in `first_crossings`, of a sample
    slopes : float64, (J,), at the spikes
    crossed : float64, (J,), changed
    """
    latest = _SLOW * times[order[-1]] if order.size > 0 else np.inf
    for target in range(crossed.size):
        if latest < crossed[target] < np.inf:
            total = abs(bias[target])
            for source in order:
                total += abs(weights[source, target])
            if slopes[target] <= total * order.size * _UNIT:
                crossed[target] = np.inf


@compiled
def first_crossings(times, orders, counts, weights, bias, threshold, crossed, slopes, arrivals):
    """Spike times of a layer.

    times : float64, (N, I)
    orders : int64, (N, I), sources in the order of their times, those that never spike last
    counts : int64, (N,), sources that spike
    weights : float64, (I, J)
    bias : float64, (J,), weights of a source that spikes at 0
    threshold : float64, above 0
    crossed : float64, (N, J), written: time of the first crossing, infinite where there is none
    slopes : float64, (N, J), written: slope of the potential at the crossing, or after the last arrival
    arrivals : int64, (N, J), written: arrivals that a neuron took in, none after its spike
    """
    samples, width = crossed.shape
    slope, moment, limit = np.empty(width), np.empty(width), np.empty(width)
    for sample in range(samples):
        number, left = counts[sample], width
        moment[:], limit[:], crossed[sample, :] = 0.0, threshold, np.inf
        # Not a slice at once: Numba would compile the message for slices that do not match, for seconds.
        for target in range(width):
            slope[target] = bias[target]
        now, place = 0.0, -1
        while left > 0 and place < number:
            # After the last arrival a potential that rises crosses some time.
            following = times[sample, orders[sample, place + 1]] if place + 1 < number else _END
            line, hits = weights[orders[sample, max(place, 0)]], 0
            if place < 0:
                for target in range(width):
                    hits += 1 if slope[target] * following >= limit[target] else 0
            elif now == following:
                # No time passes between arrivals at once, and no potential moves.
                for target in range(width):
                    slope[target] += line[target]
                    moment[target] += line[target] * now
            else:
                for target in range(width):
                    slope[target] += line[target]
                    moment[target] += line[target] * now
                    hits += 1 if slope[target] * following - moment[target] >= limit[target] else 0
            if hits > 0:
                for target in range(width):
                    level = slope[target] * following - moment[target]
                    if limit[target] < np.inf and slope[target] > 0 and level >= threshold:
                        # Rounding must not put a spike before what caused it.
                        time = (threshold + moment[target]) / slope[target]
                        crossed[sample, target] = min(max(time, now), following)
                        slopes[sample, target], arrivals[sample, target] = slope[target], place + 1
                        limit[target] = np.inf
                        left -= 1
            place += 1
            now = following
        for target in range(width):
            if limit[target] < np.inf:
                slopes[sample, target], arrivals[sample, target] = slope[target], number
        forget_rounding(orders[sample, :number], times[sample], weights, bias, slopes[sample], crossed[sample])


@compiled
def weight_gradients(times, crossed, scaled, into):
    """Gradients by the weights of some sources, from those of the spike times that they lead to.

    times : float64, (N, S), of the sources
    crossed : float64, (N, J), spike times, negative where there is no spike
    scaled : float64, (N, J), gradient by each spike time over the slope there; 0 where there is no spike
    into : float64, (S, J), written
    """
    into[:] = 0
    for source in range(into.shape[0]):
        line = into[source]
        for sample in range(times.shape[0]):
            time = times[sample, source]
            if time < np.inf:
                for target in range(line.size):
                    ahead = time - crossed[sample, target]
                    line[target] += scaled[sample, target] * (ahead if ahead < 0 else 0.0)


@compiled
def time_gradients(times, crossed, scaled, weights, into):
    """Gradients by the times of sources.

    times, crossed, scaled : as in `weight_gradients`, of all sources
    weights : float64, (I, J)
    into : float64, (N, I), written
    """
    for sample in range(times.shape[0]):
        for source in range(times.shape[1]):
            flow, time = 0.0, times[sample, source]
            for target in range(crossed.shape[1]):
                if time < crossed[sample, target]:
                    flow += scaled[sample, target] * weights[source, target]
            into[sample, source] = flow


@compiled
def grid_crossings(steps, orders, counts, weights, bias, threshold, step, last, crossed, work):
    """The same layer on a grid of time: what arrives at a step counts from then on, every potential moves at each step.

    steps : int64, (N, I), step of each source's spike
    orders, counts, weights, bias, threshold : as in `first_crossings`
    step : float64, length of a step
    last : int64, steps of the run
    crossed : int64, (N, J), written: step of the spike, -1 where there is none
    work : int64, (N, 2), written: arrivals that neurons took in, and steps of neurons, none after the spike
    """
    samples, width = crossed.shape
    slope, potential, waiting = np.empty(width), np.empty(width), np.empty(width, np.int64)
    for sample in range(samples):
        left, place = width, 0
        work[sample, :] = 0
        for target in range(width):
            slope[target], potential[target], waiting[target] = bias[target], 0.0, target
            crossed[sample, target] = -1
        for now in range(last + 1):
            if left == 0:
                break
            kept = 0
            for index in range(left):
                if now > 0:
                    potential[index] += slope[index] * step
                if potential[index] >= threshold:
                    crossed[sample, waiting[index]] = now
                else:
                    slope[kept], potential[kept], waiting[kept] = slope[index], potential[index], waiting[index]
                    kept += 1
            work[sample, 1] += left
            left = kept
            while place < counts[sample] and steps[sample, orders[sample, place]] <= now:
                line = weights[orders[sample, place]]
                for index in range(left):
                    slope[index] += line[waiting[index]]
                work[sample, 0] += left
                place += 1

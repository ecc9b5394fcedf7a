"""Neurons that accumulate weights in the order of spikes: competitions that learn, and convolutions that infer."""

from __future__ import annotations

import numpy as np

from .compilation import compiled


@compiled
def compete(times, orders, counts, weights, thresholds, rule, rate, threshold_rate, winners):
    """Let neurons learn from patches, one after the other: whoever spikes first does, all others are silenced.

    times : float64, (P, I); an input that never spikes has an infinite time
    orders : int64, (P, I), inputs in the order of their times
    counts : int64, (P,), inputs that spike
    weights : float64, (J, I), changed
    thresholds : float64, (J,), changed
    rule : StdpRule
    rate, threshold_rate : float64
    winners : int64, (P,), written; -1 where no neuron spiked
    """
    width, inputs = weights.shape
    potential = np.empty(width)
    for patch in range(times.shape[0]):
        winner, spiked = -1, np.inf
        potential[:] = 0
        for place in range(counts[patch]):
            source = orders[patch, place]
            largest = 0.0
            for neuron in range(width):
                potential[neuron] += weights[neuron, source]
                beyond = potential[neuron] - thresholds[neuron]
                # Of several that cross at once, the one that crosses by most is the first.
                if beyond >= 0 and (winner < 0 or beyond > largest):
                    winner, largest = neuron, beyond
            if winner >= 0:
                spiked = times[patch, source]
                break
        winners[patch] = winner
        if winner < 0:
            continue
        for source in range(inputs):
            before = spiked - min(times[patch, source], rule.silent)
            change = (rate if before >= 0 else -rate) * np.exp(-abs(before) / rule.window)
            weights[winner, source] = min(max(weights[winner, source] + change, 0.0), 1.0)
        late = threshold_rate * (spiked - rule.wanted)
        for neuron in range(width):
            change = threshold_rate if neuron == winner else -threshold_rate / max(width - 1, 1)
            thresholds[neuron] = max(thresholds[neuron] - late + change, rule.least)


@compiled
def spike_features(times, orders, counts, weights, thresholds, side, inhibit, found):
    """Latencies of a convolution's neurons, each of which spikes once at the most.

    times : float64, (N, C H W), in the order (channel, row, column)
    orders, counts : as in `compete`
    weights : float64, (C, side, side, J)
    thresholds : float64, (J,)
    side : int64, of the kernel
    inhibit : whether the first spike at a place silences the other neurons there
    found : float64, (N, rows, columns, J), written: times, infinite where there is no spike

    Returns synaptic operations.
    """
    samples, rows, columns, width = found.shape
    height, breadth = rows + side - 1, columns + side - 1
    potential = np.empty((rows, columns, width))
    quiet = np.empty((rows, columns), np.bool_)
    operations = 0
    for sample in range(samples):
        potential[:] = 0
        quiet[:] = False
        found[sample] = np.inf
        for place in range(counts[sample]):
            source = orders[sample, place]
            now = times[sample, source]
            channel, rest = divmod(source, height * breadth)
            row, column = divmod(rest, breadth)
            for top in range(max(row - side + 1, 0), min(row, rows - 1) + 1):
                for left in range(max(column - side + 1, 0), min(column, columns - 1) + 1):
                    if quiet[top, left]:
                        continue
                    line, here = weights[channel, row - top, column - left], potential[top, left]
                    operations += width
                    largest, winner = -1.0, -1
                    for neuron in range(width):
                        before = here[neuron]
                        here[neuron] = before + line[neuron]
                        beyond = here[neuron] - thresholds[neuron]
                        if beyond >= 0 and before < thresholds[neuron]:
                            if not inhibit:
                                found[sample, top, left, neuron] = now
                            elif beyond > largest:
                                largest, winner = beyond, neuron
                    if winner >= 0:
                        found[sample, top, left, winner] = now
                        quiet[top, left] = True
    return operations

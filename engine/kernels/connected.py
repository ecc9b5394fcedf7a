"""Populations behind full connections, for batches of pictures: all steps of one population, spikes as bytes.

What the engine computes for such a network (the order of additions, rounded once a product, and the firing rule of
engine/neurons/firing.py with one threshold) is computed here to the same bits, without events in memory between layers:
training runs small networks many thousand times, each time with other weights. Threads take ranges of pictures.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .compilation import compiled
from .depthwise import multiply_add


class OneThreshold(NamedTuple):
    """A neuron with one threshold, all float32: see engine/neurons/firing.py."""

    decay: Any
    compare: Any
    subtract: Any
    initial: Any


@compiled
def constant_currents(inputs, weights, bias, currents):
    """Current of an analog input, the same at every step.

    inputs : float32, (N, I), in the order of additions
    weights : float32, (I, J)
    bias : float32, (J,)
    currents : float32, (N, J), written
    """
    pictures, width = inputs.shape
    for picture in range(pictures):
        row = currents[picture]
        # Not a slice at once: Numba would compile the message for slices that do not match, for seconds.
        for target in range(row.size):
            row[target] = bias[target]
        for place in range(width):
            value = inputs[picture, place]
            if value != 0:
                line = weights[place]
                for target in range(row.size):
                    row[target] = multiply_add(value, line[target], row[target])


@compiled
def fire_connected(base, before, emitted, weights, recurrent, neuron, shares, spikes, rates):
    """Run a population for all steps.

    base : float32, (N, J), or (1, J) where it is the same for all pictures: what the current begins with
    before : uint8, (N, T, I), spikes of the population that is read; I is 0 where none is
    emitted : float32, value of one of these spikes
    weights : float32, (I, J)
    recurrent : float32, (J, J), by the source, of a connection of the population to itself that takes a step; (0, J)
        where there is none
    neuron : OneThreshold
    shares : float32, (T,): of each step, in `rates`
    spikes : uint8, (N, T, J), written
    rates : float32, (N, J), written: sum of the shares of the steps in which a neuron fires, the first step first
    """
    pictures, steps, width = spikes.shape
    potential, current, returned = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for picture in range(pictures):
        start = base[picture % base.shape[0]]
        potential[:] = neuron.initial
        rates[picture, :] = 0
        for step in range(steps):
            for target in range(width):
                current[target] = start[target]
            for source in range(before.shape[2]):
                if before[picture, step, source]:
                    line = weights[source]
                    for target in range(width):
                        current[target] = multiply_add(emitted, line[target], current[target])
            if recurrent.shape[0] > 0 and step > 0:
                returned[:] = 0
                for source in range(width):
                    if spikes[picture, step - 1, source]:
                        line = recurrent[source]
                        for target in range(width):
                            returned[target] = multiply_add(neuron.subtract, line[target], returned[target])
                for target in range(width):
                    current[target] += returned[target]
            fired, share, rate = spikes[picture, step], shares[step], rates[picture]
            for target in range(width):
                driven = neuron.decay * potential[target] + current[target]
                crossed = driven > neuron.compare
                potential[target] = driven - neuron.subtract if crossed else driven
                fired[target] = crossed
                rate[target] += share if crossed else np.float32(0)

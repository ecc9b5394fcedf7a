"""The smooth networks whose exact gradients fine-tuning computes: slow, in float64, step by step, sharing no code.

Accumulated flow goes back through a network of ReLUs, or identities where neurons are signed, that sees T times the
input and adds each bias T times.
Backpropagation through time goes back through a spiking network whose thresholds are crossed by degrees, along a smooth
step whose derivative is the surrogate.
"""

from __future__ import annotations

import numpy as np

from spikeunet.engine import Add, Concat, Input, MaxPool2d, Neurons, Output
from spikeunet.engine.neurons import rectifies
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.reference_synapses import STATEFUL

SLOPES = {
    "triangle": lambda x: np.maximum(0, 1 - np.abs(x)),
    "fast-sigmoid": lambda x: 0.5 / (1 + np.abs(x)) ** 2,
    "arctan": lambda x: 0.5 / (1 + (np.pi * x / 2) ** 2),
    "rectangle": lambda x: np.where(np.abs(x) < 1, 0.5, 0.0),
}
"""Surrogate derivatives at the distance x, in widths."""

DEGREES = {
    "triangle": lambda x: np.where(x < 0, np.maximum(0, 1 + x) ** 2 / 2, 1 - np.maximum(0, 1 - x) ** 2 / 2),
    "fast-sigmoid": lambda x: 0.5 + 0.5 * x / (1 + np.abs(x)),
    "arctan": lambda x: 0.5 + np.arctan(np.pi * x / 2) / np.pi,
    "rectangle": lambda x: np.clip(0.5 + 0.5 * x, 0, 1),
}
"""The smooth steps from 0 to 1 whose derivatives these are."""


def thresholds(model):
    """(comparison, value) of each threshold, share of the potential left after a step, whether a spike sets it to zero.

    Reaching a threshold is exceeding the next smaller float32.
    """
    ladder = np.float32(getattr(model, "thresholds", None) or (model.threshold,))
    compare = ladder if model.strict else np.nextafter(ladder, np.float32(-np.inf))
    exact = list(zip(compare.astype(float), ladder.astype(float), strict=True))
    return exact, float(np.float32(getattr(model, "decay", 1.0))), getattr(model, "reset", "subtract") == "zero"


def time_output(network, picture, steps, surrogate, frozen=None):
    """Readout / T of the smooth spiking network, (O, H, W), and the crossings at every step.

    `frozen` holds the crossings of an earlier run: resets then use those, as constants (the detached reset).
    """
    shapes = network.shapes(picture.shape)
    potential = {node.name: np.full(shapes[node.name], float(node.model.initial)) for node in network.neurons}
    total, crossings, kept = np.zeros(shapes[network.output.name]), [], {}
    for _ in range(steps):
        values = {}
        for node in network.nodes:
            incoming = [values[source] for source in node.sources]
            if isinstance(node, Input):
                values[node.name] = picture
            elif isinstance(node, Concat):
                values[node.name] = np.concatenate(incoming)
            elif isinstance(node, Add):
                values[node.name] = sum(incoming)
            elif isinstance(node, MaxPool2d):
                state = kept.get(node.name, np.zeros(incoming[0].shape))
                kept[node.name], values[node.name] = STATEFUL[MaxPool2d](node, state, incoming[0])
            elif isinstance(node, Neurons):
                ladder, decay, to_zero = thresholds(node.model)
                v = decay * potential[node.name] + incoming[0]
                emitted = np.zeros_like(v)
                for compare, theta in ladder:
                    by = DEGREES[surrogate.kind]((v - compare) / (surrogate.width * theta))
                    emitted += by * theta
                    crossings.append(by)
                    fixed = by if frozen is None else frozen[len(crossings) - 1]
                    # A detached reset is a constant: what was taken away in the frozen run.
                    v = v * (1 - fixed) if to_zero else v - fixed * theta
                potential[node.name], values[node.name] = v, emitted
            elif isinstance(node, Output):
                total += incoming[0]
            else:
                values[node.name] = reference.SYNAPSES[type(node)](node, *incoming)
    return total / steps, crossings


def largest(node, x):
    """Largest value of each window of a max pool."""
    (tall, wide), (down, right), (above, left) = node.kernel_size, node.stride, node.padding
    padded = np.pad(x, ((0, 0), (above, above), (left, left)), constant_values=-np.inf)
    result = np.zeros(node.output_shape(x.shape))
    for row, column in np.ndindex(result.shape[1:]):
        window = padded[:, row * down : row * down + tall, column * right : column * right + wide]
        result[:, row, column] = window.max((1, 2))
    return result


def flow_values(network, picture, steps):
    """Readout / T of the ReLU network, (O, H, W), its values, and where each layer's accumulated input is positive."""
    values, charged, output = {}, {}, None
    for node in network.nodes:
        incoming = [values[source] for source in node.sources]
        if isinstance(node, Input):
            values[node.name] = picture * steps
        elif isinstance(node, Concat):
            values[node.name] = np.concatenate(incoming)
        elif isinstance(node, Add):
            values[node.name] = sum(incoming)
        elif isinstance(node, MaxPool2d):
            values[node.name] = largest(node, incoming[0])
        elif isinstance(node, Neurons):
            charged[node.name] = (incoming[0] > 0) | (not rectifies(node.model))
            values[node.name] = charged[node.name] * (incoming[0] + node.model.initial)
        elif isinstance(node, Output):
            output = incoming[0] / steps
        else:
            current = reference.SYNAPSES[type(node)](node, *incoming)
            if hasattr(node, "bias"):
                current = current + (steps - 1) * node.bias.astype(np.float64)[:, None, None]
            values[node.name] = current
    return output, values, charged

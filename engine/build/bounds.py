"""How large the numbers of a layer may become: runs that stay within float32 need not be watched, counts must fit.

Bounds are crude, a product of the largest weight, the number of weights and the largest value that is read. They tell
numbers of any ordinary size from those that a float32 number may not hold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import AvgPool2d, Conv2d, ConvTranspose2d, Linear, Synapses
from ..lazy import KnownOf
from ..memory import called_by_clear_caches
from ..neurons import LadderModel
from .layers import Layer, Program

SAFE = 2.0**126
"""A quarter of what float32 holds: sums of so many numbers at most cannot be rounded beyond it."""

_largest: KnownOf[Synapses, tuple[float, float]] = KnownOf()
"""Sizes of the largest weight and of the largest bias of nodes that are alive."""

called_by_clear_caches(_largest.clear)


def picture_limit(layer: Layer, steps: int) -> float:
    """Largest size of a picture's values with which no current, potential or readout of a layer leaves float32.

    0 where no picture is small enough: the layer has to be watched. Infinite where none matters.
    """
    largest, bias = _sizes(layer.node)
    reach = largest * _products(layer.node)
    emitted = max((float(np.abs(source.levels.emit).max()) for source in layer.sources if source.levels), default=0.0)
    growth, offset = _potentials(layer, steps)
    rest = growth * (reach * emitted + bias) + offset
    if not rest < SAFE:
        return 0.0
    if growth * reach == 0 or not any(source.analog for source in layer.sources):
        return math.inf
    return (SAFE - rest) / (growth * reach)


def check_counts(program: Program, steps: int) -> None:
    """InputError where a count of so many steps may be more than a 64-bit integer holds."""
    for layer in program.layers:
        if layer.most_accumulates * steps >= 2**63:
            raise InputError(
                f"{steps} steps of {layer.node.name!r} may take {layer.most_accumulates * steps:.2g} accumulates, more "
                f"than can be counted (2**63); run at most {(2**63 - 1) // layer.most_accumulates} steps at a time"
            )


def _sizes(node: Synapses) -> tuple[float, float]:
    if not isinstance(node, (Conv2d, ConvTranspose2d, Linear)):
        return 1.0, 0.0
    arrays = (node.weight, node.bias)
    return _largest.get(node, (), lambda: (_size(arrays[0]), _size(arrays[1])))


def _size(array: NDArray[np.float32]) -> float:
    return float(max(array.max(), -array.min()))


def _products(node: Synapses) -> int:
    """Products in a sum, or more: of a pool, which sums up before it divides, pixels of a window."""
    if isinstance(node, AvgPool2d):
        return math.prod(node.kernel_size)
    assert isinstance(node, (Conv2d, ConvTranspose2d, Linear))
    return node.weight.size


def _potentials(layer: Layer, steps: int) -> tuple[float, float]:
    """With currents of up to i, potentials and readouts stay below the first number times i plus the second."""
    if layer.neurons is None:
        return steps, 0.0
    model = layer.neurons.model
    if not isinstance(model, LadderModel):
        return 0.0, 0.0  # Its kernel looks at every current and at every number that it keeps.
    constants = model.firing_constants()
    if abs(constants.decay) > 1 or abs(constants.keep) > 1:
        return math.inf, math.inf  # Such a neuron may grow by itself.
    subtracted = float(np.abs(constants.subtract).sum(dtype=np.float64))
    return steps, abs(float(model.initial)) + steps * subtracted

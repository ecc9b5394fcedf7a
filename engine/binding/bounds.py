"""How large the numbers of a layer may become: runs that stay within float32 need not be watched, counts must fit.

Bounds are crude, a product of the largest weight, the number of weights and the largest value that is read. They tell
numbers of any ordinary size from those that a float32 number may not hold.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ..errors import InputError
from ..graph import Synapses
from ..graph.answers import checked_gain
from ..lazy import KnownOf
from ..neurons import LadderModel
from .layer import Layer
from .program import Program

SAFE = 2.0**126
"""A quarter of what float32 holds: sums of so many numbers at most cannot be rounded beyond it."""

_gains: KnownOf[Synapses, tuple[float, float, int] | None] = KnownOf()
"""Of nodes that are alive: looked for once, because there are millions of weights."""


def picture_limit(layer: Layer, steps: int) -> float:
    """Largest size of a picture's values with which no current, potential or readout of a layer leaves float32.

    0 where no picture is small enough: the layer has to be watched. Infinite where none matters.
    """
    growth, offset = _potentials(layer, steps)
    if growth == 0:
        return math.inf
    analog = currents = 0.0
    for part in layer.parts:
        gain = _gains.get(part.node, (), partial(checked_gain, part.node))
        if gain is None:
            return 0.0
        largest, bias, products = gain
        emitted = [float(np.abs(source.levels.emit).max()) for source in part.sources if source.levels]
        currents += largest * products * max(emitted, default=0.0) + bias
        analog += largest * products if part.analog else 0.0
    rest = growth * currents + offset
    if not rest < SAFE:
        return 0.0
    return math.inf if analog == 0 else (SAFE - rest) / (growth * analog)


def watched(program: Program, steps: int, largest: float) -> set[str]:
    """Layers of which numbers may leave the range of float32, with pictures of values up to `largest`."""
    layers = program.layers
    limits = program.known(("limits", steps), lambda: {layer.name: picture_limit(layer, steps) for layer in layers})
    return {name for name, limit in limits.items() if largest > limit or limit == 0}


def check_counts(program: Program, steps: int) -> None:
    """InputError where a count of so many steps may be more than a 64-bit integer holds."""
    for part in (part for layer in program.layers for part in layer.parts):
        if part.most_accumulates * steps >= 2**63:
            raise InputError(
                f"{steps} steps of {part.node.name!r} may take {part.most_accumulates * steps:.2g} accumulates, more "
                f"than can be counted (2**63); run at most {(2**63 - 1) // part.most_accumulates} steps at a time"
            )


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

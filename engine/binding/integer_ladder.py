"""Neurons in integers: bias, initial potential and thresholds in units of the sums of products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..kernels.arguments import IntegerLadder
from ..kernels.firing import closed_form
from ..kernels.integer_firing import in_held_order
from ..kernels.quads import LANES
from ..kernels.vectors import LEVEL_BITS
from .integer_plan import EXACT, most_quanta

if TYPE_CHECKING:
    from .gather_layer import GatherLayer
    from .integer_plan import IntegerTerms

_LARGEST_SHIFT = 30
"""Of int32 numbers."""


@dataclass(frozen=True, eq=False)
class LadderInUnits:
    """What `IntegerLadder` says, in the order of the channels, (padded channels,) int32 each.

    It is so for `steps` steps at most: of more, a potential could be rounded.
    """

    addends: NDArray[np.int32]
    biases: NDArray[np.int32]
    shifts: NDArray[np.int32]
    thresholds: int
    steps: int

    def held(self, width: int, interleaved: bool) -> IntegerLadder:
        """For blocks of so many output channels, whose bytes are `interleaved` or not."""
        numbers = (self.addends, self.biases, self.shifts)
        addends, biases, shifts = (in_held_order(each, width // LANES, interleaved) for each in numbers)
        return IntegerLadder(addends, biases, shifts, (1 << self.thresholds) - 1, LEVEL_BITS - self.thresholds)


def ladder_in_units(layer: GatherLayer, terms: IntegerTerms) -> LadderInUnits | None:
    """None where the neurons are others, or a potential may be no number of units that float32 holds without rounding.

    What is fired is thus, bit for bit, what float32 potentials fire.
    """
    quantum, thresholds = closed_form(layer.neuron)
    if not quantum:
        return None
    scale, own = terms.scale.astype(np.float64), slice(layer.outgoing[0])
    bias, initial = (each[own].astype(np.float64) / scale[own] for each in (layer.bias, layer.initial[0][0]))
    of_quantum = np.log2(quantum / scale[own])
    whole = [(each == np.rint(each)).all() for each in (bias, initial, of_quantum)]
    if not (all(whole) and of_quantum.min() >= 0 and of_quantum.max() <= _LARGEST_SHIFT):
        return None
    # A potential of a step and the step's current are added up, and at the most nothing has been fired before.
    current = terms.kernel.largest_sums(most_quanta(layer.sources, terms.quanta)) + np.abs(bias)
    steps = int(((EXACT - np.abs(initial)) / np.maximum(current, 1)).min())
    if steps < 1:
        return None
    addends, biases, shifts = np.full(scale.shape, -1, np.int32), *np.zeros((2, *scale.shape), np.int32)
    addends[own], biases[own], shifts[own] = bias + initial - 1, bias, of_quantum
    return LadderInUnits(addends, biases, shifts, thresholds, steps)

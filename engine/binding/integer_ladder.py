"""Neurons that fire once, in integers: bias, initial potential and thresholds in units of the sums of products."""

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
    """What `IntegerLadder` says, in the order of the channels: addends and shifts, (padded channels,) int32."""

    addends: NDArray[np.int32]
    shifts: NDArray[np.int32]
    thresholds: int

    def held(self, width: int, interleaved: bool) -> IntegerLadder:
        """For blocks of so many output channels, whose bytes are `interleaved` or not."""
        addends, shifts = (in_held_order(each, width // LANES, interleaved) for each in (self.addends, self.shifts))
        return IntegerLadder(addends, shifts, (1 << self.thresholds) - 1, LEVEL_BITS - self.thresholds)


def ladder_in_units(layer: GatherLayer, terms: IntegerTerms) -> LadderInUnits | None:
    """None where the neurons are others, or a potential may be no number of units that float32 holds without rounding.

    What is fired is thus, bit for bit, what float32 potentials fire.
    """
    quantum, thresholds = closed_form(layer.neuron)
    if not quantum:
        return None
    scale, own = terms.scale.astype(np.float64), slice(layer.outgoing[0])
    addends, shifts = np.full(scale.shape, -1, np.int32), np.zeros(scale.shape, np.int32)
    before = layer.bias.astype(np.float64) + layer.initial[0][0]
    units, of_quantum = before[own] / scale[own], np.log2(quantum / scale[own])
    worst = terms.kernel.largest_sums(most_quanta(layer.sources, terms.quanta))
    whole = (units == np.rint(units)) & (worst + np.abs(units) <= EXACT)
    if not (whole & (of_quantum == np.rint(of_quantum)) & (of_quantum >= 0) & (of_quantum <= _LARGEST_SHIFT)).all():
        return None
    addends[own], shifts[own] = units - 1, of_quantum
    return LadderInUnits(addends, shifts, thresholds)

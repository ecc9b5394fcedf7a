"""Surrogate derivatives: what stands in for the derivative of a threshold, which is zero or infinite, in training.

With x = (v - theta) / w, the derivative of a crossing by v is slope(x) / w, and each slope is the derivative of a
smooth step from 0 to 1:

============ ======================== ===============================================
triangle     max(0, 1 - |x|)          Esser et al., PNAS 113(41), 2016
fast-sigmoid 1 / (2 (1 + |x|)^2)      Zenke and Ganguli, Neural Computation 30(6), 2018
arctan       1 / (2 (1 + (pi x/2)^2)) Fang et al., ICCV 2021
rectangle    1/2 where |x| < 1        Wu et al., Frontiers in Neuroscience 12, 2018
============ ======================== ===============================================

The width w is a share of the threshold itself, so that the slopes of a ladder of thresholds add up evenly. How these
shapes apply to registered neuron models is said in stepped.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...kernels.surrogate import (
    ARCTAN,
    FAST_SIGMOID,
    RECTANGLE,
    TRIANGLE,
    LadderThroughTime,
    SurrogateOptions,
)
from ...neurons import LadderModel

SURROGATES = {"triangle": TRIANGLE, "fast-sigmoid": FAST_SIGMOID, "arctan": ARCTAN, "rectangle": RECTANGLE}
"""Codes by name."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Surrogate:
    """A surrogate derivative.

    Parameters
    ----------
    kind : "triangle", "fast-sigmoid", "arctan" or "rectangle"
    width : float
        w of a threshold theta is width * theta.
    detach_reset : bool
        Whether the backward pass takes the reset for a constant instead of going through it.
    smooth : bool
        Whether thresholds are crossed by degrees, along the antiderivative of the slope, instead of firing: the smooth
        network whose exact gradient the backward pass is. For tests of gradients.

    Raises
    ------
    InputError
        If the kind is unknown or the width is not positive.
    """

    kind: str = "triangle"
    width: float = 1.0
    detach_reset: bool = False
    smooth: bool = False

    def __post_init__(self) -> None:
        if self.kind not in SURROGATES:
            raise InputError(f"surrogate must be one of {', '.join(SURROGATES)} (got {self.kind!r})")
        if not (math.isfinite(self.width) and self.width > 0):
            raise InputError(f"the surrogate's width must be a positive number (got {self.width})")

    @property
    def options(self) -> SurrogateOptions:
        """What the kernels take."""
        return SurrogateOptions(SURROGATES[self.kind], self.smooth, self.detach_reset)

    def neuron(self, model: LadderModel, dtype: np.dtype[Any]) -> LadderThroughTime:
        """Constants of a ladder in the form that the kernels take."""
        constants = model.firing_constants()
        values = constants.emit[[1 << bit for bit in range(len(constants.compare))]]
        widths = self.width * values.astype(np.float64)
        columns = (constants.compare, constants.subtract, values, widths, 1 / widths)
        # As the engine rounds them, whatever the type of the arithmetic.
        decay, keep = (dtype.type(np.float32(number)) for number in (constants.decay, constants.keep))
        return LadderThroughTime(decay, keep, np.stack(columns, axis=1).astype(dtype))

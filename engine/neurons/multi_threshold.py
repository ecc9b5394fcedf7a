"""The multi-threshold neuron of Li et al., arXiv 2307.10974, section III-B."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .firing import MAXIMUM_THRESHOLDS, FiringConstants, check_ladder, check_number, ladder_constants

RECOMMENDED_THRESHOLDS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
"""One or two steps of which lose hardly anything; benchmarks/ladder_curves.py compares ladders."""


@dataclass(frozen=True)
class MultiThreshold:
    """Neuron that fires at several thresholds, largest first, each at most once a step.

    At each step the input current, bias included, is added to the membrane potential v; then for each threshold theta
    in order: if v > theta, v -= theta and theta is added to the value emitted.

    Parameters
    ----------
    thresholds : sequence of float
        One to eight positive thresholds in strictly descending order.
    initial : float
        Membrane potential before the first step. Half of the smallest threshold makes the neuron round to the nearest
        level where 0 makes it round down.
    strict : bool
        Whether v must exceed a threshold (v > theta, as in the paper) or only reach it (v >= theta).

    Raises
    ------
    NeuronError
        If there are no thresholds or more than eight, if one is not positive and finite or all together are not, or if
        they do not descend in float32.
    """

    thresholds: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
    initial: float = 0.0
    strict: bool = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        thresholds = check_ladder(name, "thresholds", self.thresholds, MAXIMUM_THRESHOLDS)
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "initial", check_number(name, "initial", self.initial))

    @classmethod
    def rounding(cls, thresholds: Sequence[float] = RECOMMENDED_THRESHOLDS) -> MultiThreshold:
        """Neuron that starts at half of its smallest threshold, and so rounds its input to the nearest level.

        Seven thresholds from 1 to 1/64 suit weights that are normalised connection by connection, which brings nearly
        all activations to 1 at most: together they reach 127/64, in steps of 1/64.

        Raises
        ------
        NeuronError
            As for the constructor.
        """
        started = cls(tuple(thresholds))
        return cls(started.thresholds, initial=started.thresholds[-1] / 2)

    def firing_constants(self) -> FiringConstants:
        """Parameters for the firing kernel."""
        return ladder_constants(self.thresholds, strict=self.strict, initial=self.initial)

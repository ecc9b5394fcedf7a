"""The burst neuron of Li and Zeng, IJCAI 2022 (arXiv 2204.13271)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import NeuronError
from .firing import check_number, check_threshold
from .registry import register_neuron
from .stepped import MAXIMUM_LEVELS


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class BurstNeuron:
    """Integrate-and-fire neuron that fires as often in a step as its potential holds the threshold, up to a limit.

    At each step v <- v + input; n = clip(floor(v / threshold), 0, gamma); v <- v - n * threshold, and n * threshold is
    emitted: one event whose level is n, which counts as n spikes.

    Parameters
    ----------
    threshold : float
        Positive firing threshold; also the value of a spike.
    gamma : int
        Most spikes in a step, 1 to 255.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If the threshold is not positive and finite in float32, or gamma is out of range.
    """

    threshold: float = 1.0
    gamma: int = 5
    initial: float = 0.0

    conserves_charge = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_threshold(name, self.threshold)
        whole = isinstance(self.gamma, int) and not isinstance(self.gamma, bool)
        if not whole or not 1 <= self.gamma < MAXIMUM_LEVELS:
            raise NeuronError(
                f"{name}.gamma: must be a whole number from 1 to {MAXIMUM_LEVELS - 1} (got {self.gamma!r})"
            )
        check_number(name, "threshold times gamma", self.threshold * self.gamma)
        check_number(name, "initial", self.initial)

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    def levels(self) -> tuple[float, ...]:
        """A level is a number of spikes."""
        return tuple(spikes * self.threshold for spikes in range(self.gamma + 1))

    def spikes(self) -> tuple[int, ...]:
        """Level n counts as n spikes."""
        return tuple(range(self.gamma + 1))

    def arithmetic(self) -> dict[str, int]:
        """The threshold is compared with, and taken off, once for every spike."""
        return {"additions": 1, "comparisons": 1, "spike_additions": 1, "spike_comparisons": 1}

    @staticmethod
    def step(current: float, v: float, threshold: float, gamma: int) -> tuple[int, float]:
        """One step."""
        v = v + current
        if v < threshold:
            return 0, v
        # The limit first: a potential far beyond it has no whole number.
        spikes = math.floor(min(v / threshold, gamma))
        return spikes, v - spikes * threshold

    @staticmethod
    def surrogate(
        current: float, v: float, threshold: float, gamma: int, width: float
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """The stairs of the burst as one slope, from `width` below the first step to `width` above the last."""
        v = v + current
        low, high = threshold - width, gamma * threshold + width
        slope = gamma * threshold / (high - low) if low < v < high else 0.0
        return (slope, slope), (1 - slope, 1 - slope)

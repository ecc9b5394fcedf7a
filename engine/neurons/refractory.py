"""The leaky integrate-and-fire neuron with an absolute refractory period, in discrete time."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NeuronError
from .firing import ChosenReset, check_number, check_reset, check_threshold
from .registry import register_neuron

MAXIMUM_PERIOD = 65535
"""Longest refractory period, in steps; every number up to it is a float32 number."""


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class RefractoryLeakyIntegrateAndFire(ChosenReset):
    """Leaky integrate-and-fire neuron that rests for some steps after each spike.

    At each step v <- decay * v + input, and the neuron fires when v reaches the threshold; then it is refractory for
    `period` steps, in which it takes no input, leaks, and does not fire (Gerstner and Kistler, Spiking Neuron Models,
    Cambridge 2002, section 4.1). So two spikes are at least period + 1 steps apart.

    Parameters
    ----------
    threshold : float
        Positive firing threshold; also the value of a spike.
    decay : float
        Share of the membrane potential that is left after a step, from 0 (no memory) to 1 (no leak).
    period : int
        Refractory steps after a spike, 0 (none) to 65535.
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the membrane potential or sets the potential to zero.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If the threshold is not positive and finite in float32, the decay is outside [0, 1], the period is out of range,
        or the reset is unknown.
    """

    threshold: float = 1.0
    decay: float = 0.9
    period: int = 2
    reset: str = "zero"
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_threshold(name, self.threshold)
        if not 0 <= check_number(name, "decay", self.decay) <= 1:
            raise NeuronError(f"{name}.decay: must lie in [0, 1] (got {self.decay})")
        whole = isinstance(self.period, int) and not isinstance(self.period, bool)
        if not whole or not 0 <= self.period <= MAXIMUM_PERIOD:
            raise NeuronError(f"{name}.period: must be a whole number from 0 to {MAXIMUM_PERIOD} (got {self.period!r})")
        check_reset(name, self.reset)
        check_number(name, "initial", self.initial)

    def state(self) -> dict[str, float]:
        """The membrane potential, and how many steps the neuron has yet to rest."""
        return {"v": self.initial, "rest": 0.0}

    def levels(self) -> tuple[float, float]:
        """A spike has the threshold's value."""
        return 0.0, self.threshold

    def arithmetic(self) -> dict[str, int]:
        """As of a leaky neuron, and a look at whether it rests; it then counts down in place of taking input."""
        return {"multiplications": 1, "additions": 1, "comparisons": 2, "spike_additions": int(not self.to_zero)}

    @staticmethod
    def step(
        current: float, v: float, rest: float, threshold: float, decay: float, period: int, to_zero: bool
    ) -> tuple[int, float, float]:
        """One step."""
        if rest > 0:
            return 0, decay * v, rest - 1
        v = decay * v + current
        if v < threshold:
            return 0, v, 0.0
        return 1, 0.0 if to_zero else v - threshold, float(period)

    @staticmethod
    def surrogate(
        current: float,
        v: float,
        rest: float,
        threshold: float,
        decay: float,
        period: int,  # noqa: ARG004 - a surrogate takes what the step takes
        to_zero: bool,
        width: float,
    ) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]:
        """A triangle around the threshold (Esser et al., PNAS 113(41), 2016); a resting neuron passes its leak alone.

        The count of resting steps decides when the neuron listens, which has no useful slope: it is taken for given.
        """
        if rest > 0:
            return (0.0, 0.0, 0.0), (0.0, decay, 0.0), (0.0, 0.0, 1.0)
        v = decay * v + current
        slope = max(0.0, 1 - abs(v - threshold) / width) / width
        fired = 1.0 if v >= threshold else 0.0
        left = 1 - fired - slope * v if to_zero else 1 - slope * threshold
        value = slope * threshold
        return (value, value * decay, 0.0), (left, left * decay, 0.0), (0.0, 0.0, 0.0)

"""The leaky integrate-and-fire neuron whose threshold rises with each spike, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NeuronError
from .firing import ChosenReset, UnitSpikes, check_number, check_reset, check_threshold
from .registry import register_neuron
from .time_constants import LeakyMembrane, check_decays, left_after, taken_in


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class AdaptiveLeakyIntegrateAndFire(LeakyMembrane, ChosenReset, UnitSpikes):
    """Leaky integrate-and-fire neuron with spike-frequency adaptation; a spike has the value 1.

    At each step v <- decay * v + r * (1 - decay) * input, and the neuron fires where v reaches B = threshold +
    adaptation * b; then b <- a * b + (1 - a) * spike, with decay = exp(-dt / tau_mem) and a = exp(-dt / tau_adapt), or
    1 - dt / tau of Euler's method. A reset by subtraction takes B. (Bellec et al., Long short-term memory and
    learning-to-learn in networks of spiking neurons, NeurIPS 2018, arXiv 1803.09574; the `ALIF` of sinabs.)

    Parameters
    ----------
    tau_mem, tau_adapt : float
        Time constants of the membrane and of the threshold in seconds.
    r : float
        Resistance.
    threshold : float
        Positive firing threshold of a neuron that has not fired.
    adaptation : float
        By how much the threshold rises in the end in a neuron that fires at every step; not negative.
    dt : float
        A step in seconds.
    integration : "exponential" or "euler"
    reset : "subtract" or "zero"
    strict : bool
        Whether v must exceed the threshold or only reach it.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If a time is not positive, dt is longer than a time constant with "euler", the threshold is not positive and
        finite in float32, the adaptation is negative, or another parameter is none.
    """

    tau_mem: float = 0.02
    tau_adapt: float = 0.2
    r: float = 1.0
    threshold: float = 1.0
    adaptation: float = 1.0
    dt: float = 0.001
    integration: str = "exponential"
    reset: str = "subtract"
    strict: bool = False
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_decays(name, self.dt, self.integration, tau_mem=self.tau_mem, tau_adapt=self.tau_adapt)
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        for field in ("r", "initial"):
            check_number(name, field, getattr(self, field))
        if check_number(name, "adaptation", self.adaptation) < 0:
            raise NeuronError(f"{name}.adaptation: must not be negative (got {self.adaptation})")

    @property
    def wear(self) -> float:
        """Share of the threshold's rise that is left after a step."""
        return left_after(self.dt, self.tau_adapt, self.integration)

    @property
    def rise(self) -> float:
        """By how much a spike raises b."""
        return taken_in(self.dt, self.tau_adapt, self.integration)

    def state(self) -> dict[str, float]:
        """The membrane potential, and the share of the threshold's rise."""
        return {"v": self.initial, "b": 0.0}

    @staticmethod
    def step(
        current: float,
        v: float,
        b: float,
        decay: float,
        gain: float,
        threshold: float,
        adaptation: float,
        wear: float,
        rise: float,
        to_zero: bool,
        strict: bool,
    ) -> tuple[int, float, float]:
        """One step."""
        v = decay * v + gain * current
        limit = threshold + adaptation * b
        if v > limit or (v == limit and not strict):
            return 1, 0.0 if to_zero else v - limit, wear * b + rise
        return 0, v, wear * b

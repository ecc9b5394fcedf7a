"""The leaky integrate-and-fire neuron that fires at random, the more likely the higher its potential."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import NeuronError
from .firing import ChosenReset, UnitSpikes, check_number, check_reset, check_threshold
from .registry import register_neuron
from .time_constants import LeakyMembrane, check_decays, check_time


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class EscapeNoiseLeakyIntegrateAndFire(LeakyMembrane, ChosenReset, UnitSpikes):
    """Leaky integrate-and-fire neuron with escape noise; a spike has the value 1.

    At each step v <- decay * v + r * (1 - decay) * input with decay = exp(-dt / tau_mem) or 1 - dt / tau_mem. Then the
    neuron fires with the probability 1 - exp(-dt * rate), rate = exp((v - threshold) / width) / tau_escape. (Gerstner,
    Kistler, Naud and Paninski, Neuronal Dynamics, Cambridge 2014, section 9.1.)

    Which neurons fire follows from `seed`, the layer's name, the step and the neuron's place: the same in every run,
    and for every picture. Another seed is another trial.

    Parameters
    ----------
    tau_mem : float
        Membrane time constant in seconds.
    r : float
        Resistance.
    threshold : float
        Positive potential at which the rate is 1 / tau_escape.
    width : float
        By how much the potential rises for a rate e times as high: the softness of the threshold.
    tau_escape : float
        Mean time to a spike at the threshold, in seconds.
    dt : float
        A step in seconds.
    integration : "exponential" or "euler"
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the potential or sets the potential to zero.
    seed : int
        Of the random numbers.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If a time or the width is not positive, dt is longer than tau_mem with "euler", the threshold is not positive
        and finite in float32, or another parameter is none.
    """

    tau_mem: float = 0.02
    r: float = 1.0
    threshold: float = 1.0
    width: float = 0.1
    tau_escape: float = 0.001
    dt: float = 0.001
    integration: str = "exponential"
    reset: str = "subtract"
    seed: int = 0
    initial: float = 0.0

    rests = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_decays(name, self.dt, self.integration, tau_mem=self.tau_mem)
        check_time(name, "tau_escape", self.tau_escape)
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        for field in ("r", "initial"):
            check_number(name, field, getattr(self, field))
        if check_number(name, "width", self.width) <= 0:
            raise NeuronError(f"{name}.width: must be positive (got {self.width})")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**53:
            raise NeuronError(f"{name}.seed: must be a whole number from 0 to 2**53 - 1 (got {self.seed!r})")

    @property
    def expected(self) -> float:
        """Spikes to be expected in a step at the threshold, were the rate to last."""
        return self.dt / self.tau_escape

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    @staticmethod
    def step(
        current: float,
        v: float,
        decay: float,
        gain: float,
        threshold: float,
        width: float,
        expected: float,
        to_zero: bool,
        random: float,
    ) -> tuple[int, float]:
        """One step."""
        v = decay * v + gain * current
        rate = expected * math.exp(min((v - threshold) / width, 60.0))
        if random < 1 - math.exp(-rate):
            return 1, 0.0 if to_zero else v - threshold
        return 0, v

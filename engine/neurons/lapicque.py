"""The leaky integrate-and-fire neuron of a resistor and a capacitor, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from .firing import LateReset, Threshold, UnitSpikes, check_number, check_reset, check_threshold
from .registry import register_neuron
from .time_constants import LeakyMembrane, check_decays


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Lapicque(LeakyMembrane, LateReset, Threshold, UnitSpikes):
    """Leaky integrate-and-fire neuron: tau_mem dv/dt = (v_leak - v) + r * input; a spike has the value 1.

    At each step v <- v_leak + decay * (v - v_leak) + r * (1 - decay) * input with decay = exp(-dt / tau_mem), which is
    exact for an input that is constant during the step, or decay = 1 - dt / tau_mem of Euler's method. Then it fires
    where v reaches the threshold. (L. Lapicque, J. Physiol. Pathol. Gen. 9, 1907; the `LIF` of NIR, Pedersen et al.,
    Nature Communications 15, 2024; snnTorch's `Lapicque` of a capacity C is tau_mem = r * C with "euler" and a late
    reset.)

    Parameters
    ----------
    tau_mem : float
        Membrane time constant in seconds.
    r : float
        Resistance: the potential, above the leak, that an input of 1 leads to.
    v_leak : float
        Potential to which the membrane leaks.
    threshold : float
        Positive firing threshold.
    dt : float
        A step in seconds.
    integration : "exponential" or "euler"
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the potential or sets the potential to zero.
    late_reset : bool
        Whether the potential stays as it is after a spike and is reset in the next step, behind leak and input: by
        `threshold`, or to zero, as snnTorch does it unless it is told otherwise.
    strict : bool
        Whether v must exceed the threshold or only reach it.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If a time is not positive, dt is longer than tau_mem with "euler", the threshold is not positive and finite in
        float32, or another parameter is none.
    """

    tau_mem: float = 0.02
    r: float = 1.0
    v_leak: float = 0.0
    threshold: float = 1.0
    dt: float = 0.001
    integration: str = "exponential"
    reset: str = "subtract"
    late_reset: bool = False
    strict: bool = False
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_decays(name, self.dt, self.integration, tau_mem=self.tau_mem)
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        for field in ("r", "v_leak", "initial"):
            check_number(name, field, getattr(self, field))

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    @staticmethod
    def step(
        current: float,
        v: float,
        decay: float,
        gain: float,
        v_leak: float,
        most: float,
        most_of_late: float,
        most_of_early: float,
        kept: float,
        subtracted: float,
    ) -> tuple[int, float]:
        """One step."""
        before = v
        v = v_leak + decay * (v - v_leak) + gain * current
        reset = kept * v - subtracted
        late = reset if before > most_of_late else v
        return (1 if late > most else 0), (reset if v > most_of_early else late)

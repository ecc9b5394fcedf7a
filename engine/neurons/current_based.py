"""The leaky integrate-and-fire neuron with a synaptic current, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from .firing import LateReset, Threshold, UnitSpikes, check_number, check_reset, check_threshold
from .registry import register_neuron
from .time_constants import LeakyMembrane, check_decays, left_after, taken_in


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class CurrentBasedLeakyIntegrateAndFire(LeakyMembrane, LateReset, Threshold, UnitSpikes):
    """Leaky integrate-and-fire neuron whose input is filtered first; a spike has the value 1.

    tau_syn di/dt = -i + w_in * input and tau_mem dv/dt = (v_leak - v) + r * i: at each step i <- syn_decay * i + w_in *
    (1 - syn_decay) * input, then v <- v_leak + decay * (v - v_leak) + r * (1 - decay) * i, each decay exp(-dt / tau) or
    1 - dt / tau. Then it fires where v reaches the threshold. (The `CubaLIF` of NIR, Pedersen et al., Nature
    Communications 15, 2024; with w_in = 1 / (1 - syn_decay), r = 1 / (1 - decay) and a late reset snnTorch's
    `Synaptic`.)

    Parameters
    ----------
    tau_syn, tau_mem : float
        Time constants of the current and of the membrane in seconds.
    w_in : float
        Weight of the input.
    r : float
        Resistance.
    v_leak : float
        Potential to which the membrane leaks.
    threshold : float
        Positive firing threshold.
    dt : float
        A step in seconds.
    integration : "exponential" or "euler"
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the potential or sets the potential to zero; the current stays.
    late_reset : bool
        Whether the potential is reset in the step after the spike, behind leak and input.
    strict : bool
        Whether v must exceed the threshold or only reach it.
    initial : float
        Membrane potential before the first step; the current begins at 0.

    Raises
    ------
    NeuronError
        If a time is not positive, dt is longer than a time constant with "euler", the threshold is not positive and
        finite in float32, or another parameter is none.
    """

    tau_syn: float = 0.005
    tau_mem: float = 0.02
    w_in: float = 1.0
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
        check_decays(name, self.dt, self.integration, tau_syn=self.tau_syn, tau_mem=self.tau_mem)
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        for field in ("w_in", "r", "v_leak", "initial"):
            check_number(name, field, getattr(self, field))

    @property
    def syn_decay(self) -> float:
        """Share of the current that is left after a step."""
        return left_after(self.dt, self.tau_syn, self.integration)

    @property
    def syn_gain(self) -> float:
        """What an input of 1 adds to the current."""
        return self.w_in * taken_in(self.dt, self.tau_syn, self.integration)

    def state(self) -> dict[str, float]:
        """The membrane potential and the synaptic current."""
        return {"v": self.initial, "i": 0.0}

    @staticmethod
    def step(
        current: float,
        v: float,
        i: float,
        syn_decay: float,
        syn_gain: float,
        decay: float,
        gain: float,
        v_leak: float,
        most: float,
        most_of_late: float,
        most_of_early: float,
        kept: float,
        subtracted: float,
    ) -> tuple[int, float, float]:
        """One step."""
        before = v
        i = syn_decay * i + syn_gain * current
        v = v_leak + decay * (v - v_leak) + gain * i
        reset = kept * v - subtracted
        late = reset if before > most_of_late else v
        return (1 if late > most else 0), (reset if v > most_of_early else late), i

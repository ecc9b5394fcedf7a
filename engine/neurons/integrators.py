"""Neurons that never fire: what is read of them is their membrane potential."""

from __future__ import annotations

from dataclasses import dataclass

from .firing import UnitSpikes, check_number
from .registry import register_neuron
from .time_constants import LeakyMembrane, check_decays


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class LeakyIntegrator(LeakyMembrane, UnitSpikes):
    """Membrane without spikes, NIR's `LI`: tau_mem dv/dt = (v_leak - v) + r * input.

    At each step v <- v_leak + decay * (v - v_leak) + r * (1 - decay) * input, decay = exp(-dt / tau_mem) or
    1 - dt / tau_mem. It puts out no events: `simulate(..., record=("membrane",))` gives the potential.

    Parameters
    ----------
    tau_mem : float
        Membrane time constant in seconds.
    r : float
        Resistance.
    v_leak : float
        Potential to which the membrane leaks.
    dt : float
        A step in seconds.
    integration : "exponential" or "euler"
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If a time is not positive, dt is longer than tau_mem with "euler", or another parameter is none.
    """

    tau_mem: float = 0.02
    r: float = 1.0
    v_leak: float = 0.0
    dt: float = 0.001
    integration: str = "exponential"
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_decays(name, self.dt, self.integration, tau_mem=self.tau_mem)
        for field in ("r", "v_leak", "initial"):
            check_number(name, field, getattr(self, field))

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    @staticmethod
    def step(current: float, v: float, decay: float, gain: float, v_leak: float) -> tuple[int, float]:
        """One step."""
        return 0, v_leak + decay * (v - v_leak) + gain * current


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Integrator(UnitSpikes):
    """Membrane without spikes and without leak: v <- v + r * input at each step; NIR's `I`.

    Parameters
    ----------
    r : float
        Resistance: what an input of 1 adds to the potential.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If a parameter is none.
    """

    r: float = 1.0
    initial: float = 0.0

    def __post_init__(self) -> None:
        for field in ("r", "initial"):
            check_number(type(self).__name__, field, getattr(self, field))

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    @staticmethod
    def step(current: float, v: float, r: float) -> tuple[int, float]:
        """One step."""
        return 0, v + r * current

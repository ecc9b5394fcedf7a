"""The leaky integrate-and-fire neuron with a refractory period whose spikes fall between steps, in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import NeuronError
from .firing import check_number
from .registry import register_neuron
from .time_constants import check_time, left_after, taken_in


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class InterpolatedLeakyIntegrateAndFire:
    """Leaky integrate-and-fire neuron with threshold 1 and a refractory period, exact for currents that stay the same.

    tau_mem dv/dt = i - v. When v reaches 1 the neuron fires, is set to 0 and rests for tau_ref; when within a step that
    happens is worked out, and counts for the next ones. So of a constant current i > 1 come 1 / (tau_ref + tau_mem *
    ln(1 + 1 / (i - 1))) spikes a second whatever dt, none of i <= 1. The potential does not go below 0. (The
    neuron of E. Hunsberger and C. Eliasmith, Spiking deep networks with LIF neurons, arXiv 1510.08829, whose networks
    are trained with a smooth form of this rate.)

    A spike has the value amplitude / dt, so that the mean of what is emitted is amplitude times the rate.

    Parameters
    ----------
    tau_mem : float
        Membrane time constant in seconds.
    tau_ref : float
        Refractory period in seconds, a step at least: a neuron fires once in a step.
    tau_syn : float
        Time constant of the synapse in front: i goes to the input current as exp(-t / tau_syn); 0 for no such filter.
    amplitude : float
        Positive: what a neuron with a spike each second emits in the mean.
    dt : float
        A step in seconds.
    initial : float
        Membrane potential before the first step, from 0 to below 1.

    Raises
    ------
    NeuronError
        If a time is not positive, the refractory period shorter than a step, or a parameter none.
    """

    tau_mem: float = 0.02
    tau_ref: float = 0.002
    tau_syn: float = 0.0
    amplitude: float = 0.01
    dt: float = 0.001
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in ("tau_mem", "tau_ref", "dt", "amplitude"):
            check_time(name, field, getattr(self, field))
        if check_number(name, "tau_syn", self.tau_syn) < 0:
            raise NeuronError(f"{name}.tau_syn: must not be negative (got {self.tau_syn})")
        if self.tau_ref < self.dt:
            raise NeuronError(
                f"{name}.tau_ref: must be no shorter than a step, {self.dt:g} s (got {self.tau_ref:g}); take a smaller "
                "dt, as a neuron fires once in a step"
            )
        if not 0 <= check_number(name, "initial", self.initial) < 1:
            raise NeuronError(f"{name}.initial: must be at least 0 and below the threshold, 1 (got {self.initial})")
        check_number(name, "amplitude / dt", self.amplitude / self.dt)

    @property
    def syn_decay(self) -> float:
        """Share of the synaptic current that is left after a step."""
        return left_after(self.dt, self.tau_syn, "exponential") if self.tau_syn else 0.0

    @property
    def syn_gain(self) -> float:
        """What an input of 1 adds to the synaptic current."""
        return taken_in(self.dt, self.tau_syn, "exponential") if self.tau_syn else 1.0

    def state(self) -> dict[str, float]:
        """The membrane potential, the synaptic current, and for how many seconds the neuron has yet to rest."""
        return {"v": self.initial, "i": 0.0, "rest": 0.0}

    def levels(self) -> tuple[float, float]:
        """A spike is worth its amplitude, in the time of a step."""
        return 0.0, self.amplitude / self.dt

    @staticmethod
    def step(
        current: float,
        v: float,
        i: float,
        rest: float,
        tau_mem: float,
        tau_ref: float,
        dt: float,
        syn_decay: float,
        syn_gain: float,
    ) -> tuple[int, float, float, float]:
        """One step."""
        i = syn_decay * i + syn_gain * current
        awake = max(dt - rest, 0.0)
        rest = max(rest - dt, 0.0)
        v = max(v - (i - v) * math.expm1(-awake / tau_mem), 0.0)
        if v < 1.0 or i <= 1.0:
            return 0, v, i, rest
        # (i - v) / (i - 1) is what the distance to i has shrunk to since the crossing.
        since = min(max(-tau_mem * math.log1p(-(v - 1.0) / (i - 1.0)), 0.0), dt)
        return 1, 0.0, i, max(tau_ref - since, 0.0)

"""Izhikevich's neuron, in millivolts."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NeuronError
from .firing import UnitSpikes, check_number
from .registry import register_neuron
from .time_constants import check_time

LONGEST_STEP = 0.002
"""In seconds: with longer ones Euler's method leaves the quadratic potential's reach."""


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class Izhikevich(UnitSpikes):
    """Izhikevich's neuron, with two variables; a spike has the value 1.

    dv/dt = 0.04 v^2 + 5 v + 140 - u + bias + input and du/dt = a (b v - u), time in milliseconds, v in millivolts, by
    Euler's method with both derivatives taken before the step. Where v then exceeds the peak the neuron fires: v <- c,
    u <- u + d. (Izhikevich, Simple model of spiking neurons, IEEE Transactions on Neural Networks 14(6), 2003; the
    defaults are his regular spiking neuron, and norse's.)

    Parameters
    ----------
    a : float
        Rate at which u recovers, 1 / ms.
    b : float
        How much u follows v.
    c : float
        v after a spike, mV.
    d : float
        What a spike adds to u.
    peak : float
        v that is a spike, mV.
    bias : float
        Constant input.
    dt : float
        A step in seconds, at most 0.002.
    initial : float
        v before the first step; u begins at b times it. With b = 0.2 the neuron rests at -70 mV.

    Raises
    ------
    NeuronError
        If a parameter is none, dt is out of range, or c is not below the peak.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    peak: float = 30.0
    bias: float = 0.0
    dt: float = 0.0005
    initial: float = -70.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        if check_time(name, "dt", self.dt) > LONGEST_STEP:
            raise NeuronError(f"{name}.dt: must be at most {LONGEST_STEP} s (got {self.dt:g})")
        for field in ("a", "b", "c", "d", "peak", "bias", "initial"):
            check_number(name, field, getattr(self, field))
        if not self.c < self.peak:
            raise NeuronError(f"{name}.c: must be below the peak, {self.peak:g} (got {self.c:g})")

    @property
    def milliseconds(self) -> float:
        """A step, as the equations take it."""
        return 1000 * self.dt

    @property
    def rests(self) -> bool:
        """Whether v and u stay where they begin."""
        v, u = self.initial, self.b * self.initial
        return abs(0.04 * v * v + 5 * v + 140 - u + self.bias) < 1e-9

    def state(self) -> dict[str, float]:
        """V and u."""
        return {"v": self.initial, "u": self.b * self.initial}

    @staticmethod
    def step(
        current: float,
        v: float,
        u: float,
        a: float,
        b: float,
        c: float,
        d: float,
        peak: float,
        bias: float,
        milliseconds: float,
    ) -> tuple[int, float, float]:
        """One step."""
        slope = 0.04 * v * v + 5 * v + 140 - u + bias + current
        u = u + milliseconds * a * (b * v - u)
        v = v + milliseconds * slope
        if v > peak:
            return 1, c, u + d
        return 0, v, u

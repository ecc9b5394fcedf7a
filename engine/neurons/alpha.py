"""The neuron whose potential answers a spike with an alpha function, in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import NeuronError
from .firing import UnitSpikes, check_number, check_threshold
from .registry import register_neuron
from .time_constants import check_time


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class AlphaNeuron(UnitSpikes):
    """Second-order neuron: the potential rises to an input and falls again; a spike has the value 1.

    At each step e <- exp(-dt / tau_fall) * e + input and h <- exp(-dt / tau_rise) * h - input, and the potential is
    v = tau_fall / (tau_fall - tau_rise) * (e + h). The neuron fires where v exceeds the threshold; the step after that
    sets e, h and v to 0, and takes no input. (Spike-response model, Gerstner and Kistler, Spiking Neuron Models,
    Cambridge 2002, section 4.2; the `Alpha` of snnTorch, whose alpha and beta are the two exponentials.)

    Parameters
    ----------
    tau_rise, tau_fall : float
        Time constants in seconds, the first shorter than the second.
    threshold : float
        Positive firing threshold.
    dt : float
        A step in seconds.
    initial : float
        Membrane potential before the first step; it counts only where it exceeds the threshold.

    Raises
    ------
    NeuronError
        If a time is not positive, tau_rise is not shorter than tau_fall, or the threshold is not positive and finite in
        float32.
    """

    tau_rise: float = 0.005
    tau_fall: float = 0.02
    threshold: float = 1.0
    dt: float = 0.001
    initial: float = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in ("tau_rise", "tau_fall", "dt"):
            check_time(name, field, getattr(self, field))
        if not self.tau_rise < self.tau_fall:
            raise NeuronError(
                f"{name}.tau_rise: must be shorter than tau_fall, {self.tau_fall:g} s (got {self.tau_rise:g})"
            )
        check_number(name, "tau_fall / (tau_fall - tau_rise)", self.scale)
        check_threshold(name, self.threshold)
        check_number(name, "initial", self.initial)

    @property
    def falling(self) -> float:
        """Share of e that is left after a step."""
        return math.exp(-self.dt / self.tau_fall)

    @property
    def rising(self) -> float:
        """Share of h that is left after a step."""
        return math.exp(-self.dt / self.tau_rise)

    @property
    def scale(self) -> float:
        """Factor of the potential."""
        return self.tau_fall / (self.tau_fall - self.tau_rise)

    def state(self) -> dict[str, float]:
        """The membrane potential and the two parts that it consists of."""
        return {"v": self.initial, "e": 0.0, "h": 0.0}

    @staticmethod
    def step(
        current: float, v: float, e: float, h: float, falling: float, rising: float, scale: float, threshold: float
    ) -> tuple[int, float, float, float]:
        """One step."""
        if v > threshold:
            return 0, 0.0, 0.0, 0.0
        e = falling * e + current
        h = rising * h - current
        v = scale * (e + h)
        return (1 if v > threshold else 0), v, e, h

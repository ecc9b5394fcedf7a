"""Time constants in seconds, and what is left of a variable after a step."""

from __future__ import annotations

import math

from ..errors import NeuronError
from .firing import check_number

INTEGRATIONS = ("exponential", "euler")


def check_time(owner: str, name: str, value: float) -> float:
    """`value` as a positive number of seconds; NeuronError otherwise."""
    seconds = check_number(owner, name, value)
    if seconds <= 0:
        raise NeuronError(f"{owner}.{name}: must be a positive number of seconds (got {value})")
    return seconds


def check_decays(owner: str, dt: float, integration: str, **taus: float) -> None:
    """NeuronError where a time or the integration is none, or a step is too long for Euler's method."""
    step = check_time(owner, "dt", dt)
    if integration not in INTEGRATIONS:
        raise NeuronError(f"{owner}.integration: must be one of {', '.join(INTEGRATIONS)} (got {integration!r})")
    for name, value in taus.items():
        tau = check_time(owner, name, value)
        if integration == "euler" and step > tau:
            raise NeuronError(
                f"{owner}.dt: must be no longer than {name}, {tau:g} s, with integration 'euler' (got {step:g}); take "
                "a shorter step or 'exponential'"
            )


def left_after(dt: float, tau: float, integration: str) -> float:
    """Share of a variable that is left after a step: exp(-dt / tau), or 1 - dt / tau of Euler's method."""
    return 1 - dt / tau if integration == "euler" else math.exp(-dt / tau)


def taken_in(dt: float, tau: float, integration: str) -> float:
    """Share of its distance to a constant input that a variable goes in a step: 1 less what is left."""
    return dt / tau if integration == "euler" else -math.expm1(-dt / tau)


class LeakyMembrane:
    """Neurons whose potential follows tau_mem dv/dt = -v + r * input, from where it leaks to, by steps of dt."""

    tau_mem: float
    r: float
    dt: float
    integration: str

    @property
    def decay(self) -> float:
        """Share of the potential that is left after a step."""
        return left_after(self.dt, self.tau_mem, self.integration)

    @property
    def gain(self) -> float:
        """What an input, or a current, of 1 adds to the potential."""
        return self.r * taken_in(self.dt, self.tau_mem, self.integration)

"""The integrate-and-fire neuron whose spikes have the value 1, whatever its threshold."""

from __future__ import annotations

from dataclasses import dataclass

from .firing import ChosenReset, UnitSpikes, check_number, check_reset, check_threshold
from .registry import register_neuron


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class PerfectIntegrateAndFire(ChosenReset, UnitSpikes):
    """Integrate-and-fire neuron with a resistance, NIR's `IF`: v <- v + r * input; a spike has the value 1.

    `IntegrateAndFire`, whose spikes have the value of the threshold, is the faster one where both are 1.

    Parameters
    ----------
    r : float
        Resistance: what an input of 1 adds to the potential.
    threshold : float
        Positive firing threshold.
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the potential or sets the potential to zero.
    strict : bool
        Whether v must exceed the threshold or only reach it.
    initial : float
        Membrane potential before the first step.

    Raises
    ------
    NeuronError
        If the threshold is not positive and finite in float32, or another parameter is none.
    """

    r: float = 1.0
    threshold: float = 1.0
    reset: str = "subtract"
    strict: bool = False
    initial: float = 0.0

    event_driven = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        for field in ("r", "initial"):
            check_number(name, field, getattr(self, field))

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    @staticmethod
    def step(current: float, v: float, r: float, threshold: float, to_zero: bool, strict: bool) -> tuple[int, float]:
        """One step."""
        v = v + r * current
        if v > threshold or (v == threshold and not strict):
            return 1, 0.0 if to_zero else v - threshold
        return 0, v

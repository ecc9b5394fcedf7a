"""The integrate-and-fire neuron."""

from __future__ import annotations

from dataclasses import dataclass

from .firing import FiringConstants, check_number, check_reset, check_threshold, ladder_constants


@dataclass(frozen=True)
class IntegrateAndFire:
    """Neuron that adds up its input and fires when its potential reaches the threshold.

    A spike has the threshold's value, so that what is emitted is what the reset by subtraction takes away.

    Parameters
    ----------
    threshold : float
        Positive firing threshold.
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the membrane potential or sets the potential to zero.
    initial : float
        Membrane potential before the first step.
    strict : bool
        Whether v must exceed the threshold (v > theta) or only reach it (v >= theta, the default).

    Raises
    ------
    NeuronError
        If the threshold is not positive and finite in float32, or the reset is unknown.
    """

    threshold: float = 1.0
    reset: str = "subtract"
    initial: float = 0.0
    strict: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_threshold(name, self.threshold)
        check_reset(name, self.reset)
        check_number(name, "initial", self.initial)

    def firing_constants(self) -> FiringConstants:
        """Parameters for the firing kernel."""
        return ladder_constants((self.threshold,), strict=self.strict, initial=self.initial, reset=self.reset)

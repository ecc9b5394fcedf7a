"""The leaky integrate-and-fire neuron, in discrete time."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NeuronError
from .firing import FiringConstants, check_number, check_reset, check_threshold, ladder_constants


@dataclass(frozen=True)
class LeakyIntegrateAndFire:
    """Integrate-and-fire neuron whose potential decays by a constant factor from step to step.

    At each step v <- decay * v + input; then it fires as the integrate-and-fire neuron does. With a membrane time
    constant tau and a step dt, decay = exp(-dt / tau).

    Parameters
    ----------
    threshold : float
        Positive firing threshold; also the value of a spike.
    decay : float
        Share of the membrane potential that is left after a step, from 0 (no memory) to 1 (no leak).
    reset : "subtract" or "zero"
        Whether a spike takes the threshold from the membrane potential or sets the potential to zero.
    initial : float
        Membrane potential before the first step.
    strict : bool
        Whether v must exceed the threshold (v > theta) or only reach it (v >= theta, the default).

    Raises
    ------
    NeuronError
        If the threshold is not positive and finite in float32, the decay is outside [0, 1], or the reset is unknown.
    """

    threshold: float = 1.0
    decay: float = 0.9
    reset: str = "subtract"
    initial: float = 0.0
    strict: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_threshold(name, self.threshold)
        if not 0 <= check_number(name, "decay", self.decay) <= 1:
            raise NeuronError(f"{name}.decay: must lie in [0, 1] (got {self.decay})")
        check_reset(name, self.reset)
        check_number(name, "initial", self.initial)

    def firing_constants(self) -> FiringConstants:
        """Parameters for the firing kernel."""
        return ladder_constants(
            (self.threshold,), strict=self.strict, initial=self.initial, decay=self.decay, reset=self.reset
        )

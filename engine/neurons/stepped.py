"""Neuron models that are a function from one step to the next, which a user writes and registers.

Such a model is a frozen dataclass of parameters with a scalar function `step`, which is compiled for the engine and, as
the plain Python that it is, its own specification:

    level, *state = step(current, *state, *parameters)

Between steps a state variable is a float32 number. Within a step all arithmetic is Python's: float64 for numbers with a
point. So compiled and interpreted steps give the same bits, and no result depends on how steps are grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ..structural import StructuralCheck
from .firing import LadderModel

MAXIMUM_LEVELS = 256
"""A level is one byte."""

STEP_INPUTS: dict[str, type] = {"step_index": int, "random": float}
"""Arguments of a step that the engine gives: the index of the step, from 0 on, and a random number from 0 up to 1."""


@runtime_checkable
class SteppedModel(Protocol, metaclass=StructuralCheck):
    """A neuron model with a step function; `register_neuron` has the whole contract.

    Optional besides: `spikes()`, how many spikes each level counts for; `arithmetic()`, what a step costs;
    `conserves_charge`; `surrogate`.
    """

    @property
    def initial(self) -> float:
        """Membrane potential before the first step."""

    def state(self) -> Mapping[str, float]:
        """Each state variable's value before the first step, the membrane potential first."""

    def levels(self) -> Sequence[float]:
        """Value emitted at each level, 0 for level 0."""

    @property
    def step(self) -> Callable[..., Any]:
        """One step of one neuron: function of current, state variables and parameters; returns level and state."""


NeuronModel = LadderModel | SteppedModel
"""What the engine asks of a neuron model."""

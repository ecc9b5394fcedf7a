"""Bind a registered neuron model to the kernels that are compiled for its step."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..kernels.bound import bound
from ..kernels.float_mode import gradual
from ..kernels.stepped import step_band
from ..neurons import LadderModel, NeuronModel, Registration, initial_state, level_table, registration_of
from ..neurons.registration_checks import cannot_compile, level_out_of_range
from ..neurons.registry import Argument


@dataclass(frozen=True, eq=False)
class Stepper:
    """A registered model with its parameters, as the kernels take them.

    Parameters
    ----------
    registration : Registration
    kernel : compiled function
        See `kernels.stepped.step_band`.
    initial : tuple of float
        Each state variable before the first step.
    parameters : tuple of float, int, bool or tuple of float
        Last arguments of the model's step.
    highest : int
        Its highest level.
    """

    registration: Registration
    kernel: Any
    initial: tuple[float, ...]
    parameters: tuple[Argument, ...]
    highest: int

    @property
    def variables(self) -> int:
        """Number of state variables."""
        return len(self.initial)

    @gradual
    def run(
        self,
        currents: NDArray[np.float32],
        words: NDArray[np.unsignedinteger[Any]],
        shape: tuple[int, int, int, int],
        states: tuple[NDArray[np.float32], ...],
        place: tuple[int, int, bool],
    ) -> bool:
        """Run the neurons of a band through some steps; see `kernels.stepped.step_band`.

        False where a current or what is kept of a neuron is no finite float32 number.

        Raises
        ------
        NeuronError
            If the step cannot be compiled or returns a level that the model does not have.
        """
        try:
            found, finite = self.kernel(currents, words, shape, states, place, self.initial, self.parameters)
        except numba.core.errors.NumbaError as error:
            raise cannot_compile(self.registration.name, error) from None
        highest = int(found)
        if highest > self.highest:
            signed = highest - 2**64 if highest >= 2**63 else highest
            raise level_out_of_range(self.registration.name, signed, self.highest)
        return bool(finite)


def stepper_of(model: NeuronModel) -> Stepper | None:
    """The stepper of a registered model; None for a ladder of thresholds, which has a kernel of its own."""
    if isinstance(model, LadderModel):
        return None
    registration = registration_of(model)
    initial = tuple(initial_state(model).values())
    # Made here, before several threads would make it at once.
    kernel = _kernel(registration)
    return Stepper(registration, kernel, initial, registration.arguments(model), level_table(model).highest)


@functools.cache
def _kernel(registration: Registration) -> Any:
    model = registration.model
    return bound(step_band, f"{model.__module__}.{model.__qualname__}", STEP=registration.step)

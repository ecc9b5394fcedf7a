"""Bind a registered neuron model to the kernels that are compiled for its step."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.bound import bound
from ..kernels.float_mode import gradual
from ..kernels.step_inputs import RandomNumbers, StepIndex
from ..kernels.stepped import find_restless, step_band, step_samples
from ..neurons import (
    Heterogeneous,
    LadderModel,
    NeuronModel,
    Registration,
    initial_state,
    layer_key,
    level_table,
    registration_behind,
)
from ..neurons.registration_checks import cannot_compile, compilation_errors, level_out_of_range


@dataclass(frozen=True, eq=False)
class Stepper:
    """A registered model and its highest level, as the kernels take them.

    `initial` are the state variables before the first step, `parameters` the last arguments of the model's step; of
    neurons that differ both are arrays, as kernels/step_inputs.py takes them.
    """

    registration: Registration
    initial: tuple[Any, ...]
    parameters: tuple[Any, ...]
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
        place: tuple[int, int, bool, int, int],
        marks: NDArray[np.uint16],
    ) -> bool:
        """Run the neurons of a band through some steps; see `kernels.stepped.step_band`.

        False where a current or what is kept of a neuron is no finite float32 number. NeuronError where the step cannot
        be compiled or returns a level that the model does not have.
        """
        arguments = (currents, words, shape, states, place, self.initial, self.parameters, marks)
        return self._checked(*_call(step_band, self.registration, arguments))

    def run_samples(
        self,
        currents: NDArray[np.float32],
        forward: tuple[Any, ...] | None,
        back: tuple[NDArray[Any], NDArray[np.float32], tuple[Any, ...]],
        integers: tuple[NDArray[np.float32] | None, tuple[Any, ...] | None],
        rows: tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint8]],
        shape: tuple[int, int, int, int],
        states: tuple[NDArray[np.float32], ...],
        fresh: bool,
    ) -> tuple[bool, int]:
        """The same for many samples side by side, of neurons that are all alike; see `kernels.stepped.step_samples`.

        Also at how many steps what came back was multiplied. Within `gradual`, which is the caller's part.
        """
        arguments = (currents, forward, back, *integers, rows, shape, states, (fresh, self.initial), self.parameters)
        found, finite, multiplied = _call(step_samples, self.registration, arguments)
        return self._checked(found, finite), int(multiplied)

    def _checked(self, found: int, finite: bool) -> bool:
        """`finite`; NeuronError where the highest level found is none of the model's."""
        highest = int(found)
        if highest > self.highest:
            signed = highest - 2**64 if highest >= 2**63 else highest
            raise level_out_of_range(self.registration.name, signed, self.highest)
        return bool(finite)

    @gradual
    def find_restless(
        self,
        states: tuple[NDArray[np.float32], ...],
        channels: int,
        place: tuple[int, int, int],
        marks: NDArray[np.uint16],
    ) -> None:
        """Mark the pixels of event-driven neurons that are not at rest; see `kernels.stepped.find_restless`."""
        _call(find_restless, self.registration, (states, channels, place, self.parameters, marks))


def stepper_of(model: NeuronModel, layer: str, padded: int) -> Stepper | None:
    """The stepper of a registered model; None for a ladder of thresholds, which has a kernel of its own.

    Random numbers follow from the name of the layer, whose channels are filled up to `padded`.
    """
    if isinstance(model, LadderModel):
        return None
    registration, highest = registration_behind(model), level_table(model).highest
    for template in (step_band, step_samples, find_restless):
        _kernel(template, registration, False)  # here, before several threads would make them at once
    key = layer_key(layer, getattr(model, "seed", 0))
    given = {"step_index": StepIndex(np.int64(0)), "random": RandomNumbers(np.uint64(key))}
    if isinstance(model, Heterogeneous):
        arrays = (model.initial_states(), model.arguments(given))
        initial, parameters = (tuple(_arranged(part, padded) for part in parts) for parts in arrays)
    else:
        initial, parameters = tuple(initial_state(model).values()), registration.arguments(model, given)
    return Stepper(registration, initial, parameters, highest)


def _arranged(part: Any, padded: int) -> Any:
    """An array of channels (C,) or neurons (C, H, W) as (1 or pixels, padded); anything else as it is."""
    if not isinstance(part, np.ndarray):
        return part
    by_pixel = part.reshape(part.shape[0], -1).T
    arranged = np.zeros((by_pixel.shape[0], padded), part.dtype)
    arranged[:, : part.shape[0]] = by_pixel
    return arranged


_MAKE_ARRAYS: set[Registration] = set()
"""Models whose steps make arrays or lists, which few do: once that has been met, their kernels may, and are slower."""


@functools.cache
def _kernel(template: Any, registration: Registration, makes_arrays: bool) -> Any:
    """A template for a registered model, compiled when it is first called."""
    owner = f"{registration.model.__module__}.{registration.model.__qualname__}"
    return bound(template, owner, makes_arrays, STEP=registration.step)


def _call(template: Any, registration: Registration, arguments: tuple[Any, ...]) -> Any:
    """What a kernel returns; NeuronError where the step cannot be compiled."""
    makes_arrays = registration in _MAKE_ARRAYS
    try:
        return _kernel(template, registration, makes_arrays)(*arguments)
    except compilation_errors() as error:
        if makes_arrays:
            raise cannot_compile(registration.name, error) from None
    _MAKE_ARRAYS.add(registration)
    return _call(template, registration, arguments)

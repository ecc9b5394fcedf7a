"""Registered neuron models through time: firing that keeps what a backward pass needs, and that backward pass.

The derivatives of a step are the model's own `surrogate`; or else those of the step smoothed along each variable with
the chosen surrogate's shape and width, the width being a share of the smallest value that the model emits. Such a shape
is a mixture of rectangles (Khinchine, Bull. Inst. Math. Mech. Tomsk 2, 1938), and a function averaged over a rectangle
of half-width r has the derivative (f(x + r) - f(x - r)) / 2 r; so four radii stand for the shape, and one for the
rectangle itself, for which the derivative is exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...kernels import stepped_surrogate as templates
from ...kernels.bound import bound
from ...memory import worked_out_once
from ...neurons import Registration, SteppedModel, initial_state, level_table, registration_of
from ...neurons.registration_checks import cannot_compile, compilation_errors, level_out_of_range
from ...threads import on_threads, slices

if TYPE_CHECKING:
    from .surrogates import Surrogate

Array = NDArray[Any]

_RADII = 4


@dataclass(frozen=True, eq=False)
class SteppedTape:
    """What the backward pass needs of a layer's run.

    Parameters
    ----------
    currents : (T or 1, E)
    before : tuple of (T, E)
        Each state variable before each step.
    """

    currents: Array
    before: tuple[Array, ...]


def fire(model: SteppedModel, currents: Array, steps: int, surrogate: Surrogate) -> tuple[SteppedTape, Array]:
    """Tape and emitted values (T, E) of neurons that take `currents` (T or 1, E).

    Raises
    ------
    InputError
        If the surrogate is `smooth`, which only ladders of thresholds can be; or the step takes random numbers or the
        index of the step.
    NeuronError
        If the step cannot be compiled or returns a level that the model does not have.
    """
    if surrogate.smooth:
        raise InputError(f"{type(model).__name__} cannot fire by degrees: smooth=True is for ladders of thresholds")
    if _registration(model).inputs:
        taken = " and ".join(sorted(_registration(model).inputs))
        raise InputError(
            f"{type(model).__name__} cannot be trained through time, because its step takes {taken}; take method 'flow'"
        )
    arguments = _arguments(model)
    before = tuple(np.empty((steps, currents.shape[1]), currents.dtype) for _ in arguments.initial)
    emitted = np.empty((steps, currents.shape[1]), currents.dtype)
    kernel = _kernels(_registration(model)).fire
    highest = _run(model, lambda share: kernel(currents, arguments, before, emitted, *share), currents.shape[1])
    table = level_table(model)
    if max(highest, default=0) > table.highest:
        raise level_out_of_range(_registration(model).name, int(max(highest)), table.highest)
    return SteppedTape(currents, before), emitted


def backward(
    model: SteppedModel, tape: SteppedTape, surrogate: Surrogate, gradient: Array, constant: Array
) -> tuple[Array, float]:
    """Gradient of the currents (T, E), and of the initial potential, summed over the neurons.

    Parameters
    ----------
    model : SteppedModel
    tape : SteppedTape
    surrogate : Surrogate
    gradient : (T or 1, E)
        Of the values emitted.
    constant : (E or 1,)
        Further gradient of the values emitted, at every step.
    """
    into = np.empty_like(tape.before[0])
    width = surrogate.width * level_table(model).unit
    options = templates.StepOptions(width, radii(surrogate.kind), surrogate.detach_reset)
    arguments = (tape.currents, tape.before, gradient, constant, _arguments(model), options, into)
    kernel = _kernels(_registration(model)).backward
    return into, sum(_run(model, lambda share: kernel(*arguments, *share), into.shape[1]))


@worked_out_once()
def radii(kind: str) -> Array:
    """Half-widths, in units of the surrogate's width, of rectangles that together make up the surrogate's shape."""
    shares = [(number + 0.5) / _RADII for number in range(_RADII)]
    if kind == "triangle":
        return np.array([math.sqrt(share) for share in shares])
    if kind == "fast-sigmoid":
        return np.array([math.sqrt(share) / (1 - math.sqrt(share)) for share in shares])
    if kind == "arctan":
        return np.array([_solved(_arctan_share, share) for share in shares])
    return np.ones(1)


def _arctan_share(radius: float) -> float:
    """Share of the rectangles of a half-width up to `radius`: twice the integral of s, less 2 r s(r)."""
    angle = math.pi * radius / 2
    return 2 / math.pi * math.atan(angle) - radius / (1 + angle * angle)


def _solved(function: Callable[[float], float], value: float) -> float:
    """Where a growing function has a value, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < value else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True, eq=False)
class _Kernels:
    fire: Any
    backward: Any


@functools.cache
def _kernels(registration: Registration) -> _Kernels:
    owner = f"{registration.model.__module__}.{registration.model.__qualname__}"
    make = functools.partial(bound, owner=owner, makes_arrays=True)
    fire_kernel = make(templates.fire_steps, STEP=registration.step)
    evaluated = make(templates.evaluated, STEP=registration.step)
    held = make(templates.state_rows_held, evaluated=evaluated)
    if registration.surrogate is None:
        rows = make(templates.rows_by_differences, evaluated=evaluated)
    else:
        rows = make(templates.rows_given, SURROGATE=registration.surrogate)
    return _Kernels(fire_kernel, make(templates.backward_steps, ROWS=rows, HELD=held))


def _registration(model: SteppedModel) -> Registration:
    return registration_of(model)


def _arguments(model: SteppedModel) -> templates.StepModel:
    initial = tuple(initial_state(model).values())
    return templates.StepModel(initial, registration_of(model).arguments(model), level_table(model).emit)


def _run(model: SteppedModel, work: Callable[[tuple[int, int]], Any], size: int) -> list[Any]:
    try:
        return on_threads(work, slices(size))
    except compilation_errors() as error:
        raise cannot_compile(_registration(model).name, error) from None

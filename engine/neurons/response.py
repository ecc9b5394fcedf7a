"""What neurons emit of a constant current: the curve that stands for a ReLU, stairs for steps and all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .firing import LadderModel, checked_constants
from .levels import level_table
from .registry import registration_of
from .stepped import NeuronModel

Array = NDArray[np.float64]


def mean_emission(model: NeuronModel, currents: ArrayLike, steps: int) -> Array:
    """Mean of the values that a neuron emits in `steps` steps, the same current in each.

    Parameters
    ----------
    model : NeuronModel
    currents : array of float
        Input current, in units of the thresholds.
    steps : int
        At least 1.

    Returns
    -------
    float64, of the shape of `currents`
        Computed in float64; a potential beside a threshold may fall to the other side in the engine's float32.

    Examples
    --------
    >>> from spikeunet.engine import IntegrateAndFire
    >>> mean_emission(IntegrateAndFire(1.0), [-1.0, 0.3, 0.5, 2.0], 4)
    array([0.  , 0.25, 0.5 , 1.  ])
    """
    array = np.asarray(currents, np.float64)
    emit = _ladder if isinstance(model, LadderModel) else _stepped
    return emit(model, array.reshape(-1), steps).reshape(array.shape) / steps


def _ladder(model: Any, currents: Array, steps: int) -> Array:
    constants = checked_constants(model)
    emitted, potential = np.zeros_like(currents), np.full_like(currents, constants.initial)
    for _ in range(steps):
        potential = constants.decay * potential + currents
        levels = np.zeros(currents.shape, np.int64)
        for bit, (compare, subtract) in enumerate(zip(constants.compare, constants.subtract, strict=True)):
            fired = potential > compare
            potential = np.where(fired, constants.keep * potential - subtract, potential)
            levels |= fired.astype(np.int64) << bit
        emitted += constants.emit[levels]
    return emitted


def _stepped(model: Any, currents: Array, steps: int) -> Array:
    registration = registration_of(model)
    step = getattr(registration.step, "py_func", registration.step)
    parameters, emit = registration.arguments(model), level_table(model).emit
    emitted = np.zeros_like(currents)
    for index, current in enumerate(currents.tolist()):
        state = tuple(model.state().values())
        for _ in range(steps):
            level, *state = step(current, *state, *parameters)
            emitted[index] += emit[level]
    return emitted

"""What every neuron model must do, as checks that also take a model of one's own.

A model is what the engine runs: an object with `initial` and `firing_constants()`. Its specification is
`reference.fire`: the rule of a model of the package, the method `step(membrane, current)` of a model of one's own, or
else the rule that the firing constants stand for. Currents are (T, N): T steps of N neurons, which know nothing of
each other. On dyadic currents (multiples of 1/16, say) all sums are exact. A check raises an AssertionError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..graph import Conv2d, Input, Network, Neurons, Output
from ..neurons import NeuronModel
from ..simulation import simulate
from . import reference
from .comparison import assert_same, require

Array = NDArray[Any]


def default_currents() -> Array:
    """(24, 48) multiples of 1/16 from -1 to 3, among them neurons that are never driven and some driven steadily."""
    generator = np.random.default_rng(0)
    currents = generator.integers(-16, 49, (24, 48)) / 16
    currents[:, :4] = 0
    currents[:, 4:12] = np.arange(8) / 8
    return currents


def respond(model: NeuronModel, currents: ArrayLike, initial: float | None = None) -> tuple[Array, Array, Array]:
    """Run a model's specification.

    Returns
    -------
    membrane : (T, N) float64, the potential after each step
    emitted : (T, N) float64
    crossed : (T, K, N) bool
    """
    drive = np.asarray(currents, np.float64)
    membrane = np.full(drive.shape[1:], np.float64(model.initial if initial is None else initial))
    membranes, emitted, crossed = [], [], []
    for current in drive:
        membrane, value, which = reference.fire(model, membrane, current)
        membranes.append(membrane)
        emitted.append(value)
        crossed.append(which)
    return np.stack(membranes), np.stack(emitted), np.stack(crossed)


def conserves_charge(model: NeuronModel) -> bool:
    """Whether charge balance holds for a model: no leak, and a reset by subtraction."""
    constants = model.firing_constants()
    return constants.decay == 1 and constants.keep == 1


def charge_balance(model: NeuronModel, currents: ArrayLike) -> None:
    """v_T = v_0 + sum of input - sum of emitted, at every step; for models without leak that reset by subtraction."""
    if not conserves_charge(model):
        return
    membrane, emitted, _ = respond(model, currents)
    balance = model.initial + np.cumsum(np.asarray(currents, np.float64), axis=0) - np.cumsum(emitted, axis=0)
    np.testing.assert_array_equal(membrane, balance, f"{model} loses or makes charge")


def level_bounds(model: NeuronModel, currents: ArrayLike) -> None:
    """What is emitted is the value of the level, a bit mask over the thresholds that were crossed."""
    _, emitted, crossed = respond(model, currents)
    constants = model.firing_constants()
    count = len(constants.compare)
    require(crossed.shape[1] == count, f"{model} crosses {crossed.shape[1]} thresholds, but has {count}")
    level = (crossed.astype(np.int64) << np.arange(count)[:, None]).sum(axis=1)
    np.testing.assert_array_equal(emitted, constants.emit[level].astype(np.float64), f"{model}: value of a level")
    require(constants.emit[0] == 0, f"{model} emits {constants.emit[0]} where no threshold was crossed")


def silence(model: NeuronModel, steps: int = 20) -> None:
    """At rest (v = 0) and without input, a neuron never fires and stays at rest."""
    membrane, emitted, crossed = respond(model, np.zeros((steps, 1)), initial=0.0)
    require(not crossed.any() and not emitted.any(), f"{model} fires without input")
    require(not membrane.any(), f"{model} leaves its rest without input")


def time_shift(model: NeuronModel, currents: ArrayLike, delay: int = 3) -> None:
    """From rest, input that comes `delay` steps later is answered `delay` steps later, and in the same way."""
    drive = np.asarray(currents, np.float64)
    late = np.concatenate([np.zeros((delay, *drive.shape[1:])), drive])
    for first, second in zip(respond(model, drive, 0.0), respond(model, late, 0.0), strict=True):
        np.testing.assert_array_equal(second[delay:], first, f"{model} answers differently after {delay} silent steps")


def independence(model: NeuronModel, currents: ArrayLike) -> None:
    """Neurons do not see each other, and a second run does not see the first."""
    drive = np.asarray(currents, np.float64)
    order = np.random.default_rng(0).permutation(drive.shape[1])
    straight = respond(model, drive)
    for first, second in zip(straight, respond(model, drive[:, order]), strict=True):
        np.testing.assert_array_equal(second, first[..., order], f"{model}: a neuron depends on its neighbours")
    for first, second in zip(straight, respond(model, drive), strict=True):
        np.testing.assert_array_equal(second, first, f"{model}: a run depends on the one before")


def runs_in_the_engine(model: NeuronModel, currents: ArrayLike, steps: int = 12) -> None:
    """The engine does what the specification does, each of the currents held constant."""
    picture = np.asarray(currents, np.float32).reshape(1, 1, -1)
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("same", "input", one), Neurons("neurons", "same", model)]
    network = Network([*nodes, Conv2d("readout", "neurons", one), Output("output", "readout")])
    expected = reference.simulate(network, picture, steps)
    for order in ("layer", "time"):
        found = simulate(
            network, picture, steps, order, threads=1, record=("spikes", "membrane", "spike_count", "readout")
        )
        assert_same(found, expected)


def check_neuron(model: NeuronModel, currents: ArrayLike | None = None) -> None:
    """All checks of this module.

    Parameters
    ----------
    model : NeuronModel
    currents : (T, N) multiples of a power of two, optional

    Raises
    ------
    AssertionError
        If the model fails a check; the message says which one.
    """
    drive = default_currents() if currents is None else np.asarray(currents, np.float64)
    charge_balance(model, drive)
    level_bounds(model, drive)
    silence(model)
    time_shift(model, drive)
    independence(model, drive)
    runs_in_the_engine(model, drive)

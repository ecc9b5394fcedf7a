"""What every neuron model must do, as checks that also take a model of one's own.

A model is what the engine runs: a registered class with a step function, which is its own specification, or an object
with `initial` and `firing_constants()`. The latter's specification is `reference.fire`: the rule of a model of the
package, the method `step(membrane, current)` of a model of one's own, or else the rule that the firing constants stand
for. Currents are (T, N): T steps of N neurons, which know nothing of each other. On dyadic currents (multiples of 1/16,
say) all sums are exact. A check raises an AssertionError.

The engine runs eight steps at once, then four, two and one of what is left, each by kernels of their own: the numbers
of steps here are made of eights and ones, so that a model's checks compile few.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..graph import Input, Network, Neurons, Output
from ..layers import Conv2d
from ..neurons import (
    LadderModel,
    NeuronModel,
    conserves_charge,
    initial_state,
    is_event_driven,
    level_table,
    registration_behind,
    registration_of,
)
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


def respond(
    model: NeuronModel,
    currents: ArrayLike,
    initial: Sequence[float] | None = None,
    neurons: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Run a model's specification, from its initial state or, where `initial` is given, from that state.

    Parameters
    ----------
    model : NeuronModel
    currents : (T, N)
    initial : sequence of float, optional
        Each state variable before the first step.
    neurons : (N,) int, optional
        Number of each neuron, from which its random numbers follow.

    Returns
    -------
    membrane : (T, N) float64, the potential after each step
    emitted : (T, N) float64
    crossed : (T, K, N), spikes of each threshold or of each level
    """
    drive = np.asarray(currents, np.float64)
    state = reference.at_rest(model, drive.shape[1:])
    if initial is not None:
        state[:] = np.reshape(initial, (-1, *[1] * (drive.ndim - 1)))
    membranes, emitted, crossed = [], [], []
    for step, current in enumerate(drive):
        state, value, which = reference.advance(model, state, current, reference.Moment(step=step, neurons=neurons))
        membranes.append(state[0])
        emitted.append(value)
        crossed.append(which)
    return np.stack(membranes), np.stack(emitted), np.stack(crossed)


def charge_balance(model: NeuronModel, currents: ArrayLike) -> None:
    """v_T = v_0 + sum of input - sum of emitted, at every step; for models without leak that reset by subtraction."""
    if not conserves_charge(model):
        return
    membrane, emitted, _ = respond(model, currents)
    balance = model.initial + np.cumsum(np.asarray(currents, np.float64), axis=0) - np.cumsum(emitted, axis=0)
    np.testing.assert_array_equal(membrane, balance, f"{model} loses or makes charge")


def level_bounds(model: NeuronModel, currents: ArrayLike) -> None:
    """What is emitted is the value of the level: a bit mask over the thresholds that were crossed, or a number."""
    _, emitted, crossed = respond(model, currents)
    table = level_table(model)
    count = table.kinds
    require(crossed.shape[1] == count, f"{model} crosses {crossed.shape[1]} thresholds, but has {count}")
    place = 1 << np.arange(count) if table.masks else 1 + np.arange(count)
    level = ((crossed != 0) * place[:, None]).sum(axis=1)
    np.testing.assert_array_equal(emitted, table.emit[level].astype(np.float64), f"{model}: value of a level")
    np.testing.assert_array_equal(crossed.sum(axis=1), table.spikes[level], f"{model}: spikes of a level")
    require(table.emit[0] == 0, f"{model} emits {table.emit[0]} where no threshold was crossed")


def rests(model: NeuronModel) -> bool:
    """Whether neurons that nothing drives stay as they are; a model that does not says so by `rests = False`."""
    return bool(getattr(model, "rests", True))


def resting_state(model: NeuronModel, steps: int = 20) -> tuple[float, ...] | None:
    """A state in which a model stays and is silent without input: that of `state()`; None where it is none.

    Also that state with a potential of 0, and what the state is by default: a neuron that leaks towards -65 may begin
    elsewhere.
    """
    begun = tuple(initial_state(model).values())
    candidates = [begun, (0.0, *begun[1:])]
    with contextlib.suppress(TypeError):  # A model of one's own need not have defaults.
        candidates.append(tuple(initial_state(type(model)()).values()))
    return next((state for state in candidates if _stays(model, state, steps)), None)


def resting_potential(model: NeuronModel, steps: int = 20) -> float | None:
    """The membrane potential of `resting_state`."""
    found = resting_state(model, steps)
    return None if found is None else found[0]


def _stays(model: NeuronModel, begun: tuple[float, ...], steps: int) -> bool:
    """Whether the membrane potential stays, and nothing fires; other variables may wear off."""
    membrane, emitted, crossed = respond(model, np.zeros((steps, 1)), begun)
    return not (crossed.any() or emitted.any()) and bool((membrane == begun[0]).all())


def silence(model: NeuronModel, steps: int = 20) -> None:
    """At rest and without input, a neuron never fires and stays at rest; see `resting_state`, `rests`."""
    if not rests(model) or resting_state(model, steps) is not None:
        return
    begin = next(iter(initial_state(model).values()))
    _, emitted, crossed = respond(model, np.zeros((steps, 1)))
    remedy = "; a model that is meant to says so by rests = False"
    fires = f"{model} fires without input, from its initial state on{remedy}"
    require(not crossed.any() and not emitted.any(), fires)
    raise AssertionError(f"{model} leaves its rest without input: neither {begin:g} nor 0 is one{remedy}")


def needs_no_update(model: NeuronModel, currents: ArrayLike) -> None:
    """Of event-driven models: a step without current that does not fire leaves every state variable as it is.

    Asked of every state that the currents lead to.
    """
    if not is_event_driven(model):
        return
    drive = np.asarray(currents, np.float64)
    state = reference.at_rest(model, drive.shape[1:])
    for step, current in enumerate(np.concatenate([np.zeros((1, *drive.shape[1:])), drive])):
        state, _, _ = reference.advance(model, state, current, reference.Moment(step=step))
        after, _, crossed = reference.advance(model, state, np.zeros_like(current), reference.Moment(step=step))
        silent = ~crossed.any(axis=0)
        changed = (after != state) | (np.signbit(after) != np.signbit(state))
        difference = f"{model} changes without input, and so is not event-driven; remove `event_driven`"
        require(not (changed & silent).any(), difference)


def time_shift(model: NeuronModel, currents: ArrayLike, delay: int = 3) -> None:
    """From rest, input that comes `delay` steps later is answered `delay` steps later, and in the same way.

    Asked of models that have a rest, and whose step is told neither its index nor a random number.
    """
    if not rests(model) or (not isinstance(model, LadderModel) and registration_behind(model).inputs):
        return
    drive = np.asarray(currents, np.float64)
    late = np.concatenate([np.zeros((delay, *drive.shape[1:])), drive])
    rest = resting_state(model)
    for first, second in zip(respond(model, drive, rest), respond(model, late, rest), strict=True):
        np.testing.assert_array_equal(second[delay:], first, f"{model} answers differently after {delay} silent steps")


def independence(model: NeuronModel, currents: ArrayLike) -> None:
    """Neurons do not see each other, and a second run does not see the first."""
    drive = np.asarray(currents, np.float64)
    order = np.random.default_rng(0).permutation(drive.shape[1])
    straight = respond(model, drive)
    for first, second in zip(straight, respond(model, drive[:, order], neurons=order), strict=True):
        np.testing.assert_array_equal(second, first[..., order], f"{model}: a neuron depends on its neighbours")
    for first, second in zip(straight, respond(model, drive), strict=True):
        np.testing.assert_array_equal(second, first, f"{model}: a run depends on the one before")


def _network(model: NeuronModel) -> Network:
    """Neurons that each see one pixel."""
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("same", "input", one), Neurons("neurons", "same", model)]
    return Network([*nodes, Conv2d("readout", "neurons", one), Output("output", "readout")])


def runs_in_the_engine(model: NeuronModel, currents: ArrayLike, steps: int = 9) -> None:
    """The engine does what the specification does, each of the currents held constant."""
    picture = np.asarray(currents, np.float32).reshape(1, 1, -1)
    network = _network(model)
    expected = reference.simulate(network, picture, steps)
    for order in ("layer", "time"):
        found = simulate(
            network, picture, steps, order, threads=1, record=("spikes", "membrane", "spike_count", "readout")
        )
        assert_same(found, expected)


def alone_in_the_engine(model: NeuronModel, steps: int = 8) -> None:
    """What the engine computes of a neuron does not depend on its neighbours, however large or small their currents.

    The engine runs many neurons at once: currents of all sizes, in one order, in another, and one by one. Asked of
    ladders; a registered model's step need not bear currents of any size.
    """
    if not isinstance(model, LadderModel):
        return
    generator = np.random.default_rng(0)
    sizes = 2.0 ** np.array([0, 0, 0, 0, 0, 0, -126, -100, 20, 24, 26, 30, 40, 90, 120])
    currents = np.concatenate([sizes, -sizes, generator.normal(0, 1, 30) * np.tile(sizes, 2)]).astype(np.float32)
    currents = np.concatenate([currents, np.zeros(4, np.float32)])
    whole = _run_alone(model, currents, steps)
    order = generator.permutation(currents.size)
    parts = [(order, _run_alone(model, currents[order], steps))]
    some = [np.array([neuron]) for neuron in range(0, 2 * sizes.size, 5)]
    parts += [(chosen, _run_alone(model, currents[chosen], steps)) for chosen in some]
    for chosen, part in parts:
        for kind, found, expected in zip(("spikes", "membrane"), part, whole, strict=True):
            difference = f"{model}: {kind} of a neuron depend on its neighbours in the engine"
            np.testing.assert_array_equal(found, expected[..., chosen], difference)


def subnormals_are_zero(model: NeuronModel, steps: int = 8) -> None:
    """Below 2**-126 a current or potential counts as zero, in the engine as in the specification.

    Asked of models that begin at rest at 0, where potentials can be so small.
    """
    if model.initial != 0 or not rests(model) or not _stays(model, tuple(initial_state(model).values()), steps):
        return
    sixteenths = np.concatenate([np.arange(16, 49), np.arange(64, 80)]) / 16
    currents = (np.concatenate([sixteenths, -sixteenths]) * 2.0**-126).astype(np.float32)
    _equals_specification(model, currents, steps)
    if dataclasses.is_dataclass(model) and not isinstance(model, type):
        # From there a leak leads below it, where nothing drives the neuron.
        _equals_specification(dataclasses.replace(model, initial=1.5 * 2.0**-125), np.zeros(1, np.float32), steps)


def _equals_specification(model: NeuronModel, currents: Array, steps: int) -> None:
    emitted, membrane = _run_alone(model, currents, steps)
    state = reference.at_rest(model, currents.shape)
    for step in range(steps):
        state, value, _ = reference.advance(model, state, currents.astype(np.float64), reference.Moment(step=step))
        np.testing.assert_array_equal(emitted[step], value, f"{model}: emitted near 2**-126")
    np.testing.assert_array_equal(membrane, state[0], f"{model}: potential near 2**-126")


def _run_alone(model: NeuronModel, currents: Array, steps: int) -> tuple[Array, Array]:
    """What the engine emits (T, N), and the potentials after that (N,), of neurons with a constant current each.

    They are channels of one pixel, which the engine computes side by side.
    """
    size = currents.size
    same = Conv2d("same", "input", np.eye(size, dtype=np.float32)[:, :, None, None])
    readout = Conv2d("readout", "neurons", np.zeros((1, size, 1, 1), np.float32))
    nodes = [Input("input", size), same, Neurons("neurons", "same", model), readout, Output("output", "readout")]
    found = simulate(Network(nodes), currents.reshape(-1, 1, 1), steps, threads=1, record=("spikes", "membrane"))
    return found.spikes["neurons"][:, :, 0, 0], found.membrane["neurons"][:, 0, 0]


def compiled_like_python(model: NeuronModel, steps: int = 16) -> None:
    """The engine's compiled step gives the bits of plain Python, on currents that are not round, and small ones."""
    if isinstance(model, LadderModel):
        return
    generator, unit = np.random.default_rng(0), level_table(model).unit
    sizes = np.where(np.arange(499) % 4 == 0, 2.0 ** generator.uniform(-30, 3, 499), 1.0)
    currents = (generator.normal(0.5, 1.5, 499) * sizes * unit).astype(np.float32)
    found, membrane = _run_alone(model, currents, steps)
    state = reference.at_rest(model, currents.shape)
    for step in range(steps):
        moment = reference.Moment(step=step)
        state, emitted, _ = reference.advance(model, state, currents.astype(np.float64), moment)
        difference = f"{model}: compiled, the step differs from plain Python"
        np.testing.assert_array_equal(found[step], emitted, difference)
    np.testing.assert_array_equal(membrane, state[0], difference)


def surrogate_adds_up(model: NeuronModel) -> None:
    """A registered model's surrogate, summed over all currents, makes up what the step really changes by.

    Asked of the value emitted and of the membrane potential, within 5 %, because a surrogate may have long tails.
    """
    if isinstance(model, LadderModel) or registration_of(model).surrogate is None:
        return
    registration, table = registration_of(model), level_table(model)
    assert registration.surrogate is not None
    state, parameters = tuple(initial_state(model).values()), registration.arguments(model)
    span = 50 * table.unit
    currents = np.linspace(float(table.emit.min()) - span, float(np.abs(table.emit).max()) + span, 20_001)
    rows = [registration.surrogate(current, *state, *parameters, table.unit) for current in currents.tolist()]
    slopes = np.array([(value[0], membrane[0]) for value, membrane, *_ in rows]).mean(axis=0)
    after, emitted, _ = reference.advance(
        model, np.array(state)[:, None] + np.zeros(2), exact_ends := currents[[0, -1]]
    )
    rises = np.array([np.diff(emitted)[0], np.diff(after[0])[0]]) / np.diff(exact_ends)
    names = ("value emitted", "membrane potential")
    for name, slope, rise in zip(names, slopes, rises, strict=True):
        # The emitted values are the measure: a potential that is reset may hardly change at all.
        error = abs(slope - rise) * (currents[-1] - currents[0])
        require(
            error <= 0.05 * float(np.abs(table.emit).max()), f"{model}: surrogate of the {name} is off by {error:g}"
        )


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
    needs_no_update(model, drive)
    time_shift(model, drive)
    independence(model, drive)
    surrogate_adds_up(model)
    runs_in_the_engine(model, drive)
    compiled_like_python(model)
    alone_in_the_engine(model)
    subnormals_are_zero(model)

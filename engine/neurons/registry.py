"""Registration of neuron models that are written outside the package (or in it, in the same way)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np

from ..errors import NeuronError
from .exactness import check_exact
from .firing import check_number
from .registration_checks import check_class, check_compiles, check_name, check_runs
from .stepped import STEP_INPUTS, SteppedModel

Model = TypeVar("Model", bound=type)
Argument = float | int | bool | tuple[float, ...]

EXAMPLE_INPUTS: Mapping[str, Any] = {"step_index": 0, "random": 0.5}
"""Values that the engine may give to a step."""


@dataclass(frozen=True, eq=False)
class Registration:
    """A registered neuron model.

    Parameters
    ----------
    name : str
        What model files call it.
    model : type
        The frozen dataclass.
    step : function
        Level and new state from current, state variables and parameters.
    surrogate : function or None
        Rows of derivatives from the same and a width; None for differences of `step`.
    variables : tuple of str
        State variables, in the order of the step's arguments.
    parameters : tuple of (str, type)
        Attributes of the model that the step takes, in order, with the type (float, int, bool, or tuple for a tuple of
        float) that each has there; and, among them, what the engine gives, see `STEP_INPUTS`.
    """

    name: str
    model: type
    step: Callable[..., Any]
    surrogate: Callable[..., Any] | None
    variables: tuple[str, ...]
    parameters: tuple[tuple[str, type], ...]

    @property
    def inputs(self) -> frozenset[str]:
        """What of `STEP_INPUTS` the step takes."""
        return frozenset(name for name, _ in self.parameters) & STEP_INPUTS.keys()

    def arguments(self, model: SteppedModel, given: Mapping[str, Any] = EXAMPLE_INPUTS) -> tuple[Any, ...]:
        """The step's parameters for one model, numbers with a point as float32 holds them; inputs as they are given."""
        owner = type(model).__name__
        return tuple(
            given[name] if name in STEP_INPUTS else _argument(owner, name, kind, getattr(model, name))
            for name, kind in self.parameters
        )


_by_name: dict[str, Registration] = {}
_by_class: dict[type, Registration] = {}
_count = itertools.count(1)
_latest = 0


@overload
def register_neuron(name: Model) -> Model: ...
@overload
def register_neuron(name: str | None = None, *, compile_now: bool = True) -> Callable[[Model], Model]: ...
def register_neuron(name: Any = None, *, compile_now: bool = True) -> Any:
    """Class decorator that makes a neuron model known to the engine, the model file, fine-tuning and the test kit.

    The class is a frozen dataclass whose fields all have defaults, with

    - `initial`, a field: the membrane potential before the first step;
    - `state()`: the name of each state variable with its value before the first step, the membrane potential first;
    - `levels()`: the value emitted at each level, at most 256 of them, 0 for level 0;
    - `step(current, *state, *parameters)`, a static method, the model itself: one step of one neuron, in plain Python
      that Numba compiles. Its arguments are the input current, the state variables under their names, and any of the
      model's numeric attributes (fields, properties), tuples of numbers too, under theirs; also `step_index`, the index
      of the step from 0 on, and `random`, a number from 0 up to 1 that is another one for each neuron and step and
      follows from the model's field `seed`, a whole number. It returns the level, a whole number, and then every state
      variable's new value;
    - `spikes()`, optional: how many spikes each level counts for in the ledger, 1 unless it says otherwise;
    - `arithmetic()`, optional: the operations of an update, by the names of `Arithmetic`, for the ledger;
    - `conserves_charge`, optional: True where v_T = v_0 + sum of input - sum of emitted;
    - `rests`, optional: False where a neuron in the state of `state()` may fire or change without input;
    - `event_driven`, optional: True where a step with the current 0 that does not fire leaves every state variable as
      it is: such neurons are updated only where an event arrives;
    - `surrogate(current, *state, *parameters, width)`, optional, a static method for backpropagation through time: a
      row of derivatives, by the current and by each state variable, for the value emitted and one for each state
      variable, the jump at a threshold smoothed over `width`. Without it `step` is differentiated by differences over
      that width.

    Parameters
    ----------
    name : str, optional
        What model files call the model; by default the name of the class.
    compile_now : bool
        Whether to compile the step at once, to report what cannot be compiled here. False puts it off to the first
        simulation, for packages that are to be imported fast.

    Returns
    -------
    class decorator, or the class itself where `register_neuron` is used without parentheses

    Raises
    ------
    NeuronError
        If the class or one of its methods is not as above, the step fails or returns something else on a grid of
        currents, cannot be compiled, or computes something else when compiled; if the class is registered already under
        another name, or the name is taken.
    """
    if isinstance(name, type):
        return register_neuron()(name)
    if name is not None and not isinstance(name, str):
        raise NeuronError(f"register_neuron takes a class, or the name of one (got {name!r:.80})")

    def register(model: Model) -> Model:
        registration = _registration(check_name(model, name), model)
        previous = _by_name.get(registration.name)
        if previous is not None and _origin(previous.model) != _origin(model):
            raise NeuronError(
                f"the neuron model name {registration.name!r} is taken by {'.'.join(_origin(previous.model))}; "
                "choose another name"
            )
        known = _by_class.get(model, registration)
        if known.name != registration.name:
            raise NeuronError(
                f"{model.__name__} is registered as {known.name!r} already; a model has one name in model files"
            )
        if not model.__module__.startswith(f"{__package__}."):
            try_out(registration)
        if compile_now:
            check_compiles(registration, model())
        _by_name[registration.name] = _by_class[model] = registration
        _note_change()
        return model

    return register


def try_out(registration: Registration) -> None:
    """NeuronError where the step does not run; the package's own are tried out by its tests, not upon each import."""
    check_exact(registration.name, registration.step)
    check_runs(registration, registration.model())


def _note_change() -> None:
    global _latest  # noqa: PLW0603
    _latest = next(_count)


def latest_change() -> int:
    """A number that is another one after every registration: what a name in a model file means may have changed."""
    return _latest


def registered(name: str) -> Registration | None:
    """The registration under a name."""
    return _by_name.get(name)


def registered_names() -> tuple[str, ...]:
    """Names of all registered models."""
    return tuple(_by_name)


def registration_of(model: SteppedModel) -> Registration:
    """The registration of a model's class; NeuronError where it was not registered."""
    found = _by_class.get(type(model))
    if found is None:
        raise NeuronError(
            f"the neuron model {type(model).__name__} is not registered; decorate its class with "
            "spikeunet.engine.register_neuron"
        )
    return found


def _registration(name: str, model: type) -> Registration:
    variables, parameters = check_class(model)
    surrogate = getattr(model, "surrogate", None)
    return Registration(name, model, model.step, surrogate, variables, parameters)  # type: ignore[attr-defined]


def _origin(model: type) -> tuple[str, str]:
    return model.__module__, model.__qualname__


def _argument(owner: str, name: str, kind: type, value: Any) -> Argument:
    if kind is tuple:
        return tuple(float(np.float32(check_number(owner, name, part))) for part in value)
    number = check_number(owner, name, value)
    if kind is float:
        return float(np.float32(number))
    if number != int(number) or abs(number) >= 2**53:
        raise NeuronError(f"{owner}.{name}: must be a whole number (got {value!r})")
    return bool(number) if kind is bool else int(number)

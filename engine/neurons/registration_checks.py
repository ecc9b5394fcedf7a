"""What `register_neuron` refuses, each with one line that says where and why."""

from __future__ import annotations

import inspect
import math
import random
import re
import traceback
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NeuronError
from ..float32 import held
from .arithmetic import arithmetic_of
from .firing import LadderModel, check_number
from .levels import initial_state, level_table
from .stepped import STEP_INPUTS

if TYPE_CHECKING:
    from .registry import Registration
    from .stepped import SteppedModel

RESERVED = ("MultiThreshold", "IntegrateAndFire", "LeakyIntegrateAndFire", "Heterogeneous")
"""Names in model files that belong to the package's own models that are not registered."""

_METHODS = ("state", "levels", "step")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,63}")
_TRIAL_STEPS = 60
_AWKWARD_STEPS = 400
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Its multiples, whole parts dropped, lie evenly between 0 and 1."""
_TRIAL_CURRENTS = (-2.0, -0.5, 0.0, 0.125, 0.5, 1.0, 1.5, 3.0, 17.0)
"""In units of the smallest value that the model emits."""


def check_name(model: type, name: object) -> str:
    """The name that a model is registered under; NeuronError where it cannot be one."""
    chosen = model.__name__ if name is None else name
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen):
        raise NeuronError(
            f"{model.__name__}: the name must begin with a letter and have at most 64 letters, digits, '_', '-', '.' "
            f"and '/' (got {chosen!r})"
        )
    if chosen in RESERVED:
        raise NeuronError(f"{model.__name__}: the name {chosen!r} is the package's own; choose another name")
    return chosen


def check_class(model: type) -> tuple[tuple[str, ...], tuple[tuple[str, type], ...]]:
    """State variables and (parameter, type) pairs of a model's step; NeuronError where the class does not qualify."""
    owner = model.__name__
    parameters = getattr(model, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise NeuronError(f"{owner}: must be a frozen dataclass; put @dataclass(frozen=True) under the registration")
    missing = [name for name in _METHODS if not callable(getattr(model, name, None))]
    if missing:
        raise NeuronError(f"{owner}: has no method {missing[0]!r}; a registered model has {', '.join(_METHODS)}")
    example = _example(owner, model)
    if isinstance(example, LadderModel):
        raise NeuronError(f"{owner}: has firing_constants, with which it runs without registration; remove one of them")
    if not hasattr(example, "initial"):
        raise NeuronError(f"{owner}: has no field 'initial', the membrane potential before the first step")
    for name in ("conserves_charge", "rests", "event_driven"):
        if not isinstance(getattr(example, name, False), bool):
            raise NeuronError(f"{owner}.{name}: must be True or False (got {getattr(example, name)!r})")
    level_table(example)
    arithmetic_of(example)
    variables = tuple(initial_state(example))
    names = _step_parameters(owner, model, variables)
    _check_inputs(owner, example, names)
    told = [name for name in STEP_INPUTS if name in names and getattr(example, "event_driven", False)]
    if told:
        raise NeuronError(f"{owner}.event_driven: must be False, for the step takes {told[0]!r} and may always change")
    kinds = tuple((name, STEP_INPUTS.get(name) or _kind(owner, example, name)) for name in names)
    _check_surrogate(owner, model, (*variables, *names))
    return variables, kinds


def _example(owner: str, model: type) -> Any:
    try:
        return model()
    except TypeError as error:
        raise NeuronError(f"{owner}: every parameter needs a default, with which the step is tried ({error})") from None


def _step_parameters(owner: str, model: type, variables: tuple[str, ...]) -> tuple[str, ...]:
    names = _argument_names(owner, "step", model)
    wanted = ("current", *variables)
    if names[: len(wanted)] != wanted:
        raise NeuronError(
            f"{owner}.step: must be a static method of ({', '.join(wanted)}, parameters ...), the state variables in "
            f"the order of state() (got {', '.join(names) or 'no arguments'})"
        )
    return names[len(wanted) :]


def _check_inputs(owner: str, example: Any, names: tuple[str, ...]) -> None:
    variables = initial_state(example)
    for name in STEP_INPUTS:
        if name in variables or (name in names and hasattr(example, name)):
            what = "a state variable" if name in variables else "an attribute"
            raise NeuronError(
                f"{owner}.step: takes {name!r}, which the engine gives, and so is no name for {what}; rename it"
            )
    seed = getattr(example, "seed", None)
    if "random" in names and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise NeuronError(
            f"{owner}.step: takes 'random', and so the model needs a field 'seed', a whole number (got {seed!r})"
        )


def _check_surrogate(owner: str, model: type, arguments: tuple[str, ...]) -> None:
    if getattr(model, "surrogate", None) is None:
        return
    names, wanted = _argument_names(owner, "surrogate", model), ("current", *arguments, "width")
    if names != wanted:
        raise NeuronError(
            f"{owner}.surrogate: must be a static method of ({', '.join(wanted)}) (got {', '.join(names)})"
        )


def _argument_names(owner: str, name: str, model: type) -> tuple[str, ...]:
    function = inspect.getattr_static(model, name)
    if not isinstance(function, staticmethod):
        raise NeuronError(f"{owner}.{name}: must be a static method; put @staticmethod above it")
    arguments = inspect.signature(getattr(function.__func__, "py_func", function.__func__)).parameters.values()
    if any(argument.kind is not argument.POSITIONAL_OR_KEYWORD for argument in arguments):
        raise NeuronError(f"{owner}.{name}: must name each argument, without '*' or '/'")
    return tuple(argument.name for argument in arguments)


def _kind(owner: str, example: Any, name: str) -> type:
    """Type of an argument of the step: what the field or property is annotated with, or else has by default."""
    if not hasattr(example, name):
        raise NeuronError(f"{owner}.step: takes {name!r}, which is neither a state variable nor an attribute")
    declared = inspect.getattr_static(type(example), name, None)
    holder = declared.fget if isinstance(declared, property) else type(example)
    try:
        hint = typing.get_type_hints(holder).get("return" if isinstance(declared, property) else name)
    except (NameError, TypeError):  # an annotation that names what is not there at run time
        hint = None
    value = getattr(example, name)
    kind = hint if hint in (float, int, bool) else type(value)
    if issubclass(kind, (bool, np.bool_)):
        return bool
    if issubclass(kind, (int, np.integer)):
        return int
    if isinstance(value, tuple):
        for part in value:
            check_number(owner, name, part)
        return tuple
    check_number(owner, name, value)
    return float


# --- Trial runs ------------------------------------------------------------------------------------------------------


def check_runs(registration: Registration, model: SteppedModel) -> None:
    """Run the step as plain Python; NeuronError where it fails or does not return a level and the state."""
    for inputs, _ in _trial(registration, model):
        if registration.surrogate is not None:
            _check_rows(registration, (*inputs, level_table(model).unit))


def check_compiles(registration: Registration, model: SteppedModel) -> None:
    """Compile the step and run it; NeuronError where that fails, or gives other numbers than plain Python."""
    import numba

    trial = _trial(registration, model)
    first = trial[0][0]
    try:
        compiled = numba.njit(error_model="numpy")(plain(registration.step))
        compiled.compile(tuple(numba.typeof(value) for value in first))
        if registration.surrogate is not None:
            numba.njit(error_model="numpy")(plain(registration.surrogate))(*first, float(level_table(model).unit))
    except compilation_errors() as error:
        raise cannot_compile(registration.name, error) from None
    returned = compiled.nopython_signatures[0].return_type
    types = tuple(returned) if isinstance(returned, numba.types.BaseTuple) else ()
    if not types or not isinstance(types[0], (numba.types.Integer, numba.types.Boolean)):
        raise NeuronError(f"{registration.name}: compiled, the step returns no whole number as its level ({returned})")
    for inputs in (*(inputs for inputs, _ in trial), *_awkward(registration, model)):
        found, expected = compiled(*inputs), plain(registration.step)(*inputs)
        if list(map(_bits, found)) != list(map(_bits, expected)):
            raise NeuronError(
                f"{registration.name}: compiled, the step returns {found} for {_shown(registration, inputs)}, and in "
                f"plain Python {expected}; avoid what differs between the two"
            )


def _bits(number: float) -> str:
    """A number, exactly; the sign of a zero is a part of it."""
    return float(number).hex()


def _awkward(registration: Registration, model: SteppedModel) -> Iterator[tuple[Any, ...]]:
    """Arguments of a step that are not round, or very small, as far as plain Python takes them."""
    table = level_table(model)
    generator = random.Random(0)  # noqa: S311 - no secret
    state: tuple[float, ...] = tuple(initial_state(model).values())
    for number in range(_AWKWARD_STEPS):
        parameters = registration.arguments(model, _example_inputs(number))
        size = 2.0 ** generator.uniform(-30, 3) if number % 4 == 0 else 1.0
        inputs = (held(generator.gauss(0.5, 1.5) * size * table.unit), *state, *parameters)
        try:
            after = _checked_step(registration, table.highest, inputs)
        except NeuronError:
            state = tuple(initial_state(model).values())
            continue
        yield inputs
        state = after[1:]


def compilation_errors() -> tuple[type[Exception], ...]:
    """What Numba raises of functions that it cannot compile: that of bytecode is none of its own errors' kind."""
    import numba

    return numba.core.errors.NumbaError, numba.core.errors.UnsupportedBytecodeError


def cannot_compile(name: str, error: Exception) -> NeuronError:
    """One line out of Numba's report: the place and the cause."""
    location = getattr(error, "loc", None)
    place = f" at line {location.line} of {Path(location.filename).name}" if location is not None else ""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if raised := re.search(r"\.? Raised from (.+) \((\d+)\)", text):
        place, text = f" at line {raised[2]} of {Path(raised[1]).name}", text[: raised.start()]
    noise = ("Failed in", "File ", "During:", "There are", "Overload", 'Use "', "This error", "<source", "^", "-")
    lines = [line.strip() for line in text.splitlines()]
    causes = [line for line in lines if line and not line.startswith(noise) and "def " not in line]
    return NeuronError(f"{name}: the step cannot be compiled{place}: {(causes or [type(error).__name__])[0][:200]}")


def level_out_of_range(name: str, level: int, highest: int, where: str = "") -> NeuronError:
    """What to raise where a step returns a level that the model does not have."""
    return NeuronError(f"{name}: the step returned level {level}{where}, and levels() has 0 to {highest}")


def _trial(registration: Registration, model: SteppedModel) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Arguments and result of a step for many currents, small and large, and the states that these lead to."""
    table = level_table(model)
    state: tuple[float, ...] = tuple(initial_state(model).values())
    found = []
    for number in range(_TRIAL_STEPS):
        parameters = registration.arguments(model, _example_inputs(number))
        # Squares modulo a prime: in an order without rhythm, and without a generator's import.
        current = _TRIAL_CURRENTS[number * number % 61 % len(_TRIAL_CURRENTS)]
        inputs = (current * table.unit, *state, *parameters)
        returned = _checked_step(registration, table.highest, inputs)
        found.append((inputs, returned))
        state = returned[1:]
    return found


def _example_inputs(number: int) -> dict[str, Any]:
    """What the engine gives, at the `number`-th step of a trial: random numbers from one end to the other."""
    return {"step_index": number, "random": number * _GOLDEN % 1}


def _checked_step(registration: Registration, highest: int, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Level and state, rounded as the engine rounds them."""
    name, count = registration.name, len(registration.variables)
    returned = _called(registration, registration.step, "step", inputs)
    if not isinstance(returned, tuple) or len(returned) != 1 + count:
        wanted = ", ".join(("level", *registration.variables))
        raise NeuronError(f"{name}: the step must return ({wanted}) (got {returned!r})")
    level, *state = returned
    if not isinstance(level, (bool, int, np.integer, np.bool_)):
        raise NeuronError(
            f"{name}: the step must return a whole number as its level (got {level!r} for "
            f"{_shown(registration, inputs)}); wrap it in int()"
        )
    if not 0 <= level <= highest:
        raise level_out_of_range(name, int(level), highest, f" for {_shown(registration, inputs)}")
    if not all(isinstance(value, (int, float, np.number)) and math.isfinite(value) for value in state):
        raise NeuronError(
            f"{name}: the step must return finite numbers as its state (got {tuple(state)} for "
            f"{_shown(registration, inputs)})"
        )
    return (int(level), *map(held, state))


def _check_rows(registration: Registration, inputs: tuple[Any, ...]) -> None:
    size = 1 + len(registration.variables)
    rows = _called(registration, registration.surrogate, "surrogate", inputs)
    try:
        found = np.array(rows, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (size, size) or not np.isfinite(found).all():
        columns = ", ".join(("current", *registration.variables))
        raise NeuronError(
            f"{registration.name}: the surrogate must return {size} rows (value emitted, "
            f"{', '.join(registration.variables)}) of {size} finite derivatives (by {columns}) (got {rows!r})"
        )


def _called(registration: Registration, function: Any, what: str, inputs: tuple[Any, ...]) -> Any:
    try:
        return plain(function)(*inputs)
    except Exception as error:  # noqa: BLE001 - whatever a user's function raises
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"line {frame.lineno} of {Path(frame.filename).name}"
        raise NeuronError(
            f"{registration.name}: the {what} fails at {place} with {type(error).__name__}: "
            f"{' '.join(str(error).split())} ({_shown(registration, inputs)})"
        ) from None


def plain(function: Any) -> Any:
    """The Python function behind one that is already compiled."""
    return getattr(function, "py_func", function)


def _shown(registration: Registration, inputs: tuple[Any, ...]) -> str:
    names = ("current", *registration.variables)
    return ", ".join(f"{name}={value:g}" for name, value in zip(names, inputs, strict=False))

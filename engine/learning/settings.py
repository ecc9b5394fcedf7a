"""Settings of a training run, whose fields say what the command line needs to know of them."""

from __future__ import annotations

import dataclasses
import math
import operator
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

_NUMBERS = (int, float)


def option(
    default: Any,
    text: str,
    *,
    choices: Sequence[str] = (),
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field of settings: its default, a line of help, and the values that it may have.

    Parameters
    ----------
    default : int, float, bool, str, or tuple of int or float
    text : str
        Ends with a full stop.
    choices : sequence of str
        All values that there are.
    least, most : float, optional
        Bounds that belong to the values, of each one in a tuple.
    above, below : float, optional
        Bounds that do not.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    return dataclasses.field(default=default, metadata={"help": text, "choices": tuple(choices), **bounds})


@dataclass(frozen=True)
class TrainingSettings:
    """Settings that every method has; a method's own are a subclass with more fields, each an `option`.

    Raises
    ------
    InputError
        If a value is of another type than its field, or out of range.
    """

    epochs: int = option(20, "Times that every picture is learnt from.", least=1, most=10**6)
    batch: int = option(32, "Pictures in a batch.", least=1, most=65536)
    shift: int = option(0, "Pixels by which pictures are moved at most.", least=0, most=64)
    seed: int = option(0, "Of all that is drawn at random.", least=0)

    def __post_init__(self) -> None:
        kinds = typing.get_type_hints(type(self))
        for each in dataclasses.fields(self):
            _check(each, kinds[each.name], getattr(self, each.name))
        self.check()

    def check(self) -> None:
        """InputError where values do not fit each other."""

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return dataclasses.asdict(self)


def _check(field: dataclasses.Field[Any], kind: Any, value: Any) -> None:
    """InputError where a value is no value of its field."""
    several = typing.get_origin(kind) is tuple
    if several and not isinstance(value, tuple):
        raise InputError(f"{field.name} must be a tuple (got {value!r})")
    expected = typing.get_args(kind)[0] if several else kind
    for each in value if several else (value,):
        _check_type(field.name, expected, each)
        _check_range(field, each)


def _check_type(name: str, kind: type, value: Any) -> None:
    accepted: tuple[type, ...] = _NUMBERS if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        what = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}[kind]
        raise InputError(f"{name} must be {what} (got {value!r})")


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise InputError(f"{field.name} must be one of {', '.join(rules['choices'])} (got {value!r})")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field.name} must be finite (got {value})")
    checks: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
        ("least", "at least", operator.ge),
        ("most", "at most", operator.le),
        ("above", "above", operator.gt),
        ("below", "below", operator.lt),
    )
    for name, word, holds in checks:
        if rules[name] is not None and not holds(value, rules[name]):
            raise InputError(f"{field.name} must be {word} {rules[name]} (got {value})")

"""What a pickle is read as: plain values, and a few kinds of our own that do nothing."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .refusals import DamagedError


@dataclass(slots=True, eq=False)
class Items:
    """A dictionary. Keys are not hashed, because a file may choose them so that hashing takes forever or overflows."""

    pairs: list[tuple[object, object]] = field(default_factory=list)

    def by_name(self) -> dict[str, object]:
        """Values of the keys that are texts; of doubled keys the last."""
        return {key: value for key, value in self.pairs if type(key) is str}


@dataclass(slots=True, eq=False)
class Inert:
    """Something of no use here (a date, a path, a set of options), whose content is dropped."""

    name: str


@dataclass(slots=True, eq=False)
class Named:
    """A function or class that a pickle names, with ours that stands for it."""

    name: str
    make: Callable[..., object]

    def call(self, arguments: tuple[object, ...]) -> object:
        """What it makes of arguments; DamagedError where these are too few or too many."""
        least, most = _counts(self.make)
        if not least <= len(arguments) <= most:
            raise DamagedError(f"a pickle gives {self.name[:100]!r} {len(arguments)} arguments")
        return self.make(*arguments)


@functools.lru_cache(maxsize=256)
def _counts(function: Callable[..., object]) -> tuple[int, float]:
    """The least and the most positional arguments that a function takes."""
    kinds = list(inspect.signature(function).parameters.values())
    several = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in kinds)
    named = [parameter for parameter in kinds if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    least = sum(parameter.default is parameter.empty for parameter in named)
    return least, math.inf if several else len(named)


class Stateful:
    """What is given a state after it was made (the opcode BUILD)."""

    __slots__ = ()

    def set_state(self, state: object) -> None:
        """Take it; ValueError where it does not fit."""
        raise NotImplementedError

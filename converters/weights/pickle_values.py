"""What a pickle is read as: plain values, and a few kinds of our own that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


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


class Stateful:
    """What is given a state after it was made (the opcode BUILD)."""

    __slots__ = ()

    def set_state(self, state: object) -> None:
        """Take it; ValueError or TypeError where it does not fit."""
        raise NotImplementedError

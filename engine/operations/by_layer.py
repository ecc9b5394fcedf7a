"""Values by the names of nodes, with a clear error for a name that there is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, TypeVar

from ..errors import InputError

Value = TypeVar("Value")


class UnknownLayerError(InputError, KeyError):
    """A layer that a result says nothing about."""

    __str__ = InputError.__str__


class ByLayer(dict[str, Value]):
    """Values by the name of a node, which for an unknown name says which names there are.

    Parameters
    ----------
    what : str
        What the values are.
    nodes : str
        Which nodes have such a value.
    values : mapping
    """

    def __init__(self, what: str, nodes: str, values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self.what = what
        self.nodes = nodes

    def __missing__(self, name: object) -> NoReturn:
        known = ", ".join(self) or "none"
        raise UnknownLayerError(f"no {self.what} of {name!r}: there are those of {self.nodes}, which are {known}")

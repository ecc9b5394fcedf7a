"""Spikes that come as such, out of an event camera or another network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..neurons import LevelTable
from .encoder import Encoder, numbered, one_spike, signed


@dataclass(frozen=True)
class Events(Encoder):
    """Spikes that are given, as `bin_events` makes them or as EventQueues.

    Parameters
    ----------
    most : int
        The largest count of spikes that one event stands for: up to 255, or 127 with a sign. Level k emits k.
    signed : bool
        Whether counts may be negative: level most + k then emits -k.

    Raises
    ------
    GraphError
        If a parameter is out of range.
    """

    takes_events: ClassVar[bool] = True

    most: int = 1
    signed: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.signed, bool):
            raise self.refuse("signed", f"must be True or False (got {self.signed!r})")
        self.set_whole("most", 1, 127 if self.signed else 255)

    def level_table(self) -> LevelTable:
        """Counts, the negative ones after all others."""
        if self.signed:
            return signed(self.most)
        return one_spike() if self.most == 1 else numbered(range(1, self.most + 1), range(1, self.most + 1))

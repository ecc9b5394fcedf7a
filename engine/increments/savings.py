"""What exact increments have saved, over pictures one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..operations import Operations
from ..operations.exact import total


@dataclass(frozen=True)
class Savings:
    """What was done for pictures one after the other, beside what full runs of all of them do; these add.

    Parameters
    ----------
    pictures : int
        All that the network was shown.
    in_full : dict of str to int
        How many of them had everything computed, by the reason.
    done : int
        Accumulates, and multiply-accumulates of the picture itself, that were done; a node that several layers read is
        counted once, as the ledger has it.
    full : int
        Those that full runs do.
    """

    pictures: int = 0
    in_full: Mapping[str, int] = field(default_factory=dict)
    done: int = 0
    full: int = 0

    @classmethod
    def of_full_run(cls, why: str, operations: Operations) -> Savings:
        """Of pictures that were run in full: why, and the ledger."""
        full = sum(total(node.synops) + node.macs for node in operations.synapses.values())
        return cls(operations.pictures, {why: operations.pictures}, full, full)

    @property
    def share(self) -> float:
        """Share of the accumulates that was done; 1 where there are none."""
        return self.done / self.full if self.full else 1.0

    @property
    def text(self) -> str:
        """In one line."""
        if not self.pictures:
            return "no picture has been run"
        number = sum(self.in_full.values())
        reasons = ", ".join(f"{count} {why}" for why, count in self.in_full.items())
        which = f": {reasons}" if number else ""
        return f"{self.share:.1%} of the accumulates done; {number} of {self.pictures} pictures in full{which}"

    def __add__(self, other: Savings) -> Savings:
        reasons = dict.fromkeys([*self.in_full, *other.in_full])
        return Savings(
            self.pictures + other.pictures,
            {why: self.in_full.get(why, 0) + other.in_full.get(why, 0) for why in reasons},
            self.done + other.done,
            self.full + other.full,
        )

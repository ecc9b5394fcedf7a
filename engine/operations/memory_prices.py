"""What a memory access costs, by the size of the memory; the figures stand with the energy models."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


class MemoryPrice(Protocol):
    """Joules of one access to one number of a memory."""

    def joules(self, holds: int, bits: int) -> float:
        """Joules of reading or writing one number of `bits` bits in a memory that holds `holds` of them."""


@dataclass(frozen=True)
class FlatPrice:
    """The same for each byte, whatever the memory."""

    per_byte: float

    def joules(self, holds: int, bits: int) -> float:  # noqa: ARG002 - of any size
        """See `MemoryPrice`."""
        return self.per_byte * bits / 8


@dataclass(frozen=True)
class LinearPrice:
    """A constant, and so much for each bit that the memory holds."""

    constant: float
    per_bit: float

    def joules(self, holds: int, bits: int) -> float:
        """See `MemoryPrice`."""
        return self.constant + self.per_bit * holds * bits


@dataclass(frozen=True)
class SteppedPrice:
    """Joules a byte by the memory's bytes, straight between the points and constant beyond the last.

    Parameters
    ----------
    points : ((bytes, joules a byte), ...)
        In ascending order, the first at 0 bytes.
    """

    points: tuple[tuple[float, float], ...]

    def joules(self, holds: int, bits: int) -> float:
        """See `MemoryPrice`."""
        size = holds * bits / 8
        for (low, first), (high, second) in pairwise(self.points):
            if size <= high:
                return (first + (second - first) * (size - low) / (high - low)) * bits / 8
        return self.points[-1][1] * bits / 8

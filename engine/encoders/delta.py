"""Changes alone, as an event camera sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..neurons import LevelTable
from .encoder import Encoder, Frames, Memory, signed, signed_levels

LARGEST_COUNT = 2.0**24
"""Quanta that float32 counts exactly."""


@dataclass(frozen=True)
class Delta(Encoder):
    """Signed events where a value has changed by a threshold or more since the last one.

    Each neuron knows the sum s of what it has emitted, 0 at first. With a value v it emits trunc((v - s) / threshold)
    thresholds, `most` at the most, as one graded event: s follows v, a threshold behind. s is carried from run to run.

    Parameters
    ----------
    threshold : float
        Smallest change that is emitted, and the unit of what is emitted.
    most : int
        Largest number of thresholds in one event, 1 to 127.

    Raises
    ------
    GraphError
        If a parameter is out of range.
    """

    carried: ClassVar[str | None] = "emitted"

    threshold: float = 0.125
    most: int = 1

    def __post_init__(self) -> None:
        self.set_positive("threshold", 2.0**100)
        self.set_whole("most", 1, 127)

    def level_table(self) -> LevelTable:
        """Levels 1 ... most emit as many thresholds, those after them as many negative ones."""
        return signed(self.most, self.threshold)

    def check(self, name: str, shown: Frames) -> None:
        """No value is so many thresholds that they could not be counted."""
        largest = float(np.abs(shown).max())
        if largest / self.threshold >= LARGEST_COUNT:
            raise InputError(
                f"x of Input {name!r} must stay below {LARGEST_COUNT:g} thresholds of Delta, {self.threshold:g} each "
                f"(got {largest:g}); take a larger threshold"
            )

    def levels(self, shown: Frames, first: int, picture: int, memory: Memory) -> NDArray[np.uint8]:
        """See `Encoder.levels`; what has been emitted is counted in thresholds, so that nothing is rounded."""
        emitted = memory.setdefault("emitted", np.zeros(shown.shape[1:], np.float32))
        levels = np.zeros(shown.shape, np.uint8)
        for step, values in enumerate(shown):
            change = np.trunc(values.astype(np.float64) / self.threshold - emitted)
            change = np.clip(change, -self.most, self.most)
            emitted += change.astype(np.float32)
            levels[step] = signed_levels(change.astype(np.int64), self.most)
        return levels

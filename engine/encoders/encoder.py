"""What all encoders share: their levels, and the spikes that they make of what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError
from ..float32 import held
from ..neurons import LevelTable
from ..neurons.levels import spikes_of_ladders

Frames = NDArray[np.float32]
Memory = dict[str, NDArray[Any]]
"""What an encoder keeps during a run, by name."""


class Encoder:
    """Turns what an Input is shown into spikes. Immutable; subclasses are frozen dataclasses of parameters."""

    takes_events: ClassVar[bool] = False
    """Whether spikes come as such, and nothing is shown."""

    takes_changes: ClassVar[bool] = True
    """Whether what is shown may change from step to step."""

    carried: ClassVar[str | None] = None
    """Name of what `Memory` hands on from run to run, float32 of the shape of the input."""

    def level_table(self) -> LevelTable:
        """What each level emits."""
        raise NotImplementedError

    def check(self, name: str, shown: Frames) -> None:
        """InputError where the values of Input `name` are none that can be encoded."""

    def levels(self, shown: Frames, first: int, picture: int, memory: Memory) -> NDArray[np.uint8]:
        """Levels of some steps.

        Parameters
        ----------
        shown : (T, C, H, W) float32
            What is shown at each of the steps.
        first : int
            The first of the steps, counted since the network was at rest.
        picture : int
            Number of the picture in its batch, 0 of a single one.
        memory : dict
            Empty before the first step of a run, but for what is carried on.

        Returns
        -------
        levels : (T, C, H, W) uint8
        """
        raise NotImplementedError

    def seen_by_network(self, name: str, picture: Frames) -> Frames:
        """What the artificial network sees in place of the spikes; InputError where nothing stands for them."""
        raise InputError(
            f"{type(self).__name__} of Input {name!r} has no analog form (ANN): no picture stands for its spikes; take "
            "an Input without an encoder, or with Rate or Latency"
        )

    def refuse(self, attribute: str, message: str) -> GraphError:
        """A GraphError that names the encoder and the attribute at fault."""
        return GraphError(f"{type(self).__name__}.{attribute}: {message}")

    def set_whole(self, attribute: str, least: int, most: int) -> None:
        """Check a whole number."""
        value = getattr(self, attribute)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
            raise self.refuse(attribute, f"must be a whole number from {least} to {most} (got {value!r})")
        object.__setattr__(self, attribute, int(value))

    def set_positive(self, attribute: str, most: float) -> None:
        """Check a number above 0, which is then one that float32 holds."""
        value = getattr(self, attribute)
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, complex))
        if not number or not 2.0**-100 <= float(value) <= most:
            raise self.refuse(attribute, f"must be a number above 0 and at most {most:g} (got {value!r})")
        object.__setattr__(self, attribute, held(float(value)))


def one_spike() -> LevelTable:
    """Levels of an encoder that emits 1 or nothing."""
    emit = np.zeros(256, np.float32)
    emit[1] = 1
    return LevelTable(emit, spikes_of_ladders(), (1.0,), masks=True)


def numbered(values: Sequence[float], spikes: Sequence[int]) -> LevelTable:
    """Levels 1, 2, ... that emit these values and count for so many spikes."""
    table = LevelTable(np.zeros(256, np.float32), np.zeros(256, np.int64), tuple(map(held, values)), masks=False)
    table.emit[1 : 1 + len(values)] = values
    table.spikes[1 : 1 + len(spikes)] = spikes
    return table


def signed(most: int, unit: float = 1.0) -> LevelTable:
    """Levels 1 ... `most` emit 1 ... `most` units, the levels after that as many negative ones."""
    counts = range(1, most + 1)
    return numbered([k * unit for k in counts] + [-k * unit for k in counts], [*counts, *counts])


def signed_levels(counts: NDArray[Any], most: int) -> NDArray[np.uint8]:
    """Levels of `signed` that stand for counts from -most to most."""
    return np.where(counts < 0, most - counts, counts).astype(np.uint8)


def check_unit_interval(encoder: Encoder, name: str, shown: Frames) -> None:
    """InputError for values that are not from 0 to 1."""
    low, high = float(shown.min()), float(shown.max())
    if low < 0 or high > 1:
        raise InputError(
            f"x of Input {name!r} must lie from 0 to 1 for {type(encoder).__name__} (got {low:g} to {high:g}); scale it"
        )

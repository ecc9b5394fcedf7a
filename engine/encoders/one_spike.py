"""Encoders of one spike: when it comes says what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..neurons import LevelTable
from .encoder import Encoder, Frames, Memory, check_unit_interval, one_spike

NEVER = -1
LONGEST_WINDOW = 100_000


@dataclass(frozen=True)
class OneSpike(Encoder):
    """One spike of value 1, of neurons whose value is not 0, in the first `window` steps since the network was at rest.

    What is shown must stay the same over the steps of a run.

    Parameters
    ----------
    window : int
        Steps in which spikes come.

    Raises
    ------
    GraphError
        If a parameter is out of range.
    """

    takes_changes: ClassVar[bool] = False

    window: int = 8

    def __post_init__(self) -> None:
        self.set_whole("window", 1, LONGEST_WINDOW)

    def times(self, picture: Frames) -> NDArray[np.int64]:
        """Step of each neuron's spike, `NEVER` of those that are silent."""
        raise NotImplementedError

    def level_table(self) -> LevelTable:
        """1."""
        return one_spike()

    def check(self, name: str, shown: Frames) -> None:
        """Values are from 0 to 1."""
        check_unit_interval(self, name, shown)

    def levels(self, shown: Frames, first: int, picture: int, memory: Memory) -> NDArray[np.uint8]:
        """See `Encoder.levels`."""
        if "times" not in memory:
            memory["times"] = self.times(shown[0])
        steps = np.arange(first, first + len(shown)).reshape(-1, 1, 1, 1)
        return np.asarray(memory["times"] == steps, np.uint8)


@dataclass(frozen=True)
class Latency(OneSpike):
    """The brighter, the earlier: the spike of a value v comes at the step floor((1 - v) * window).

    Of all values above 0 at the last of the `window` steps at the latest, of a value of 0 never.

    Parameters
    ----------
    window : int
        Steps in which spikes come.
    """

    def times(self, picture: Frames) -> NDArray[np.int64]:
        """See `OneSpike.times`."""
        late = np.floor((1 - picture.astype(np.float64)) * self.window).astype(np.int64)
        return np.where(picture > 0, np.minimum(late, self.window - 1), NEVER)

    def seen_by_network(self, name: str, picture: Frames) -> Frames:
        """The picture itself."""
        check_unit_interval(self, name, picture)
        return picture


@dataclass(frozen=True)
class RankOrder(OneSpike):
    """The order alone: of n neurons whose value is above 0, the one of rank r spikes at the step floor(r * window / n).

    The largest value has rank 0; of equal values the one that comes first in the order (channel, row, column).

    Parameters
    ----------
    window : int
        Steps in which spikes come.
    """

    def times(self, picture: Frames) -> NDArray[np.int64]:
        """See `OneSpike.times`."""
        values = picture.reshape(-1)
        times = np.full(values.shape, NEVER, np.int64)
        order = np.argsort(-values, kind="stable")[: int(np.count_nonzero(values))]
        times[order] = np.arange(len(order)) * self.window // max(len(order), 1)
        return times.reshape(picture.shape)

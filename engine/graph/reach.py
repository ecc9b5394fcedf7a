"""How many targets an event reaches: what a kind of synapses tells the ledger of operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..lazy import lazy_property


@dataclass(frozen=True, eq=False)
class FanOut:
    """Targets of an event at row y and column x: rows[y] * columns[x] * channels.

    Borders, strides and cropped outputs are taken into account; design section 8, `synops`.

    Parameters
    ----------
    rows : (H,) int64
    columns : (W,) int64
    channels : int
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    channels: int

    @lazy_property
    def usual(self) -> tuple[int, int]:
        """What most of the rows and most of the columns have."""
        return int(np.bincount(self.rows).argmax()), int(np.bincount(self.columns).argmax())

    @lazy_property
    def most(self) -> int:
        """Of an event that reaches the most targets."""
        return int(self.rows.max()) * int(self.columns.max()) * self.channels

    def total(self, channels: int) -> int:
        """Multiply-accumulates when each of `channels` input channels is analog."""
        return int(self.rows.sum()) * int(self.columns.sum()) * self.channels * channels


def even_fan_out(height: int, width: int, targets: int) -> FanOut:
    """The fan-out of synapses in which each event of an input of this size reaches so many targets."""
    return FanOut(np.ones(height, np.int64), np.ones(width, np.int64), targets)


@dataclass(frozen=True, eq=False)
class ZeroFanOut:
    """Weights of zero that an event meets: zeros[row_classes[y], column_classes[x], channel].

    Rows (and columns) whose pixels reach their targets through the same kernel taps share a class.

    Parameters
    ----------
    row_classes : (H,) int64
    column_classes : (W,) int64
    zeros : (row classes, column classes, C) int64
    """

    row_classes: NDArray[np.int64]
    column_classes: NDArray[np.int64]
    zeros: NDArray[np.int64]

"""Some output rows of a layer: what a tile has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .layer import Layer

RowRange = tuple[int, int]
"""First row and last row + 1."""


@dataclass(frozen=True, eq=False)
class Window:
    """Some output rows of a layer, and the input rows that these read: all that there is of it in a tile.

    Parameters
    ----------
    whole : Layer
    rows : (first, last + 1)
        Output rows.
    inputs : (first, last + 1)
        Input rows.
    counted : int
        Input rows before this one were counted by an earlier tile.
    """

    whole: Layer
    rows: RowRange
    inputs: RowRange
    counted: int

    @property
    def is_new(self) -> NDArray[np.bool_]:
        """(input rows,) whether no earlier tile has counted the row."""
        return np.arange(*self.inputs) >= self.counted

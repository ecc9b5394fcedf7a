"""What the kernels that go from four channels to four channels take, see fours.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class FourEntries(NamedTuple):
    """As `QuantaEntries`, of four neighbouring channels each, of which any fires; behind the last, room for a vector.

    Parameters
    ----------
    begins : (W * (rows + 1),) int32
    keys : int32
        Row * fours of a pixel + four, the row counted from the first one.
    fours : uint32
        Four levels in quanta, a byte each; those of step t at t * stride, one for each entry.
    stride : int
    """

    begins: NDArray[np.int32]
    keys: NDArray[np.int32]
    fours: NDArray[np.uint32]
    stride: int


class FourChoice(NamedTuple):
    """Whether a band goes from four channels to four, or multiplies all of them.

    Parameters
    ----------
    percent : int
        Of the fours, those that may have a level for the former.
    spans : int32
        Those of `Touched`, of all rows; their number becomes 0 where the band multiplies all.
    dense : (1,) int64
        Becomes 1 there, and 0 otherwise.
    """

    percent: int
    spans: NDArray[np.int32]
    dense: NDArray[np.int64]

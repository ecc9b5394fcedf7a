"""Arrays that begin at a cache line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CACHE_LINE = 64
"""Bytes. A vector load that straddles two lines takes two accesses: gathering from such weights is half as fast."""


def aligned_empty(size: int) -> NDArray[np.float32]:
    """(size,) float32 whose first element begins a cache line; not initialised."""
    return aligned_bytes(size * 4).view(np.float32)


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """(size,) uint8 whose first element begins a cache line; not initialised."""
    whole = np.empty(size + CACHE_LINE, np.uint8)
    begin = -whole.ctypes.data % CACHE_LINE
    return whole[begin : begin + size]

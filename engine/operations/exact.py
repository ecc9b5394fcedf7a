"""Sums of counts that never wrap: int64 as long as that holds them, Python integers beyond 2**63 - 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Counts, none of them negative: int64, or objects that are Python integers where one would not fit."""


MAXIMUM = int(np.iinfo(np.int64).max)


def total(counts: Counts) -> int:
    """Sum of all counts."""
    return sum(map(int, counts.ravel().tolist()))


def row_totals(rows: Iterable[Counts]) -> Counts:
    """(N,) sums of N arrays of counts, each over all that it holds."""
    return _fitted(np.asarray([total(row) for row in rows], dtype=object))


def added(first: Counts, second: Counts) -> Counts:
    """Sums of two arrays of counts, one by one."""
    sums: NDArray[Any] = first + second
    if sums.dtype == np.int64 and (sums >= 0).all():  # a sum of two counts that does not fit comes out negative
        return sums
    return _fitted(first.astype(object) + second.astype(object))


def _fitted(counts: NDArray[Any]) -> Counts:
    fits = all(count <= MAXIMUM for count in counts.ravel().tolist())
    return counts.astype(np.int64) if fits else counts

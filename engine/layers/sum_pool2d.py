"""Sum pooling, as NIR's SumPool2d: average pooling that does not divide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..graph import Rows, Shape, Value
from .dense import pooling
from .pool import Pool2d

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SumPool2d(Pool2d):
    """Sum over windows; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size
    """

    @property
    def enlarges(self) -> bool:
        return True

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        return None if part != (0, incoming[0]) else ("SumPool2d", self.window_fields)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, math.prod(self.kernel_size)

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        padded = self.padded_rows(values, rows)
        first, *others = self.seen(padded, rows)
        total = first.copy()
        for part in others:
            total += part
        return total

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        return pooling.spread(self, value, gradient) if into_input else None, {}

"""What pools have in common: windows that slide over each channel for itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Rows, Shape
from ..graph.fields import Pair, positive_shape, set_pairs
from .taps import Axis, RegularTaps, sliding_axis

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pool2d(RegularTaps):
    """A pool; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size
    """

    kernel_size: Pair = (2, 2)
    stride: Pair = field(default=None)  # type: ignore[assignment]
    padding: Pair = (0, 0)

    file_fields: ClassVar[Mapping[str, str]] = {"kernel_size": "pair", "stride": "pair", "padding": "pair"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_pairs(self, kernel_size=1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        set_pairs(self, stride=1, padding=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise self.refuse("padding", f"{self.padding} must be at most half of the kernel size {self.kernel_size}")

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        geometry = zip(sizes, self.padding, self.kernel_size, self.stride, strict=True)
        height, width = ((size + 2 * p - k) // s + 1 for size, p, k, s in geometry)
        return positive_shape(self, channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]

    @property
    def window_fields(self) -> dict[str, Any]:
        """Size, stride and padding as NIR has them."""
        return {name: np.array(getattr(self, name)) for name in ("kernel_size", "stride", "padding")}

    @property
    def size_factor(self) -> Fraction:
        return Fraction(1, math.lcm(*self.stride))

    @property
    def keeps_channels(self) -> bool:
        return True

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        vertical, horizontal = zip(self.kernel_size, self.stride, self.padding, strict=True)
        return sliding_axis(*vertical), sliding_axis(*horizontal)

    def taps(self, size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Rows and columns of the window that meet more than padding, of an input of this height and width.

        A window may be far larger than what it reads.
        """
        sides = zip(size, self.kernel_size, self.stride, self.padding, strict=True)
        rows, columns = (meeting_taps(*side) for side in sides)
        return itertools.product(rows, columns)

    def padded_rows(self, values: Array, rows: Rows, fill: float = 0.0) -> Array:
        """What the windows of some output rows see: (M, rows under them, W and its padding, C)."""
        return padded_rows(values, rows, self.kernel_size, self.stride, self.padding, fill)

    def seen(self, padded: Array, rows: Rows) -> Iterator[Array]:
        """What each tap sees of `padded_rows`, (M, rows, W', C): views, tap by tap, those of padding alone left out."""
        (down, right), width = self.stride, self.output_shape(rows.incoming)[2]
        height = rows.last - rows.first
        for row, column in self.taps(rows.incoming[1:]):
            yield padded[
                :, row : row + (height - 1) * down + 1 : down, column : column + (width - 1) * right + 1 : right
            ]


def meeting_taps(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> list[int]:
    """Along an axis, the taps of a kernel that meet more than padding somewhere on an input of this size."""
    last = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride * stride
    places = ((tap, tap * dilation - padding) for tap in range(kernel))
    return [tap for tap, place in places if place < size and place + last >= 0]


def padded_rows(values: Array, rows: Rows, extent: Pair, stride: Pair, padding: Pair, fill: float = 0.0) -> Array:
    """The input under a sliding kernel, for some output rows: (M, rows under it, W and its padding, C).

    Parameters
    ----------
    values : (M, h, W, C)
        Input rows from rows.first_input on.
    rows : Rows
    extent : (height, width) of the kernel
    stride, padding : (vertical, horizontal)
    fill : float
        What lies outside the input.
    """
    pictures, given, width, channels = values.shape
    height = (rows.last - 1 - rows.first) * stride[0] + extent[0]
    result = np.full((pictures, height, width + 2 * padding[1], channels), fill, values.dtype)
    begin = rows.first_input - (rows.first * stride[0] - padding[0])
    first, last = max(begin, 0), min(begin + given, height)
    if first < last:
        result[:, first:last, padding[1] : padding[1] + width] = values[:, first - begin : last - begin]
    return result

"""Upsampling, as PyTorch's Upsample: nearest, or bilinear with and without aligned corners."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Projection, Rows, Shape, Value
from ..graph.fields import Pair, set_pairs
from ..memory import worked_out_once
from .dense.joining import joined

Array = NDArray[Any]

MODES = ("nearest", "bilinear")


class _Side(NamedTuple):
    """Along one axis: of each output the two inputs that it lies between, and the share of the second one."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Upsample(Projection):
    """Larger pictures by whole factors; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    scale_factor : int or (vertical, horizontal)
    mode : "nearest" or "bilinear"
    align_corners : bool
        Whether the corners of input and output are the same points; for "bilinear" only.
    """

    scale_factor: Pair = (2, 2)
    mode: str = "nearest"
    align_corners: bool = False

    file_fields: ClassVar[Mapping[str, str]] = {"scale_factor": "pair", "mode": "text", "align_corners": "boolean"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_pairs(self, scale_factor=1)
        if self.mode not in MODES:
            raise self.refuse("mode", f"must be one of {', '.join(MODES)} (got {reprlib.repr(self.mode)})")
        if not isinstance(self.align_corners, bool) or (self.align_corners and self.mode == "nearest"):
            raise self.refuse("align_corners", f"must be a bool, True for bilinear only (got {self.align_corners!r})")

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height * self.scale_factor[0], width * self.scale_factor[1]

    @property
    def size_factor(self) -> Fraction:
        return Fraction(math.gcd(*self.scale_factor))

    @property
    def keeps_channels(self) -> bool:
        return True

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        side = self._sides(incoming)[0]
        return int(side.low[first]), int(side.high[last - 1]) + 1

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        vertical, horizontal = self._sides(rows.incoming)
        cut = slice(rows.first, rows.last)
        of_rows = _Side(vertical.low[cut], vertical.high[cut], vertical.share[cut])
        between = _between(values, of_rows, 1, rows.first_input)
        return _between(between, horizontal, 2, 0)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        if not into_input:
            return None, {}
        source = joined(value)
        sides = self._sides((source.shape[3], *source.shape[1:3]))
        down, right = (_matrix(side, size, gradient.dtype) for side, size in zip(sides, source.shape[1:3], strict=True))
        return np.einsum("yi,xj,myxc->mijc", down, right, gradient, optimize=True), {}

    def fan_out(self, incoming: Shape) -> FanOut:
        rows, columns = (
            np.count_nonzero(_matrix(side, size, np.float64), axis=0).astype(np.int64)
            for side, size in zip(self._sides(incoming), incoming[1:], strict=True)
        )
        return FanOut(rows, columns, 1)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 4

    def _sides(self, incoming: Shape) -> tuple[_Side, _Side]:
        vertical, horizontal = zip(incoming[1:], self.scale_factor, strict=True)
        return _side(*vertical, self.mode, self.align_corners), _side(*horizontal, self.mode, self.align_corners)


@worked_out_once(64)
def _side(size: int, factor: int, mode: str, aligned: bool) -> _Side:
    outputs = np.arange(size * factor)
    if mode == "nearest":
        return _Side(outputs // factor, outputs // factor, np.zeros(len(outputs)))
    # Places in whole parts of the distance of two inputs: a place on an input would be rounded off it.
    if aligned:
        parts, whole = outputs * (size - 1), max(size * factor - 1, 1)
    else:
        parts, whole = np.maximum(2 * outputs + 1 - factor, 0), 2 * factor
    low = np.minimum(parts // whole, size - 1)
    high = np.minimum(low + 1, size - 1)
    share = np.where(high > low, (parts - low * whole) / whole, 0.0)
    return _Side(low, np.where(share > 0, high, low), share)


def _between(values: Array, side: _Side, axis: int, first: int) -> Array:
    """Values between neighbours along an axis, of which the first one there is has the number `first`."""
    low = values.take(side.low - first, axis)
    if not side.share.any():
        return low
    shape = [1] * values.ndim
    shape[axis] = -1
    share = side.share.astype(values.dtype).reshape(shape)
    return np.asarray(low * (1 - share) + values.take(side.high - first, axis) * share)


def _matrix(side: _Side, size: int, dtype: Any) -> Array:
    """(outputs, inputs): what each output takes of each input."""
    matrix = np.zeros((len(side.low), size), dtype)
    outputs = np.arange(len(side.low))
    matrix[outputs, side.low] += 1 - side.share
    matrix[outputs, side.high] += side.share
    return matrix

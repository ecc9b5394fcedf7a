"""Pixel unshuffle, as PyTorch's PixelUnshuffle: pixels become channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Projection, Rows, Shape, Value, even_fan_out
from ..graph.fields import set_count
from .dense.pixels import as_channels, as_pixels

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelUnshuffle(Projection):
    """(C, r * H, r * W) as (C * r * r, H, W), the inverse of `PixelShuffle`; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    downscale_factor : int
        r
    """

    downscale_factor: int = 2

    file_fields: ClassVar[Mapping[str, str]] = {"downscale_factor": "integer"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "downscale_factor", 1)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        factor = self.downscale_factor
        if height % factor or width % factor:
            raise self.refuse("downscale_factor", f"{factor}, does not divide {height}x{width}")
        return self.channels_out(channels), height // factor, width // factor

    def channels_out(self, channels: int) -> int:
        return channels * self.downscale_factor**2

    @property
    def size_factor(self) -> Fraction:
        return Fraction(1, self.downscale_factor)

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        return first * self.downscale_factor, last * self.downscale_factor

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        first, last = (row * self.downscale_factor - rows.first_input for row in (rows.first, rows.last))
        return as_channels(values[:, first:last], self.downscale_factor)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        return as_pixels(gradient, self.downscale_factor) if into_input else None, {}

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 1

    def pass_on(self, by_channel: Array) -> Array:
        return np.repeat(by_channel, self.downscale_factor**2)

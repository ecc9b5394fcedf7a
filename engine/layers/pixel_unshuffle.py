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
        return self._as_channels(values[:, first:last])

    def _as_channels(self, values: Array) -> Array:
        """(M, r * H, r * W, C) as (M, H, W, C * r * r)."""
        factor, (many, height, width, channels) = self.downscale_factor, values.shape
        blocks = values.reshape(many, height // factor, factor, width // factor, factor, channels)
        return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(many, height // factor, width // factor, -1)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        factor, (pictures, height, width, channels) = self.downscale_factor, gradient.shape
        blocks = gradient.reshape(pictures, height, width, channels // factor**2, factor, factor)
        into = blocks.transpose(0, 1, 4, 2, 5, 3).reshape(pictures, height * factor, width * factor, -1)
        return np.ascontiguousarray(into) if into_input else None, {}

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 1

    def pass_on(self, by_channel: Array) -> Array:
        return np.repeat(by_channel, self.downscale_factor**2)

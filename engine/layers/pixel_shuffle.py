"""Pixel shuffle, as PyTorch's PixelShuffle: channels become pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..errors import InputError
from ..graph import FanOut, Projection, Rows, Shape, Value, even_fan_out
from ..graph.fields import set_count
from .dense.pixels import as_channels, as_pixels

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelShuffle(Projection):
    """(C * r * r, H, W) as (C, r * H, r * W); a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    upscale_factor : int
        r
    """

    upscale_factor: int = 2

    file_fields: ClassVar[Mapping[str, str]] = {"upscale_factor": "integer"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_count(self, "upscale_factor", 1)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return self.channels_out(channels), height * self.upscale_factor, width * self.upscale_factor

    def channels_out(self, channels: int) -> int:
        area = self.upscale_factor**2
        if channels % area:
            raise self.refuse("upscale_factor", f"squared, {area}, does not divide {channels} channels")
        return channels // area

    @property
    def size_factor(self) -> Fraction:
        return Fraction(self.upscale_factor)

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        return first // self.upscale_factor, -(-last // self.upscale_factor)

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        first = rows.first - rows.first_input * self.upscale_factor
        return as_pixels(values, self.upscale_factor)[:, first : first + rows.last - rows.first]

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        return as_channels(gradient, self.upscale_factor) if into_input else None, {}

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 1

    def pass_on(self, by_channel: Array) -> Array:
        parts = by_channel.reshape(-1, self.upscale_factor**2)
        if (parts != parts[:, :1]).any():
            raise InputError(f"the channels that {self.name!r} makes pixels of are scaled differently")
        return parts[:, 0]

"""Flattening: what a picture's neurons emit, as single features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Projection, Rows, Shape, Value, even_fan_out

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Flatten(Projection):
    """The input as (C * H * W, 1, 1), in the order (channel, row, column); a Neurons node of its own follows it.

    `Linear` flattens what it reads by itself and needs none.

    Parameters
    ----------
    name, source : str
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        return math.prod(shape), 1, 1

    def channels_out(self, channels: int) -> int:
        return 0  # as many as there are pixels

    @property
    def keeps_channels(self) -> bool:
        return True  # neighbouring features belong to one channel

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2)).reshape(len(values), 1, 1, -1)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        pictures, height, width, _ = value[0].shape
        by_channel = gradient.reshape(pictures, -1, height, width)
        return np.ascontiguousarray(by_channel.transpose(0, 2, 3, 1)) if into_input else None, {}

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        return None if part != (0, incoming[0]) else ("Flatten", {})

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 1

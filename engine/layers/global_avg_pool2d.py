"""Global average pooling: one number for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Projection, Rows, Shape, Value, even_fan_out
from ..graph.limits import LARGEST_EXTENT

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class GlobalAvgPool2d(Projection):
    """Mean of each channel, (C, 1, 1); a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, _, _),) = shapes
        return channels, 1, 1

    @property
    def keeps_channels(self) -> bool:
        return True

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        total = values.sum((1, 2), keepdims=True)
        return np.asarray(total / total.dtype.type(values.shape[1] * values.shape[2]))

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        pictures, height, width, _ = value[0].shape
        share = gradient / gradient.dtype.type(height * width)
        shape = (pictures, height, width, gradient.shape[3])
        return np.ascontiguousarray(np.broadcast_to(share, shape)) if into_input else None, {}

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        whole = np.array(incoming[1:])
        fields = {"kernel_size": whole, "stride": whole, "padding": np.array((0, 0))}
        return None if part != (0, incoming[0]) else ("AvgPool2d", fields)

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, LARGEST_EXTENT**2

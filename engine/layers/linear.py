"""Full connection, as PyTorch's Linear on a flattened input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape, Value, ZeroFanOut
from ..graph.fields import set_array, set_bias
from .dense import full_connection
from .taps import Axis, WeightedTaps, nonzero_along, sliding_axis

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Linear(WeightedTaps):
    """Full connection to the source's flattened output; features in the order (channel, row, column).

    The current has the shape (out_features, 1, 1).

    Parameters
    ----------
    name, source : str
    weight : (out_features, in_features) float32
    bias : (out_features,) float32, or None for zeros
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 2)
        set_bias(self, len(self.weight))

    @property
    def sums_all_weights(self) -> bool:
        return True

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        if channels * height * width != self.weight.shape[1]:
            raise self.refuse(
                "weight", f"takes {self.weight.shape[1]} features, but the source puts out {channels}x{height}x{width}"
            )
        return (self.out_channels, 1, 1)

    def channels_out(self, channels: int) -> int:
        if self.weight.shape[1] % channels:
            raise self.refuse("weight", f"takes {self.weight.shape[1]} features, no multiple of {channels} channels")
        return self.out_channels

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        """Those of a convolution whose kernel covers the whole input."""
        return sliding_axis(incoming[1], 1, 0), sliding_axis(incoming[2], 1, 0)

    @property
    def channel_targets(self) -> int:
        return self.out_channels

    def dense_kernel(self, weight: Array, incoming: Shape) -> Array:
        return weight.reshape(-1, *incoming).transpose(2, 3, 1, 0)

    def packing_key(self, incoming: Shape) -> tuple[int, ...]:
        return incoming

    def nonzero_weights(self) -> NDArray[np.int64]:
        return nonzero_along(self.weight, 0)

    def zero_fan_out(self, incoming: Shape, nonzero: NDArray[np.int64]) -> ZeroFanOut:
        # Each site meets weights of its own.
        zeros = self.out_channels - nonzero.reshape(incoming).transpose(1, 2, 0)
        return ZeroFanOut(np.arange(incoming[1]), np.arange(incoming[2]), np.ascontiguousarray(zeros))

    def dense_macs(self, incoming: Shape) -> int:
        return self.weight.size

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        pixels = incoming[1] * incoming[2]
        weight = self.weight[:, part[0] * pixels : part[1] * pixels].copy()
        return "Affine", {"weight": weight, "bias": self.bias if part[0] == 0 else np.zeros_like(self.bias)}

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return full_connection.current(self, value)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        into, weight, bias = full_connection.gradients(self, value, gradient, into_input)
        return into, {"weight": weight, "bias": bias}

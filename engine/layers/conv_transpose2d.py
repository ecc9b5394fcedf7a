"""Transposed convolution, as PyTorch's ConvTranspose2d."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape, Value
from ..graph.fields import Pair, check_channels, positive_shape, set_array, set_bias, set_count, set_pairs
from ..graph.limits import MOST_GROUPS, MOST_PHASES
from .dense import transposed_convolution
from .kernels_of_groups import by_groups, check_kernel, extent
from .taps import Axis, WeightedTaps, nonzero_along, transposed_axis

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(WeightedTaps):
    """Transposed convolution.

    Parameters
    ----------
    name, source : str
    weight : (in_channels, out_channels / groups, kernel height, kernel width) float32
    bias : (out_channels,) float32, or None for zeros
    stride, padding, output_padding, dilation : int or (vertical, horizontal)
    groups : int

    Raises
    ------
    GraphError
        If a shape, a number or the dtype does not fit, a weight is not finite, or the output padding is not smaller
        than the stride or the dilation.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    file_fields: ClassVar[Mapping[str, str]] = {
        "stride": "pair",
        "padding": "pair",
        "output_padding": "pair",
        "dilation": "pair",
        "groups": "integer",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 4)
        set_count(self, "groups", 1, MOST_GROUPS)
        set_bias(self, self.out_channels)
        set_pairs(self, stride=1, padding=0, output_padding=0, dilation=1)
        if len(self.weight) % self.groups:
            raise self.refuse("groups", f"is {self.groups}, which does not divide {len(self.weight)} input channels")
        check_kernel(self)
        if self.stride[0] * self.stride[1] > MOST_PHASES:
            raise self.refuse("stride", f"{self.stride} must have a product of at most {MOST_PHASES}")
        limits = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(extra >= max(s, d) for extra, s, d in limits):
            raise self.refuse("output_padding", f"{self.output_padding} must be smaller than stride or dilation")

    @property
    def group_count(self) -> int:
        return self.groups

    @property
    def in_channels(self) -> int:
        return len(self.weight)

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[1]) * self.groups

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        check_channels(self, channels, self.in_channels)
        geometry = zip(sizes, self.stride, self.padding, extent(self), self.output_padding, strict=True)
        height, width = ((size - 1) * s - 2 * p + r + extra for size, s, p, r, extra in geometry)
        return positive_shape(self, self.out_channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        channels, height, width = self.output_shape(*shapes)
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]

    @property
    def size_factor(self) -> Fraction:
        return Fraction(math.gcd(*self.stride))

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        vertical, horizontal = zip(self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        return transposed_axis(*vertical), transposed_axis(*horizontal)

    @property
    def channel_targets(self) -> int:
        return self.out_channels // self.groups

    def dense_kernel(self, weight: Array, incoming: Shape) -> Array:
        return by_groups(weight.transpose(2, 3, 0, 1), self.groups, self.out_channels, outputs_first=False)

    def nonzero_weights(self) -> NDArray[np.int64]:
        return nonzero_along(self.weight, 1)

    def dense_macs(self, incoming: Shape) -> int:
        return incoming[1] * incoming[2] * self.weight.size

    # --- The weight's axes: inputs first, then the outputs of a group ------------------------------------------------

    def by_output(self, weight: Array) -> Array:
        inputs, outputs = weight.shape[:2]
        grouped = weight.reshape(self.groups, inputs // self.groups, outputs, -1)
        return grouped.transpose(0, 2, 1, 3).reshape(self.groups * outputs, -1)

    def from_rows(self, rows: Array) -> Array:
        inputs, outputs = self.weight.shape[:2]
        grouped = rows.reshape(self.groups, outputs, inputs // self.groups, -1)
        return grouped.transpose(0, 2, 1, 3).reshape(self.weight.shape)

    def along_outputs(self, by_channel: Array) -> Array:
        by_group = np.repeat(by_channel.reshape(self.groups, -1), len(self.weight) // self.groups, axis=0)
        return by_group[..., None, None]

    def along_inputs(self, by_channel: Array) -> Array:
        return np.repeat(by_channel, self.in_channels // len(by_channel))[:, None, None, None]

    def sum_by_output(self, weight: Array) -> Array:
        pairs = weight.sum((2, 3)).reshape(self.groups, -1, weight.shape[1])
        return np.asarray(pairs.sum(1).reshape(-1))

    def sum_by_input(self, weight: Array, channels: int) -> Array:
        return np.asarray(weight.sum((1, 2, 3)).reshape(channels, -1).sum(1))

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return transposed_convolution.current(self, value, kept)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        into, weight, bias = transposed_convolution.gradients(self, value, gradient, into_input, kept)
        return into, {"weight": weight, "bias": bias}

"""Convolution: cross-correlation, as PyTorch's Conv2d."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Rows, Shape, Value
from ..graph.fields import Pair, check_channels, positive_shape, set_array, set_bias, set_count, set_pairs
from ..graph.limits import MOST_GROUPS
from .dense import convolution
from .kernels_of_groups import by_groups, check_kernel, extent
from .pool import padded_rows
from .taps import Axis, WeightedTaps, nonzero_along, sliding_axis

if TYPE_CHECKING:
    pass

Array = NDArray[Any]

_MANY_GROUPS = 4
"""Channels from which on a depthwise convolution computes its current from values."""


@dataclass(frozen=True, eq=False)
class Conv2d(WeightedTaps):
    """Cross-correlation.

    Parameters
    ----------
    name, source : str
    weight : (out_channels, in_channels / groups, kernel height, kernel width) float32
    bias : (out_channels,) float32, or None for zeros
    stride, padding, dilation : int or (vertical, horizontal)
    groups : int

    Raises
    ------
    GraphError
        If a shape, a number or the dtype does not fit, or a weight is not finite.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    file_fields: ClassVar[Mapping[str, str]] = {
        "stride": "pair",
        "padding": "pair",
        "dilation": "pair",
        "groups": "integer",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 4)
        set_bias(self, len(self.weight))
        set_pairs(self, stride=1, padding=0, dilation=1)
        set_count(self, "groups", 1, MOST_GROUPS)
        if len(self.weight) % self.groups:
            raise self.refuse("groups", f"is {self.groups}, which does not divide {len(self.weight)} output channels")
        check_kernel(self)

    @property
    def group_count(self) -> int:
        return self.groups

    @property
    def sums_all_weights(self) -> bool:
        return not any(self.padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        check_channels(self, channels, self.in_channels)
        geometry = zip(sizes, self.padding, extent(self), self.stride, strict=True)
        height, width = ((size + 2 * p - r) // s + 1 for size, p, r, s in geometry)
        return positive_shape(self, self.out_channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]

    @property
    def size_factor(self) -> Fraction:
        return Fraction(1, math.lcm(*self.stride))

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        vertical, horizontal = zip(self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        return sliding_axis(*vertical), sliding_axis(*horizontal)

    @property
    def channel_targets(self) -> int:
        return self.out_channels // self.groups

    def dense_kernel(self, weight: Array, incoming: Shape) -> Array:
        return by_groups(weight.transpose(2, 3, 1, 0), self.groups, self.in_channels, outputs_first=True)

    def nonzero_weights(self) -> NDArray[np.int64]:
        by_group = self.weight.reshape(self.groups, -1, *self.weight.shape[1:])
        return nonzero_along(by_group, 1).reshape(self.in_channels, *self.weight.shape[2:])

    def dense_macs(self, incoming: Shape) -> int:
        _, height, width = self.output_shape(incoming)
        return height * width * self.weight.size

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        if self.groups > 1 and part != (0, incoming[0]):
            return None
        weight = self.weight if self.groups > 1 else self.weight[:, slice(*part)]
        fields = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}
        arrays = {"weight": weight.copy(), "bias": self.bias if part[0] == 0 else np.zeros_like(self.bias)}
        return "Conv2d", {"input_shape": incoming[1:], **arrays, **fields}

    @property
    def is_gathered(self) -> bool:
        # Of many groups the gathering kernels would read zeros for all channels that do not meet.
        return not self.groups == self.in_channels >= _MANY_GROUPS

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        """Of a depthwise convolution: one group for each input channel."""
        from ..kernels.depthwise import convolve_depthwise

        channels, outputs = self.in_channels, self.channel_targets
        padded = padded_rows(values, rows, extent(self), self.stride, self.padding)
        weight = self.weight.reshape(channels, outputs, *self.weight.shape[2:]).transpose(2, 3, 1, 0)
        bias = self.bias.reshape(channels, outputs).T
        shape = (len(values), rows.last - rows.first, self.output_shape(rows.incoming)[2], outputs, channels)
        currents = np.empty(shape, values.dtype)
        arrays = (np.ascontiguousarray(array, values.dtype) for array in (padded, weight, bias))
        convolve_depthwise(*arrays, (*self.stride, *self.dilation), currents)
        return currents.swapaxes(3, 4).reshape(*shape[:3], -1)

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return convolution.current(self, value, kept)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        into, weight, bias = convolution.gradients(self, value, gradient, into_input, kept)
        return into, {"weight": weight, "bias": bias}

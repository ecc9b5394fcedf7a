"""Convolution along a line, as PyTorch's Conv1d: of signals (C, 1, length)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape, Value
from ..graph.fields import set_array, set_bias, set_count
from ..graph.limits import MOST_GROUPS
from ..lazy import lazy_property
from .conv2d import Conv2d
from .taps import Axis, WeightedTaps

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Conv1d(WeightedTaps):
    """Cross-correlation of signals of the shape (C, 1, length).

    Parameters
    ----------
    name, source : str
    weight : (out_channels, in_channels / groups, kernel size) float32
    bias : (out_channels,) float32, or None for zeros
    stride, padding, dilation, groups : int

    Raises
    ------
    GraphError
        If a shape, a number or the dtype does not fit, or a weight is not finite.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    file_fields: ClassVar[Mapping[str, str]] = dict.fromkeys(("stride", "padding", "dilation", "groups"), "integer")

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 3)
        set_bias(self, len(self.weight))
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            set_count(self, name, least)
        set_count(self, "groups", 1, MOST_GROUPS)
        _ = self._flat  # which looks at the rest

    @lazy_property
    def _flat(self) -> Conv2d:
        """The same as a convolution of pictures that are one row high."""
        along = (1, self.stride), (0, self.padding), (1, self.dilation)
        return Conv2d(self.name, self.source, self.weight[:, :, None], self.bias, *along, self.groups)

    @property
    def group_count(self) -> int:
        return self.groups

    @property
    def sums_all_weights(self) -> bool:
        return self.padding == 0

    def output_shape(self, *shapes: Shape) -> Shape:
        ((_, height, _),) = shapes
        if height != 1:
            raise self.refuse("source", f"must put out signals that are one row high (got {height} rows)")
        return self._flat.output_shape(*shapes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        return self._flat.padded_shape(*shapes)

    @property
    def size_factor(self) -> Fraction:
        return Fraction(1, self.stride)

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        return self._flat.axes(incoming)

    @property
    def channel_targets(self) -> int:
        return self._flat.channel_targets

    def dense_kernel(self, weight: Array, incoming: Shape) -> Array:
        return self._flat.dense_kernel(weight[:, :, None], incoming)

    def nonzero_weights(self) -> NDArray[np.int64]:
        return self._own.nonzero_weights()

    def dense_macs(self, incoming: Shape) -> int:
        return self._flat.dense_macs(incoming)

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        found = self._flat.interchange(incoming, part)
        if found is None:
            return None
        numbers = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}
        arrays = {"weight": found[1]["weight"][:, :, 0], "bias": found[1]["bias"]}
        return "Conv1d", {"input_shape": incoming[2], **arrays, **numbers}

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return self._own.forward(value, kept)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        into, found = self._own.backward(value, gradient, into_input, kept)
        return into, {"weight": found["weight"][:, :, 0], "bias": found["bias"]}

    @property
    def _own(self) -> Conv2d:
        """`_flat` with the arrays that this node has now: training exchanges them in copies."""
        made = object.__new__(Conv2d)
        made.__dict__.update({**self._flat.__dict__, "weight": self.weight[:, :, None], "bias": self.bias})
        return made

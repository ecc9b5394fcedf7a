"""Attention over time, channels and places: every number that is read is multiplied by three gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Rows, Shape, Value, Weighted, even_fan_out
from ..graph.fields import check_channels, set_array, set_bias
from .dense.joining import joined

Array = NDArray[Any]

_STEP, _PLACE, _CHANNELS = 0, 1, slice(2, None)
"""Rows of the weight: of the gate for the step, of those for places, and of those for channels."""

_TARGETS = 3
"""What an event is added to or multiplied into: the mean of its channel, the gate of its place, its own output."""


@dataclass(frozen=True, eq=False)
class AttentionGates(Weighted):
    """x * g_step * g_place[y, x] * g_channel[c], each gate a sigmoid; a Neurons node of its own follows it.

    With m[c] the mean of a channel over the picture at the step,

        g_step = sigmoid(weight[0] . m + bias[0])
        g_place[y, x] = sigmoid(weight[1] . x[y, x] + bias[1])
        g_channel[c] = sigmoid(weight[2 + c] . m + bias[2 + c])

    A step knows of no other, so that gates can be computed as steps go by. It is after the attention of ESDNet (T. Song
    et al., IJCAI 2024), whose gates know all steps at once, and largest values beside means.

    Parameters
    ----------
    name, source : str
    weight : (2 + channels, channels) float32
    bias : (2 + channels,) float32, or None for zeros
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]

    file_fields: ClassVar[Mapping[str, str]] = {}

    gathers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 2)
        rows, channels = self.weight.shape
        if rows != channels + 2:
            raise self.refuse("weight", f"must have two rows more than columns (got the shape {self.weight.shape})")
        set_bias(self, rows)

    @property
    def homogeneous(self) -> bool:
        return False

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[1])

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        check_channels(self, channels, self.in_channels)
        return channels, height, width

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        return first, last

    def gather(self, values: Array) -> Array:
        return np.asarray(values.sum(2, dtype=np.float64))

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        assert rows.gathered is not None
        _, height, width = rows.incoming
        step, channels = self._from_means(rows.gathered / (height * width), values.dtype)
        found = values * self._of_places(values)
        found *= (step * channels)[:, None, None]
        return found

    def _from_means(self, means: Array, dtype: Any) -> tuple[Array, Array]:
        """Gates of steps (M, 1), and of channels (M, C)."""
        sums = (means[:, None] * self.weight).sum(2) + self.bias
        gates = _sigmoid(sums).astype(dtype)
        return gates[:, [_STEP]], gates[:, _CHANNELS]

    def _of_places(self, values: Array) -> Array:
        """Gates of places (M, H, W, 1)."""
        # Not by BLAS, whose products may round otherwise for other numbers of rows.
        sums = np.einsum("mhwc,c->mhw", values, self.weight[_PLACE])
        sums += self.bias[_PLACE]
        return _sigmoid(sums)[..., None]

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        values = joined(value)
        place, pixels = self._of_places(values), values.shape[1] * values.shape[2]
        step, channels = self._from_means(values.mean((1, 2), dtype=np.float64), values.dtype)
        whole = gradient * values  # what a gate's share of its logarithm's gradient is made of
        of_place = (whole * (step * channels)[:, None, None]).sum(3) * (place * (1 - place))[..., 0]
        by_channel = (whole * place).sum((1, 2))
        of_step = (by_channel * channels).sum(1, keepdims=True) * step * (1 - step)
        of_channels = by_channel * step * channels * (1 - channels)
        of_means = np.concatenate([of_step, np.zeros_like(of_step), of_channels], axis=1)
        weight = of_means.T @ values.mean((1, 2))
        weight[_PLACE] = np.einsum("mhw,mhwc->c", of_place, values)
        bias = of_means.sum(0)
        bias[_PLACE] = of_place.sum()
        arrays = {"weight": weight, "bias": bias}
        if not into_input:
            return None, arrays
        into = gradient * place * (step * channels)[:, None, None]
        into += of_place[..., None] * self.weight[_PLACE]
        into += (of_means @ self.weight / pixels)[:, None, None]
        return into, arrays

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], _TARGETS)

    def dense_macs(self, incoming: Shape) -> int:
        channels, height, width = incoming
        return _TARGETS * channels * height * width + (channels + 1) * channels

    def gain(self) -> tuple[float, float, int]:
        return 1.0, 0.0, 1  # no gate is larger than 1


def _sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)); sizes that exp could not bear give 0 or 1 anyway."""
    bounded = np.clip(values, -80, 80)
    return np.asarray(1 / (1 + np.exp(-bounded)))

"""A scale and a shift for each channel: batch norm that cannot be folded, or an identity connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import GraphError
from ..graph import FanOut, Rows, Shape, Value, Weighted, ZeroFanOut, even_fan_out
from ..graph.fields import check_channels, set_array, set_bias
from .dense.joining import joined

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Scale(Weighted):
    """weight[c] * input + bias[c], pixel by pixel.

    Parameters
    ----------
    name, source : str
    weight : (channels,) float32
    bias : (channels,) float32, or None for zeros

    See Also
    --------
    batch_norm : the same out of running statistics
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]

    file_fields: ClassVar[Mapping[str, str]] = {}
    scales_channels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        set_array(self, "weight", self.weight, 1)
        set_bias(self, len(self.weight))

    @classmethod
    def batch_norm(
        cls,
        name: str,
        source: str,
        mean: ArrayLike,
        variance: ArrayLike,
        weight: ArrayLike = 1.0,
        bias: ArrayLike = 0.0,
        epsilon: float = 1e-5,
    ) -> Scale:
        """A batch norm in inference: weight * (x - mean) / sqrt(variance + epsilon) + bias, all (channels,).

        GraphError where they are not of one length, or the variance is negative.
        """
        given = {"mean": mean, "variance": variance, "weight": weight, "bias": bias}
        arrays = {key: as_array(value, f"Scale {name!r}: {key}", GraphError) for key, value in given.items()}
        for key, array in arrays.items():
            if array.shape not in (arrays["mean"].shape, ()) or array.ndim > 1 or array.dtype.kind not in "fiu":
                raise GraphError(
                    f"Scale {name!r}: {key} must hold a number for each channel, as mean does, of shape "
                    f"{arrays['mean'].shape} (got {array.dtype} of shape {array.shape})"
                )
        spread = np.asarray(arrays["variance"], np.float64) + epsilon
        if not (spread > 0).all():
            raise GraphError(f"Scale {name!r}: variance + epsilon must be above 0 (got {spread.min()})")
        gain = np.asarray(arrays["weight"], np.float64) / np.sqrt(spread)
        shift = arrays["bias"] - arrays["mean"] * gain
        return cls(name, source, gain, shift)  # type: ignore[arg-type]

    @property
    def group_count(self) -> int:
        return len(self.weight)

    @property
    def in_channels(self) -> int:
        return len(self.weight)

    @property
    def sums_all_weights(self) -> bool:
        return True

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        check_channels(self, channels, len(self.weight))
        return channels, height, width

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        return first, last

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        return values * self.weight + self.bias

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        found = {"weight": np.einsum("mhwc,mhwc->c", joined(value), gradient), "bias": gradient.sum((0, 1, 2))}
        return gradient * self.weight if into_input else None, found

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], 1)

    def nonzero_weights(self) -> NDArray[np.int64]:
        return np.asarray(self.weight != 0, np.int64)

    def zero_fan_out(self, incoming: Shape, nonzero: NDArray[np.int64]) -> ZeroFanOut:
        rows, columns = (np.zeros(size, np.int64) for size in incoming[1:])
        return ZeroFanOut(rows, columns, np.ascontiguousarray(1 - nonzero[None, None]))

    def dense_macs(self, incoming: Shape) -> int:
        channels, height, width = incoming
        return channels * height * width

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        if part != (0, incoming[0]):
            return None
        if not self.bias.any():
            return "Scale", {"scale": np.broadcast_to(self.weight[:, None, None], incoming).copy()}
        numbers = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": len(self.weight)}
        arrays = {"weight": self.weight.reshape(-1, 1, 1, 1), "bias": self.bias}
        return "Conv2d", {"input_shape": incoming[1:], **arrays, **numbers}

    def gain(self) -> tuple[float, float, int]:
        return *super().gain()[:2], 1

    def along_inputs(self, by_channel: Array) -> Array:
        return np.repeat(by_channel, len(self.weight) // len(by_channel))

    def sum_by_input(self, weight: Array, channels: int) -> Array:
        return np.asarray(weight.reshape(channels, -1).sum(1))

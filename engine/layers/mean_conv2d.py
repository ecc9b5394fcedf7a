"""A convolution and the mean over all places of what it puts out: what a classifier's head makes of a branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Rows, Shape, Value, Weighted, even_fan_out
from ..graph.fields import Pair, check_channels, positive_shape, set_pairs
from .dense.joining import joined
from .pool import meeting_taps

Array = NDArray[Any]
Box = tuple[int, int, slice, slice]
"""A tap's row and column in the kernel, and the rows and columns of the input that it sees."""


@dataclass(frozen=True, eq=False)
class MeanConv2d(Weighted):
    """What `GlobalAvgPool2d` makes of a cross-correlation of stride 1, (out_channels, 1, 1), without computing it.

    Each tap sees a rectangle of the input, of which the mean is enough. An event is one accumulate for each output
    channel, however many taps see it; the artificial network is counted with the convolution that this stands for.

    Parameters
    ----------
    name, source : str
    weight : (out_channels, in_channels, kernel height, kernel width) float32
    bias : (out_channels,) float32, or None for zeros
    padding : int or (vertical, horizontal)
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    padding: Pair = (0, 0)

    file_fields: ClassVar[Mapping[str, str]] = {"padding": "pair"}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_arrays(4)
        set_pairs(self, padding=0)

    @property
    def sums_all_weights(self) -> bool:
        return not any(self.padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        check_channels(self, channels, self.in_channels)
        positive_shape(self, self.out_channels, *self._places(sizes), sizes)
        return self.out_channels, 1, 1

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        return self._mean(values)

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return self._mean(joined(value))

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        values, flow = joined(value), gradient[:, 0, 0]
        share = values.dtype.type(1 / self._number(values))
        weight = np.zeros(self.weight.shape, values.dtype)
        into = np.zeros_like(values) if into_input else None
        for row, column, rows, columns in self._boxes(values.shape[1:3]):
            weight[:, :, row, column] = flow.T @ values[:, rows, columns].sum((1, 2)) * share
            if into is not None:
                into[:, rows, columns] += (flow @ self.weight[:, :, row, column] * share)[:, None, None]
        return into, {"weight": weight, "bias": flow.sum(0)}

    def fan_out(self, incoming: Shape) -> FanOut:
        return even_fan_out(*incoming[1:], self.out_channels)

    def dense_macs(self, incoming: Shape) -> int:
        height, width = self._places(incoming[1:])
        return height * width * self.weight.size

    def _mean(self, values: Array) -> Array:
        """(M, 1, 1, out_channels): products added up tap by tap and channel by channel, then divided."""
        total = np.zeros((len(values), self.out_channels), values.dtype)
        for row, column, rows, columns in self._boxes(values.shape[1:3]):
            seen = values[:, rows, columns].sum((1, 2))
            # Not by BLAS, whose order of additions may change with the number of steps.
            total += np.einsum("mc,oc->mo", seen, self.weight[:, :, row, column])
        return np.asarray((total / values.dtype.type(self._number(values)) + self.bias)[:, None, None])

    def _places(self, sizes: Any) -> tuple[int, int]:
        """Height and width of what the convolution puts out."""
        height, width = (
            size + 2 * p - k + 1 for size, p, k in zip(sizes, self.padding, self.weight.shape[2:], strict=True)
        )
        return height, width

    def _number(self, values: Array) -> int:
        height, width = self._places(values.shape[1:3])
        return height * width

    def _boxes(self, sizes: Any) -> Iterator[Box]:
        """What each tap sees, those of padding alone left out."""
        spans = []
        for size, kernel, padding, places in zip(
            sizes, self.weight.shape[2:], self.padding, self._places(sizes), strict=True
        ):
            taps = meeting_taps(size, kernel, 1, padding)
            spans.append([(tap, slice(max(tap - padding, 0), min(tap - padding + places, size))) for tap in taps])
        for row, rows in spans[0]:
            for column, columns in spans[1]:
                yield row, column, rows, columns

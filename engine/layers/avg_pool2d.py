"""Average pooling, as PyTorch's AvgPool2d with its padding counted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from ..graph import Shape, Value
from ..graph.fields import Pair, positive_shape, set_pairs
from .dense import pooling
from .taps import Axis, RegularTaps, sliding_axis

if TYPE_CHECKING:
    from ..build.binding import Binding, Layer

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class AvgPool2d(RegularTaps):
    """Average over windows, padding counted as zeros; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size
    """

    kernel_size: Pair = (2, 2)
    stride: Pair = field(default=None)  # type: ignore[assignment]
    padding: Pair = (0, 0)

    file_fields: ClassVar[Mapping[str, str]] = {"kernel_size": "pair", "stride": "pair", "padding": "pair"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_pairs(self, kernel_size=1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        set_pairs(self, stride=1, padding=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise self.refuse("padding", f"{self.padding} must be at most half of the kernel size {self.kernel_size}")

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        geometry = zip(sizes, self.padding, self.kernel_size, self.stride, strict=True)
        height, width = ((size + 2 * p - k) // s + 1 for size, p, k, s in geometry)
        return positive_shape(self, channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]

    @property
    def size_factor(self) -> Fraction:
        return Fraction(1, math.lcm(*self.stride))

    @property
    def keeps_channels(self) -> bool:
        return True

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        vertical, horizontal = zip(self.kernel_size, self.stride, self.padding, strict=True)
        return sliding_axis(*vertical), sliding_axis(*horizontal)

    def taps(self, size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Rows and columns of the window that meet more than padding, of an input of this height and width.

        A window may be far larger than what it reads.
        """
        sides = zip(size, self.padding, self.kernel_size, self.stride, strict=True)
        rows, columns = (
            [tap for tap in range(k) if tap < p + side and tap + (side + 2 * p - k) // s * s >= p]
            for side, p, k, s in sides
        )
        return itertools.product(rows, columns)

    def gain(self) -> tuple[float, float, int]:
        # Summed up before it is divided.
        return 1.0, 0.0, math.prod(self.kernel_size)

    def bind(self, binding: Binding) -> Layer:
        from ..build.pool_layer import PoolLayer

        return PoolLayer(**vars(binding))

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return pooling.current(self, value)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        return pooling.gradients(self, value, gradient, into_input), {}

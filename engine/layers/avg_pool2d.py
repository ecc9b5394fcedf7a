"""Average pooling, as PyTorch's AvgPool2d with its padding counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..graph import Shape, Value
from .dense import pooling
from .pool import Pool2d

if TYPE_CHECKING:
    from ..binding.layer import Binding, Layer

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class AvgPool2d(Pool2d):
    """Average over windows, padding counted as zeros; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size
    """

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        return None if part != (0, incoming[0]) else ("AvgPool2d", self.window_fields)

    def gain(self) -> tuple[float, float, int]:
        # Summed up before it is divided.
        return 1.0, 0.0, math.prod(self.kernel_size)

    def bind(self, binding: Binding) -> Layer:
        from ..binding.pool_layer import PoolLayer

        return PoolLayer(**vars(binding))

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        return pooling.means(self, value)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        into = pooling.spread(self, value, gradient * pooling.share(self, gradient)) if into_input else None
        return into, {}

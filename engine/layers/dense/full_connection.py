"""Full connection on batches: current, and the gradients of input, weight and bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .joining import Value, joined

if TYPE_CHECKING:
    from ..linear import Linear

Array = NDArray[Any]


def current(node: Linear, value: Value) -> Array:
    """Current (M, 1, 1, O) of a Linear node for `value`, parts (M, H, W, C_part); bias included."""
    product: Array = _features(value) @ node.weight.T + node.bias
    return product[:, None, None]


def gradients(node: Linear, value: Value, gradient: Array, into_input: bool) -> tuple[Array | None, Array, Array]:
    """Gradients of the input (M, H, W, C), or None, of the weight and of the bias."""
    flow = gradient.reshape(len(gradient), -1)
    into = None
    if into_input:
        pictures, height, width, _ = value[0].shape
        into = (flow @ node.weight).reshape(pictures, -1, height, width).transpose(0, 2, 3, 1)
    return into, flow.T @ _features(value), flow.sum(0)


def _features(value: Value) -> Array:
    """(M, C * H * W), features in the order (channel, row, column)."""
    source = joined(value)
    return np.ascontiguousarray(source.transpose(0, 3, 1, 2)).reshape(len(source), -1)

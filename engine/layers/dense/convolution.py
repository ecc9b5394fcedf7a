"""Convolution on batches: current, and the gradients of input, weight and bias.

In float32 and with one group, which is nearly every layer in training, through correlation.py. Otherwise through BLAS:
stride 1 and neighbouring columns in unit_stride.py where the picture is not tiny; anything else gathers its windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .blas import multiply
from .correlation import Kept, kernel_gradient, packed, packed_once, suits, to_narrow, to_wide
from .joining import Value, joined, sum_by_channel
from .sliding import Sliding, sliding
from .unit_stride import correlate, tap_gradients
from .windows import Taps

if TYPE_CHECKING:
    from ..conv2d import Conv2d

Array = NDArray[Any]

_MOST_WASTE = 1.4
"""Pixels for each window beyond which gathering the windows is faster."""


def current(node: Conv2d, value: Value, kept: Kept | None = None) -> Array:
    """Current (M, H', W', O) of a Conv2d for `value`, parts (M, H, W, C_part); bias included."""
    if suits(value[0].dtype, node.groups):
        geometry = _geometry(node, value)
        return to_narrow(packed_once(node.name, value, geometry.wide, kept), _kernel(node), geometry, node.bias)
    source = joined(value, node.padding)
    if _unit_stride(node, source):
        return correlate(source, kernel_taps(node.weight), node.dilation[0], node.bias)
    return _gathered(node, source)


def gradients(
    node: Conv2d, value: Value, gradient: Array, into_input: bool, kept: Kept | None = None
) -> tuple[Array | None, Array, Array]:
    """Gradients of the input (M, H, W, C), or None, of the weight and of the bias, in the node's own shapes.

    Parameters
    ----------
    node : Conv2d
    value : tuple of (M, H, W, C_part)
    gradient : (M, H', W', O)
        Gradient of the current.
    into_input : bool
        Whether the gradient of the input is wanted.
    kept : dict, optional
        What `current` kept of the same `value`.
    """
    if suits(value[0].dtype, node.groups):
        into, weight = _backward_correlated(node, value, gradient, into_input, kept)
        return into, weight, sum_by_channel(gradient)
    source = joined(value, node.padding)
    backward = _backward_unit_stride if _unit_stride(node, source) else _backward_gathered
    into, weight = backward(node, source, gradient, into_input)
    return into, weight, sum_by_channel(gradient)


def kernel_taps(weight: Array) -> Array:
    """(kernel height, kernel width, in_channels, out_channels), C-contiguous; free for weights kept in that order."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def _backward_correlated(
    node: Conv2d, value: Value, gradient: Array, into_input: bool, kept: Kept | None
) -> tuple[Array | None, Array]:
    geometry, kernel = _geometry(node, value), _kernel(node)
    flow = packed((gradient,), geometry.narrow)
    weight = kernel_gradient(packed_once(node.name, value, geometry.wide, kept), flow, geometry)
    by_tap = np.ascontiguousarray(weight).reshape(*node.weight.shape[2:], *weight.shape[1:])
    return to_wide(flow, kernel, geometry) if into_input else None, by_tap.transpose(3, 2, 0, 1)


def _geometry(node: Conv2d, value: Value) -> Sliding:
    height, width = value[0].shape[1:3]
    narrow = node.output_shape((node.in_channels, height, width))[1:]
    kernel = (node.weight.shape[2], node.weight.shape[3])
    return sliding(kernel, node.stride, node.dilation, node.padding, (height, width), narrow)


def _kernel(node: Conv2d) -> Array:
    """(taps, in_channels, out_channels)."""
    return kernel_taps(node.weight).reshape(-1, node.weight.shape[1], node.weight.shape[0])


def _unit_stride(node: Conv2d, source: Array) -> bool:
    """Whether unit_stride.py can convolve and would not waste too much on windows that wrap around an edge."""
    columns_touch = node.dilation[1] == 1 or node.weight.shape[3] == 1
    height, width = _taps(node, source).windows
    pixels = source.shape[1] * source.shape[2]
    return node.stride == (1, 1) and node.groups == 1 and columns_touch and pixels <= _MOST_WASTE * height * width


def _backward_unit_stride(node: Conv2d, source: Array, gradient: Array, into_input: bool) -> tuple[Array | None, Array]:
    _, height, width, _ = source.shape
    out_height, out_width = gradient.shape[1:3]
    spread = np.zeros((*source.shape[:3], gradient.shape[3]), gradient.dtype)
    spread[:, :out_height, :out_width] = gradient
    taps = kernel_taps(node.weight)
    kernel = (taps.shape[0], taps.shape[1])
    weight = tap_gradients(source, spread, kernel, node.dilation[0]).transpose(3, 2, 0, 1)
    if not into_input:
        return None, weight
    # The adjoint of a correlation is the correlation with the flipped kernel, channels exchanged, of the gradient
    # surrounded by enough zeros for every window that touches it; padding that is cut off again is not computed.
    down, across = height - out_height, width - out_width
    (cut_down, cut_across) = (min(node.padding[0], down), min(node.padding[1], across))
    extra = (down - cut_down, across - cut_across)
    flipped = np.ascontiguousarray(taps[::-1, ::-1].transpose(0, 1, 3, 2))
    into = correlate(joined((gradient,), extra), flipped, node.dilation[0])
    return _cut(into, node.padding[0] - cut_down, node.padding[1] - cut_across), weight


def _cut(batch: Array, rows: int, columns: int) -> Array:
    return batch[:, rows : batch.shape[1] - rows, columns : batch.shape[2] - columns]


def _gathered(node: Conv2d, source: Array) -> Array:
    taps = _taps(node, source)
    shape = (len(source), *taps.windows, node.out_channels)
    result = np.empty(shape, source.dtype)
    parts = zip(_groups(source, node.groups), np.split(node.weight, node.groups), strict=True)
    for (part, weight), target in zip(parts, np.split(result, node.groups, axis=3), strict=True):
        target[...] = multiply(taps.gather(part), _matrix(weight)).reshape(target.shape)
    result += node.bias
    return result


def _backward_gathered(node: Conv2d, source: Array, gradient: Array, into_input: bool) -> tuple[Array | None, Array]:
    taps = _taps(node, source)
    into = np.zeros_like(source) if into_input else None
    weights = []
    for group, weight in enumerate(np.split(node.weight, node.groups)):
        part = _groups(source, node.groups)[group]
        rows, flow = taps.gather(part), _rows(_groups(gradient, node.groups)[group])
        shape = (*node.weight.shape[2:], weight.shape[1], weight.shape[0])
        weights.append(multiply(rows.T, flow).reshape(shape).transpose(3, 2, 0, 1))
        if into is not None:
            taps.scatter(multiply(flow, _matrix(weight).T), _groups(into, node.groups)[group])
    return None if into is None else _cut(into, *node.padding), np.concatenate(weights)


def _taps(node: Conv2d, source: Array) -> Taps:
    kernel = (node.weight.shape[2], node.weight.shape[3])
    sizes = zip(source.shape[1:3], kernel, node.stride, node.dilation, strict=True)
    height, width = ((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in sizes)
    return Taps(kernel, node.stride, node.dilation, (height, width))


def _matrix(weight: Array) -> Array:
    """(taps * in_channels, out_channels)."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).reshape(-1, len(weight))


def _groups(batch: Array, groups: int) -> list[Array]:
    return np.split(batch, groups, axis=3)


def _rows(batch: Array) -> Array:
    return np.ascontiguousarray(batch).reshape(-1, batch.shape[3])

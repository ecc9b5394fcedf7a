"""Transposed convolution on batches: current, and the gradients of input, weight and bias.

In float32 and with one group through correlation.py, otherwise through BLAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .blas import multiply
from .correlation import Kept, kernel_gradient, packed, packed_once, suits, to_narrow, to_wide
from .joining import Value, joined, sum_by_channel
from .sliding import Sliding, sliding
from .windows import Taps

if TYPE_CHECKING:
    from ..conv_transpose2d import ConvTranspose2d

Array = NDArray[Any]


def current(node: ConvTranspose2d, value: Value, kept: Kept | None = None) -> Array:
    """Current (M, H', W', O) of a ConvTranspose2d for `value`, parts (M, H, W, C_part); bias included."""
    if suits(value[0].dtype, node.groups):
        geometry = _geometry(node, value)
        return to_wide(packed_once(node.name, value, geometry.narrow, kept), _kernel(node), geometry, node.bias)
    source = joined(value)
    taps = _taps(node, source)
    height, width = _full_size(node, source)
    full = np.zeros((len(source), height, width, node.out_channels), source.dtype)
    for part, weight, target in zip(*_by_group(node, source, full), strict=True):
        taps.scatter(multiply(_rows(part), _matrix(weight)), target)
    result = _inside(node, full)
    result += node.bias
    return result


def gradients(
    node: ConvTranspose2d, value: Value, gradient: Array, into_input: bool, kept: Kept | None = None
) -> tuple[Array | None, Array, Array]:
    """Gradients of the input (M, H, W, C), or None, of the weight and of the bias; see convolution.gradients."""
    if suits(value[0].dtype, node.groups):
        return _correlated_gradients(node, value, gradient, into_input, kept)
    source = joined(value)
    taps = _taps(node, source)
    full = np.zeros((len(source), *_full_size(node, source), node.out_channels), gradient.dtype)
    _inside(node, full)[...] = gradient
    into = np.empty_like(source) if into_input else None
    weights = []
    for group, (part, weight, flow) in enumerate(zip(*_by_group(node, source, full), strict=True)):
        seen = taps.gather(flow)
        by_tap = multiply(_rows(part).T, seen).reshape(weight.shape[0], *weight.shape[2:], weight.shape[1])
        weights.append(by_tap.transpose(0, 3, 1, 2))
        if into is not None:
            pixels = multiply(seen, _matrix(weight).T)
            np.split(into, node.groups, axis=3)[group][...] = pixels.reshape(part.shape)
    return into, np.concatenate(weights), sum_by_channel(gradient)


def _correlated_gradients(
    node: ConvTranspose2d, value: Value, gradient: Array, into_input: bool, kept: Kept | None
) -> tuple[Array | None, Array, Array]:
    geometry, kernel = _geometry(node, value), _kernel(node)
    flow = packed((gradient,), geometry.wide)
    weight = kernel_gradient(flow, packed_once(node.name, value, geometry.narrow, kept), geometry)
    by_tap = np.ascontiguousarray(weight).reshape(*node.weight.shape[2:], *weight.shape[1:])
    into = to_narrow(flow, kernel, geometry) if into_input else None
    return into, by_tap.transpose(3, 2, 0, 1), sum_by_channel(gradient)


def _geometry(node: ConvTranspose2d, value: Value) -> Sliding:
    height, width = value[0].shape[1:3]
    wide = node.output_shape((node.in_channels, height, width))[1:]
    kernel = (node.weight.shape[2], node.weight.shape[3])
    return sliding(kernel, node.stride, node.dilation, node.padding, wide, (height, width))


def _kernel(node: ConvTranspose2d) -> Array:
    """(taps, out_channels, in_channels); free for weights kept in that order."""
    weight = np.ascontiguousarray(node.weight.transpose(2, 3, 1, 0))
    return weight.reshape(-1, *weight.shape[2:])


def _by_group(node: ConvTranspose2d, source: Array, full: Array) -> tuple[list[Array], list[Array], list[Array]]:
    groups = node.groups
    return np.split(source, groups, axis=3), np.split(node.weight, groups), np.split(full, groups, axis=3)


def _taps(node: ConvTranspose2d, source: Array) -> Taps:
    """Tap (i, j) of the input pixel (y, x) reaches the output y * stride + i * dilation, ..., before cropping."""
    kernel = (node.weight.shape[2], node.weight.shape[3])
    return Taps(kernel, node.stride, node.dilation, (source.shape[1], source.shape[2]))


def _full_size(node: ConvTranspose2d, source: Array) -> tuple[int, int]:
    """Size of the output before the padding is cut off its borders."""
    _, height, width = node.output_shape((node.in_channels, source.shape[1], source.shape[2]))
    return height + 2 * node.padding[0], width + 2 * node.padding[1]


def _inside(node: ConvTranspose2d, full: Array) -> Array:
    (rows, columns), (height, width) = node.padding, full.shape[1:3]
    return full[:, rows : height - rows, columns : width - columns]


def _matrix(weight: Array) -> Array:
    """(in_channels, taps * out_channels)."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).reshape(len(weight), -1)


def _rows(batch: Array) -> Array:
    return np.ascontiguousarray(batch).reshape(-1, batch.shape[3])

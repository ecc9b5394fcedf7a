"""How many products each number that synapses read enters, by visiting every pair of an output and a weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Node, Projection, Rows, Synapses, Weighted
from ..layers import (
    Attention,
    AttentionGates,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    PixelShuffle,
    PixelUnshuffle,
    Scale,
    SumPool2d,
    Upsample,
)
from .reference_synapses import neighbours

Array = NDArray[Any]
Shape = tuple[int, ...]

SLIDING = (Conv1d, Conv2d, ConvTranspose2d, AvgPool2d, SumPool2d, MaxPool2d)
"""Kinds that are a kernel that slides."""

EVEN: Mapping[type[Node], int] = {
    Scale: 1,
    GlobalAvgPool2d: 1,
    Flatten: 1,
    PixelShuffle: 1,
    PixelUnshuffle: 1,
    AttentionGates: 3,  # a mean, a gate, and the output at its place
    Attention: 0,  # nothing by itself: see `products`
}
"""Products that an event enters, of kinds of which that does not depend on its place."""


def targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """For each input site (C, H, W), how many products (with an output element and a weight) it enters."""
    reach = np.zeros(shape, np.int64)
    if isinstance(node, Linear):
        return reach + out_shape[0]
    if type(node) in EVEN:
        return reach + EVEN[type(node)]
    if isinstance(node, Upsample):
        return _upsampled_targets(node, shape, out_shape)
    if type(node) not in SLIDING:
        return probed_targets(without_zeros(node), shape) if counts_alone(node) else reach + _own_fan_out(node, shape)
    for in_y, in_x, _, _ in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += _outputs_per_tap(node)
    return reach


def _own_fan_out(node: Projection, shape: Shape) -> NDArray[np.int64]:
    """What a kind of somebody else says that an event of each row and column is counted with by itself, (H, W)."""
    fan = node.fan_out((shape[0], shape[1], shape[2]))
    return np.asarray(np.multiply.outer(fan.rows, fan.columns) * fan.channels)


def effective_targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """The same over weights that are not zero."""
    if not isinstance(node, Weighted):
        return targets(node, shape, out_shape)
    if type(node) not in (*SLIDING, Linear, Scale):
        told_apart = node.zero_fan_out((shape[0], shape[1], shape[2]), node.nonzero_weights()) is not None
        return probed_targets(node, shape) if told_apart else targets(node, shape, out_shape)
    if isinstance(node, Linear):
        used: NDArray[np.int64] = (node.weight != 0).sum(axis=0).reshape(shape)
        return used
    if isinstance(node, Scale):
        return np.asarray(np.zeros(shape, np.int64) + (node.weight != 0)[:, None, None])
    used = np.stack([np.count_nonzero(_weights_of(node, channel), axis=0) for channel in range(shape[0])])
    reach = np.zeros(shape, np.int64)
    for in_y, in_x, i, j in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += used[:, i, j]
    return reach


def probed_targets(node: Projection, shape: Shape) -> NDArray[np.int64]:
    """Of a kind of somebody else: how many outputs change with each input, none of them being 0."""
    base = np.full((1, *shape[1:], shape[0]), 1.0)
    reach = np.zeros(shape, np.int64)
    before = whole_current(node, base)
    for channel, y, x in np.ndindex(*shape):
        changed = base.copy()
        changed[0, y, x, channel] = 2.0
        reach[channel, y, x] = np.count_nonzero(whole_current(node, changed) != before)
    return reach


def has_current(node: Projection) -> bool:
    """Whether a node's current is computed by its method `current`, and not by kernels."""
    return type(node).bind is Synapses.bind


def counts_alone(node: Synapses) -> bool:
    """Whether what an event costs is up to itself: see `Synapses.products`."""
    return type(node).products is Synapses.products


def whole_current(node: Projection, values: Array) -> Array:
    """(M, H', W', C'): the current of all rows, by `current` from a fresh state, or by `forward` if kernels compute it.

    Parameters
    ----------
    values : (M, H, W, C)
    """
    if not has_current(node):
        return node.forward((values,))
    incoming = (values.shape[3], values.shape[1], values.shape[2])
    rows = Rows(0, node.output_shape(incoming)[1], 0, incoming, node.gathered(values))
    return np.asarray(node.current(values, rows, node.fresh_state(incoming, values.dtype)))


def without_zeros(node: Projection) -> Projection:
    """The node with weights none of which is 0: multiples of 1/64 from 1/2 on."""
    if not isinstance(node, Weighted):
        return node
    weight = 0.5 + (np.arange(node.weight.size) % 37).reshape(node.weight.shape) / 64
    return dataclasses.replace(node, weight=weight.astype(np.float32))


def _upsampled_targets(node: Upsample, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """Outputs that lie on an input, or between it and the next one."""
    counts = []
    for size, out, factor in zip(shape[1:], out_shape[1:], node.scale_factor, strict=True):
        reached = np.zeros(size, np.int64)
        for place in range(out):
            first, second, share = neighbours(node, place, size, factor)
            for source in {first} | ({second} if share else set()):
                reached[source] += 1
        counts.append(reached)
    return np.broadcast_to(np.outer(*counts), shape).astype(np.int64)


def _weights_of(node: Any, channel: int) -> Array:
    """(outputs of the group, kernel height, kernel width): the weights that one input channel meets."""
    if isinstance(node, ConvTranspose2d):
        return np.asarray(node.weight[channel])
    weight = node.weight[:, :, None] if isinstance(node, Conv1d) else node.weight
    inputs, outputs = weight.shape[1], len(weight) // node.groups
    group = channel // inputs
    return np.asarray(weight[group * outputs : (group + 1) * outputs, channel - group * inputs])


def _outputs_per_tap(node: Any) -> int:
    """Output channels that one input channel reaches through one kernel tap."""
    return node.out_channels // node.group_count if isinstance(node, Weighted) else 1


def _geometry(node: Any) -> tuple[Any, ...]:
    """Kernel, stride, padding and dilation of what slides, each (vertical, horizontal)."""
    if isinstance(node, Conv1d):
        return (1, node.weight.shape[2]), (1, node.stride), (0, node.padding), (1, node.dilation)
    if isinstance(node, (Conv2d, ConvTranspose2d)):
        return node.weight.shape[2:], node.stride, node.padding, node.dilation
    return node.kernel_size, node.stride, node.padding, (1, 1)


def _meetings(node: Projection, shape: Shape, out_shape: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Every (in_y, in_x, i, j) once for each pair of an output position and a kernel tap (i, j) that reads it."""
    transposed = isinstance(node, ConvTranspose2d)
    kernel, stride, padding, dilation = _geometry(node)
    # A transposed convolution is a convolution whose input and output have changed places.
    reader, read = (shape, out_shape) if transposed else (out_shape, shape)
    for y, x in np.ndindex(*reader[1:]):
        for i, j in np.ndindex(*kernel):
            other_y = y * stride[0] - padding[0] + i * dilation[0]
            other_x = x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= other_y < read[1] and 0 <= other_x < read[2]:
                yield (y, x, i, j) if transposed else (other_y, other_x, i, j)

"""How many targets an event reaches: the product of a vertical, a horizontal and a channel count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import AvgPool2d, Conv2d, ConvTranspose2d, Linear, Shape, Synapses
from ..lazy import lazy_property
from .plan import Axis, kernel_axes


@dataclass(frozen=True, eq=False)
class FanOut:
    """Targets of an event at row y and column x: rows[y] * columns[x] * channels.

    Borders, strides and cropped outputs are taken into account; design section 8, `synops`.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    channels: int

    @lazy_property
    def usual(self) -> tuple[int, int]:
        """What most of the rows and most of the columns have."""
        return int(np.bincount(self.rows).argmax()), int(np.bincount(self.columns).argmax())

    @lazy_property
    def most(self) -> int:
        """Of an event that reaches the most targets."""
        return int(self.rows.max()) * int(self.columns.max()) * self.channels

    def total(self, channels: int) -> int:
        """Multiply-accumulates when each of `channels` input channels is analog."""
        return int(self.rows.sum()) * int(self.columns.sum()) * self.channels * channels


def fan_out(node: Synapses, incoming: Shape, outgoing: Shape) -> FanOut:
    """Fan-out of each input pixel of a node."""
    if isinstance(node, AvgPool2d):
        geometry = zip(incoming[1:], outgoing[1:], node.kernel_size, node.stride, node.padding, strict=True)
        rows, columns = (_count(into, out, range(-p, k - p), s, 1) for into, out, k, s, p in geometry)
        return FanOut(rows, columns, 1)
    if isinstance(node, Linear):
        return FanOut(np.ones(incoming[1], np.int64), np.ones(incoming[2], np.int64), node.out_channels)
    assert isinstance(node, (Conv2d, ConvTranspose2d))
    axes = kernel_axes(node, incoming)
    rows, columns = (
        _axis_count(axis, into, out) for axis, into, out in zip(axes, incoming[1:], outgoing[1:], strict=True)
    )
    return FanOut(rows, columns, node.out_channels // node.groups)


def dense_macs(node: Synapses, incoming: Shape, outgoing: Shape) -> int:
    """Multiply-accumulates of the ANN's layer, padding included, as profilers count them; 0 for pooling."""
    if isinstance(node, Conv2d):
        return outgoing[1] * outgoing[2] * node.weight.size
    if isinstance(node, ConvTranspose2d):
        return incoming[1] * incoming[2] * node.weight.size
    return node.weight.size if isinstance(node, Linear) else 0


def _axis_count(axis: Axis, size: int, out_size: int) -> NDArray[np.int64]:
    total = np.zeros(size, np.int64)
    for phase in axis.reading:
        outputs = len(range(phase.first, out_size, axis.output_step))
        total += _count(size, outputs, phase.offsets, axis.input_step, 1)
    return total


def _count(size: int, outputs: int, offsets: range | tuple[int, ...], step: int, weight: int) -> NDArray[np.int64]:
    total = np.zeros(size, np.int64)
    for offset in offsets:
        places = np.arange(outputs) * step + offset
        total += weight * np.bincount(places[(places >= 0) & (places < size)], minlength=size)
    return total


@dataclass(frozen=True, eq=False)
class ZeroFanOut:
    """Weights of zero that an event meets: zeros[row_classes[y], column_classes[x], channel].

    Rows (and columns) whose pixels reach their targets through the same kernel taps share a class.
    """

    row_classes: NDArray[np.int64]
    column_classes: NDArray[np.int64]
    zeros: NDArray[np.int64]


def nonzero_weights(node: Conv2d | ConvTranspose2d | Linear) -> NDArray[np.int64]:
    """(in_channels, kernel height, kernel width): non-zero weights between an input channel and all output channels.

    (in_features,) for a Linear node.
    """
    if isinstance(node, Linear):
        return _nonzero(node.weight, 0)
    if isinstance(node, ConvTranspose2d):
        return _nonzero(node.weight, 1)
    by_group = node.weight.reshape(node.groups, -1, *node.weight.shape[1:])
    return _nonzero(by_group, 1).reshape(node.in_channels, *node.weight.shape[2:])


def _nonzero(weight: NDArray[np.float32], axis: int) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(weight, axis=axis), np.int64)


def zero_fan_out(
    node: Conv2d | ConvTranspose2d | Linear, nonzero: NDArray[np.int64], incoming: Shape, outgoing: Shape
) -> ZeroFanOut:
    """Fan-out of each input site over weights that are zero; `nonzero` comes from `nonzero_weights`."""
    if isinstance(node, Linear):  # each site meets weights of its own
        zeros = node.out_channels - nonzero.reshape(incoming).transpose(1, 2, 0)
        return ZeroFanOut(np.arange(incoming[1]), np.arange(incoming[2]), np.ascontiguousarray(zeros))
    geometry = zip(kernel_axes(node, incoming), nonzero.shape[1:], incoming[1:], outgoing[1:], strict=True)
    (row_kinds, row_classes), (column_kinds, column_classes) = (
        np.unique(_taps(axis, taps, into, out), axis=0, return_inverse=True) for axis, taps, into, out in geometry
    )
    fan = node.out_channels // node.groups
    zeros = np.einsum("yi,xj,cij->yxc", row_kinds, column_kinds, fan - nonzero, optimize=True)
    return ZeroFanOut(row_classes.reshape(-1), column_classes.reshape(-1), np.ascontiguousarray(zeros))


def _taps(axis: Axis, taps: int, size: int, out_size: int) -> NDArray[np.int64]:
    """(size, taps): how many outputs each input position reaches through each kernel index, 0 or 1."""
    total = np.zeros((size, taps), np.int64)
    for phase in axis.reading:
        outputs = len(range(phase.first, out_size, axis.output_step))
        for offset, index in zip(phase.offsets, phase.indices, strict=True):
            total[:, index] += _count(size, outputs, (offset,), axis.input_step, 1)
    return total

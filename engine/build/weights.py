"""Pack a node's weights in the order in which the gather kernels read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph import Conv2d, ConvTranspose2d, Linear, Shape
from .plan import GatherPlan


def dense_kernel(node: Conv2d | ConvTranspose2d | Linear, incoming: Shape) -> NDArray[np.float32]:
    """Weights as (kernel height, kernel width, in_channels, out_channels), zeros where groups do not meet.

    A Linear node is a convolution whose kernel covers the whole input.
    """
    if isinstance(node, Linear):
        return node.weight.reshape(-1, *incoming).transpose(2, 3, 1, 0)
    if node.groups == 1:
        return node.weight.transpose((2, 3, 1, 0) if isinstance(node, Conv2d) else (2, 3, 0, 1))
    inputs = node.in_channels // node.groups
    outputs = node.out_channels // node.groups
    kernel = np.zeros((*node.weight.shape[2:], node.in_channels, node.out_channels), np.float32)
    for group in range(node.groups):
        into = slice(group * inputs, (group + 1) * inputs)
        out = slice(group * outputs, (group + 1) * outputs)
        if isinstance(node, Conv2d):
            kernel[:, :, into, out] = node.weight[out].transpose(2, 3, 1, 0)
        else:
            kernel[:, :, into, out] = node.weight[into].transpose(2, 3, 0, 1)
    return kernel


def pack_weights(kernel: NDArray[np.float32], plan: GatherPlan) -> NDArray[np.float32]:
    """Flat float32: phase, block of output channels, kernel row, kernel column, input channel, channel in block."""
    outputs = kernel.shape[3]
    blocks = -(-outputs // plan.block_width)
    padded = np.zeros((*kernel.shape[:3], blocks * plan.block_width), np.float32)
    padded[..., :outputs] = kernel
    padded = padded.reshape(*kernel.shape[:3], blocks, plan.block_width)
    parts = []
    for vertical in plan.rows.phases:
        for horizontal in plan.columns.phases:
            taps = padded[np.ix_(list(vertical.indices), list(horizontal.indices))]
            parts.append(taps.transpose(3, 0, 1, 2, 4).ravel())
    return np.concatenate(parts)


def padded_bias(bias: NDArray[np.float32], padded: int) -> NDArray[np.float32]:
    """Bias, followed by zeros up to a whole number of blocks."""
    result = np.zeros(padded, np.float32)
    result[: bias.size] = bias
    return result

"""Kernels of convolutions in groups: their extent, the limits that they must keep, and one kernel for all groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.limits import LARGEST_EXTENT, MOST_SPREAD_WEIGHTS

Array = NDArray[Any]


def extent(node: Any) -> tuple[int, int]:
    """Height and width of a convolution's kernel, the gaps of its dilation included."""
    (tall, wide), (rows, columns) = node.dilation, node.weight.shape[2:]
    return tall * (rows - 1) + 1, wide * (columns - 1) + 1


def check_kernel(node: Any) -> None:
    """Refuse kernels that are too large for what they do with a few weights, see engine/graph/limits.py."""
    height, width = extent(node)
    if max(height, width) > LARGEST_EXTENT:
        raise node.refuse(
            "weight", f"spans {height}x{width} pixels, dilation included; at most {LARGEST_EXTENT} are possible"
        )
    spread = node.weight.size * node.groups
    if node.groups > 1 and spread > MOST_SPREAD_WEIGHTS:
        raise node.refuse(
            "groups", f"is {node.groups}, which makes {spread} weights, zeros included; at most {MOST_SPREAD_WEIGHTS}"
        )


def by_groups(taps: Array, groups: int, channels: int, outputs_first: bool) -> Array:
    """(kernel height, kernel width, in_channels, out_channels), zeros where groups do not meet.

    Parameters
    ----------
    taps : (kernel height, kernel width, channels of a group, channels of all groups)
        The first are the inputs, the second the outputs; the other way round where not `outputs_first`.
    groups : int
    channels : int
        Channels of all groups on the side of which `taps` has those of one.
    outputs_first : bool
        Whether the weight has the outputs of all groups: a convolution. Of a transposed one it has the inputs.
    """
    if groups == 1:
        return taps
    one, all_ = channels // groups, taps.shape[3 if outputs_first else 2] // groups
    shape = (channels, taps.shape[3]) if outputs_first else (taps.shape[2], channels)
    kernel = np.zeros((*taps.shape[:2], *shape), taps.dtype)
    for group in range(groups):
        part, whole = slice(group * one, (group + 1) * one), slice(group * all_, (group + 1) * all_)
        if outputs_first:
            kernel[:, :, part, whole] = taps[..., whole]
        else:
            kernel[:, :, whole, part] = taps[:, :, whole]
    return kernel

"""Pack a node's weights in the order in which the gather kernels read them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Synapses
from ..lazy import KnownOf
from ..memory import aligned_bytes, aligned_empty, called_by_clear_caches
from .plan import GatherPlan

PACKED: KnownOf[Synapses, NDArray[Any]] = KnownOf()
"""Packed weights of nodes that are alive, so that only the first run of a network packs them; by the kernels that read
them, and all that says how they lie."""

called_by_clear_caches(PACKED.clear)

Number = TypeVar("Number", np.float32, np.int8)


def pack_weights(kernel: NDArray[Number], plan: GatherPlan) -> NDArray[Number]:
    """Flat, of the kernel's type, as gather_band reads it.

    Phase, block of output channels, kernel row, input channel, kernel column (last one first), channel in block.
    """
    outputs = kernel.shape[3]
    blocks = -(-outputs // plan.block_width)
    size = int(np.prod(kernel.shape[:3])) * blocks * plan.block_width
    packed = aligned_bytes(size * kernel.itemsize).view(kernel.dtype)
    place = 0
    for vertical in plan.rows.reading:
        for horizontal in plan.columns.reading:
            taps = _taps(kernel, vertical.indices, horizontal.indices[::-1])
            height, width, inputs, _ = taps.shape
            part = packed[place : place + height * width * inputs * blocks * plan.block_width]
            _fill(part.reshape(blocks, height, inputs, width, plan.block_width), taps.transpose(0, 2, 1, 3))
            place += part.size
    return packed[:place]


def _taps(kernel: NDArray[Number], rows: tuple[int, ...], columns: tuple[int, ...]) -> NDArray[Number]:
    """Some rows and columns of a kernel; without a copy where they are those of an ordinary convolution."""
    height, width = kernel.shape[:2]
    if rows == tuple(range(height)) and columns == tuple(range(width))[::-1]:
        return kernel[:, ::-1]
    return kernel[np.ix_(rows, columns)]


def _fill(packed: NDArray[Number], taps: NDArray[Number]) -> None:
    """Cut the last axis of `taps` into blocks, the last of them filled up with zeros."""
    width = packed.shape[-1]
    for block, target in enumerate(packed):
        part = taps[..., block * width : (block + 1) * width]
        target[..., : part.shape[-1]] = part
        target[..., part.shape[-1] :] = 0


def padded_bias(bias: NDArray[np.float32], padded: int) -> NDArray[np.float32]:
    """Bias, followed by zeros up to a whole number of blocks."""
    result = aligned_empty(padded)
    result[: bias.size] = bias
    result[bias.size :] = 0
    return result

"""Channels that become pixels, pixels that become channels, and channels in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Weighted
from spikeunet.engine.layers import Conv2d, PixelShuffle, PixelUnshuffle

from ..values import Current, Tensor, Value
from .call import Call, operator

Array = NDArray[Any]


@operator("DepthToSpace")
def to_pixels(call: Call) -> Tensor:
    """PixelShuffle; in the mode DCR behind another order of the channels."""
    size, value = call.attribute("blocksize", 0), call.picture()
    if size < 1 or value.shape[0] % size**2:
        call.refuse(f"has a blocksize of {size} for {value.shape[0]} channels")
    return call.result(_pixels(call, value, size, blocks_first=_blocks_first(call)))


@operator("SpaceToDepth")
def to_channels(call: Call) -> Tensor:
    """PixelUnshuffle; in the mode DCR a convolution of stride and size alike, whose channels each take one pixel."""
    size, value = call.attribute("blocksize", 0), call.picture()
    if size < 1 or any(side % size for side in value.shape[1:]):
        call.refuse(f"has a blocksize of {size} for a picture of {value.shape[1]}x{value.shape[2]}")
    return call.result(_channels(call, value, size, blocks_first=_blocks_first(call)))


def _blocks_first(call: Call) -> bool:
    """Whether the places within a block come before the channels in the numbers of these."""
    mode = call.attribute("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        call.refuse(f"is of the mode {mode!r:.40}; there are DCR and CRD")
    return bool(mode == "DCR")


def shuffled_by_axes(call: Call, order: list[int]) -> Value | None:
    """What a Transpose makes of a picture whose axes were split before it, where there is a layer for it.

    Exporters write so of pixel shuffles in both directions, and of shuffled channels.
    """
    tensor = call.tensor()
    (channels, height, width), sizes, value = tensor.value.shape, tensor.shape[1:], tensor.value
    if order[:3] == [0, 2, 1] and order[3:] == list(range(3, len(order))) and sizes[0] * sizes[1] == channels:
        return _reordered(call, value, np.arange(channels).reshape(sizes[:2]).T.reshape(-1))
    if len(order) != 6:
        return None
    shuffles: dict[tuple[int, ...], tuple[int, int, bool]] = {
        (0, 1, 4, 2, 5, 3): (1, 2, False),
        (0, 3, 4, 1, 5, 2): (0, 1, True),
    }
    if tuple(order) in shuffles and sizes[3:] == (height, width):
        first, second, blocks_first = shuffles[tuple(order)]
        if sizes[first] == sizes[second] and sizes[0] * sizes[1] * sizes[2] == channels:
            return _pixels(call, value, sizes[first], blocks_first=blocks_first)
    splits: dict[tuple[int, ...], bool] = {(0, 1, 3, 5, 2, 4): False, (0, 3, 5, 1, 2, 4): True}
    if tuple(order) in splits and sizes[2] == sizes[4] and (sizes[0], sizes[1] * sizes[2]) == (channels, height):
        return _channels(call, value, sizes[2], blocks_first=splits[tuple(order)])
    return None


def _pixels(call: Call, value: Value, size: int, *, blocks_first: bool) -> Current:
    """Channels as pixels; their numbers count the channels that are left within each pixel where `blocks_first`."""
    if blocks_first:
        value = _reordered(call, value, np.arange(value.shape[0]).reshape(size * size, -1).T.reshape(-1))
    reads = call.builder.emit(value)
    return call.current(PixelShuffle(call.node.name, reads.name, size), reads, reads.positive)


def _channels(call: Call, value: Value, size: int, *, blocks_first: bool) -> Current:
    """Pixels as channels, counted likewise."""
    reads = call.builder.emit(value)
    channels, area = reads.shape[0], size * size
    of_picture = call.builder.holds_picture(reads)
    if not (blocks_first or of_picture):
        return call.current(PixelUnshuffle(call.node.name, reads.name, size), reads, reads.positive)
    # Of the picture, weights: so the neurons behind them have a scale, and the picture needs none of its own.
    groups = 1 if blocks_first else channels
    call.builder.spend(channels**2 * area**2 // groups)
    taps = np.eye(area).reshape(area, size, size)
    if blocks_first:
        whole = np.zeros((channels, area, channels, size, size))
        whole[np.arange(channels), :, np.arange(channels)] = taps
        weight: Any = whole.swapaxes(0, 1).reshape(-1, channels, size, size)
    else:
        weight = np.tile(taps[:, None], (channels, 1, 1, 1))
    node = Conv2d(call.node.name, reads.name, weight, stride=(size, size), groups=groups)
    return call.current(node, reads, reads.positive, file_weights=0)


def _reordered(call: Call, value: Value, order: Array) -> Value:
    """Channels in another order: by the weights before them, or by synapses of their own."""
    node = value.node if isinstance(value, Current) and not value.shared else None
    if isinstance(value, Current) and isinstance(node, Weighted) and node.group_count == 1 and not value.placed:
        weight = node.from_rows(node.by_output(node.weight)[order])
        return replace(value, node=replace(node, weight=weight, bias=node.bias[order]), zeros=None)
    reads = call.builder.emit(value)
    call.builder.spend(len(order) ** 2)
    moved: Any = np.eye(len(order))[order][:, :, None, None]
    node = Conv2d(f"{call.node.name}.order", reads.name, moved)
    return call.current(node, reads, reads.positive, file_weights=0)

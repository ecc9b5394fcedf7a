"""Pools, and means over the whole picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spikeunet.engine.layers import AvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d

from ..values import Current, Tensor, Value
from .call import Call, operator


@operator("MaxPool")
def maximum(call: Call) -> Tensor:
    """MaxPool2d; of signals, with a height of 1."""
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        call.refuse("puts out indices, for which there is no layer; export without unpooling")
    pool, value = _pool(call, MaxPool2d, counted=False)
    if isinstance(value, Current):
        pool.pooled = value
    return call.result(pool)


@operator("AveragePool")
def average(call: Call) -> Tensor:
    """AvgPool2d; of signals, with a height of 1."""
    pool, _ = _pool(call, AvgPool2d, counted=True)
    return call.result(pool)


@operator("GlobalAveragePool")
def global_average(call: Call) -> Tensor:
    """GlobalAvgPool2d."""
    return _global_average(call, keep=True)


@operator("ReduceMean")
def mean(call: Call) -> Tensor:
    """GlobalAvgPool2d, where the mean is over height and width."""
    tensor = call.tensor()
    rank = len(tensor.shape)
    axes = call.integers(1, "axes")
    found = {axis + rank if axis < 0 else axis for axis in axes or range(rank)}
    if rank < 3 or found != set(range(2, rank)):
        call.refuse(f"is the mean over the axes {axes}, not over height and width; there is no layer for it")
    return _global_average(call, keep=bool(call.attribute("keepdims", 1)))


@operator("GlobalMaxPool")
def global_maximum(call: Call) -> Tensor:
    """MaxPool2d over the whole picture."""
    value = call.picture()
    if call.open_size:
        call.refuse("is the maximum of a picture whose size the file leaves open; export it with a fixed size")
    reads = call.builder.emit(value)
    return call.result(call.current(MaxPool2d(call.node.name, reads.name, value.shape[1:]), reads, reads.positive))


def _global_average(call: Call, *, keep: bool) -> Tensor:
    tensor = call.tensor()
    # A picture whose height and width the graph takes for one axis has the same mean.
    value = tensor.value if tensor.aligned else call.picture()
    reads = call.builder.emit(value)
    current = call.current(GlobalAvgPool2d(call.node.name, reads.name), reads, reads.positive)
    ones = (1,) * (len(tensor.shape) - 2) if keep else ()
    return Tensor(current, (tensor.shape[0], current.shape[0], *ones))


def _pool(call: Call, kind: Any, *, counted: bool) -> tuple[Current, Value]:
    """A pool, and what it reads; `counted` where its padding counts."""
    value = call.picture()
    count = len(call.tensor().shape) - 2
    if count not in (1, 2):
        call.refuse(f"pools over {count} axes; one or two are possible")
    kernel, stride = call.whole("kernel_shape", count, 0), call.whole("strides", count, 1)
    if min(*kernel, *stride) < 1 or any(gap != 1 for gap in call.whole("dilations", count, 1)):
        call.refuse(f"has a kernel of {kernel} with strides or dilations that no pool has here; dilations must be 1")
    padding = _padding(call, kernel, stride, counted=counted)
    flat = 2 - count
    sides: list[Any] = [(*[fill] * flat, *side) for fill, side in ((1, kernel), (1, stride), (0, padding))]
    node = kind(call.node.name, "", sides[0], sides[1], sides[2])
    reads = call.builder.emit(value)
    if counted and call.builder.holds_picture(reads):
        # As weights, so that the neurons behind it have a scale, and the picture needs no neurons of its own.
        channels, (height, width) = reads.shape[0], sides[0]
        call.builder.spend(channels * height * width)
        weight: Any = np.full((channels, 1, height, width), 1 / (height * width))
        means = Conv2d(call.node.name, reads.name, weight, stride=sides[1], padding=sides[2], groups=channels)
        return call.current(means, reads, file_weights=0), value
    return call.current(replace(node, source=reads.name), reads, reads.positive), value


def _padding(call: Call, kernel: list[int], stride: list[int], *, counted: bool) -> list[int]:
    sizes = call.tensor().shape[2:]
    pads = call.pads(sizes, kernel, stride)
    if any(begin != end for begin, end in pads):
        call.refuse(f"has other pads at the beginning than at the end, {pads}; pad evenly, or before it")
    if counted and any(map(any, pads)) and not call.attribute("count_include_pad", 0):
        call.refuse("leaves its padding out of the averages; train with count_include_pad=True, or without padding")
    if call.attribute("ceil_mode", 0):
        sides = list(zip(sizes, pads, kernel, stride, strict=True))
        exact = [(size + 2 * pad[0] - k) % s == 0 for size, pad, k, s in sides]
        if not all(exact) or (call.open_size and any(s > 1 for s in stride)):
            call.refuse("rounds its size up (ceil_mode), which no pool does here; take ceil_mode=False, or pad before")
    return [begin for begin, _ in pads]

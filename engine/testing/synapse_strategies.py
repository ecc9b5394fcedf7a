"""Strategies for synapses: each gives a node that fits the shape of what it reads.

Pooling windows have 1, 2, 4, 8 or 16 elements, and places between pixels are quarters, so that currents of multiples of
1/16 are multiples of 1/256.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..graph import Projection, Shape
from ..layers import (
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
from ..layers.max_pool2d import VARIANTS
from .neuron_strategies import Numbers

LARGEST_SIDE = 16
"""Transposed convolutions and the like stop growing pictures here, to keep examples fast."""

MOST_FEATURES = 400
"""Numbers that are flattened at most, likewise."""

MOST_CHANNELS = 64
"""Channels that pixels become at most."""

LARGEST_AREA = 16
"""Pixels of a global mean: a power of two of at most so many, or what is drawn would be no multiple of 1/256."""

CHANNELS = st.integers(1, 5) | st.sampled_from((7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40))
"""Most of them no multiple of a vector's 8 or 16 float32 numbers."""

SIDES = st.integers(1, 12)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Kernel size, stride and padding."""


@st.composite
def _groups(draw: st.DrawFn, in_channels: int) -> int:
    divisors = [k for k in range(1, in_channels + 1) if in_channels % k == 0]
    return draw(st.just(1) | st.sampled_from(divisors), label="groups")


@st.composite
def _out_channels(draw: st.DrawFn, groups: int) -> int:
    """Output channels, a multiple of the groups."""
    wanted = draw(CHANNELS, label="out channels")
    return groups * max(1, round(wanted / groups))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal


# --- Synapses with weights -------------------------------------------------------------------------------------------


@st.composite
def _slides(draw: st.DrawFn, side: int) -> tuple[int, int, int, int]:
    """Kernel size, stride, padding and dilation along an axis."""
    padding, dilation = draw(st.integers(0, 3), label="padding"), draw(st.integers(1, 3), label="dilation")
    largest = min(4, (side + 2 * padding - 1) // dilation + 1)
    return draw(st.integers(1, largest), label="kernel"), draw(st.integers(1, 3), label="stride"), padding, dilation


def _usual(kernel: int, values: Numbers) -> int:
    """A number of columns: kernels are compiled for each."""
    return kernel if values.every_kernel else 3 if kernel > 2 else 1


@st.composite
def conv2d(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Conv2d:
    """Convolution with any kernel, stride, padding, dilation and groups that suit the shape."""
    channels, *sides = shape
    kernel, stride, padding, dilation = zip(*(draw(_slides(side)) for side in sides), strict=True)
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(out_channels, channels // groups, kernel[0], _usual(kernel[1], values))
    bias = values.bias(out_channels)
    return Conv2d(name, source, weight, bias, stride, padding, dilation, groups)


@st.composite
def depthwise(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Conv2d:
    """Convolution of each channel for itself, into one or a few others."""
    channels, *sides = shape
    kernel, stride, padding, dilation = zip(*(draw(_slides(side)) for side in sides), strict=True)
    out_channels = channels * draw(st.integers(1, 3), label="multiplier")
    # Of few channels it is run as any convolution, with kernels that are compiled.
    weight = values.weight(out_channels, 1, kernel[0], _usual(kernel[1], values))
    bias = values.bias(out_channels)
    return Conv2d(name, source, weight, bias, stride, padding, dilation, channels)


@st.composite
def conv1d(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Conv1d:
    """Convolution of signals, (C, 1, length)."""
    channels, _, length = shape
    kernel, stride, padding, dilation = draw(_slides(length))
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(out_channels, channels // groups, _usual(kernel, values))
    return Conv1d(name, source, weight, values.bias(out_channels), stride, padding, dilation, groups)


@st.composite
def conv_transpose2d(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> ConvTranspose2d:
    """Transposed convolution with any geometry that suits the shape."""
    channels, *sides = shape
    kernel = [draw(st.integers(1, 4 if values.every_kernel else 3), label="kernel") for _ in sides]
    dilation = [draw(st.integers(1, 2), label="dilation") for _ in sides]
    stride = [draw(st.integers(1, 3 if 3 * n <= LARGEST_SIDE else 1), label="stride") for n in sides]
    extra = [draw(st.integers(0, max(s, d) - 1), label="extra") for s, d in zip(stride, dilation, strict=True)]
    every = zip(sides, stride, dilation, kernel, extra, strict=True)
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in every]
    padding = [draw(st.integers(0, min(3, (n - 1) // 2)), label="padding") for n in full]
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(channels, out_channels // groups, *kernel)
    bias = values.bias(out_channels)
    geometry = (_pair(stride), _pair(padding), _pair(extra), _pair(dilation))
    return ConvTranspose2d(name, source, weight, bias, *geometry, groups)


@st.composite
def linear(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Linear:
    """Full connection; few outputs, because the inputs are many."""
    features = draw(st.integers(1, 20), label="features")
    return Linear(name, source, values.weight(features, int(np.prod(shape))), values.bias(features))


@st.composite
def scale(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Scale:
    """A factor and a shift for each channel, or an identity connection."""
    if draw(st.booleans(), label="identity"):
        return Scale(name, source, np.ones(shape[0], np.float32))
    return Scale(name, source, values.weight(shape[0]), values.bias(shape[0]))


# --- Pools -----------------------------------------------------------------------------------------------------------


@st.composite
def _window(draw: st.DrawFn, shape: Shape, sizes: Sequence[int]) -> Geometry:
    """Kernel size, stride and padding of a pool whose windows have one of these sizes along each axis."""
    sides = shape[1:]
    kernel = [draw(st.sampled_from([k for k in sizes if k <= n + 2 * (k // 2)]), label="window") for n in sides]
    least = [max(0, -((n - k) // 2)) for n, k in zip(sides, kernel, strict=True)]
    padding = [draw(st.integers(p, k // 2), label="padding") for p, k in zip(least, kernel, strict=True)]
    stride = [draw(st.integers(1, 4), label="stride") for _ in sides]
    return _pair(kernel), _pair(stride), _pair(padding)


@st.composite
def avg_pool2d(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> AvgPool2d:
    """Average pool whose window's area is a power of two."""
    return AvgPool2d(name, source, *draw(_window(shape, (2, 1, 4))))


@st.composite
def sum_pool2d(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> SumPool2d:
    """Sum pool with any small window."""
    return SumPool2d(name, source, *draw(_window(shape, (2, 1, 3))))


@st.composite
def max_pool2d(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> MaxPool2d:
    """Max pool of either variant with any small window."""
    kernel, stride, padding = draw(_window(shape, (2, 3, 1, 4)))
    return MaxPool2d(name, source, kernel, stride, padding, variant=draw(st.sampled_from(VARIANTS), label="variant"))


def global_avg_pool2d(name: str, source: str, _shape: Shape, _: Numbers) -> st.SearchStrategy[GlobalAvgPool2d]:
    """Global mean."""
    return st.just(GlobalAvgPool2d(name, source))


# --- Rearranged and enlarged -----------------------------------------------------------------------------------------


@st.composite
def upsample(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> Upsample:
    """Nearest by any factors, or bilinear where each place is a quarter."""
    sides = shape[1:]
    mode = draw(st.sampled_from(("nearest", "bilinear")), label="mode")
    aligned = mode == "bilinear" and draw(st.booleans(), label="align corners")
    factors = [draw(st.sampled_from(_factors(side, mode, aligned)), label="factor") for side in sides]
    return Upsample(name, source, _pair(factors), mode, aligned)


def _factors(side: int, mode: str, aligned: bool) -> list[int]:
    """Factors of which no place between pixels is finer than a quarter, and that do not enlarge too much."""
    if aligned:
        fine = [3, 1] if side == 3 else [2, 3, 1] if side == 1 else [1]
    else:
        fine = [2, 1] if mode == "bilinear" else [2, 3, 1]
    return [factor for factor in fine if factor == 1 or factor * side <= LARGEST_SIDE]


@st.composite
def pixel_shuffle(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> PixelShuffle:
    """Channels as pixels."""
    channels, *sides = shape
    fitting = [r for r in (2, 3, 4) if channels % r**2 == 0 and r * max(sides) <= LARGEST_SIDE]
    return PixelShuffle(name, source, draw(st.sampled_from([*fitting, 1]), label="factor"))


@st.composite
def pixel_unshuffle(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> PixelUnshuffle:
    """Pixels as channels."""
    channels, *sides = shape
    fitting = [r for r in (2, 3) if not any(side % r for side in sides) and channels * r**2 <= MOST_CHANNELS]
    return PixelUnshuffle(name, source, draw(st.sampled_from([*fitting, 1]), label="factor"))


def flatten(name: str, source: str, _shape: Shape, _: Numbers) -> st.SearchStrategy[Flatten]:
    """Single features."""
    return st.just(Flatten(name, source))


# --- Which kind fits -------------------------------------------------------------------------------------------------

SYNAPSES: Mapping[str, Callable[..., st.SearchStrategy[Projection]]] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "avg_pool2d": avg_pool2d,
    "linear": linear,
    "depthwise": depthwise,
    "conv1d": conv1d,
    "scale": scale,
    "sum_pool2d": sum_pool2d,
    "max_pool2d": max_pool2d,
    "global_avg_pool2d": global_avg_pool2d,
    "upsample": upsample,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "flatten": flatten,
}
"""The strategy of each kind of synapse node."""

KINDS = ("conv2d", "conv_transpose2d", "conv2d", "avg_pool2d", *SYNAPSES)
"""Kinds as often as networks have them."""


def fits(kind: str, shape: Shape) -> bool:
    """Whether a kind of synapses can read something of this shape, with sums that are exact."""
    if kind == "conv1d":
        return shape[1] == 1
    if kind == "global_avg_pool2d":
        area = shape[1] * shape[2]
        return area <= LARGEST_AREA and area & (area - 1) == 0
    return kind != "flatten" or math.prod(shape) <= MOST_FEATURES


def shapes(kind: str) -> st.SearchStrategy[Shape]:
    """Shapes of what a kind of synapses reads."""
    channels = st.sampled_from((4, 8, 9, 16, 1, 3)) if kind == "pixel_shuffle" else st.integers(1, 12)
    height, width = SIDES, SIDES
    if kind == "conv1d":
        height = st.just(1)
    elif kind == "global_avg_pool2d":
        height, width = st.sampled_from((1, 2, 4)), st.sampled_from((1, 2, 4))
    elif kind == "pixel_unshuffle":
        height, width = st.sampled_from((2, 4, 6, 3)), st.sampled_from((4, 6, 2, 3))
    elif kind == "flatten":
        height, width = st.integers(1, 6), st.integers(1, 5)
    return st.tuples(channels, height, width)


# --- Parts of a sum --------------------------------------------------------------------------------------------------


def alternatives(shape: Shape, wanted: Shape, values: Numbers) -> list[Callable[[str, str], Projection]]:
    """Synapses that turn one shape into another: functions of a name and of a source."""
    made: list[Callable[[str, str], Projection]] = []
    channels, out_channels = shape[0], wanted[0]
    sides = tuple(zip(shape[1:], wanted[1:], strict=True))
    if shape == wanted:
        made.append(lambda name, source: Scale(name, source, np.ones(channels, np.float32)))
        made.append(lambda name, source: Scale(name, source, values.weight(channels), values.bias(channels)))
    weights = (out_channels, channels), values
    made += [functools.partial(_convolution, each, *weights) for each in _slidings(sides, ((1, 0), (3, 0), (3, 1)))]
    if channels == out_channels:
        for geometry in _slidings(sides, ((1, 0), (2, 0), (2, 1), (3, 1))):
            area = math.prod(geometry[0])
            kinds: list[Any] = [SumPool2d, MaxPool2d, *([AvgPool2d] if area & (area - 1) == 0 else [])]
            made += [functools.partial(_pool, kind, geometry) for kind in kinds]
    return made


def _convolution(geometry: Geometry, channels: tuple[int, int], values: Numbers, name: str, source: str) -> Conv2d:
    kernel, stride, padding = geometry
    return Conv2d(name, source, values.weight(*channels, *kernel), values.bias(channels[0]), stride, padding)


def _pool(kind: Any, geometry: Geometry, name: str, source: str) -> Projection:
    made: Projection = kind(name, source, *geometry)
    return made


def _slidings(sides: Sequence[tuple[int, int]], windows: Sequence[tuple[int, int]]) -> list[Geometry]:
    """Some ways in which windows, (size, padding), slide from one size to another."""
    vertical, horizontal = (_sliding(*pair, windows) for pair in sides)
    pairs = zip(vertical, reversed(horizontal), strict=False)
    return [(_pair((a[0], b[0])), _pair((a[1], b[1])), _pair((a[2], b[2]))) for a, b in pairs]


def _sliding(side: int, out: int, windows: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    return [
        (kernel, stride, padding)
        for kernel, padding in windows
        for stride in (1, 2, 3)
        if side + 2 * padding >= kernel and (side + 2 * padding - kernel) // stride + 1 == out
    ]

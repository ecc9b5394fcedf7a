"""The nodes of a network: what each one computes and the shape that it puts out. Shapes are (channels, height, width).

Synapses (Conv2d, ConvTranspose2d, AvgPool2d, Linear) turn what their source emits into an input current; Neurons turn
a current into graded events; Concat joins channels; Output accumulates a current over the steps. Shapes, strides,
padding, dilation and groups mean what they mean in PyTorch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import GraphError
from ..float32 import all_finite, without_subnormals
from ..memory import read_only_copy
from ..neurons import MultiThreshold, NeuronModel, check_model
from .limits import LARGEST_EXTENT, MOST_GROUPS, MOST_INPUT_CHANNELS, MOST_PHASES, MOST_SPREAD_WEIGHTS

Shape = tuple[int, int, int]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Node:
    """A named node; `sources` are the names of the nodes that it reads."""

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that this one reads, in order."""
        return ()

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape that this node puts out, from the shapes that its sources put out."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew out of its fields, so that a copy's arrays cannot be written to either.
        return type(self), tuple(getattr(self, each.name) for each in fields(self) if each.init)

    def padded_shape(self, *shapes: Shape) -> Shape:
        """Shape of what this node reads, padded, or of what it puts out, before it is cropped."""
        return self.output_shape(*shapes)

    def refuse(self, attribute: str, message: str) -> GraphError:
        """A GraphError that names the node and the attribute at fault."""
        return GraphError(f"{type(self).__name__} {self.name!r}: {attribute} {message}")


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Where the picture enters, (channels, H, W) float32, held constant over the steps (direct coding)."""

    channels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", _count(self, "channels", self.channels, 1, MOST_INPUT_CHANNELS))

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if shape[0] != self.channels:
            raise self.refuse("channels", f"is {self.channels}, but the picture has {shape[0]}")
        return shape


@dataclass(frozen=True, eq=False)
class SingleSource(Node):
    """A node that reads one other node."""

    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Synapses(SingleSource):
    """A node that turns what one source emits into an input current."""


@dataclass(frozen=True, eq=False)
class Conv2d(Synapses):
    """Cross-correlation.

    Parameters
    ----------
    name, source : str
    weight : (out_channels, in_channels / groups, kernel height, kernel width) float32
    bias : (out_channels,) float32, or None for zeros
    stride, padding, dilation : int or (vertical, horizontal)
    groups : int

    Raises
    ------
    GraphError
        If a shape, a number or the dtype does not fit, or a weight is not finite.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        _set_array(self, "weight", self.weight, 4)
        _set_bias(self, len(self.weight))
        _set_pairs(self, stride=1, padding=0, dilation=1)
        object.__setattr__(self, "groups", _count(self, "groups", self.groups, 1, MOST_GROUPS))
        if len(self.weight) % self.groups:
            raise self.refuse("groups", f"is {self.groups}, which does not divide {len(self.weight)} output channels")
        _check_kernel(self)

    @property
    def in_channels(self) -> int:
        """Channels that the source must put out."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def out_channels(self) -> int:
        """Channels of the current."""
        return len(self.weight)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        _check_channels(self, channels, self.in_channels)
        geometry = zip(sizes, self.padding, _extent(self), self.stride, strict=True)
        height, width = ((size + 2 * p - r) // s + 1 for size, p, r, s in geometry)
        return _positive_shape(self, self.out_channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(Synapses):
    """Transposed convolution.

    Parameters
    ----------
    name, source : str
    weight : (in_channels, out_channels / groups, kernel height, kernel width) float32
    bias : (out_channels,) float32, or None for zeros
    stride, padding, output_padding, dilation : int or (vertical, horizontal)
    groups : int

    Raises
    ------
    GraphError
        If a shape, a number or the dtype does not fit, a weight is not finite, or the output padding is not smaller
        than the stride or the dilation.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        _set_array(self, "weight", self.weight, 4)
        object.__setattr__(self, "groups", _count(self, "groups", self.groups, 1, MOST_GROUPS))
        _set_bias(self, self.out_channels)
        _set_pairs(self, stride=1, padding=0, output_padding=0, dilation=1)
        if len(self.weight) % self.groups:
            raise self.refuse("groups", f"is {self.groups}, which does not divide {len(self.weight)} input channels")
        _check_kernel(self)
        if self.stride[0] * self.stride[1] > MOST_PHASES:
            raise self.refuse("stride", f"{self.stride} must have a product of at most {MOST_PHASES}")
        limits = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(extra >= max(s, d) for extra, s, d in limits):
            raise self.refuse("output_padding", f"{self.output_padding} must be smaller than stride or dilation")

    @property
    def in_channels(self) -> int:
        """Channels that the source must put out."""
        return len(self.weight)

    @property
    def out_channels(self) -> int:
        """Channels of the current."""
        return int(self.weight.shape[1]) * self.groups

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        _check_channels(self, channels, self.in_channels)
        geometry = zip(sizes, self.stride, self.padding, _extent(self), self.output_padding, strict=True)
        height, width = ((size - 1) * s - 2 * p + r + extra for size, s, p, r, extra in geometry)
        return _positive_shape(self, self.out_channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        channels, height, width = self.output_shape(*shapes)
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]


@dataclass(frozen=True, eq=False)
class AvgPool2d(Synapses):
    """Average over windows, padding counted as zeros; a Neurons node of its own follows it.

    Parameters
    ----------
    name, source : str
    kernel_size : int or (height, width)
    stride : int or (vertical, horizontal), or None for the kernel's size
    padding : int or (vertical, horizontal), at most half of the kernel's size
    """

    kernel_size: Pair = (2, 2)
    stride: Pair = field(default=None)  # type: ignore[assignment]
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        _set_pairs(self, kernel_size=1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        _set_pairs(self, stride=1, padding=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise self.refuse("padding", f"{self.padding} must be at most half of the kernel size {self.kernel_size}")

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, *sizes),) = shapes
        geometry = zip(sizes, self.padding, self.kernel_size, self.stride, strict=True)
        height, width = ((size + 2 * p - k) // s + 1 for size, p, k, s in geometry)
        return _positive_shape(self, channels, height, width, sizes)

    def padded_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        return channels, height + 2 * self.padding[0], width + 2 * self.padding[1]

    def taps(self, size: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Rows and columns of the window that meet more than padding, of an input of this height and width.

        A window may be far larger than what it reads.
        """
        sides = zip(size, self.padding, self.kernel_size, self.stride, strict=True)
        rows, columns = (
            [tap for tap in range(k) if tap < p + side and tap + (side + 2 * p - k) // s * s >= p]
            for side, p, k, s in sides
        )
        return itertools.product(rows, columns)


@dataclass(frozen=True, eq=False)
class Linear(Synapses):
    """Full connection to the source's flattened output; features in the order (channel, row, column).

    Parameters
    ----------
    name, source : str
    weight : (out_features, in_features) float32
    bias : (out_features,) float32, or None for zeros

    The current has the shape (out_features, 1, 1).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        _set_array(self, "weight", self.weight, 2)
        _set_bias(self, len(self.weight))

    @property
    def out_channels(self) -> int:
        """Features of the current."""
        return len(self.weight)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((channels, height, width),) = shapes
        if channels * height * width != self.weight.shape[1]:
            raise self.refuse(
                "weight", f"takes {self.weight.shape[1]} features, but the source puts out {channels}x{height}x{width}"
            )
        return (self.out_channels, 1, 1)


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Channels of several sources one after the other; a channel offset in the engine, never a copy."""

    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise self.refuse("parts", "must name at least one source")

    @property
    def sources(self) -> tuple[str, ...]:
        return self.parts

    def output_shape(self, *shapes: Shape) -> Shape:
        other = next((k for k, shape in enumerate(shapes) if shape[1:] != shapes[0][1:]), None)
        if other is not None:
            sizes = ", ".join(f"{self.parts[k]} {shapes[k][1]}x{shapes[k][2]}" for k in (0, other))
            raise self.refuse("parts", f"differ in size: {sizes}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


UNCHOSEN = MultiThreshold()
"""Model of `Neurons` that were given none, told by identity: an equal one that somebody chose is another object."""


@dataclass(frozen=True, eq=False)
class Neurons(SingleSource):
    """A population of spiking neurons, one for each element of its source's current.

    Without a model it is the paper's, thresholds 2, 1, 1/2 and 1/4; `convert` then takes `MultiThreshold.rounding()`.
    """

    model: NeuronModel = UNCHOSEN

    def __post_init__(self) -> None:
        if not isinstance(self.model, NeuronModel):
            raise self.refuse("model", f"must be a neuron model such as MultiThreshold() (got {self.model!r})")
        check_model(self.model)

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        return shape


@dataclass(frozen=True, eq=False)
class Output(SingleSource):
    """The accumulated readout of its source's current, which has no neuron."""

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        return shape


def _count(node: Node, attribute: str, value: Any, least: int, most: int = LARGEST_EXTENT) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise node.refuse(attribute, f"must be an integer of at least {least} (got {value!r})")
    if value > most:
        raise node.refuse(attribute, f"must be at most {most} (got {value!r})")
    return int(value)


def _set_pairs(node: Node, **least: int) -> None:
    for attribute, bound in least.items():
        value = getattr(node, attribute)
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(pair) != 2:
            raise node.refuse(attribute, f"must be one integer or two (got {value!r})")
        object.__setattr__(node, attribute, tuple(_count(node, attribute, item, bound) for item in pair))


def _set_array(node: Node, attribute: str, value: ArrayLike, dimensions: int) -> None:
    array = as_array(value, f"{type(node).__name__} {node.name!r}: {attribute}", GraphError)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise node.refuse(attribute, f"must hold floating-point numbers (got {array.dtype})")
    if array.ndim != dimensions or not array.size:
        raise node.refuse(attribute, f"must be a non-empty {dimensions}-dimensional array (got shape {array.shape})")
    array = np.asarray(array, np.float32)
    if not all_finite(array):
        raise node.refuse(attribute, "has values that are NaN or infinite in float32")
    # It cannot be made writable again by accident: networks are shared.
    object.__setattr__(node, attribute, read_only_copy(without_subnormals(array)))


def _set_bias(node: Conv2d | ConvTranspose2d | Linear, channels: int) -> None:
    value = np.zeros(channels, np.float32) if node.bias is None else node.bias
    _set_array(node, "bias", value, 1)
    if len(node.bias) != channels:
        raise node.refuse("bias", f"must have {channels} values (got {len(node.bias)})")


def _extent(node: Conv2d | ConvTranspose2d) -> tuple[int, int]:
    """Height and width of the kernel, the gaps of its dilation included."""
    (tall, wide), (rows, columns) = node.dilation, node.weight.shape[2:]
    return tall * (rows - 1) + 1, wide * (columns - 1) + 1


def _check_kernel(node: Conv2d | ConvTranspose2d) -> None:
    """Refuse kernels that are too large for what they do with a few weights, see limits.py."""
    height, width = _extent(node)
    if max(height, width) > LARGEST_EXTENT:
        raise node.refuse(
            "weight", f"spans {height}x{width} pixels, dilation included; at most {LARGEST_EXTENT} are possible"
        )
    spread = node.weight.size * node.groups
    if node.groups > 1 and spread > MOST_SPREAD_WEIGHTS:
        raise node.refuse(
            "groups", f"is {node.groups}, which makes {spread} weights, zeros included; at most {MOST_SPREAD_WEIGHTS}"
        )


def _check_channels(node: Node, given: int, wanted: int) -> None:
    if given != wanted:
        raise node.refuse("weight", f"takes {wanted} channels, but the source puts out {given}")


def _positive_shape(node: Node, channels: int, height: int, width: int, sizes: list[int]) -> Shape:
    if height < 1 or width < 1:
        raise node.refuse("kernel", f"does not fit an input of {sizes[0]}x{sizes[1]}")
    return (channels, height, width)

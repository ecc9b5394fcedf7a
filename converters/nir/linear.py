"""What lies between one population and the next: linear operations in a row, made into one layer of the engine.

The engine has synapses from population to population, one layer each; NIR has chains. Pools, flattening and scales are
therefore folded into the weights that follow or precede them. What is folded is exact: a sum over windows followed by a
convolution is a convolution with larger strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Projection, Shape
from spikeunet.engine.layers import AvgPool2d, Conv1d, Conv2d, Flatten, Linear, Scale, SumPool2d

from .graph import NirNode

MOST_FOLDED = 2**24
MOST_PER_NUMBER = 8
"""A layer has at most so many weights for each of the file beyond MOST_FOLDED: a pool may ask for any number."""

Array = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Pool:
    """A pool: sums over windows, divided by `area`."""

    node: NirNode
    size: Pair
    stride: Pair
    padding: Pair
    area: int

    def shape(self, shape: Shape) -> Shape:
        """What it puts out."""
        sides = zip(shape[1:], self.size, self.stride, self.padding, strict=True)
        height, width = ((side + 2 * padding - size) // stride + 1 for side, size, stride, padding in sides)
        if min(height, width) < 1:
            raise self.node.refuse(f"does not fit into {shape[1]}x{shape[2]}")
        return shape[0], height, width


@dataclass(frozen=True)
class Chain:
    """Operations from a population on.

    Parameters
    ----------
    read_shape : (C, H, W)
        Of the population; of features (C, 1, 1).
    shape : (C, H, W)
        Of what is put out so far.
    axes : int
        Of that in NIR: 1 for features, also where `shape` still tells rows and columns; 2 for signals, 3 for pictures.
    steps : int
        Steps of delay.
    before : (C,), or None
        Factor of each channel that is read.
    pool : Pool or None
        Before the weights.
    weights : layer without names, or None
        The convolution or matrix, its bias with it.
    named : str
        The last node with weights.
    numbers : int
        How many weights the file has for it: fewer than there are where a pool goes into them.
    """

    read_shape: Shape
    shape: Shape
    axes: int
    steps: int = 0
    before: Array | None = None
    pool: Pool | None = None
    weights: dict[str, Any] | None = None
    named: str = ""
    numbers: int = 0

    def then(self, node: NirNode, dt: float | None) -> Chain:
        """With a node behind it."""
        method = getattr(self, f"_{node.kind.lower()}", None)
        if method is None:
            raise node.refuse("lies where there are linear operations alone; there is no layer for it")
        found: Chain = method(node, dt)
        return found

    def without_bias(self) -> Chain:
        """With weights alone."""
        weights = self.weights
        return self if weights is None else replace(self, weights={**weights, "bias": np.zeros_like(weights["bias"])})

    # --- Delays, scales, flattening, pools ---------------------------------------------------------------------------

    def _delay(self, node: NirNode, dt: float | None) -> Chain:
        seconds = node.array("delay").reshape(-1)
        if not seconds.any():
            return self
        if dt is None:
            raise node.refuse("lasts seconds; say how long a step is (--dt, dt=)")
        steps = seconds / dt
        if self.steps or not np.allclose(steps, 1, rtol=1e-3):
            raise node.refuse(
                f"lasts {seconds.max():g} s, {steps.max():g} steps of {dt:g} s; a delay is one step, the same for all"
            )
        return replace(self, steps=1)

    def _scale(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002 - all take the same
        factors = by_channel(node, "scale", self.shape)
        if factors is None:
            raise node.refuse("differs within a channel; there is a layer for one number a channel")
        if self.weights is not None:
            weight = self.weights["weight"]
            shaped = factors.reshape(-1, *[1] * (weight.ndim - 1))
            return replace(
                self, weights={**self.weights, "weight": weight * shaped, "bias": self.weights["bias"] * factors}
            )
        before = factors if self.before is None else self.before * factors
        return replace(self, before=before, named=self.named or node.name, numbers=len(before))

    def _flatten(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        (start,), (end,) = node.whole("start_dim", 1), node.whole("end_dim", 1)
        if start not in (0, -self.axes) or end not in (-1, self.axes - 1):
            raise node.refuse(f"flattens the axes {start} to {end} alone; flatten all of them, 0 to -1")
        return replace(self, axes=1)

    def _pooled(self, node: NirNode, area: bool) -> Chain:
        if self.weights is not None or self.pool is not None or self.axes != 3:
            raise node.refuse(
                "pools what no neurons have fired; put a population in front of it, or pool by a convolution's stride"
            )
        size, stride, padding = (node.whole(name, 2) for name in ("kernel_size", "stride", "padding"))
        if min(*size, *stride) < 1 or min(padding) < 0:
            raise node.refuse(f"has a window of {size}, strides {stride} and a padding of {padding}")
        pool = Pool(node, size, stride, padding, math.prod(size) if area else 1)  # type: ignore[arg-type]
        return replace(self, pool=pool, shape=pool.shape(self.shape), named=self.named or node.name)

    def _sumpool2d(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        return self._pooled(node, area=False)

    def _avgpool2d(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        return self._pooled(node, area=True)

    # --- Weights -----------------------------------------------------------------------------------------------------

    def _only(self, node: NirNode) -> None:
        if self.weights is not None:
            raise node.refuse(
                f"follows {self.named!r:.100} without neurons between them; multiply the two, or put neurons there"
            )

    def _linear(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        self._only(node)
        weight, inputs = node.array("weight"), math.prod(self.shape)
        numbers = weight.size
        if weight.ndim != 2 or weight.shape[1] != inputs:
            raise node.refuse(f"has weights {weight.shape} for {inputs} values; export the network again")
        bias = node.array("bias").reshape(-1) if "bias" in node.fields else np.zeros(len(weight))
        if self.pool is not None:
            weight = self._unpooled(weight)
        if self.before is not None:
            weight = (weight.reshape(len(weight), len(self.before), -1) * self.before[:, None]).reshape(weight.shape)
        made = {"kind": Linear, "weight": weight, "bias": bias}
        return replace(
            self, weights=made, shape=(len(weight), 1, 1), axes=1, named=node.name, pool=None, before=None,
            numbers=numbers,
        )  # fmt: skip

    _affine = _linear

    def _unpooled(self, weight: Array) -> Array:
        """Columns for what the pool reads, out of those for what it puts out."""
        pool = self.pool
        assert pool is not None
        channels, height, width = self.shape
        sides = tuple(_covered(pool, axis, (height, width)[axis]) for axis in range(2))
        if pool.padding != (0, 0):
            raise pool.node.refuse("has a padding in front of a matrix; leave it out")
        wide = _zeros(pool.node, (len(weight), channels, *sides), weight.size)
        parts = weight.reshape(len(weight), channels, height, width) / pool.area
        for row in range(height):
            for column in range(width):
                top, left = row * pool.stride[0], column * pool.stride[1]
                window = (..., slice(top, top + pool.size[0]), slice(left, left + pool.size[1]))
                wide[window] += parts[:, :, row, column][..., None, None]
        return self._to_picture(wide)

    def _to_picture(self, wide: Array) -> Array:
        """Zeros for the rows and columns at the end that the pool leaves out."""
        assert self.pool is not None
        rest = [whole - side for whole, side in zip(self.read_shape[1:], wide.shape[2:], strict=True)]
        return np.pad(wide, ((0, 0), (0, 0), (0, rest[0]), (0, rest[1]))).reshape(len(wide), -1)

    def _conv1d(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        return self._convolution(node, 1)

    def _conv2d(self, node: NirNode, dt: float | None) -> Chain:  # noqa: ARG002
        return self._convolution(node, 2)

    def _convolution(self, node: NirNode, axes: int) -> Chain:
        self._only(node)
        if self.axes != 1 + axes:
            raise node.refuse(f"reads what has {self.axes} axes in place of {1 + axes}; export the network again")
        weight, bias = node.array("weight"), node.array("bias").reshape(-1)
        if weight.ndim != 2 + axes or bias.size not in (1, len(weight)):
            raise node.refuse(f"has weights {weight.shape} and a bias {bias.shape}; export the network again")
        stride, dilation, (groups,) = node.whole("stride", axes), node.whole("dilation", axes), node.whole("groups", 1)
        made = {"kind": Conv1d if axes == 1 else Conv2d, "weight": weight, "bias": np.broadcast_to(bias, len(weight)),
                "stride": stride, "padding": _padding(node, weight.shape[2:], dilation), "dilation": dilation,
                "groups": groups}  # fmt: skip
        if self.before is not None:
            made["weight"] = weight * _read_factors(weight, self.before, groups)
        shape = _convolved(node, made, self.shape)
        if self.pool is not None:
            made = self._unstrided(node, made)
        return replace(self, weights=made, shape=shape, named=node.name, pool=None, before=None, numbers=weight.size)

    def _unstrided(self, node: NirNode, made: dict[str, Any]) -> dict[str, Any]:
        """A convolution of what the pool reads, out of one of what it puts out."""
        pool = self.pool
        assert pool is not None
        exact = all(
            not padding or (size <= stride and (self.shape[axis] - 1) * stride + size == whole + 2 * edge)
            for axis, (size, stride, padding, whole, edge) in enumerate(
                zip(pool.size, pool.stride, made["padding"], self.read_shape[1:], pool.padding, strict=True), 1
            )
        )
        if not exact:
            raise node.refuse(
                f"follows the pool {pool.node.name!r:.100}, whose windows overlap or do not fill the picture; pool "
                "with strides as large as the window, and sides that are multiples of them, or put neurons between"
            )
        weight = made["weight"]
        kernel = [(size - 1) * dilation * stride + own for size, dilation, stride, own in zip(
            weight.shape[2:], made["dilation"], pool.stride, pool.size, strict=True)]  # fmt: skip
        wide = _zeros(pool.node, (*weight.shape[:2], *kernel), weight.size)
        for row in range(weight.shape[2]):
            for column in range(weight.shape[3]):
                top, left = (place * dilation * stride for place, dilation, stride in zip(
                    (row, column), made["dilation"], pool.stride, strict=True))  # fmt: skip
                wide[:, :, top : top + pool.size[0], left : left + pool.size[1]] += weight[
                    :, :, row, column, None, None
                ]
        padding = tuple(own * stride + edge for own, stride, edge in zip(
            made["padding"], pool.stride, pool.padding, strict=True))  # fmt: skip
        stride = tuple(own * other for own, other in zip(made["stride"], pool.stride, strict=True))
        return {**made, "weight": wide / pool.area, "stride": stride, "padding": padding, "dilation": (1, 1)}

    # --- The layer ---------------------------------------------------------------------------------------------------

    def projection(self, name: str, source: str, delay: int) -> Projection:
        """The layer of the engine."""
        if self.weights is not None:
            return _layer(self.weights, name, source, delay=delay)
        if self.pool is not None and self.before is None:
            sides = (self.pool.size, self.pool.stride, self.pool.padding)
            return (SumPool2d if self.pool.area == 1 else AvgPool2d)(name, source, *sides, delay=delay)
        if self.pool is not None:
            raise self.pool.node.refuse("is scaled without weights behind it; fold the scale into the weights before")
        if self.axes == 1 and self.before is None and self.shape[1] * self.shape[2] > 1:
            return Flatten(name, source, delay=delay)
        factors = np.ones(self.shape[0]) if self.before is None else self.before
        return Scale(name, source, np.asarray(factors, np.float32), delay=delay)

    @property
    def made_shape(self) -> Shape:
        """What the layer puts out."""
        plain = self.weights is None and self.pool is None and self.before is None
        return (math.prod(self.shape), 1, 1) if plain and self.axes == 1 else self.shape


def by_channel(node: NirNode, name: str, shape: Shape) -> Array | None:
    """A field as a number for each channel; None where it differs within one."""
    values = node.array(name)
    if values.size == 1:
        return np.full(shape[0], values.reshape(-1)[0])
    if values.size != math.prod(shape):
        raise node.refuse(f"has a {name} of the shape {values.shape} for {shape[0]}x{shape[1]}x{shape[2]} values")
    rows = values.reshape(shape[0], -1)
    return rows[:, 0] if (rows == rows[:, :1]).all() else None


def _zeros(node: NirNode, shape: tuple[int, ...], numbers: int) -> Array:
    """Room for weights that come of so many others."""
    if math.prod(shape) > max(MOST_FOLDED, MOST_PER_NUMBER * numbers):
        raise node.refuse(f"makes {math.prod(shape)} weights out of {numbers}; put neurons behind the pool")
    return np.zeros(shape)


def _covered(pool: Pool, axis: int, count: int) -> int:
    return (count - 1) * pool.stride[axis] + pool.size[axis]


def _padding(node: NirNode, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    padding = node.fields["padding"]
    if not isinstance(padding, str):
        return node.whole("padding", len(kernel))
    if padding == "valid":
        return (0,) * len(kernel)
    spans = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    if padding != "same" or any(span % 2 for span in spans):
        raise node.refuse(f"has the padding {padding!r:.20}, which is not the same on both sides; state numbers")
    return tuple(span // 2 for span in spans)


def _read_factors(weight: Array, factors: Array, groups: int) -> Array:
    """Factors of the channels that are read, as the weights have them: (out, in / groups, ...)."""
    by_group = factors.reshape(groups, -1)
    of_output = np.repeat(by_group, len(weight) // groups, axis=0)
    return of_output.reshape(*of_output.shape, *[1] * (weight.ndim - 2))


def _convolved(node: NirNode, made: dict[str, Any], shape: Shape) -> Shape:
    return _layer(made, node.name, "input").output_shape(shape)


def _layer(made: Mapping[str, Any], name: str, source: str, **more: int) -> Projection:
    """The layer that is made of weights and numbers, of which a line has one and a picture a pair."""
    numbers = {each: value for each, value in made.items() if each not in ("kind", "weight", "bias")}
    if made["weight"].ndim == 3:
        numbers = {each: value[0] if isinstance(value, tuple) else value for each, value in numbers.items()}
    arrays = {each: np.asarray(made[each], np.float32) for each in ("weight", "bias")}
    found: Projection = made["kind"](name, source, **arrays, **numbers, **more)
    return found

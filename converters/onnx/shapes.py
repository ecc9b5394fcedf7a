"""Operators that move numbers: shapes, concatenation, larger pictures, zeros around them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.layers import Conv2d, Linear, PixelShuffle, Upsample

from .call import Call, operator
from .values import Current, Tensor, Value

Array = NDArray[Any]


@operator("Identity", "Dropout", "Cast")
def same(call: Call) -> Tensor:
    """What is read."""
    training = call.constant(2) if call.node.kind == "Dropout" else None
    if training is not None and np.any(training):
        call.refuse("is in training mode; export the network in evaluation mode, model.eval()")
    if call.node.kind == "Cast" and call.node.attributes.get("to") not in _FLOATS:
        call.refuse("makes other numbers than floats of what depends on the picture; export the network in float32")
    return call.tensor()


_FLOATS = (1, 10, 11, 16)
"""Numbers that ONNX has for float32, float16, float64 and bfloat16."""


@operator("Reshape")
def reshaped(call: Call) -> Tensor:
    """Another shape of the same numbers."""
    tensor = call.tensor()
    wanted = call.integers(1, "shape")
    if wanted is None:
        call.refuse("says no shape")
    sizes = [
        tensor.shape[axis] if size == 0 and not call.attribute("allowzero", 0) and axis < len(tensor.shape) else size
        for axis, size in enumerate(wanted)
    ]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = math.prod(tensor.shape) // known
    return _shaped(call, tuple(sizes))


@operator("Flatten")
def flattened(call: Call) -> Tensor:
    """Features."""
    shape = call.tensor().shape
    axis = call.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return _shaped(call, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@operator("Squeeze")
def squeezed(call: Call) -> Tensor:
    """Axes of size 1 left out."""
    shape = call.tensor().shape
    axes = call.integers(1, "axes")
    chosen = {axis % len(shape) for axis in axes} if axes is not None else {k for k, n in enumerate(shape) if n == 1}
    if any(shape[axis] != 1 for axis in chosen):
        call.refuse(f"leaves out axes {axes} of an array of {shape}, which are not 1")
    return _shaped(call, tuple(size for axis, size in enumerate(shape) if axis not in chosen))


@operator("Unsqueeze")
def unsqueezed(call: Call) -> Tensor:
    """Axes of size 1 put in."""
    shape, axes = list(call.tensor().shape), call.integers(1, "axes") or []
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return _shaped(call, tuple(shape))


@operator("Transpose")
def transposed(call: Call) -> Tensor:
    """A change of shape, where no axes of more than one number change places."""
    shape = call.tensor().shape
    order = call.whole("perm", len(shape), 0) if "perm" in call.node.attributes else list(range(len(shape)))[::-1]
    moved = [axis for axis in order if axis < len(shape) and shape[axis] != 1]
    if sorted(order) != list(range(len(shape))) or moved != sorted(moved):
        call.refuse(
            f"puts the axes into the order {order}; there is no layer for it: export pictures as (N, C, H, W), "
            "channels first, and networks without shuffled channels"
        )
    return _shaped(call, tuple(shape[axis] for axis in order))


def _shaped(call: Call, shape: tuple[int, ...]) -> Tensor:
    tensor = call.tensor()
    if math.prod(shape) != math.prod(tensor.shape) or any(size < 0 for size in shape) or not shape:
        call.refuse(f"makes {shape} of an array of {tensor.shape}")
    if shape[0] != tensor.shape[0]:
        call.refuse(f"mixes the pictures of a batch: {tensor.shape} becomes {shape}")
    return replace(tensor, shape=shape)


@operator("Concat")
def concatenated(call: Call) -> Tensor:
    """Concat, along the channels."""
    tensors = [call.tensor(index) for index in range(len(call.inputs))]
    rank = len(tensors[0].shape)
    axis = call.attribute("axis", 1)
    if axis not in (1, 1 - rank) or any(len(tensor.shape) != rank for tensor in tensors):
        call.refuse(f"joins along the axis {axis}; only channels (axis 1) are joined")
    emitted = call.builder.join(call.node.name, [call.picture(index) for index in range(len(tensors))])
    return Tensor(emitted, (tensors[0].shape[0], sum(tensor.shape[1] for tensor in tensors), *tensors[0].shape[2:]))


@operator("Pad")
def padded(call: Call) -> Tensor:
    """Zeros around a picture, which a convolution behind them takes for its own."""
    if call.attribute("mode", "constant") != "constant" or np.any(call.constant(2, 0.0)):
        call.refuse("pads with other than zeros; there is no layer for it: pad the pictures themselves")
    rank = len(call.tensor().shape)
    pads, axes = call.integers(1, "pads") or [], call.integers(3, "axes") or list(range(rank))
    if len(pads) != 2 * len(axes) or len({axis % rank for axis in axes}) < len(axes) or min(pads, default=0) < 0:
        call.refuse(f"has the pads {str(pads)[:60]}; pairs of numbers from 0 on do")
    sides = {axis % rank: (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    if rank not in (3, 4) or any(any(sides.get(axis, ())) for axis in (0, 1)):
        call.refuse("pads other axes than height and width")
    (top, bottom), (left, right) = ((0, 0), *(sides.get(axis, (0, 0)) for axis in range(2, rank)))[-2:]
    value = call.picture()
    if not any((top, bottom, left, right)):
        return call.tensor()
    return call.result(_with_zeros(call, value, (top, bottom), (left, right)))


def _with_zeros(call: Call, value: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Current:
    reads = call.builder.emit(value)
    channels, height, width = reads.shape
    # Rows and columns of zeros in the kernel cut off what even padding puts too much on one side.
    tall, wide = (abs(begin - end) + 1 for begin, end in (rows, columns))
    call.builder.spend(channels * tall * wide)
    kernel: Any = np.zeros((channels, 1, tall, wide))
    kernel[:, 0, max(0, max(rows) - rows[0]), max(0, max(columns) - columns[0])] = 1
    node = Conv2d(call.node.name, reads.name, kernel, padding=(max(rows), max(columns)), groups=channels)
    current = call.current(node, reads, reads.positive)
    assert current.shape == (channels, height + sum(rows), width + sum(columns))
    current.zeros = (rows, columns)
    return current


@operator("DepthToSpace")
def shuffled(call: Call) -> Tensor:
    """PixelShuffle; in the mode DCR behind another order of the channels."""
    size, value = call.attribute("blocksize", 0), call.picture()
    channels = value.shape[0]
    if size < 1 or channels % size**2:
        call.refuse(f"has a blocksize of {size} for {channels} channels")
    if call.attribute("mode", "DCR") == "DCR":
        order = np.arange(channels).reshape(size * size, -1).T.reshape(-1)
        value = _reordered(call, value, order)
    reads = call.builder.emit(value)
    return call.result(call.current(PixelShuffle(call.node.name, reads.name, size), reads, reads.positive))


def _reordered(call: Call, value: Value, order: Array) -> Value:
    """Channels in another order: by the weights before them, or by synapses of their own."""
    node = value.node if isinstance(value, Current) and not value.shared else None
    if isinstance(value, Current) and isinstance(node, Conv2d | Linear) and node.group_count == 1 and not value.placed:
        return replace(value, node=replace(node, weight=node.weight[order], bias=node.bias[order]))
    reads = call.builder.emit(value)
    call.builder.spend(len(order) ** 2)
    weight: Any = np.eye(len(order))[order][:, :, None, None]
    return call.current(Conv2d(f"{call.node.name}.order", reads.name, weight), reads, reads.positive)


@operator("SpaceToDepth")
def unshuffled(call: Call) -> Tensor:
    """A convolution of stride and size alike, each of whose channels takes one pixel."""
    size, value = call.attribute("blocksize", 0), call.picture()
    reads = call.builder.emit(value)
    channels = reads.shape[0]
    if size < 1 or size > 64 or any(side % size for side in reads.shape[1:]):
        call.refuse(f"has a blocksize of {size} for a picture of {reads.shape[1]}x{reads.shape[2]}")
    call.builder.spend(channels**2 * size**4)
    weight = np.zeros((size * size, channels, channels, size, size))
    for place in range(size * size):
        weight[place, np.arange(channels), np.arange(channels), place // size, place % size] = 1
    node = Conv2d(call.node.name, reads.name, weight.reshape(-1, channels, size, size), stride=size)
    return call.result(call.current(node, reads, reads.positive))


LONGEST_SIDE = 1 << 18


@operator("Resize")
def enlarged(call: Call) -> Tensor:
    """Upsample, where it computes the same."""
    tensor, value = call.tensor(), call.picture()
    rank = len(tensor.shape)
    factors = _factors(call, tensor)
    if rank not in (3, 4) or any(factor != 1 for factor in factors[:2]):
        call.refuse("changes other axes than height and width")
    whole = [int(factor) for factor in factors[2:]]
    if any(factor < 1 or factor != number for factor, number in zip(factors[2:], whole, strict=True)):
        call.refuse(f"makes pictures larger {[float(f) for f in factors[2:]]} times; whole factors alone have a layer")
    down, right = (1, *whole) if rank == 3 else whole
    if max(value.shape[1] * down, value.shape[2] * right) > LONGEST_SIDE:
        call.refuse("makes pictures far too large")
    mode, aligned = _mode(call, value, (down, right))
    reads = call.builder.emit(value)
    node = Upsample(call.node.name, reads.name, (down, right), mode, aligned)
    return call.result(call.current(node, reads, reads.positive))


def _factors(call: Call, tensor: Tensor) -> list[float]:
    """By how much each axis becomes longer."""
    scales, sizes = call.constant(2), call.constant(3)
    rank, axes = len(tensor.shape), call.node.attributes.get("axes")
    axes = [axis % rank for axis in axes] if axes else list(range(rank))
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        call.refuse("keeps the ratio of the sides; export it with the factor")
    found = [1.0] * rank
    given = sizes if sizes is not None and sizes.size else scales
    if given is None or given.size != len(axes):
        call.refuse("says neither factors nor sizes for all axes")
    for axis, number in zip(axes, np.ravel(given), strict=True):
        found[axis] = float(number) if given is scales else float(number) / tensor.shape[axis]
    return found


def _mode(call: Call, value: Value, factors: tuple[int, int]) -> tuple[str, bool]:
    """Mode of the Upsample that takes the same places of what it reads; refused where there is none."""
    mode = call.attribute("mode", "nearest")
    if mode not in ("nearest", "linear") or call.attribute("antialias", 0):
        call.refuse(
            f"is of the mode {mode!r:.40}{', with antialias' * bool(call.attribute('antialias', 0))}; nearest and "
            "linear have a layer"
        )
    transform = call.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    sides = list(zip(value.shape[1:], factors, strict=True))
    layer = _same_layer(call, sides, mode, transform, rounding)
    if layer is None:
        call.refuse(
            f"takes other pixels ({mode}, {transform}, {rounding}) than the layer Upsample does; export nearest with "
            "asymmetric and floor, or bilinear with half_pixel or align_corners"
        )
    return layer


def _same_layer(
    call: Call, sides: list[tuple[int, int]], mode: str, transform: str, rounding: str
) -> tuple[str, bool] | None:
    """Mode and alignment of the Upsample that reads the same places along both sides (size, factor)."""
    if mode == "nearest":
        plain = [np.arange(size * factor) // factor for size, factor in sides]
        found = [_nearest(call, *side, transform, rounding) for side in sides]
        return ("nearest", False) if all(map(np.array_equal, found, plain)) else None
    found = [_places(call, *side, transform) for side in sides]
    for aligned, wanted in ((False, "half_pixel"), (True, "align_corners")):
        layer = [_places(call, *side, wanted) for side in sides]
        if all(np.allclose(*pair, rtol=0, atol=1e-6) for pair in zip(found, layer, strict=True)):
            return "bilinear", aligned
    return None


def _places(call: Call, size: int, factor: int, transform: str) -> Array:
    """Of each output pixel along an axis the place in the input, within it."""
    outputs, length = np.arange(size * factor), size * factor
    if transform == "align_corners":
        found = outputs * ((size - 1) / max(length - 1, 1))
    elif transform == "asymmetric":
        found = outputs / factor
    elif transform in ("half_pixel", "half_pixel_symmetric") or (transform == "pytorch_half_pixel" and length > 1):
        found = (outputs + 0.5) / factor - 0.5
    elif transform == "pytorch_half_pixel":
        found = outputs * 0.0
    else:
        call.refuse(f"computes coordinates by {transform!r:.60}, for which there is no layer")
    return np.asarray(np.clip(found, 0, size - 1))


def _nearest(call: Call, size: int, factor: int, transform: str, rounding: str) -> Array:
    places = _places(call, size, factor, transform)
    roundings = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }
    if rounding not in roundings:
        call.refuse(f"rounds by {rounding!r:.60}, for which there is no layer")
    return np.asarray(np.clip(roundings[rounding], 0, size - 1))

"""Operators with weights: convolutions and full connections."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.layers import Conv1d, Conv2d, ConvTranspose2d, Linear

from ..values import Current, Tensor, Value, per_channel
from .call import Call, Pads, operator

Array = NDArray[Any]


@operator("Conv")
def convolution(call: Call) -> Tensor:
    """Conv2d, or Conv1d of signals."""
    weight = call.weights(1, (3, 4))
    flat = weight.ndim == 3
    sizes, stride, dilation = _geometry(call, weight)
    file_weights = weight.size
    value, extra = _without_zeros(call.picture())
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    own = call.pads(sizes, extent, stride)
    pads = tuple((a + c, b + d) for (a, b), (c, d) in zip(own, extra[flat:], strict=True))
    weight, padding, dilation = even_pads(call, weight, pads, dilation)
    bias = _bias(call, len(weight))
    groups = call.attribute("group", 1)
    kind: Any = Conv1d if flat else Conv2d
    geometry = {
        name: value[0] if flat else tuple(value)
        for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation))
    }
    node = kind(call.node.name, "", weight, bias, groups=groups, **geometry)
    current = call.builder.read_through(node, value, convolves=True)
    current.file_weights = file_weights
    return call.result(current)


@operator("ConvTranspose")
def transposed_convolution(call: Call) -> Tensor:
    """ConvTranspose2d; of signals, with a height of 1."""
    weight = call.weights(1, (3, 4))
    sizes, stride, dilation = _geometry(call, weight)
    extra = call.whole("output_padding", len(stride), 0)
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    file_weights = weight.size
    begin, extra, zeros = _cropped(call, sizes, stride, extent, extra)
    if any(map(any, zeros)):
        weight, dilation = _with_zeros(call, weight, zeros, dilation)
    flat = weight.ndim == 3
    weight = weight[:, :, None] if flat else weight
    whole = {"stride": (stride, 1), "padding": (begin, 0), "output_padding": (extra, 0), "dilation": (dilation, 1)}
    geometry: dict[str, Any] = {name: (*[fill] * flat, *value) for name, (value, fill) in whole.items()}
    groups = call.attribute("group", 1)
    bias = _bias(call, weight.shape[1] * groups)
    node = ConvTranspose2d(call.node.name, "", weight, bias, groups=groups, **geometry)
    current = call.builder.read_through(node, call.picture())
    current.file_weights = file_weights
    return call.result(current)


@operator("Gemm")
def general_product(call: Call) -> Tensor:
    """Linear."""
    if call.attribute("transA", 0):
        call.refuse("multiplies the pictures of a batch with one another (transA); export a Linear layer")
    weight = call.weights(1, (2,)) * call.attribute("alpha", 1.0)
    weight = weight if call.attribute("transB", 0) else weight.T
    shift = call.constant(2)
    bias = None
    if shift is not None:
        bias = _row(call, np.asarray(shift, np.float64) * call.attribute("beta", 1.0), len(weight))
    return _full_connection(call, weight, bias)


@operator("MatMul")
def product(call: Call) -> Tensor:
    """Linear without a bias."""
    return _full_connection(call, call.weights(1, (2,)).T, None)


def _full_connection(call: Call, weight: Any, bias: Any) -> Tensor:
    tensor = call.tensor()
    if int(np.prod(tensor.shape[1:])) != tensor.shape[-1]:
        call.refuse(
            f"multiplies arrays with the axes {tensor.shape[1:]} as matrices; there are layers of features alone"
        )
    node = Linear(call.node.name, "", weight, bias)
    current = call.builder.read_through(node, tensor.value)
    return Tensor(current, (*tensor.shape[:-1], len(weight)))


def _row(call: Call, shift: Array, features: int) -> Array:
    if shift.ndim > 2 or shift.size not in (1, features) or (shift.ndim == 2 and len(shift) > 1):
        call.refuse(f"adds an array of shape {shift.shape} to {features} features")
    return np.broadcast_to(shift.reshape(-1), (features,))


def _bias(call: Call, channels: int) -> Any:
    bias = call.constant(2)
    if bias is not None and (bias.shape != (channels,) or bias.dtype.kind != "f"):
        call.refuse(f"has a bias of {bias.dtype} and shape {bias.shape}; floats of the shape ({channels},) do")
    return None if bias is None else np.asarray(bias, np.float64)


def _geometry(call: Call, weight: Array) -> tuple[tuple[int, ...], list[int], list[int]]:
    """Sizes of what is read, strides and dilations, along each axis."""
    count, tensor = weight.ndim - 2, call.tensor()
    if len(tensor.shape) != weight.ndim:
        call.refuse(f"reads {len(tensor.shape)} axes with weights of {weight.ndim}")
    if call.whole("kernel_shape", count, 0) not in ([0] * count, list(weight.shape[2:])):
        call.refuse(f"contradicts itself: its kernel_shape is not that of its weights, {weight.shape[2:]}")
    stride, dilation = call.whole("strides", count, 1), call.whole("dilations", count, 1)
    if min(*stride, *dilation) < 1:
        call.refuse(f"has strides {stride} and dilations {dilation}, which must be 1 or more")
    return tensor.shape[2:], stride, dilation


def _without_zeros(value: Value) -> tuple[Value, Pads]:
    """What a Pad before a convolution reads, and the zeros that it puts around it."""
    if isinstance(value, Current) and value.zeros is not None and value.reads is not None:
        return value.reads, value.zeros
    return value, ((0, 0), (0, 0))


def even_pads(call: Call, weight: Array, pads: Pads, dilation: list[int]) -> tuple[Array, list[int], list[int]]:
    """Weights, padding and dilation of the same convolution with as many zeros at the end as at the beginning."""
    padding = [max(zeros) for zeros in pads]
    zeros = [(most - begin, most - end) for most, (begin, end) in zip(padding, pads, strict=True)]
    if any(map(any, zeros)):
        weight, dilation = _with_zeros(call, weight, zeros, dilation)
    return weight, padding, dilation


def _with_zeros(
    call: Call, weight: Array, zeros: list[tuple[int, int]], dilation: list[int]
) -> tuple[Array, list[int]]:
    """A kernel with zeros before and behind it; where there are any, its gaps are filled with zeros, too."""
    shape, places, gaps = list(weight.shape[:2]), [slice(None), slice(None)], list(dilation)
    for axis, (before, behind) in enumerate(zeros):
        size = weight.shape[2 + axis]
        step = dilation[axis] if before or behind else 1
        gaps[axis] = 1 if before or behind else dilation[axis]
        shape.append(before + step * (size - 1) + 1 + behind)
        places.append(slice(before, before + step * (size - 1) + 1, step))
    call.builder.spend(int(np.prod(shape, dtype=object)))
    spread = np.zeros(shape, weight.dtype)
    spread[tuple(places)] = weight
    return spread, gaps


def _cropped(
    call: Call, sizes: tuple[int, ...], stride: list[int], extent: list[int], extra: list[int]
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Of a transposed convolution the padding, the output padding, and zeros to put around its kernel."""
    wanted = call.whole("output_shape", len(stride), 0)
    automatic = call.attribute("auto_pad", "NOTSET")
    if any(wanted) or automatic.startswith("SAME"):
        if any(wanted) and call.open_size:
            call.refuse("has a fixed output_shape, but the file leaves the picture's size open; export it with pads")
        sides = zip(sizes, stride, extent, extra, wanted, strict=True)
        totals = [s * (n - 1) + more + k - (size or n * s) for n, s, k, more, size in sides]
        # "If auto_pad is SAME_UPPER the odd one goes to the end": ONNX, ConvTranspose.
        pads: Pads = tuple((t // 2, t - t // 2) if automatic != "SAME_LOWER" else (t - t // 2, t // 2) for t in totals)
        if any(wanted) and automatic == "NOTSET":
            pads = tuple((end, begin) for begin, end in pads)
    else:
        pads = call.pads(sizes, extent, stride)
    found = [_side(*pad, more, s) for pad, more, s in zip(pads, extra, stride, strict=True)]
    return [side[0] for side in found], [side[1] for side in found], [side[2] for side in found]


def _side(begin: int, end: int, extra: int, stride: int) -> tuple[int, int, tuple[int, int]]:
    """Padding, output padding, and zeros around the kernel that crop so much at the beginning and at the end."""
    more = extra + begin - end
    before = max(0, -more, -begin)
    more += before
    behind = more if more >= stride else 0
    return begin + before, more - behind, (before, behind)


def bias_of(call: Call, array: Array, tensor: Tensor, called: str = "constant") -> Array:
    """A constant as one number for each channel; refused where it is more, or no number."""
    wrong = array[~np.isfinite(array)]
    if wrong.size:
        call.refuse(
            f"has {wrong[0]:g} in its {called} ({wrong.size} of {array.size} numbers are not finite); repair the "
            "weights, or train again"
        )
    found = per_channel(array, tensor)
    if found is None:
        call.refuse(
            f"combines arrays of the axes {tensor.shape[1:]} with a constant of shape {array.shape}, which is not one "
            "number for each channel; there is no layer for it"
        )
    return found

"""Operators that change the shape of what they read: features, joined channels, zeros around pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.layers import Conv2d

from ..values import Current, Tensor, Value
from .call import Call, operator
from .shuffles import shuffled_by_axes

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
    if sorted(order) != list(range(len(shape))):
        call.refuse(f"puts the axes of {shape} into the order {order}")
    if moved != sorted(moved):
        value = shuffled_by_axes(call, order)
        if value is not None:
            for ending in call.tensor().endings:
                call.refuse(f"moves what a {ending.name} puts out, for which there are no neurons; move it behind this")
            return Tensor(value, tuple(shape[axis] for axis in order))
        call.refuse(
            f"puts the axes into the order {order}; there is no layer for it: export pictures as (N, C, H, W), "
            "channels first (an AdaptiveAvgPool becomes this where its size does not divide what it reads)"
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
    current = call.current(node, reads, reads.positive, file_weights=0)
    assert current.shape == (channels, height + sum(rows), width + sum(columns))
    current.zeros = (rows, columns)
    return current

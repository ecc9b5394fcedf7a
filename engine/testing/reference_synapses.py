"""The current of each kind of synapses, written from its definition in plain NumPy; sums are done in float64.

Shapes, strides, padding, dilation and groups follow PyTorch's modules of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Node, Rows, Synapses
from ..layers import (
    Attention,
    AttentionGates,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    MeanConv2d,
    PixelShuffle,
    PixelUnshuffle,
    Scale,
    SumPool2d,
    Upsample,
)

Array = NDArray[Any]


def conv2d(node: Conv2d, x: Array) -> Array:
    """Cross-correlation: out[o, y, x] = bias[o] + sum over taps of weight[o, c, i, j] * in[c, y*s - p + i*d, ...]."""
    (pad_y, pad_x), (step_y, step_x), (dilation_y, dilation_x) = node.padding, node.stride, node.dilation
    out_channels, group_inputs, kernel_height, kernel_width = node.weight.shape
    group_outputs = out_channels // node.groups
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    height = (padded.shape[1] - dilation_y * (kernel_height - 1) - 1) // step_y + 1
    width = (padded.shape[2] - dilation_x * (kernel_width - 1) - 1) // step_x + 1
    current = np.zeros((out_channels, height, width))
    for group in range(node.groups):
        inputs = slice(group * group_inputs, (group + 1) * group_inputs)
        outputs = slice(group * group_outputs, (group + 1) * group_outputs)
        for i in range(kernel_height):
            for j in range(kernel_width):
                top, left = i * dilation_y, j * dilation_x
                seen = padded[inputs, top : top + height * step_y : step_y, left : left + width * step_x : step_x]
                weight = node.weight[outputs, :, i, j].astype(np.float64)
                current[outputs] += np.tensordot(weight, seen[:, :height, :width], axes=1)
    return current + _bias(node)


def conv_transpose2d(node: ConvTranspose2d, x: Array) -> Array:
    """Each input value adds its kernel to the output at stride * position; the padding is then cut off the borders."""
    (pad_y, pad_x), (step_y, step_x), (dilation_y, dilation_x) = node.padding, node.stride, node.dilation
    in_channels, group_outputs, kernel_height, kernel_width = node.weight.shape
    group_inputs = in_channels // node.groups
    _, height, width = x.shape
    full_height = (height - 1) * step_y + dilation_y * (kernel_height - 1) + 1 + node.output_padding[0]
    full_width = (width - 1) * step_x + dilation_x * (kernel_width - 1) + 1 + node.output_padding[1]
    full = np.zeros((group_outputs * node.groups, full_height, full_width))
    for group in range(node.groups):
        inputs = slice(group * group_inputs, (group + 1) * group_inputs)
        outputs = slice(group * group_outputs, (group + 1) * group_outputs)
        for i in range(kernel_height):
            for j in range(kernel_width):
                rows = i * dilation_y + step_y * np.arange(height)
                columns = j * dilation_x + step_x * np.arange(width)
                weight = node.weight[inputs, :, i, j].astype(np.float64)
                full[outputs, rows[:, None], columns] += np.tensordot(weight.T, x[inputs], axes=1)
    return full[:, pad_y : full_height - pad_y, pad_x : full_width - pad_x] + _bias(node)


def avg_pool2d(node: AvgPool2d, x: Array) -> Array:
    """Sum over each window, the padding's zeros included, divided by the window's area."""
    (kernel_height, kernel_width), (step_y, step_x), (pad_y, pad_x) = node.kernel_size, node.stride, node.padding
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    height = (padded.shape[1] - kernel_height) // step_y + 1
    width = (padded.shape[2] - kernel_width) // step_x + 1
    current = np.zeros((len(x), height, width))
    for y in range(height):
        for column in range(width):
            top, left = y * step_y, column * step_x
            window = padded[:, top : top + kernel_height, left : left + kernel_width]
            current[:, y, column] = window.sum((1, 2)) / (kernel_height * kernel_width)
    return current


def linear(node: Linear, x: Array) -> Array:
    """Weight @ flattened input + bias, as a column of single pixels."""
    current: Array = (node.weight.astype(np.float64) @ x.reshape(-1) + node.bias)[:, None, None]
    return current


def _bias(node: Conv2d | ConvTranspose2d) -> Array:
    return node.bias.astype(np.float64)[:, None, None]


def conv1d(node: Conv1d, x: Array) -> Array:
    """Cross-correlation along the one row: out[o, 0, t] = bias[o] + sum of weight[o, c, k] * in[c, t*s - p + k*d]."""
    out_channels, group_inputs, size = node.weight.shape
    group_outputs = out_channels // node.groups
    padded = np.pad(x[:, 0], ((0, 0), (node.padding, node.padding)))
    length = (padded.shape[1] - node.dilation * (size - 1) - 1) // node.stride + 1
    current = np.zeros((out_channels, 1, length))
    for output in range(out_channels):
        first = output // group_outputs * group_inputs
        for place in range(length):
            seen = padded[first : first + group_inputs, place * node.stride :][
                :, : node.dilation * size : node.dilation
            ]
            current[output, 0, place] = (node.weight[output].astype(np.float64) * seen[:, :size]).sum()
    return current + node.bias.astype(np.float64)[:, None, None]


def scale(node: Scale, x: Array) -> Array:
    """weight[c] * x[c] + bias[c]."""
    return node.weight.astype(np.float64)[:, None, None] * x + node.bias.astype(np.float64)[:, None, None]


def sum_pool2d(node: SumPool2d, x: Array) -> Array:
    """Sum over each window, the padding's zeros included."""
    return _over_windows(node, x, 0.0, lambda window: window.sum((1, 2)))


def global_avg_pool2d(_node: GlobalAvgPool2d, x: Array) -> Array:
    """Mean of each channel."""
    return np.asarray(x.sum((1, 2), keepdims=True) / (x.shape[1] * x.shape[2]))


def attention_gates(node: AttentionGates, x: Array) -> Array:
    """Every value times three gates: of the step, of its place, of its channel; means are those of the step."""
    means, result = x.mean((1, 2)), np.zeros(x.shape)
    step, place, *channels = zip(node.weight.astype(np.float64), node.bias.astype(np.float64), strict=True)
    for channel, row, column in np.ndindex(x.shape):
        sums = (step[0] @ means + step[1], place[0] @ x[:, row, column] + place[1])
        own = channels[channel][0] @ means + channels[channel][1]
        gates = [1 / (1 + np.exp(-each)) for each in (*sums, own)]
        result[channel, row, column] = x[channel, row, column] * np.prod(gates)
    return result


def flatten(_node: Flatten, x: Array) -> Array:
    """All values in a row of channels, in the order (channel, row, column)."""
    return x.reshape(-1, 1, 1)


def pixel_shuffle(node: PixelShuffle, x: Array) -> Array:
    """out[c, y * r + i, x * r + j] = in[c * r * r + i * r + j, y, x]."""
    factor = node.upscale_factor
    result = np.zeros((len(x) // factor**2, x.shape[1] * factor, x.shape[2] * factor))
    for channel, row, column in np.ndindex(result.shape):
        part = (row % factor) * factor + column % factor
        result[channel, row, column] = x[channel * factor**2 + part, row // factor, column // factor]
    return result


def pixel_unshuffle(node: PixelUnshuffle, x: Array) -> Array:
    """out[c * r * r + i * r + j, y, x] = in[c, y * r + i, x * r + j]."""
    factor = node.downscale_factor
    result = np.zeros((len(x) * factor**2, x.shape[1] // factor, x.shape[2] // factor))
    for channel, row, column in np.ndindex(x.shape):
        part = (row % factor) * factor + column % factor
        result[channel * factor**2 + part, row // factor, column // factor] = x[channel, row, column]
    return result


def upsample(node: Upsample, x: Array) -> Array:
    """Nearest: the input under each output. Bilinear: what lies between the four inputs around it."""
    result = np.zeros(node.output_shape((len(x), *x.shape[1:])))
    for row, column in np.ndindex(result.shape[1:]):
        (top, bottom, down), (left, right, across) = (
            neighbours(node, place, size, factor)
            for place, size, factor in zip((row, column), x.shape[1:], node.scale_factor, strict=True)
        )
        above = (1 - across) * x[:, top, left] + across * x[:, top, right]
        below = (1 - across) * x[:, bottom, left] + across * x[:, bottom, right]
        result[:, row, column] = (1 - down) * above + down * below
    return result


def neighbours(node: Upsample, place: int, size: int, factor: int) -> tuple[int, int, float]:
    """The two inputs that an output lies between along an axis, and how far it is on the way to the second one."""
    if node.mode == "nearest":
        return place // factor, place // factor, 0.0
    if node.align_corners:
        position = place * (size - 1) / (size * factor - 1) if size * factor > 1 else 0.0
    else:
        position = max((place + 0.5) / factor - 0.5, 0.0)
    first = min(int(position), size - 1)
    return first, min(first + 1, size - 1), position - first if first < size - 1 else 0.0


def mean_conv2d(node: MeanConv2d, x: Array) -> Array:
    """Mean of each channel of a convolution."""
    whole = conv2d(Conv2d(node.name, node.source, node.weight, node.bias, padding=node.padding), x)
    return np.asarray(whole.mean((1, 2), keepdims=True))


def attention(node: Attention, x: Array) -> Array:
    """Of each head, each q of a pixel times the k and v of every pixel, (q k^T) v, token by token."""
    q, k, v = x.reshape(3, node.heads, -1, x.shape[1] * x.shape[2])
    found = [of_v @ (of_k.T @ of_q) for of_q, of_k, of_v in zip(q, k, v, strict=True)]
    return node.scale * np.stack(found).reshape(-1, *x.shape[1:])


def _over_windows(node: Any, x: Array, outside: float, work: Callable[[Array], Array]) -> Array:
    """What `work` makes of each window (C, kernel height, kernel width)."""
    (tall, wide), (step_y, step_x), (pad_y, pad_x) = node.kernel_size, node.stride, node.padding
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x)), constant_values=outside)
    height, width = (padded.shape[1] - tall) // step_y + 1, (padded.shape[2] - wide) // step_x + 1
    result = np.zeros((len(x), height, width))
    for y, column in np.ndindex(height, width):
        top, left = y * step_y, column * step_x
        result[:, y, column] = work(padded[:, top : top + tall, left : left + wide])
    return result


SYNAPSES: Mapping[type[Node], Callable[[Any, Array], Array]] = {
    Conv1d: conv1d,
    Conv2d: conv2d,
    ConvTranspose2d: conv_transpose2d,
    AvgPool2d: avg_pool2d,
    SumPool2d: sum_pool2d,
    GlobalAvgPool2d: global_avg_pool2d,
    Linear: linear,
    Scale: scale,
    AttentionGates: attention_gates,
    Flatten: flatten,
    PixelShuffle: pixel_shuffle,
    PixelUnshuffle: pixel_unshuffle,
    Upsample: upsample,
    MeanConv2d: mean_conv2d,
    Attention: attention,
}
"""The current of each kind of synapse node: function of the node and of what its source emits, (C, H, W)."""


def max_pool2d(node: MaxPool2d, sums: Array, x: Array) -> tuple[Array, Array]:
    """What the largest sum of a window has grown by, or what the input with the largest sum emits; and the sums.

    Of the stepwise variant, the largest number of each window.
    """
    after = sums + x
    if node.variant == "stepwise":
        return after, _over_windows(node, x, -np.inf, lambda window: window.max((1, 2)))
    if node.variant == "gated":
        return after, np.stack([_gated(node, *pair) for pair in zip(after, x, strict=True)])
    largest = [_over_windows(node, part, -np.inf, lambda window: window.max((1, 2))) for part in (sums, after)]
    return after, largest[1] - largest[0]


def _gated(node: MaxPool2d, sums: Array, x: Array) -> Array:
    """What the input with the largest sum of each window, the first one of several, emits; of one channel."""
    (pad_y, pad_x), (tall, wide), (step_y, step_x) = node.padding, node.kernel_size, node.stride
    padded = np.pad(sums, ((pad_y, pad_y), (pad_x, pad_x)), constant_values=-np.inf)
    emitted = np.pad(x, ((pad_y, pad_y), (pad_x, pad_x)))
    _, height, width = node.output_shape((1, *x.shape))
    result = np.zeros((height, width))
    for y, column in np.ndindex(height, width):
        window = (slice(y * step_y, y * step_y + tall), slice(column * step_x, column * step_x + wide))
        result[y, column] = emitted[window].reshape(-1)[padded[window].argmax()]
    return result


STATEFUL: Mapping[type[Node], Callable[[Any, Array, Array], tuple[Array, Array]]] = {MaxPool2d: max_pool2d}
"""Kinds that keep a state, shaped like what they read and 0 at first: state after a step, and current."""


def own_synapses(node: Synapses, x: Array, kept: dict[str, Array]) -> Array:
    """A kind of somebody else is specified by its own `current`, of the whole input in float64.

    `kept` has the state that each node keeps, from step to step.
    """
    values = np.ascontiguousarray(x.transpose(1, 2, 0))[None]
    incoming = (x.shape[0], x.shape[1], x.shape[2])
    rows = Rows(0, node.output_shape(incoming)[1], 0, incoming, node.gathered(values))
    state = node.fresh_state(incoming, np.float64)
    if state is not None:
        state = kept.setdefault(node.name, state)
    return np.asarray(node.current(values, rows, state)[0].transpose(2, 0, 1))

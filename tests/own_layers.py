"""Kinds of layers that a user might write, for the tests of what is asked of them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from spikeunet.engine import (
    Conv2d,
    FanOut,
    Input,
    InputError,
    Network,
    Neurons,
    Output,
    Projection,
    Rows,
    Weighted,
    ZeroFanOut,
    even_fan_out,
    padded_rows,
    register_layer,
    window_fan_out,
    window_rows,
)

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "my_layer.py"


def example():
    """The module examples/my_layer.py, imported once."""
    if "my_layer" not in sys.modules:
        spec = importlib.util.spec_from_file_location("my_layer", EXAMPLE)
        sys.modules["my_layer"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["my_layer"])
    return sys.modules["my_layer"]


LocallyConnected2d = example().LocallyConnected2d


@register_layer("tests-surround")
@dataclass(frozen=True, eq=False)
class Surround(Projection):
    """Each pixel less a share of the eight around it, in plain NumPy."""

    share: float = 0.125

    file_fields: ClassVar = {"share": "number"}

    WINDOW: ClassVar = ((3, 3), (1, 1), (1, 1))
    keeps_channels: ClassVar = True

    def output_shape(self, shape):
        return shape

    def input_rows(self, first, last, incoming):
        return window_rows(first, last, incoming, *self.WINDOW)

    def fan_out(self, incoming):
        return window_fan_out(incoming, *self.WINDOW, 1)

    def current(self, values, rows, state=None):
        padded = padded_rows(values, rows, *self.WINDOW)
        around = sum(
            padded[:, i : i + rows.height, j : j + values.shape[2]]
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2))
        )
        return padded[:, 1:-1, 1:-1] - values.dtype.type(self.share) * around

    def gain(self):
        return max(1.0, abs(self.share)), 0.0, 9

    def backward(self, value, gradient, into_input=True, kept=None):
        # The window is symmetric: what flows back is filtered in the same way.
        return self.forward((gradient,)) if into_input else None, {}


@register_layer("tests-blur-pool")
@dataclass(frozen=True, eq=False)
class BlurPool2d(Weighted):
    """Every second pixel of each channel, blurred with a kernel of its own that is trained (Zhang, ICML 2019)."""

    weight: np.ndarray
    bias: np.ndarray = None

    size_factor: ClassVar = Fraction(1, 2)

    def __post_init__(self):
        super().__post_init__()
        self.check_arrays(4)

    @property
    def group_count(self):
        return len(self.weight)

    @property
    def window(self):
        size = self.weight.shape[2:]
        return size, (2, 2), (size[0] // 2, size[1] // 2)

    def output_shape(self, shape):
        channels, height, width = shape
        return self.channels_out(channels), (height + 1) // 2, (width + 1) // 2

    def input_rows(self, first, last, incoming):
        return window_rows(first, last, incoming, *self.window)

    def fan_out(self, incoming):
        return window_fan_out(incoming, *self.window, 1)

    def zero_fan_out(self, incoming, nonzero):
        """Every site on its own: few kinds have to."""
        zero = (self.weight[:, 0] == 0).astype(np.int64)
        (tall, wide), (_, height, width) = zero.shape[1:], incoming
        found = np.zeros((height, width, incoming[0]), np.int64)
        for y, x, i, j in np.ndindex(*self.output_shape(incoming)[1:], tall, wide):
            from_y, from_x = 2 * y + i - tall // 2, 2 * x + j - wide // 2
            if 0 <= from_y < height and 0 <= from_x < width:
                found[from_y, from_x] += zero[:, i, j]
        return ZeroFanOut(np.arange(height), np.arange(width), found)

    def current(self, values, rows, state=None):
        padded = padded_rows(values, rows, *self.window)
        found = np.zeros((len(values), rows.height, (values.shape[2] + 1) // 2, values.shape[3]), values.dtype)
        found += self.bias
        for (i, j), seen in self.seen(padded, *found.shape[1:3]):
            found += seen * self.weight[:, 0, i, j]
        return found

    def seen(self, padded, height, width):
        """What each tap sees."""
        for i, j in np.ndindex(self.weight.shape[2:]):
            yield (i, j), padded[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2]

    def backward(self, value, gradient, into_input=True, kept=None):
        values = np.concatenate(value, axis=3)
        incoming = (values.shape[3], *values.shape[1:3])
        (_, _, (down, right)), weight = self.window, np.zeros(self.weight.shape, values.dtype)
        padded = padded_rows(values, Rows(0, gradient.shape[1], 0, incoming), *self.window)
        into = np.zeros_like(padded)
        for (i, j), seen in self.seen(padded, *gradient.shape[1:3]):
            weight[:, 0, i, j] = (seen * gradient).sum((0, 1, 2))
        for (i, j), reached in self.seen(into, *gradient.shape[1:3]):
            np.add(reached, gradient * self.weight[:, 0, i, j], out=reached)
        read = into[:, down : down + incoming[1], right : right + incoming[2]]
        whole = np.zeros_like(values)
        whole[:, : read.shape[1], : read.shape[2]] = read
        return whole if into_input else None, {"weight": weight, "bias": gradient.sum((0, 1, 2))}


@register_layer("tests-gate")
@dataclass(frozen=True, eq=False)
class Gate(Projection):
    """Each channel of the first half times that of its number in the second: an event is let through by another."""

    file_fields: ClassVar = {}
    homogeneous: ClassVar = False

    def output_shape(self, shape):
        return shape[0] // 2, *shape[1:]

    def channels_out(self, channels):
        return channels // 2

    def input_rows(self, first, last, incoming):
        return first, last

    def fan_out(self, incoming):
        return FanOut(*(np.zeros(size, np.int64) for size in incoming[1:]), 1)

    def products(self, events):
        first, second = np.split(events, 2, axis=3)
        return np.concatenate([(first & second).astype(np.int64), np.zeros(second.shape, np.int64)], axis=3)

    def pass_on(self, by_channel):
        raise InputError("a gate has no scales to hand on")

    def current(self, values, rows, state=None):
        first, second = np.split(values, 2, axis=3)
        return first * second

    def backward(self, value, gradient, into_input=True, kept=None):
        first, second = np.split(np.concatenate(value, axis=3), 2, axis=3)
        return np.concatenate([gradient * second, gradient * first], axis=3) if into_input else None, {}


@register_layer("tests-trace")
@dataclass(frozen=True, eq=False)
class Trace(Projection):
    """A synaptic current that wears off: s(t) = decay * s(t - 1) + input(t)."""

    decay: float = 0.5

    file_fields: ClassVar = {"decay": "number"}
    state_values: ClassVar = 1

    def output_shape(self, shape):
        return shape

    def input_rows(self, first, last, incoming):
        return first, last

    def fan_out(self, incoming):
        return even_fan_out(*incoming[1:], 1)

    def current(self, values, rows, state=None):
        found = np.empty_like(values)
        for step, value in enumerate(values):
            state[..., 0] = self.decay * state[..., 0] + value
            found[step] = state[..., 0]
        return found

    def forward(self, value, kept=None):
        return np.concatenate(value, axis=3) / (1 - self.decay)  # where it comes to rest

    def backward(self, value, gradient, into_input=True, kept=None):
        return gradient / (1 - self.decay) if into_input else None, {}

    def backward_in_time(self, value, gradient, steps):
        into = gradient.reshape(steps, -1, *gradient.shape[1:]).copy()
        for step in range(steps - 2, -1, -1):
            into[step] += self.decay * into[step + 1]
        return into.reshape(gradient.shape)


def locally_connected(channels=2, side=(5, 4), outputs=3, dyadic=False):
    generator = np.random.default_rng(0)
    weight = generator.normal(0, 0.5, (outputs, channels, *side, 3, 3))
    weight[0, 0, 1] = 0
    bias = generator.normal(0, 0.5, outputs)
    if dyadic:
        weight, bias = np.round(weight * 16) / 16, np.round(bias * 16) / 16
    return LocallyConnected2d("own", "neurons", weight, bias)


def network_of(own, channels=2, model=None):
    """A layer of neurons, the layer of one's own, neurons that read it, and a readout."""
    neurons = {} if model is None else {"model": model}
    one = np.eye(channels, dtype=np.float32)[:, :, None, None]
    outputs = own.channels_out(channels)
    weight = np.full((1, outputs, 1, 1), 0.5, np.float32)
    nodes = [Input("input", channels), Conv2d("same", "input", one), Neurons("neurons", "same", **neurons), own]
    after = [Neurons("behind", own.name, **neurons), Conv2d("readout", "behind", weight), Output("output", "readout")]
    return Network([*nodes, *after])

"""Write a kind of layer of your own, check it, run it in the engine, count it, save it and fine-tune it:

    python examples/my_layer.py

The layer is a convolution whose weights are not shared: every pixel has a kernel of its own (Taigman et al., DeepFace,
CVPR 2014). No kind of the package, nor of PyTorch, can do that, and it is what a sensor with faults of its own needs:
here each pixel of a camera sees its light through a gain that never changes (fixed-pattern noise), which a layer that
treats all places alike cannot take away. docs/layers.md explains each part.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from spikeunet.engine import (
    Conv2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Weighted,
    load_model,
    register_layer,
    save_model,
    simulate,
    window_fan_out,
    window_rows,
)
from spikeunet.engine.learning.finetune import Settings, Trainer

SIDE = 16


@register_layer
@dataclass(frozen=True, eq=False)
class LocallyConnected2d(Weighted):
    """A convolution in which each output pixel has weights of its own; zeros around, so that the size stays.

    Parameters
    ----------
    name, source : str
    weight : (out_channels, in_channels, H, W, kernel height, kernel width) float32, both kernel sizes odd
    bias : (out_channels,) float32, or None for zeros
    """

    weight: np.ndarray
    bias: np.ndarray = None

    def __post_init__(self):
        super().__post_init__()
        self.check_arrays(6)

    @property
    def window(self):
        """Size of the kernel, stride and padding, as `window_rows` and `window_fan_out` take them."""
        height, width = self.weight.shape[4:]
        return (height, width), (1, 1), (height // 2, width // 2)

    def output_shape(self, shape):
        channels, height, width = shape
        if (height, width) != self.weight.shape[2:4]:
            raise self.refuse("weight", f"is made for {self.weight.shape[2:4]} pixels, not for {height, width}")
        return self.channels_out(channels), height, width

    def input_rows(self, first, last, incoming):
        return window_rows(first, last, incoming, *self.window)

    def fan_out(self, incoming):
        return window_fan_out(incoming, *self.window, self.out_channels)

    def current(self, values, rows, state=None):
        shape = (len(values), rows.height, rows.incoming[2], self.out_channels)
        found = np.empty(shape, values.dtype)
        add_up(values, self.weight, self.bias, rows.first, rows.first_input, found)
        return found

    def backward(self, value, gradient, into_input=True, kept=None):
        values = np.ascontiguousarray(np.concatenate(value, axis=3))
        into, weight = np.zeros_like(values), np.zeros(self.weight.shape, values.dtype)
        spread_back(values, self.weight, np.ascontiguousarray(gradient), into, weight)
        return into if into_input else None, {"weight": weight, "bias": gradient.sum((0, 1, 2))}


@numba.njit(nogil=True)
def add_up(values, weight, bias, first, first_input, found):
    """Currents of the output rows from `first` on, of input rows from `first_input` on."""
    outputs, channels, height, width, tall, wide = weight.shape
    steps, rows, _, _ = found.shape
    for step, row, x, out in np.ndindex(steps, rows, width, outputs):
        y, total = first + row, bias[out]
        for i, j in np.ndindex(tall, wide):
            from_y, from_x = y + i - tall // 2, x + j - wide // 2
            if 0 <= from_y < height and 0 <= from_x < width:
                for channel in range(channels):
                    total += values[step, from_y - first_input, from_x, channel] * weight[out, channel, y, x, i, j]
        found[step, row, x, out] = total


@numba.njit(nogil=True)
def spread_back(values, weight, gradient, into, into_weight):
    """Add the gradients of what was read and of the weight up."""
    _, channels, height, width, tall, wide = weight.shape
    for step, y, x, out in np.ndindex(gradient.shape):
        for i, j in np.ndindex(tall, wide):
            from_y, from_x = y + i - tall // 2, x + j - wide // 2
            if 0 <= from_y < height and 0 <= from_x < width:
                for channel in range(channels):
                    slope = gradient[step, y, x, out]
                    into[step, from_y, from_x, channel] += slope * weight[out, channel, y, x, i, j]
                    into_weight[out, channel, y, x, i, j] += slope * values[step, from_y, from_x, channel]


def shared(name: str, source: str) -> Conv2d:
    """A convolution that begins as the identity."""
    weight = np.zeros((1, 1, 3, 3), np.float32)
    weight[:, :, 1, 1] = 1
    return Conv2d(name, source, weight, padding=1)


def local(name: str, source: str) -> LocallyConnected2d:
    """The same with weights for each pixel."""
    weight = np.zeros((1, 1, SIDE, SIDE, 3, 3), np.float32)
    weight[..., 1, 1] = 1
    return LocallyConnected2d(name, source, weight)


def correction(first) -> Network:
    """A layer that corrects what the camera sees, of a kind that `first` makes, and a convolution to read it out."""
    model = MultiThreshold.rounding()
    nodes = [Input("camera"), first("correct", "camera"), Neurons("corrected", "correct", model)]
    return Network([*nodes, shared("readout", "corrected"), Output("output", "readout")])


class Camera:
    """Examples to learn from: smooth pictures as the camera sees them, every pixel through a gain of its own."""

    gain = np.random.default_rng(0).uniform(0.5, 1.5, (SIDE, SIDE, 1)).astype(np.float32)

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        light = generator.random((8, SIDE, SIDE, 1), np.float32)
        for axis in (1, 2):
            light = (np.roll(light, 1, axis) + light + np.roll(light, -1, axis)) / 3
        return self.gain * light, light


def trained(network: Network, iterations: int = 80) -> Network:
    """The network, fine-tuned with backpropagation through time."""
    trainer = Trainer(network, Camera(), Settings(steps=4, method="bptt", iterations=iterations, rate=0.02))
    losses = [trainer.step().loss for _ in range(iterations)]
    print(f"{type(network['correct']).__name__}: loss {losses[0]:.5f} -> {np.mean(losses[-10:]):.5f}")
    return trainer.result()


def main() -> None:
    trained(correction(shared))
    tuned = trained(correction(local))

    picture = Camera().draw(np.random.default_rng(1))[0][0].transpose(2, 0, 1)
    result = simulate(tuned, picture, steps=8)
    same = all(
        np.array_equal(simulate(tuned, picture, steps=8, **way).output, result.output)
        for way in ({"order": "time"}, {"tile": 4}, {"threads": 2})
    )
    print("the same in either order, in tiles and on two threads:", same)
    print(result.operations)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.npz"
        save_model(tuned, path)
        again = simulate(load_model(path), picture, steps=8)
    print("the same after saving and loading:", np.array_equal(again.output, result.output))

    try:
        from spikeunet.engine.testing import check_layer
    except ImportError:
        print("pip install 'spikeunet[testing]' to check the layer")
    else:
        weight = np.random.default_rng(2).normal(0, 0.5, (3, 2, 5, 4, 3, 3))
        check_layer(LocallyConnected2d("local", "anything", weight, np.array([0.5, 0, -0.25])), (2, 5, 4))
        print("all checks of the layer hold")


if __name__ == "__main__":
    main()

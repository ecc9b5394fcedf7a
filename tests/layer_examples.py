"""Examples of each kind of layer, what PyTorch makes of them, and small networks around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeunet.engine import (
    Add,
    Attention,
    AttentionGates,
    AvgPool2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    Linear,
    MaxPool2d,
    MeanConv2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    PixelUnshuffle,
    Scale,
    SumPool2d,
    Upsample,
)
from spikeunet.engine.graph import Projection

RANDOM = np.random.default_rng(0)
MODEL = MultiThreshold()


def random(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Example:
    """A node that reads "source", a picture's shape that fits it, and what PyTorch computes of (N, C, H, W) float64.

    `parts` are further nodes that the node reads, of a sum or a concatenation.
    """

    node: Any
    shape: tuple[int, int, int]
    torch: Callable[..., Any]
    parts: tuple[Any, ...] = ()

    @property
    def network(self) -> Network:
        """The picture, the node and the readout."""
        nodes = [Input("source", self.shape[0]), *self.parts, self.node]
        return Network([*nodes, *self.behind, Output("output", (self.behind or nodes)[-1].name)])

    @property
    def behind(self) -> list[Any]:
        """What makes a current of what the node puts out, where that is none."""
        if isinstance(self.node, (Projection, Add)):
            return []
        return [Scale("behind", self.node.name, np.ones(self.channels, np.float32))]

    @property
    def channels(self) -> int:
        """Channels that the node puts out."""
        shapes = {"source": self.shape}
        for node in (*self.parts, self.node):
            shapes[node.name] = node.output_shape(*(shapes[source] for source in node.sources))
        return shapes["node"][0]

    def spiking(self, model=MODEL, weight=None) -> Network:
        """Neurons in front of the node, and behind it."""
        weight = np.eye(self.shape[0], dtype=np.float32) if weight is None else weight
        first = [Input("input", self.shape[0]), Conv2d("first", "input", weight[:, :, None, None])]
        nodes = [*first, Neurons("source", "first", model), *self.parts, self.node, *self.behind]
        nodes.append(Neurons("neurons", nodes[-1].name, model))
        readout = Scale("readout", "neurons", np.ones(self.channels, np.float32))
        return Network([*nodes, readout, Output("output", "readout")])


def _functional() -> Any:
    import torch

    return torch.nn.functional


def _weights(node: Any) -> tuple[Any, Any]:
    import torch

    return torch.tensor(node.weight).double(), torch.tensor(node.bias).double()


def _conv1d(node, x, weight=None, bias=None):
    options = (node.stride, node.padding, node.dilation, node.groups)
    return _functional().conv1d(x[:, :, 0], weight, bias, *options)[:, :, None]


def _conv2d(node, x, weight=None, bias=None):
    return _functional().conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)


def _conv_transpose2d(node, x, weight=None, bias=None):
    options = (node.stride, node.padding, node.output_padding, node.groups, node.dilation)
    return _functional().conv_transpose2d(x, weight, bias, *options)


def _linear(_node, x, weight=None, bias=None):
    return _functional().linear(x.flatten(1), weight, bias)[:, :, None, None]


def _scale(_node, x, weight=None, bias=None):
    return x * weight[:, None, None] + bias[:, None, None]


def _attention_gates(_node, x, weight=None, bias=None):
    means = _functional().linear(x.mean((2, 3)), weight, bias).sigmoid()
    places = (_functional().conv2d(x, weight[1:2, :, None, None]) + bias[1]).sigmoid()
    return x * places * means[:, :1, None, None] * means[:, 2:, None, None]


def _avg(node, x):
    return _functional().avg_pool2d(x, node.kernel_size, node.stride, node.padding)


def _sum(node, x):
    return _functional().avg_pool2d(x, node.kernel_size, node.stride, node.padding, divisor_override=1)


def _max(node, x):
    return _functional().max_pool2d(x, node.kernel_size, node.stride, node.padding)


def _global(_node, x):
    return x.mean((2, 3), keepdim=True)


def _upsample(node, x):
    aligned = {"align_corners": node.align_corners} if node.mode == "bilinear" else {}
    return _functional().interpolate(x, scale_factor=tuple(map(float, node.scale_factor)), mode=node.mode, **aligned)


def _shuffle(node, x):
    return _functional().pixel_shuffle(x, node.upscale_factor)


def _unshuffle(node, x):
    return _functional().pixel_unshuffle(x, node.downscale_factor)


def _flatten(_node, x):
    return x.flatten(1)[:, :, None, None]


def _mean_conv2d(node, x, weight=None, bias=None):
    return _functional().conv2d(x, weight, bias, padding=node.padding).mean((2, 3), keepdim=True)


def _attention(node, x):
    pictures, channels, height, width = x.shape
    q, k, v = x.reshape(pictures, 3, node.heads, -1, height * width).transpose(3, 4).unbind(1)
    mixed = (q @ k.transpose(2, 3)) @ v * node.scale
    return mixed.transpose(2, 3).reshape(pictures, channels // 3, height, width)


def _of(node, shape, torch):
    return Example(node, shape, torch)


def _added() -> Example:
    parts = (
        Conv2d("a", "source", random(3, 3, 3, 3), random(3), padding=1),
        Scale("b", "source", random(3), random(3)),
        Add("c", ("a", "b")),
    )

    def torch(_node, x):
        a, b = _conv2d(parts[0], x, *_weights(parts[0])), _scale(parts[1], x, *_weights(parts[1]))
        return a + b + a + b + b

    return Example(Add("node", ("c", "c", "b")), (3, 7, 5), torch, parts)


def _joined() -> Example:
    def torch(_node, x):
        import torch

        return torch.cat([x, x, x], 1)

    return Example(Concat("node", ("source", "inner")), (3, 7, 5), torch, (Concat("inner", ("source", "source")),))


EXAMPLES: dict[type, list[Example]] = {
    Conv1d: [
        _of(Conv1d("node", "source", random(4, 3, 3), random(4)), (3, 1, 11), _conv1d),
        _of(Conv1d("node", "source", random(6, 2, 4), random(6), 2, 3, 2, 2), (4, 1, 13), _conv1d),
    ],
    Conv2d: [
        _of(Conv2d("node", "source", random(5, 3, 3, 2), random(5), (2, 1), (1, 2), (1, 3)), (3, 9, 7), _conv2d),
        _of(Conv2d("node", "source", random(6, 2, 3, 3), random(6), groups=3), (6, 7, 5), _conv2d),
        _of(Conv2d("node", "source", random(10, 1, 3, 2), random(10), (2, 1), (1, 1), (1, 2), 5), (5, 9, 7), _conv2d),
        _of(Conv2d("node", "source", random(4, 1, 1, 5), random(4), padding=(0, 2), groups=4), (4, 1, 3), _conv2d),
    ],
    ConvTranspose2d: [
        _of(
            ConvTranspose2d("node", "source", random(4, 3, 3, 2), random(6), (2, 3), (1, 0), (1, 2), (1, 2), 2),
            (4, 5, 3),
            _conv_transpose2d,
        ),
    ],
    Linear: [_of(Linear("node", "source", random(7, 45), random(7)), (3, 5, 3), _linear)],
    Scale: [_of(Scale("node", "source", random(5), random(5)), (5, 3, 7), _scale)],
    AttentionGates: [_of(AttentionGates("node", "source", random(5, 3), random(5)), (3, 5, 4), _attention_gates)],
    AvgPool2d: [
        _of(AvgPool2d("node", "source", 3, 2, 1), (3, 7, 9), _avg),
        _of(AvgPool2d("node", "source", (2, 3), (1, 4), (0, 1)), (3, 7, 9), _avg),
    ],
    SumPool2d: [
        _of(SumPool2d("node", "source", 3, 2, 1), (3, 7, 9), _sum),
        _of(SumPool2d("node", "source", (2, 5), (3, 1), (1, 2)), (3, 1, 3), _sum),
    ],
    MaxPool2d: [
        _of(MaxPool2d("node", "source", 3, 2, 1), (3, 7, 9), _max),
        _of(MaxPool2d("node", "source", (2, 3), (1, 4), (1, 0), variant="gated"), (3, 7, 9), _max),
        _of(MaxPool2d("node", "source", (4, 5), 1, 2), (3, 1, 3), _max),
        _of(MaxPool2d("node", "source", 3, 2, 1, variant="stepwise"), (3, 7, 9), _max),
    ],
    GlobalAvgPool2d: [_of(GlobalAvgPool2d("node", "source"), (5, 7, 3), _global)],
    Upsample: [
        _of(Upsample("node", "source", (3, 2)), (3, 5, 7), _upsample),
        _of(Upsample("node", "source", (2, 3), "bilinear"), (3, 5, 7), _upsample),
        _of(Upsample("node", "source", (3, 2), "bilinear", align_corners=True), (3, 5, 7), _upsample),
        _of(Upsample("node", "source", 4, "bilinear", align_corners=True), (2, 1, 3), _upsample),
    ],
    PixelShuffle: [_of(PixelShuffle("node", "source", 3), (18, 3, 5), _shuffle)],
    PixelUnshuffle: [_of(PixelUnshuffle("node", "source", 2), (3, 8, 6), _unshuffle)],
    Flatten: [_of(Flatten("node", "source"), (3, 5, 7), _flatten)],
    MeanConv2d: [
        _of(MeanConv2d("node", "source", random(4, 3, 3, 3), random(4), 1), (3, 4, 5), _mean_conv2d),
        _of(MeanConv2d("node", "source", random(4, 3, 1, 2), random(4), (2, 0)), (3, 5, 3), _mean_conv2d),
    ],
    Attention: [
        _of(Attention("node", "source", 2, 0.125), (12, 3, 2), _attention),
        _of(Attention("node", "source", 1, 0.25), (9, 1, 4), _attention),
    ],
    Add: [_added()],
    Concat: [_joined()],
}
"""Of every kind of the package."""

ALL = [(kind, number) for kind, examples in EXAMPLES.items() for number in range(len(examples))]
"""As parameters of a test."""


def of_torch(example: Example, x: np.ndarray) -> Any:
    """PyTorch's output, as a tensor whose gradients can be asked for, its input, and its weight and bias."""
    import torch

    tensor = torch.tensor(x).double().requires_grad_()
    weights = [part.requires_grad_() for part in _weights(example.node)] if hasattr(example.node, "weight") else []
    return example.torch(example.node, tensor, *weights), tensor, weights

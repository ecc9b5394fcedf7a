"""A network that is run by increments, and clips of which a part changes from picture to picture."""

from __future__ import annotations

import numpy as np

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)

LADDER = MultiThreshold.rounding()
BYTE_LADDER = MultiThreshold(tuple(2.0**-k for k in range(8)))


def weight(generator, *shape):
    """Integers over 16, some of them 0."""
    return (generator.integers(-8, 9, shape) / 16).astype(np.float32)


def network(seed=0, model=LADDER, floats=False, thresholds_of_second=None, channels=1, outputs=3, **metadata):
    """A small U-Net, of which each kind of layer and of way is a part; all widths share kernels."""
    generator = np.random.default_rng(seed)
    deep = weight(generator, 16, 12, 3, 3)
    return Network(
        [
            Input("input", channels),
            Conv2d("conv1", "input", generator.normal(0, 1, (16, channels, 3, 3)).astype(np.float32), padding=1),
            Neurons("relu1", "conv1", model),
            Conv2d("conv2", "relu1", weight(generator, 12, 16, 3, 3), padding=1),
            Neurons("relu2", "conv2", thresholds_of_second or model),
            AvgPool2d("pool", "relu2", 2),
            Neurons("pooled", "pool", model),
            Conv2d("conv3", "pooled", deep * np.float32(1.1 if floats else 1), padding=1),
            Neurons("relu3", "conv3", model),
            ConvTranspose2d("up", "relu3", weight(generator, 16, 16, 3, 3), stride=2, padding=1, output_padding=1),
            Neurons("relu_up", "up", model),
            Concat("both", ("relu2", "relu_up")),
            Conv2d("conv4", "both", weight(generator, 16, 28, 3, 3), padding=1),
            Neurons("relu4", "conv4", model),
            Conv2d("last", "relu4", weight(generator, outputs, 16, 1, 1)),
            Output("output", "last"),
        ],
        metadata,
    )  # fmt: skip


def clip(seed, frames=5, channels=1, height=12, width=20):
    """Pictures of which each differs from the one before in a rectangle, a pixel, everywhere or nowhere."""
    generator = np.random.default_rng(seed)
    picture = generator.random((channels, height, width)).astype(np.float32)
    for _ in range(frames):
        yield picture.copy()
        kind = generator.integers(5)
        y, x = generator.integers(height), generator.integers(width)
        if kind <= 1:
            picture[:, y : y + generator.integers(1, 6), x : x + generator.integers(1, 6)] = generator.random()
        elif kind == 2:
            picture[:, y, x] = -picture[:, y, x]
        elif kind == 3:
            picture = generator.random(picture.shape).astype(np.float32)

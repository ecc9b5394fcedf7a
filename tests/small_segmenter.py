"""Networks for the tests of segmentation whose labels are known: the brightness of a pixel decides its class."""

from __future__ import annotations

import numpy as np

from spikeunet.engine import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Network, Neurons, Output


def small_segmenter(outputs=2, channels=1, **metadata):
    """Class of a pixel = floor(outputs * mean of its channels), by the upper envelope of lines of slope 0, 1, 2, ...

    A branch over two scales spikes but has no say in the output.
    """
    random = np.random.default_rng(0)
    slope = np.arange(outputs)
    readout = np.zeros((outputs, channels + 4, 1, 1), np.float32)
    readout[:, :channels, 0, 0] = slope[:, None] / channels
    bias = (-slope * (slope + 1) / (2 * outputs)).astype(np.float32)
    return Network(
        [
            Input("input", channels),
            Conv2d("conv1", "input", random.normal(0.2, 0.3, (4, channels, 3, 3)).astype(np.float32), padding=1),
            Neurons("relu1", "conv1"),
            AvgPool2d("average_pool1", "relu1", kernel_size=4),
            Neurons("pooling1", "average_pool1"),
            ConvTranspose2d("up1", "pooling1", random.random((4, 4, 4, 4)).astype(np.float32), stride=4),
            Neurons("relu_up1", "up1"),
            Concat("concat1", ("input", "relu_up1")),
            Conv2d("conv2", "concat1", readout, bias),
            Output("output", "conv2"),
        ],
        {"task": "segment", "steps": 3, **metadata},
    )


def brightness_classes(picture, classes):
    """What `small_segmenter` makes of a gray uint8 picture."""
    return np.minimum(picture.astype(np.int64) * classes // 255, classes - 1)

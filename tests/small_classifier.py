"""Networks for the tests of classification whose classes are known: the mean brightness of a picture decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeunet.engine import Add, AvgPool2d, Conv2d, Input, Network, Neurons, Output
from spikeunet.engine.pictures.picture_files import write_picture

SIDE = 8


def small_classifier(outputs=3, channels=1, **metadata):
    """Class of a picture of 8x8 = floor(outputs * its mean), by the upper envelope of lines of slope 0, 1, 2, ...

    A branch that spikes has no say in the output.
    """
    random = np.random.default_rng(0)
    slope = np.arange(outputs)
    weight = np.broadcast_to(slope[:, None, None, None] / (channels * SIDE**2), (outputs, channels, SIDE, SIDE))
    bias = (-slope * (slope + 1) / (2 * outputs)).astype(np.float32)
    return Network(
        [
            Input("input", channels),
            Conv2d("conv1", "input", random.normal(0.2, 0.3, (4, channels, 3, 3)).astype(np.float32), padding=1),
            Neurons("relu1", "conv1"),
            AvgPool2d("average_pool1", "relu1", kernel_size=4),
            Neurons("pooling1", "average_pool1"),
            Conv2d("branch", "pooling1", np.zeros((outputs, 4, 2, 2), np.float32)),
            Conv2d("lines", "input", weight.astype(np.float32), bias),
            Add("classes", ("lines", "branch")),
            Output("output", "classes"),
        ],
        {"task": "classify", "steps": 3, **metadata},
    )


def picture_of_class(label, classes, seed=0, shape=(SIDE, SIDE)):
    """A uint8 picture of that class: noise about the middle of its brightness, one pixel black and one white."""
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    noise -= noise.mean()
    picture = np.clip(np.rint(255 * (label + 0.5) / classes + noise), 0, 255).astype(np.uint8)
    picture[0, 0], picture[-1, -1] = 0, 255
    return picture


def write_classes(folder, names, number=3, wrong=()):
    """A folder for each class; pictures (label, index) in `wrong` are of the next class."""
    for label, name in enumerate(names):
        Path(folder, name).mkdir(parents=True)
        for index in range(number):
            shown = (label + 1) % len(names) if (label, index) in wrong else label
            write_picture(Path(folder, name, f"{index}.png"), picture_of_class(shown, len(names), 10 * label + index))

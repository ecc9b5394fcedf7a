"""Networks for the tests of the command: a tiny U-Net whose denoised picture is known, and a state dict to convert."""

from __future__ import annotations

import numpy as np

from spikeunet.engine import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Network, Neurons, Output


def small_denoiser(channels=1, **metadata):
    """Half of the input, exactly, plus a branch over two scales that spikes but has no say in the output."""
    random = np.random.default_rng(0)
    readout = np.zeros((channels, channels + 4, 1, 1), np.float32)
    readout[range(channels), range(channels)] = 0.5
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
            Conv2d("conv2", "concat1", readout),
            Output("output", "conv2"),
        ],
        {"task": "denoise", "steps": 3, **metadata},
    )


def one_sided_denoiser(channels=1, **metadata):
    """A denoiser to which left, right, top and bottom are not alike."""
    network = small_denoiser(channels, **metadata)
    (readout,) = (node for node in network.nodes if node.name == "conv2")
    random = np.random.default_rng(1)
    weight = np.array(readout.weight)
    weight[:, channels:] = random.normal(0, 0.05, weight[:, channels:].shape)
    nodes = [type(node)(**{**vars(node), "weight": weight}) if node is readout else node for node in network.nodes]
    return type(network)(nodes, network.metadata)


def spiking_unet_state():
    """A Spiking-UNet of base width 2 as a state dict."""
    random = np.random.default_rng(0)
    widths = [2, 4, 8, 16, 32]
    pairs = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]
    pairs += [pair for width in widths[-2::-1] for pair in ((2 * width, width), (width, width))]
    arrays = {}

    def add(name, shape, outputs):
        arrays[f"{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
        arrays[f"{name}.bias"] = random.normal(0, 0.1, outputs).astype(np.float32)

    for index, (inputs, outputs) in enumerate(pairs, 1):
        add(f"conv{index}", (outputs, inputs, 3, 3), outputs)
    add("conv19", (1, 2, 1, 1), 1)
    for index, width in enumerate(widths[-2::-1], 1):
        add(f"convtranspose{index}", (2 * width, width, 3, 3), width)
    return arrays

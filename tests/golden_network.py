"""The golden vectors and their Spiking-UNet, built from the weights as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)

DEPTH = 4

GOLDEN_MODELS = {
    "multi_threshold_gray_48x32": MultiThreshold((2.0, 1.0, 0.5, 0.25)),
    "multi_threshold_color_32x64": MultiThreshold((2.0, 1.0, 0.5, 0.25)),
    "if_gray_32x32": IntegrateAndFire(1.0, reset="subtract"),
}
"""Neuron model of each golden file."""


@dataclass(frozen=True)
class Golden:
    """A golden file: what goes in and what the published implementation recorded."""

    picture: np.ndarray
    steps: int
    weights: dict
    records: dict
    readout: np.ndarray


def read_golden(folder, name):
    """The golden file `name`; `records` maps spikes, membrane and spike_count to {layer: array}."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)

    def section(prefix):
        return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}

    return Golden(
        picture=arrays["input"][0],
        steps=int(arrays["steps"]),
        weights=section("weights/"),
        records={
            "spikes": section("spikes/"),
            "membrane": section("membrane/"),
            "spike_count": section("spikecount/"),
        },
        readout=arrays["readout"],
    )


def golden_network(weights, model):
    """The network of `weights` (a mapping from "conv1.weight", "conv1.bias", ... to arrays), all neurons `model`.

    Four times two convolutions and an average pool, two convolutions, then four times a transposed convolution, a
    concatenation behind the skip of the same size and two convolutions, and conv19 as the readout.
    """
    nodes = [Input("input", len(weights["conv1.weight"][0]))]

    def add(node):
        nodes.append(node)
        return node.name

    def convolution(number, source):
        weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
        return add(Conv2d(f"conv{number}", source, weight, bias, padding=weight.shape[-1] // 2))

    def convolutions(number, source):
        for k in (number, number + 1):
            source = add(Neurons(f"relu{k}", convolution(k, source), model))
        return source

    def upsample(number, source):
        name = f"convtranspose{number}"
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        node = ConvTranspose2d(name, source, weight, bias, stride=2, padding=1, output_padding=1)
        return add(Neurons(f"relu_convtranpose{number}", add(node), model))

    source, skips = "input", []
    for level in range(1, DEPTH + 1):
        skips.append(convolutions(2 * level - 1, source))
        source = add(Neurons(f"pooling{level}", add(AvgPool2d(f"average_pool{level}", skips[-1])), model))
    source = convolutions(2 * DEPTH + 1, source)
    for level in range(1, DEPTH + 1):
        parts = (skips.pop(), upsample(level, source))
        source = add(Concat(f"concat{level}", parts))
        source = convolutions(2 * DEPTH + 1 + 2 * level, source)
    add(Output("output", convolution(19, source)))
    return Network(nodes)

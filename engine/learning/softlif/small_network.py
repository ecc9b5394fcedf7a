"""The small convolutional network, with the retina's midget cells before it where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...encoders.ganglion_cells import CELLS
from ...errors import InputError
from ...graph import Input, Network, Neurons, Node, Output, Weighted
from ...layers import Conv2d, Linear
from ...neurons import InterpolatedLeakyIntegrateAndFire

Array = NDArray[np.float32]

WIDTHS = (8, 16, 32)
"""Channels of the convolutions, as in Gupta and Bhattacharya's study (IJCNN 2020, arXiv 2105.14326)."""

KINDS = {"none": (), "off-midget": ("off_midget",), "midget": ("off_midget", "on_midget")}
"""Cells before the network, by what they are called."""

RETINA = "retina"
"""Name of the layer whose weights are the cells' kernels, which are not trained."""

_SPREAD = 2.0
"""Of the first currents about the threshold, where inputs are about 1: up to some hundred spikes a second."""


def small_network(
    shape: tuple[int, int, int],
    classes: int,
    widths: Sequence[int] = WIDTHS,
    cells: str = "none",
    neuron: InterpolatedLeakyIntegrateAndFire | None = None,
    seed: int = 0,
) -> Network:
    """Convolutions of 3x3, each of which halves the picture, and a linear layer that reads out a number for each class.

    Strides take the place of the study's average pools, which would need neurons of their own. Currents begin about the
    threshold: biases are 1. Cells of the retina are a layer of neurons with fixed weights.

    Parameters
    ----------
    shape : (C, H, W)
        Of the pictures.
    classes : int
        At least 2.
    widths : sequence of int
        Output channels of each convolution.
    cells : "none", "off-midget" or "midget"
        Kinds of ganglion cells before the network; "midget" are off and on.
    neuron : InterpolatedLeakyIntegrateAndFire, optional
        Model of all neurons.
    seed : int
        Of the first weights.

    Raises
    ------
    InputError
        If there are no widths, a number is too small, or there are no such cells.
    """
    if not widths or min(*widths, *shape, classes - 1) < 1:
        raise InputError(
            f"a network needs pictures, widths and at least two classes (got {shape}, {tuple(widths)}, {classes})"
        )
    if cells not in KINDS:
        raise InputError(f"cells must be one of {', '.join(KINDS)} (got {cells!r})")
    model = neuron or InterpolatedLeakyIntegrateAndFire()
    generator = np.random.default_rng(seed)
    channels, height, width = shape
    nodes: list[Node] = [Input("picture", channels)]
    if KINDS[cells]:
        nodes += [_retina(KINDS[cells], channels), Neurons("cells", RETINA, model)]
        channels *= len(KINDS[cells])
    for index, out in enumerate(widths, 1):
        weight = _normal(generator, (out, channels, 3, 3), channels * 9)
        nodes.append(
            Conv2d(f"conv{index}", nodes[-1].name, weight, np.ones(out, np.float32), stride=(2, 2), padding=(1, 1))
        )
        nodes.append(Neurons(f"lif{index}", f"conv{index}", model))
        channels, height, width = out, (height + 1) // 2, (width + 1) // 2
    features = channels * height * width
    weight = _normal(generator, (classes, features), features * 4)
    nodes += [Linear("classes", nodes[-1].name, weight), Output("output", "classes")]
    return Network(nodes)


def _retina(kinds: Sequence[str], channels: int) -> Weighted:
    """A channel of each kind of cells for each channel of the picture; without contrast, currents are the threshold."""
    side = max(CELLS[kind].size for kind in kinds)
    weight = np.zeros((len(kinds) * channels, channels, side, side), np.float32)
    for place, kind in enumerate(kinds):
        margin = (side - CELLS[kind].size) // 2
        inside = slice(margin, margin + CELLS[kind].size)
        for channel in range(channels):
            weight[place * channels + channel, channel, inside, inside] = _SPREAD * CELLS[kind].kernel()
    around = (side // 2, side // 2)
    return Conv2d(RETINA, "picture", weight, np.ones(len(weight), np.float32), padding=around)


def _normal(generator: np.random.Generator, shape: tuple[int, ...], inputs: int) -> Array:
    return np.asarray(generator.standard_normal(shape) * (_SPREAD / math.sqrt(inputs)), np.float32)

"""Hypothesis strategies: random networks with pictures, small and dyadic so that no sum is ever rounded in float32.

Structure (layers, sizes, geometry, neurons) is drawn by Hypothesis and shrinks; the many weights come from a seeded
generator, which keeps the examples fast. Weights, biases, pictures, thresholds and initial potentials are multiples of
1/16 and pooling windows have 1, 2, 4, 8 or 16 elements, so that currents are multiples of 1/256.

Hypothesis sets a deadline for an example, and the first example may have to compile kernels: use
`settings(deadline=None)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..events import STEPS_PER_QUEUE, EventQueue, channel_type, level_type
from ..graph import Input, Network, Neurons, Node, Output, Projection, Shape
from ..layers import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Linear
from .neuron_strategies import (
    Numbers,
    binary_ladders,
    burst,
    charge_conserving_models,
    dyadic_weights,
    general_ladders,
    integrate_and_fire,
    ladder_models,
    leaky_integrate_and_fire,
    multi_threshold,
    neuron_models,
    numbers,
    refractory,
    signed_multi_threshold,
    sixteenths,
)

__all__ = [
    "CHANNELS",
    "SIDES",
    "STEPS",
    "SYNAPSES",
    "Case",
    "Numbers",
    "avg_pool2d",
    "binary_ladders",
    "burst",
    "cases",
    "charge_conserving_models",
    "conv2d",
    "conv_transpose2d",
    "dyadic_weights",
    "event_queues",
    "general_ladders",
    "integrate_and_fire",
    "ladder_models",
    "leaky_integrate_and_fire",
    "linear",
    "multi_threshold",
    "neuron_models",
    "numbers",
    "refractory",
    "signed_multi_threshold",
    "sixteenths",
]

LARGEST_SIDE = 16
"""Transposed convolutions stop growing pictures here, to keep examples fast."""

CHANNELS = st.integers(1, 5) | st.sampled_from((7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40))
"""Most of them no multiple of a vector's 8 or 16 float32 numbers."""

STEPS = st.integers(1, 20)
"""Crosses any chunk of 8, 4, 2 or 1 steps that an engine may work in."""

FEW_STEPS = st.sampled_from((1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19))
"""The same but for chunks of 4: each size of a chunk has kernels of its own."""

SIDES = st.integers(1, 12)


@dataclass(frozen=True)
class Case:
    """A network, a picture (C, H, W) float32 that fits it, and a number of steps."""

    network: Network
    picture: NDArray[np.float32]
    steps: int

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shape that each node puts out."""
        channels, height, width = self.picture.shape
        return self.network.shapes((channels, height, width))

    def __repr__(self) -> str:
        shapes = self.shapes
        nodes = "\n".join(f"  {_describe(node)} -> {shapes[node.name]}" for node in self.network.nodes)
        return f"Case(steps={self.steps}, picture={self.picture.shape}, nodes:\n{nodes})"

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """What Hypothesis prints of a failing example."""
        printer.text(repr(self))


def _describe(node: Node) -> str:
    shown = {name: value.shape if isinstance(value, np.ndarray) else value for name, value in vars(node).items()}
    return f"{type(node).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"


# --- Synapses: each strategy gives a node that fits the source's shape ------------------------------------------------


@st.composite
def _groups(draw: st.DrawFn, in_channels: int) -> int:
    divisors = [k for k in range(1, in_channels + 1) if in_channels % k == 0]
    return draw(st.just(1) | st.sampled_from(divisors), label="groups")


@st.composite
def _out_channels(draw: st.DrawFn, groups: int) -> int:
    """Output channels, a multiple of the groups."""
    wanted = draw(CHANNELS, label="out channels")
    return groups * max(1, round(wanted / groups))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal


@st.composite
def conv2d(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Conv2d:
    """Convolution with any kernel, stride, padding, dilation and groups that suit the shape."""
    channels, *sides = shape
    padding = [draw(st.integers(0, 3), label="padding") for _ in sides]
    dilation = [draw(st.integers(1, 3), label="dilation") for _ in sides]
    stride = [draw(st.integers(1, 3), label="stride") for _ in sides]
    largest = [min(4, (n + 2 * p - 1) // d + 1) for n, p, d in zip(sides, padding, dilation, strict=True)]
    kernel = [draw(st.integers(1, k), label="kernel") for k in largest]
    if not values.every_kernel:  # kernels are compiled for a number of columns
        kernel[1] = 3 if kernel[1] > 2 else 1
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(out_channels, channels // groups, *kernel)
    bias = values.bias(out_channels)
    return Conv2d(name, source, weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups)


@st.composite
def conv_transpose2d(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> ConvTranspose2d:
    """Transposed convolution with any geometry that suits the shape."""
    channels, *sides = shape
    kernel = [draw(st.integers(1, 4 if values.every_kernel else 3), label="kernel") for _ in sides]
    dilation = [draw(st.integers(1, 2), label="dilation") for _ in sides]
    stride = [draw(st.integers(1, 3 if 3 * n <= LARGEST_SIDE else 1), label="stride") for n in sides]
    extra = [draw(st.integers(0, max(s, d) - 1), label="extra") for s, d in zip(stride, dilation, strict=True)]
    every = zip(sides, stride, dilation, kernel, extra, strict=True)
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in every]
    padding = [draw(st.integers(0, min(3, (n - 1) // 2)), label="padding") for n in full]
    groups = draw(_groups(channels))
    out_channels = draw(_out_channels(groups))
    weight = values.weight(channels, out_channels // groups, *kernel)
    bias = values.bias(out_channels)
    geometry = (_pair(stride), _pair(padding), _pair(extra), _pair(dilation))
    return ConvTranspose2d(name, source, weight, bias, *geometry, groups)


@st.composite
def avg_pool2d(draw: st.DrawFn, name: str, source: str, shape: Shape, _: Numbers) -> AvgPool2d:
    """Average pool whose window's area is a power of two."""
    sides = shape[1:]
    kernel = [draw(st.sampled_from([k for k in (2, 1, 4) if k <= n + 2 * (k // 2)]), label="window") for n in sides]
    least = [max(0, -((n - k) // 2)) for n, k in zip(sides, kernel, strict=True)]
    padding = [draw(st.integers(p, k // 2), label="padding") for p, k in zip(least, kernel, strict=True)]
    stride = [draw(st.integers(1, 4), label="stride") for _ in sides]
    return AvgPool2d(name, source, _pair(kernel), _pair(stride), _pair(padding))


@st.composite
def linear(draw: st.DrawFn, name: str, source: str, shape: Shape, values: Numbers) -> Linear:
    """Full connection; few outputs, because the inputs are many."""
    features = draw(st.integers(1, 20), label="features")
    return Linear(name, source, values.weight(features, int(np.prod(shape))), values.bias(features))


SYNAPSES: Mapping[str, Callable[..., st.SearchStrategy[Projection]]] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "avg_pool2d": avg_pool2d,
    "linear": linear,
}
"""The strategy of each kind of synapse node."""


# --- Networks --------------------------------------------------------------------------------------------------------


@st.composite
def cases(
    draw: st.DrawFn,
    models: st.SearchStrategy[Any] | None = None,
    dyadic: bool = True,
    kinds: Sequence[str] = tuple(SYNAPSES),
    most_layers: int = 4,
    every_kernel: bool = False,
) -> Case:
    """A random feed-forward network with skips and concatenations, a picture that fits it, and steps.

    Parameters
    ----------
    models : strategy of neuron models, or None for any
    dyadic : bool
        Whether every number is a multiple of 1/16.
    kinds : names of synapses from SYNAPSES
    most_layers : int
        Largest number of neuron layers.
    every_kernel : bool
        Whether to draw shapes and numbers of steps for which the engine compiles kernels that few other cases need,
        too: that takes minutes the first time.
    """
    models = neuron_models() if models is None else models
    values = draw(numbers(dyadic, every_kernel))
    picture_shape = (draw(CHANNELS, label="channels"), draw(SIDES, label="height"), draw(SIDES, label="width"))
    nodes: list[Node] = [Input("input", picture_shape[0])]
    readable = {"input": picture_shape}
    for index in range(draw(st.integers(0, most_layers), label="layers")):
        synapses = draw(_synapses(str(index), nodes, readable, values, kinds))
        neurons = Neurons(f"neurons{index}", synapses.name, draw(models, label="model"))
        nodes += [synapses, neurons]
        readable[neurons.name] = synapses.output_shape(readable[synapses.source])
    read_out = draw(_synapses("_readout", nodes, readable, values, kinds))
    nodes.append(read_out)
    if draw(st.integers(0, 4), label="neurons on the readout") == 1:
        nodes.append(Neurons("neurons_readout", read_out.name, draw(models, label="model")))
    network = Network([*nodes, Output("output", read_out.name)])
    return Case(network, values.draw(picture_shape, -0.5, 1.5), draw(_steps(network, every_kernel), label="steps"))


@st.composite
def _synapses(
    draw: st.DrawFn, suffix: str, nodes: list[Node], readable: dict[str, Shape], values: Numbers, kinds: Sequence[str]
) -> Projection:
    """A node that reads the newest layer, an older one, or a concatenation made for it (and added to `nodes`)."""
    names = list(readable)
    source = names[-1 - draw(st.integers(0, len(names) - 1), label="source")]
    same_size = [name for name in names if readable[name][1:] == readable[source][1:]]
    if draw(st.booleans(), label="concatenate"):
        parts = draw(st.lists(st.sampled_from(same_size), min_size=1, max_size=2), label="parts")
        concat = Concat(f"concat{suffix}", (*parts, source))
        readable[concat.name] = concat.output_shape(*(readable[part] for part in concat.parts))
        nodes.append(concat)
        source = concat.name
    kind = draw(st.sampled_from(kinds), label="kind")
    return draw(SYNAPSES[kind](f"{kind}{suffix}", source, readable[source], values))


def _steps(network: Network, every_kernel: bool) -> st.SearchStrategy[int]:
    """Fewer steps where a leak halves the smallest digit of the membrane potential at each."""
    leaky = any(0 < getattr(node.model, "decay", 1) < 1 for node in network.neurons)
    if leaky:
        return st.integers(1, 8) if every_kernel else st.sampled_from((1, 2, 3, 8))
    return STEPS if every_kernel else FEW_STEPS


# --- Event queues ----------------------------------------------------------------------------------------------------


@st.composite
def event_queues(draw: st.DrawFn, thresholds: int = 8) -> EventQueue:
    """Queues of any sparsity whose levels are bit masks over so many thresholds; rows may lie apart, as bands do."""
    shape = (draw(CHANNELS, label="channels"), draw(SIDES, label="height"), draw(SIDES, label="width"))
    steps = draw(st.integers(1, STEPS_PER_QUEUE), label="steps")
    generator = np.random.default_rng(draw(st.integers(0, 2**16), label="seed"))
    activity = draw(st.sampled_from((0.1, 0.0, 0.5, 1.0)), label="activity")
    levels = generator.integers(0, 2**thresholds, (steps, *shape)) * (generator.random((steps, *shape)) < activity)
    gap = draw(st.integers(0, 2), label="gap")
    return queue_of_levels(levels.astype(np.uint8), gap)


def queue_of_levels(levels: NDArray[np.uint8], gap: int = 0) -> EventQueue:
    """The queue of a (steps, C, H, W) array of levels, with `gap` unused places between rows."""
    steps, channels, height, width = levels.shape
    words = sum(levels[step].astype(np.uint64) << np.uint64(8 * step) for step in range(steps))
    start = np.zeros((height, width + 1), np.int64)
    kept: list[tuple[int, int]] = []
    for y in range(height):
        kept += [(0, 0)] * gap
        for x in range(width):
            start[y, x] = len(kept)
            kept += [(channel, int(words[channel, y, x])) for channel in range(channels) if words[channel, y, x]]
        start[y, width] = len(kept)
    kept.append((0, 0))
    entries = (
        np.array([channel for channel, _ in kept], channel_type(channels)),
        np.array([word for _, word in kept], level_type(steps)),
    )
    return EventQueue((channels, height, width), steps, start, *entries)

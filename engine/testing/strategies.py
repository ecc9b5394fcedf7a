"""Hypothesis strategies: random networks with pictures, small and dyadic so that no sum is ever rounded in float32.

Structure (layers, sizes, geometry, neurons) is drawn by Hypothesis and shrinks; the many weights come from a seeded
generator, which keeps the examples fast. Weights, biases, pictures, thresholds and initial potentials are multiples of
1/16 and pooling windows have 1, 2, 4, 8 or 16 elements, so that currents are multiples of 1/256.

Hypothesis sets a deadline for an example, and the first example may have to compile kernels: use
`settings(deadline=None)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..events import STEPS_PER_QUEUE, EventQueue, channel_type, level_type
from ..graph import Input, Network, Neurons, Node, Output, Projection, Shape, Synapses
from ..graph.limits import LARGEST_MULTIPLE
from ..graph.order import size_multiples, topological
from ..layers import Add, Concat
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
from .synapse_strategies import (
    CHANNELS,
    KINDS,
    SIDES,
    SYNAPSES,
    alternatives,
    avg_pool2d,
    conv1d,
    conv2d,
    conv_transpose2d,
    depthwise,
    fits,
    flatten,
    global_avg_pool2d,
    linear,
    max_pool2d,
    pixel_shuffle,
    pixel_unshuffle,
    scale,
    shapes,
    sum_pool2d,
    upsample,
)

__all__ = [
    "CHANNELS",
    "KINDS",
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
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "depthwise",
    "dyadic_weights",
    "event_queues",
    "fits",
    "flatten",
    "general_ladders",
    "global_avg_pool2d",
    "integrate_and_fire",
    "ladder_models",
    "leaky_integrate_and_fire",
    "linear",
    "max_pool2d",
    "multi_threshold",
    "neuron_models",
    "numbers",
    "pixel_shuffle",
    "pixel_unshuffle",
    "refractory",
    "scale",
    "shapes",
    "signed_multi_threshold",
    "sixteenths",
    "sum_pool2d",
    "upsample",
]

STEPS = st.integers(1, 20)
"""Crosses any chunk of 8, 4, 2 or 1 steps that an engine may work in."""

FEW_STEPS = st.sampled_from((1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19))
"""The same but for chunks of 4: each size of a chunk has kernels of its own."""


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
    values = {each.name: getattr(node, each.name) for each in dataclasses.fields(node)}
    shown = {name: value.shape if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return f"{type(node).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"


# --- Networks --------------------------------------------------------------------------------------------------------


@st.composite
def cases(
    draw: st.DrawFn,
    models: st.SearchStrategy[Any] | None = None,
    dyadic: bool = True,
    kinds: Sequence[str] = KINDS,
    most_layers: int = 4,
    every_kernel: bool = False,
    sums: bool | None = None,
    delays: bool | None = None,
) -> Case:
    """A random network with skips, concatenations, sums and delays, a picture that fits it, and steps.

    Parameters
    ----------
    models : strategy of neuron models, or None for any
    dyadic : bool
        Whether every number is a multiple of 1/16.
    kinds : names of synapses from SYNAPSES, as often as they are wanted
    most_layers : int
        Largest number of neuron layers.
    every_kernel : bool
        Whether to draw shapes and numbers of steps for which the engine compiles kernels that few other cases need,
        too: that takes minutes the first time.
    sums : bool, optional
        Whether several synapses may feed a layer: convolutions, pools and scales beside one of the kinds. By default
        where the kinds are left to themselves.
    delays : bool, optional
        Whether synapses may carry what they read to the next step, and back to where it came from; likewise.
    """
    models = neuron_models() if models is None else models
    values = draw(numbers(dyadic, every_kernel))
    sums, delays = (kinds is KINDS if chosen is None else chosen for chosen in (sums, delays))
    drawn = _Drawn(draw(_picture_shape(kinds)), values, tuple(kinds), sums, delays)
    for index in range(draw(st.integers(0, most_layers), label="layers")):
        source, shape = draw(_currents(str(index), drawn))
        drawn.add(Neurons(f"neurons{index}", source, draw(models, label="model")), shape)
    read_out, _ = draw(_currents("_readout", drawn))
    if draw(st.integers(0, 4), label="neurons on the readout") == 1:
        drawn.nodes.append(Neurons("neurons_readout", read_out, draw(models, label="model")))
    if delays and sums:
        draw(_loop(drawn))
    nodes = topological((*drawn.nodes, Output("output", read_out)))
    assume(all(multiple <= LARGEST_MULTIPLE for _, multiple in size_multiples(nodes)))
    network = Network(nodes)
    picture = values.draw(drawn.readable["input"], -0.5, 1.5)
    return Case(network, picture, draw(_steps(network, every_kernel), label="steps"))


@st.composite
def _picture_shape(draw: st.DrawFn, kinds: Sequence[str]) -> Shape:
    signal = "conv1d" in kinds and (len(set(kinds)) == 1 or draw(st.integers(0, 5), label="signal") == 1)
    height = 1 if signal else draw(SIDES, label="height")
    return draw(CHANNELS, label="channels"), height, draw(SIDES, label="width")


class _Drawn:
    """What has been drawn of a network: its nodes, and the shapes of what synapses can read and of currents."""

    def __init__(self, picture: Shape, values: Numbers, kinds: tuple[str, ...], sums: bool, delays: bool) -> None:
        self.nodes: list[Node] = [Input("input", picture[0])]
        self.readable = {"input": picture}
        self.currents: dict[str, Shape] = {}
        self.values = values
        self.kinds = kinds
        self.sums = sums
        self.delays = delays
        self.constant = {"input"}
        """What can be read and has the Input behind it, which knows no delay."""

    def add(self, node: Node, shape: Shape) -> None:
        """A node, in whichever of the two it belongs."""
        self.nodes.append(node)
        (self.currents if isinstance(node, Synapses) else self.readable)[node.name] = shape
        if isinstance(node, Concat) and self.constant & set(node.parts):
            self.constant.add(node.name)


@st.composite
def _currents(draw: st.DrawFn, suffix: str, drawn: _Drawn) -> tuple[str, Shape]:
    """Name and shape of what neurons, or the readout, can read: synapses, or a sum of several."""
    node = draw(_synapses(suffix, drawn))
    shape = node.output_shape(drawn.readable[node.source])
    drawn.add(node, shape)
    parts = [node.name]
    for number in range(draw(st.sampled_from((0, 0, 1, 2)), label="further parts") if drawn.sums else 0):
        parts.append(draw(_part(f"part{suffix}_{number}", shape, drawn)))
        if draw(st.booleans(), label="sum so far"):
            drawn.add(Add(f"sum{suffix}_{number}", tuple(parts)), shape)
            parts = [f"sum{suffix}_{number}"]
    if len(parts) > 1:
        drawn.add(Add(f"sum{suffix}", tuple(parts)), shape)
        parts = [f"sum{suffix}"]
    return parts[0], shape


@st.composite
def _part(draw: st.DrawFn, name: str, shape: Shape, drawn: _Drawn) -> str:
    """Name of something of a shape that can be added: of what there is, the same once more too, or made for it."""
    there = [other for other, found in drawn.currents.items() if found == shape]
    made = [
        (source, make) for source, found in drawn.readable.items() for make in alternatives(found, shape, drawn.values)
    ]
    chosen = draw(st.integers(0, len(made)), label="part")
    if chosen == len(made):
        return draw(st.sampled_from(there), label="once more")
    source, make = made[chosen]
    node = draw(_delayed(make(name, source), drawn))
    drawn.add(node, shape)
    return node.name


@st.composite
def _delayed(draw: st.DrawFn, node: Projection, drawn: _Drawn) -> Projection:
    """The node, perhaps with a delay."""
    possible = drawn.delays and node.source not in drawn.constant
    if possible and draw(st.integers(0, 15), label="delay") == 1:
        return dataclasses.replace(node, delay=1)
    return node


@st.composite
def _synapses(draw: st.DrawFn, suffix: str, drawn: _Drawn) -> Projection:
    """A node that reads the newest layer, an older one, or a concatenation made for it (and added to the nodes)."""
    readable = drawn.readable
    names = list(readable)
    source = names[-1 - draw(st.integers(0, len(names) - 1), label="source")]
    same_size = [name for name in names if readable[name][1:] == readable[source][1:]]
    if draw(st.booleans(), label="concatenate"):
        parts = draw(st.lists(st.sampled_from(same_size), min_size=1, max_size=2), label="parts")
        concat = Concat(f"concat{suffix}", (*parts, source))
        drawn.add(concat, concat.output_shape(*(readable[part] for part in concat.parts)))
        source = concat.name
    fitting = [kind for kind in drawn.kinds if fits(kind, readable[source])]
    kind = draw(st.sampled_from(fitting or ["conv2d"]), label="kind")
    node = draw(SYNAPSES[kind](f"{kind}{suffix}", source, readable[source], drawn.values))
    return draw(_delayed(node, drawn))


@st.composite
def _loop(draw: st.DrawFn, drawn: _Drawn) -> None:
    """Perhaps what a layer emits comes back, a step later, to that layer or to one before it."""
    layers = [node for node in drawn.nodes if isinstance(node, Neurons) and node.name in drawn.readable]
    if not layers or draw(st.integers(0, 5), label="loop") != 1:
        return
    first = draw(st.integers(0, len(layers) - 1), label="back to")
    target, source = layers[first], layers[draw(st.integers(first, len(layers) - 1), label="back from")]
    made = alternatives(drawn.readable[source.name], drawn.readable[target.name], drawn.values)
    if made:
        back = made[draw(st.integers(0, len(made) - 1), label="way back")]("back", source.name)
        both = Add("loop", (target.source, "back"))
        place = drawn.nodes.index(target)
        replaced = Neurons(target.name, "loop", target.model)
        drawn.nodes[place : place + 1] = [dataclasses.replace(back, delay=1), both, replaced]


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

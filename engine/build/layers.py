"""Layers in the order in which they run: one for each Neurons node and one for the Output."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..graph import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Output, Shape, Synapses
from ..kernels.vector_block import block_token, host_lanes, neuron_array
from .fan_out import FanOut, ZeroFanOut, dense_macs, fan_out, nonzero_weights, zero_fan_out
from .plan import GatherPlan, make_plan
from .weights import dense_kernel, pack_weights, padded_bias

_packed: weakref.WeakKeyDictionary[Synapses, dict[tuple[int, Shape], NDArray[np.float32]]] = weakref.WeakKeyDictionary()
"""Packed weights of nodes that are alive, so that only the first run of a network packs them."""

_nonzero: weakref.WeakKeyDictionary[Synapses, NDArray[np.int64]] = weakref.WeakKeyDictionary()
"""Non-zero weights of nodes that are alive: counted once, because there are millions of weights."""


@dataclass(frozen=True)
class Source:
    """A part of a layer's input: the node it comes from, its channels, and where they begin in the joined input.

    `thresholds` is the number of its neurons' thresholds, 0 for the analog input.
    """

    name: str
    channels: int
    channel_offset: int
    analog: bool
    thresholds: int


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapses and the neurons (or the readout) that they feed, bound to a picture's shape."""

    name: str
    node: Synapses
    sources: tuple[Source, ...]
    incoming: Shape
    outgoing: Shape
    neurons: Neurons | None

    @property
    def pooling(self) -> bool:
        """Whether this layer averages instead of gathering weights."""
        return isinstance(self.node, AvgPool2d)

    @property
    def padded_channels(self) -> int:
        """Output channels, filled up to a whole number of blocks."""
        return -(-self.outgoing[0] // self.block_width) * self.block_width

    @cached_property
    def block_width(self) -> int:
        """Output channels in a block: one vector for narrow layers, otherwise two."""
        lanes = host_lanes()
        return lanes if self.outgoing[0] <= lanes else 2 * lanes

    def token(self, steps: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Shape of the accumulators for this many steps at once."""
        lanes = host_lanes()
        return block_token(steps, self.block_width // lanes, lanes)

    @cached_property
    def plan(self) -> GatherPlan:
        """Tables for the gather kernels."""
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        return make_plan(self.node, self.incoming, self.outgoing, self.block_width)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Weights in the kernels' order."""
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        versions = _packed.setdefault(self.node, {})
        key = (self.block_width, self.incoming if isinstance(self.node, Linear) else (0, 0, 0))
        if key not in versions:
            versions[key] = pack_weights(dense_kernel(self.node, self.incoming), self.plan)
        return versions[key]

    @cached_property
    def bias(self) -> NDArray[np.float32]:
        """Bias in the kernels' order; zeros for pooling."""
        bias = np.zeros(1, np.float32)
        if isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            bias = self.node.bias
        return padded_bias(bias, self.padded_channels)

    @cached_property
    def pool_geometry(self) -> NDArray[np.int64]:
        """What the pooling kernel takes."""
        assert isinstance(self.node, AvgPool2d)
        node = self.node
        sizes = (*self.incoming[1:], self.outgoing[2])
        return np.array([*node.kernel_size, *node.stride, *node.padding, *sizes], np.int64)

    @cached_property
    def neuron(self) -> NDArray[np.float32]:
        """What the firing kernel takes."""
        assert self.neurons is not None
        constants = self.neurons.model.firing_constants()
        return neuron_array(constants.decay, constants.keep, constants.compare, constants.subtract)

    @cached_property
    def thresholds(self) -> int:
        """Number of the neurons' thresholds; 0 without neurons."""
        return 0 if self.neurons is None else len(self.neurons.model.firing_constants().compare)

    @cached_property
    def fan_out(self) -> FanOut:
        """Targets of each event."""
        return fan_out(self.node, self.incoming, self.outgoing)

    @property
    def weights_and_biases(self) -> tuple[int, int]:
        """Number of weights and number of biases; 0 for pooling."""
        if not isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            return 0, 0
        return self.node.weight.size, self.node.bias.size

    @property
    def nonzero_weights(self) -> NDArray[np.int64]:
        """Non-zero weights by input channel and kernel tap; empty for pooling."""
        if not isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            return np.zeros(0, np.int64)
        if self.node not in _nonzero:
            _nonzero[self.node] = nonzero_weights(self.node)
        return _nonzero[self.node]

    @cached_property
    def zero_weights(self) -> int:
        """Number of weights that are zero."""
        return self.weights_and_biases[0] - int(self.nonzero_weights.sum())

    @cached_property
    def zero_fan_out(self) -> ZeroFanOut | None:
        """Weights of zero that each event meets; None where no weight is zero."""
        if not self.zero_weights:
            return None
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        return zero_fan_out(self.node, self.nonzero_weights, self.incoming, self.outgoing)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the ANN's layer."""
        return dense_macs(self.node, self.incoming, self.outgoing)

    def input_rows(self, first: int, last: int) -> tuple[int, int]:
        """First and last + 1 input row that the output rows first ... last - 1 read."""
        if isinstance(self.node, AvgPool2d):
            low = first * self.node.stride[0] - self.node.padding[0]
            high = (last - 1) * self.node.stride[0] - self.node.padding[0] + self.node.kernel_size[0]
            low, high = max(low, 0), min(high, self.incoming[1])
            return (low, high) if low < high else (0, 0)
        return self.plan.input_rows(first, last)


@dataclass(frozen=True, eq=False)
class Program:
    """A network bound to a picture's shape.

    Parameters
    ----------
    network : Network
    layers : tuple of Layer
        In the order in which they run; the last one is the readout.
    last_use : dict
        For each Neurons node, the index of the last layer that reads its events.
    emit : dict
        For each Neurons node, (256,) float32, the value of each level.
    """

    network: Network
    layers: tuple[Layer, ...]
    last_use: dict[str, int]
    emit: dict[str, NDArray[np.float32]]


def build_program(network: Network, picture: Shape) -> Program:
    """Bind a network to pictures of the shape (C, H, W); InputError where it does not fit."""
    shapes = network.shapes(picture)
    feeds: list[Neurons | Output] = [*network.neurons, network.output]
    order = {node.name: index for index, node in enumerate(network.nodes)}
    feeds.sort(key=lambda node: (node is network.output, order[node.name]))
    layers = []
    for feed in feeds:
        node = network[feed.source]
        assert isinstance(node, Synapses)
        layers.append(
            Layer(
                name=feed.name,
                node=node,
                sources=_sources(network, node.source, shapes),
                incoming=shapes[node.source],
                outgoing=shapes[node.name],
                neurons=feed if isinstance(feed, Neurons) else None,
            )
        )
    last_use = {source.name: index for index, layer in enumerate(layers) for source in layer.sources}
    emit = {neurons.name: neurons.model.firing_constants().emit for neurons in network.neurons}
    return Program(network, tuple(layers), last_use, emit)


def _sources(network: Network, name: str, shapes: dict[str, Shape]) -> tuple[Source, ...]:
    """The Input and Neurons nodes behind a node, with Concats resolved into channel offsets."""
    found: list[Source] = []

    def visit(name: str) -> None:
        node = network[name]
        if isinstance(node, Concat):
            for part in node.parts:
                visit(part)
            return
        offset = found[-1].channel_offset + found[-1].channels if found else 0
        thresholds = len(node.model.firing_constants().compare) if isinstance(node, Neurons) else 0
        found.append(Source(name, shapes[name][0], offset, isinstance(node, Input), thresholds))

    visit(name)
    return tuple(found)

"""Layers in the order in which they run: one for each Neurons node and one for the Output."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..float32 import held
from ..graph import AvgPool2d, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Output, Shape, Synapses
from ..kernels.firing import neuron_array
from ..kernels.processor import host_accumulators, host_lanes
from ..kernels.tables import PoolGeometry
from ..kernels.window_block import Token, window_token
from ..lazy import KnownOf, lazy_property
from ..memory import called_by_clear_caches
from ..neurons import LadderModel, LevelTable, level_table
from .fan_out import FanOut, ZeroFanOut, dense_macs, fan_out, nonzero_weights, zero_fan_out
from .integer_layer import IntegerLayer, PooledLevels, integer_layer, pooled_levels
from .integer_plan import IntegerPlan, make_integer_plan
from .kernel_choice import AllowedKernels, allowed_kernels
from .plan import GatherPlan, kernel_axes, make_plan
from .stepper import Stepper, stepper_of
from .weights import dense_kernel, pack_weights, padded_bias

_packed: KnownOf[Synapses, NDArray[np.float32]] = KnownOf()
"""Packed weights of nodes that are alive, so that only the first run of a network packs them."""

_nonzero: KnownOf[Synapses, NDArray[np.int64]] = KnownOf()
"""Non-zero weights of nodes that are alive: counted once, because there are millions of weights."""

called_by_clear_caches(_packed.clear)
called_by_clear_caches(_nonzero.clear)


_MOST_PLANE_BYTES = 1 << 26
"""Of a step, for one output row: the kernels in integers spread out the padding, too, and all rows under a kernel."""


@dataclass(frozen=True)
class Source:
    """A part of a layer's input: the node it comes from, its channels, and where they begin in the joined input.

    `levels` is what its neurons' levels mean, None for the analog input.
    """

    name: str
    channels: int
    channel_offset: int
    analog: bool
    levels: LevelTable | None = field(compare=False)

    @property
    def thresholds(self) -> int:
        """Kinds of spikes of its neurons: thresholds, or levels; 0 for the analog input."""
        return 0 if self.levels is None else self.levels.kinds

    @lazy_property
    def scale(self) -> np.float32:
        """What a level's eight bits, read backwards as a number, are multiplied with to give its value, exactly.

        Thresholds of 8, 4, 2, ... quanta have such a number; 0 for others.
        """
        if self.levels is None or not self.levels.masks:
            return np.float32(0)
        backwards = self.levels.backwards
        emit = self.levels.emit[: len(backwards)]
        scale = np.float32(emit[-1] / backwards[-1])
        return scale if (backwards.astype(np.float32) * scale == emit).all() else np.float32(0)


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapses and the neurons (or the readout) that they feed, bound to a picture's shape."""

    name: str
    node: Synapses
    sources: tuple[Source, ...]
    incoming: Shape
    outgoing: Shape
    neurons: Neurons | None
    kernels: AllowedKernels

    @lazy_property
    def spiking(self) -> tuple[Source, ...]:
        """Sources that are neurons; one that a concatenation names twice comes twice."""
        return tuple(source for source in self.sources if not source.analog)

    @lazy_property
    def pooling(self) -> bool:
        """Whether this layer averages instead of gathering weights."""
        return isinstance(self.node, AvgPool2d)

    @lazy_property
    def padded_channels(self) -> int:
        """Output channels, filled up to a whole number of blocks."""
        return -(-self.outgoing[0] // self.block_width) * self.block_width

    @lazy_property
    def block_width(self) -> int:
        """Output channels in a block."""
        return host_lanes() if self.pooling else self.plan.block_width

    @lazy_property
    def band_tables(self) -> dict[tuple[tuple[tuple[int, int], ...], bool], NDArray[np.void]]:
        """Tables of bands, as the simulation has worked them out."""
        return {}

    @lazy_property
    def picture_limits(self) -> dict[int, float]:
        """For numbers of steps, what `bounds.picture_limit` says, as the simulation has worked it out."""
        return {}

    def bands_and_inputs(self, bands: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        """(n, 4): first and last + 1 output row of each band, first and last + 1 input row that it reads."""
        return np.array([(*band, *self.input_rows(*band)) for band in bands], np.int64)

    def token(self, steps: int) -> Token:
        """Shape of the accumulators for this many steps at once: as many as registers can hold."""
        lanes, most = host_lanes(), host_accumulators() // steps
        window = 1 if self.pooling or self.plan.window > most else self.plan.window
        row = vectors = self.block_width // lanes
        while vectors > 1 and window * vectors > most:
            vectors //= 2
        return window_token(steps, window, vectors, lanes, row)

    @lazy_property
    def plan(self) -> GatherPlan:
        """Tables for the gather kernels."""
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        return make_plan(self.node, self.incoming, self.outgoing)

    @lazy_property
    def weights(self) -> NDArray[np.float32]:
        """Weights in the kernels' order."""
        node = self.node
        assert isinstance(node, (Conv2d, ConvTranspose2d, Linear))
        key = (self.block_width, self.incoming if isinstance(node, Linear) else ())
        return _packed.get(node, key, lambda: pack_weights(dense_kernel(node, node.weight, self.incoming), self.plan))

    @lazy_property
    def integers(self) -> IntegerLayer | None:
        """The layer in integers, where its currents are sums of integers and kernels that add them up are allowed."""
        kind = self.kernels.integers
        if kind is None or not isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            return None
        if self.integer_plan.plane_bytes(self.integer_plan.rows.reach, 1) > _MOST_PLANE_BYTES:
            return None
        tables = {source.name: source.levels for source in self.sources}
        channels = [(source.name, source.channels) for source in self.sources]
        return integer_layer(self.node, self.incoming, tables, channels, self.integer_plan, kind)

    @lazy_property
    def pooled_levels(self) -> PooledLevels | None:
        """Of a layer that averages spikes, where means are sums of integers."""
        if not isinstance(self.node, AvgPool2d):
            return None
        if any(kernel > 2 * size for kernel, size in zip(self.node.kernel_size, self.incoming[1:], strict=True)):
            return None  # the kernel for planes would read little but padding
        return pooled_levels(math.prod(self.node.kernel_size), {source.name: source.levels for source in self.sources})

    @lazy_property
    def integer_plan(self) -> IntegerPlan:
        """Tables for the dot kernels."""
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        columns = kernel_axes(self.node, self.incoming)[1]
        return make_integer_plan(self.plan.rows, columns, self.incoming, self.outgoing, self.padded_channels)

    @lazy_property
    def bias(self) -> NDArray[np.float32]:
        """Bias in the kernels' order; zeros for pooling."""
        bias = np.zeros(1, np.float32)
        if isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            bias = self.node.bias
        return padded_bias(bias, self.padded_channels)

    @lazy_property
    def pool_geometry(self) -> PoolGeometry:
        """What the pooling kernel takes."""
        assert isinstance(self.node, AvgPool2d)
        node = self.node
        sizes = (*self.incoming[1:], self.outgoing[2])
        return PoolGeometry(*node.kernel_size, *node.stride, *node.padding, *sizes)

    @lazy_property
    def neuron(self) -> NDArray[np.float32]:
        """What the firing kernel takes."""
        assert self.neurons is not None
        assert isinstance(self.neurons.model, LadderModel)
        constants = self.neurons.model.firing_constants()
        return neuron_array(constants.decay, constants.keep, constants.compare, constants.subtract)

    @lazy_property
    def initial(self) -> NDArray[np.float32]:
        """Potentials of a pixel's neurons before the first step, filled up to a whole number of blocks."""
        assert self.neurons is not None
        return np.full(self.padded_channels, held(self.neurons.model.initial), np.float32)

    @lazy_property
    def stepper(self) -> Stepper | None:
        """What runs neurons that are no ladder of thresholds."""
        return None if self.neurons is None else stepper_of(self.neurons.model)

    @lazy_property
    def levels(self) -> LevelTable | None:
        """What the neurons' levels mean; None without neurons."""
        return None if self.neurons is None else level_table(self.neurons.model)

    @lazy_property
    def thresholds(self) -> int:
        """Kinds of spikes of the neurons, which are counted apart: thresholds, or levels; 0 without neurons."""
        return 0 if self.levels is None else self.levels.kinds

    @lazy_property
    def variables(self) -> int:
        """State variables of a neuron."""
        return 1 if self.stepper is None else self.stepper.variables

    @lazy_property
    def fan_out(self) -> FanOut:
        """Targets of each event."""
        return fan_out(self.node, self.incoming, self.outgoing)

    @lazy_property
    def weights_and_biases(self) -> tuple[int, int]:
        """Number of weights and number of biases; 0 for pooling."""
        if not isinstance(self.node, (Conv2d, ConvTranspose2d, Linear)):
            return 0, 0
        return self.node.weight.size, self.node.bias.size

    @property
    def nonzero_weights(self) -> NDArray[np.int64]:
        """Non-zero weights by input channel and kernel tap; empty for pooling."""
        node = self.node
        if not isinstance(node, (Conv2d, ConvTranspose2d, Linear)):
            return np.zeros(0, np.int64)
        return _nonzero.get(node, None, lambda: nonzero_weights(node))

    @lazy_property
    def zero_weights(self) -> int:
        """Number of weights that are zero."""
        return self.weights_and_biases[0] - int(self.nonzero_weights.sum())

    @lazy_property
    def zero_fan_out(self) -> ZeroFanOut | None:
        """Weights of zero that each event meets; None where no weight is zero."""
        if not self.zero_weights:
            return None
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        return zero_fan_out(self.node, self.nonzero_weights, self.incoming, self.outgoing)

    @lazy_property
    def dense_synops(self) -> int:
        """Accumulates in a step in which every neuron that the layer reads has an event."""
        return self.fan_out.total(sum(source.channels for source in self.spiking))

    @lazy_property
    def most_accumulates(self) -> int:
        """In a step, however many spikes each event counts for; what counting works out on the way is no more."""
        _, height, width = self.incoming
        spikes = [(source.channels, int(source.levels.spikes.max())) for source in self.spiking if source.levels]
        return sum(channels * most for channels, most in spikes) * height * width * self.fan_out.most

    @lazy_property
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
    prepared : dict
        What the simulation has prepared for this program and does not use just now (see engine/simulation/chain.py).
    """

    network: Network
    layers: tuple[Layer, ...]
    last_use: dict[str, int]
    emit: dict[str, NDArray[np.float32]]
    prepared: dict[str, Any] = field(default_factory=dict)


_Bound = tuple[tuple[Layer, ...], dict[str, int], dict[str, NDArray[np.float32]], dict[str, Any]]
_SHAPES_KEPT = 4
_bound: KnownOf[Network, _Bound] = KnownOf(_SHAPES_KEPT)
"""What networks that are alive were bound to last; it knows their nodes but not them, or they would live for ever."""

called_by_clear_caches(_bound.clear)


def build_program(network: Network, picture: Shape, kernels: AllowedKernels | None = None) -> Program:
    """Bind a network to pictures of the shape (C, H, W) and to kernels; InputError where it does not fit."""
    kernels = allowed_kernels() if kernels is None else kernels
    return Program(network, *_bound.get(network, (picture, kernels), lambda: _bind(network, picture, kernels)))


def _bind(network: Network, picture: Shape, kernels: AllowedKernels) -> _Bound:
    shapes = network.shapes(picture)
    feeds: list[Neurons | Output] = [*network.neurons, network.output]
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
                kernels=kernels,
            )
        )
    last_use = {source.name: index for index, layer in enumerate(layers) for source in layer.sources}
    emit = {neurons.name: level_table(neurons.model).emit for neurons in network.neurons}
    return tuple(layers), last_use, emit, {}


def _sources(network: Network, joined: str, shapes: dict[str, Shape]) -> tuple[Source, ...]:
    """The Input and Neurons nodes behind a node, with Concats resolved into channel offsets."""
    found: list[Source] = []
    offset = 0
    for leaf in network.leaves(joined):
        node, channels = network[leaf], shapes[leaf][0]
        levels = level_table(node.model) if isinstance(node, Neurons) else None
        found.append(Source(leaf, channels, offset, isinstance(node, Input), levels))
        offset += channels
    return tuple(found)

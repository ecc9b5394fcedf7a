"""The network: nodes in topological order, checked once, with metadata; it knows nothing of how it is run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from ..errors import GraphError, InputError, first_few
from ..lazy import lazy_property
from ..neurons import NeuronModel
from .limits import (
    ELEMENTS_PER_PIXEL,
    FEWEST_CHANNELS,
    FEWEST_PIXELS,
    LARGEST_MULTIPLE,
    MOST_JOINED,
    MOST_NODES,
)
from .nodes import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Neurons, Node, Output, Shape, Synapses

_ALLOWED_SOURCES: dict[type[Node], tuple[type[Node], ...]] = {
    Synapses: (Input, Neurons, Concat),
    Concat: (Input, Neurons, Concat),
    Neurons: (Synapses,),
    Output: (Synapses,),
}


class Network:
    """An immutable feed-forward graph of synapses and spiking neurons.

    Parameters
    ----------
    nodes : iterable of Node
        One Input, one Output and what lies between, in any order. Synapses read the Input, Neurons or a Concat of them;
        Neurons and the Output read Synapses.
    metadata : mapping
        What the network is for (task, noise range, training data, score of the ANN, ...); JSON values.
    normalization : mapping of str to float
        Factor lambda that each neuron layer's activations were divided by in conversion (design: lambda_l); empty for
        a network that was not converted.

    Raises
    ------
    GraphError
        If a name is doubled or unknown, a node may not read what it reads, the graph has a cycle, or the network is
        larger than one of the limits in limits.py.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        metadata: Mapping[str, Any] | None = None,
        normalization: Mapping[str, float] | None = None,
    ) -> None:
        self.nodes = _sorted(tuple(nodes))
        self.metadata = MappingProxyType(dict(metadata or {}))
        self.normalization = MappingProxyType({name: float(value) for name, value in (normalization or {}).items()})
        self._by_name = {node.name: node for node in self.nodes}
        for kind in (Input, Output):
            found = [node.name for node in self.nodes if isinstance(node, kind)]
            if len(found) != 1:
                names = first_few(found)
                raise GraphError(
                    f"a network has exactly one {kind.__name__} node (got {len(found)}: {names or 'none'})"
                )
        _check_joins(self.nodes)
        self.size_multiple = _size_multiple(self.nodes)
        """Pictures whose height and width are multiples of this keep every skip aligned; `denoise` pads to it."""
        unknown = sorted(set(self.normalization) - {node.name for node in self.neurons})
        if unknown:
            raise GraphError(f"normalization names no neuron layer: {first_few(unknown)}")

    def __getitem__(self, name: str) -> Node:
        try:
            return self._by_name[name]
        except KeyError:
            raise GraphError(f"no node is called {name!r}; there are {first_few(self._by_name)}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        # What others have worked out of a network stays behind; a copy is a network of its own.
        return Network, (self.nodes, dict(self.metadata), dict(self.normalization))

    def __repr__(self) -> str:
        return f"Network({len(self.nodes)} nodes, {len(self.neurons)} neuron layers, {self.parameters} parameters)"

    # Looked up once: whoever asks for them node by node would walk through all nodes each time.

    @lazy_property
    def input(self) -> Input:
        """The node where the picture enters."""
        return next(node for node in self.nodes if isinstance(node, Input))

    @lazy_property
    def output(self) -> Output:
        """The node that accumulates the readout."""
        return next(node for node in self.nodes if isinstance(node, Output))

    @lazy_property
    def neurons(self) -> tuple[Neurons, ...]:
        """The layers of spiking neurons, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Neurons))

    @lazy_property
    def parameters(self) -> int:
        """Number of weights and biases."""
        weighted = (node for node in self.nodes if isinstance(node, (Conv2d, ConvTranspose2d, Linear)))
        return sum(node.weight.size + node.bias.size for node in weighted)

    def leaves(self, name: str) -> tuple[str, ...]:
        """The Input and Neurons nodes behind a node, in the order of their channels, Concats seen through."""
        found: list[str] = []
        waiting = [name]
        while waiting:
            node = self[waiting.pop()]
            if isinstance(node, Concat):
                waiting += reversed(node.parts)
            else:
                found.append(node.name)
        return tuple(found)

    def shapes(self, picture: Shape) -> dict[str, Shape]:
        """Shape (C, H, W) that each node puts out for a picture of the shape `picture`.

        Raises
        ------
        InputError
            If the picture's size does not suit the network; the message says which multiple would. If the network would
            put out far more for such a picture than it holds, see limits.py.
        """
        shapes: dict[str, Shape] = {}
        pixels = max(picture[1] * picture[2], FEWEST_PIXELS)
        left = ELEMENTS_PER_PIXEL * pixels
        for node in self.nodes:
            incoming = [shapes[source] for source in node.sources] or [picture]
            try:
                shapes[node.name] = node.output_shape(*incoming)
            except GraphError as error:
                raise InputError(
                    f"a picture of {picture[0]}x{picture[1]}x{picture[2]} (channels x height x width) does not fit the "
                    f"network: {error}; {self.input.channels} channel(s) and sides that are multiples of "
                    f"{self.size_multiple} do"
                ) from None
            largest = max(shapes[node.name], node.padded_shape(*incoming), key=_elements)
            left -= _elements(largest)
            if left < 0:
                raise InputError(
                    f"{type(node).__name__} {node.name!r} puts out or pads {'x'.join(map(str, largest))} (channels x "
                    f"height x width), and with it the network more than {ELEMENTS_PER_PIXEL * pixels} numbers, the "
                    f"limit for a picture of {picture[1]}x{picture[2]}; take another network"
                )
        return shapes

    def replace(
        self,
        nodes: Iterable[Node] | None = None,
        metadata: Mapping[str, Any] | None = None,
        normalization: Mapping[str, float] | None = None,
    ) -> Network:
        """A copy with the given parts exchanged."""
        return Network(
            self.nodes if nodes is None else nodes,
            self.metadata if metadata is None else metadata,
            self.normalization if normalization is None else normalization,
        )

    def with_neurons(self, model: NeuronModel) -> Network:
        """A copy whose neurons all follow `model`; weights and normalisation stay as they are."""
        nodes = [Neurons(node.name, node.source, model) if isinstance(node, Neurons) else node for node in self.nodes]
        return self.replace(nodes)


def _sorted(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Nodes in topological order: by the longest way from a node that reads nothing, then in the order given."""
    if len(nodes) > MOST_NODES:
        raise GraphError(f"a network has at most {MOST_NODES} nodes (got {len(nodes)}); take fewer, larger layers")
    by_name: dict[str, Node] = {}
    for node in nodes:
        if by_name.setdefault(node.name, node) is not node:
            raise GraphError(f"two nodes are called {node.name!r}")
    for node in nodes:
        _check_sources(node, by_name)
    depths = _depths(by_name)
    if len(depths) < len(by_name):
        first = next(name for name in by_name if name not in depths)
        raise GraphError(f"the graph has a cycle through {first!r}")
    return tuple(sorted(by_name.values(), key=lambda node: depths[node.name]))


def _depths(by_name: Mapping[str, Node]) -> dict[str, int]:
    """Nodes on the longest way to each node; those that read a cycle, or are part of one, are left out."""
    readers: dict[str, list[str]] = {name: [] for name in by_name}
    missing: dict[str, int] = {}
    for node in by_name.values():
        sources = set(node.sources)
        missing[node.name] = len(sources)
        for source in sources:
            readers[source].append(node.name)
    depths: dict[str, int] = {}
    ready = deque(name for name, count in missing.items() if not count)
    while ready:
        name = ready.popleft()
        depths[name] = 1 + max((depths[source] for source in by_name[name].sources), default=0)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    return depths


def _check_joins(nodes: tuple[Node, ...]) -> None:
    """Refuse Concats that name so many sources, one within the other, that to list them would take for ever."""
    pools = {node.name for node in nodes if isinstance(node, AvgPool2d)}
    parts: dict[str, int] = {}
    total = 0
    for node in nodes:
        reads = sum(parts[source] for source in node.sources)
        total += reads if isinstance(node, Synapses) else 0
        parts[node.name] = 1
        if isinstance(node, Concat):
            parts[node.name] = reads = 1 + reads
        elif isinstance(node, AvgPool2d) or (isinstance(node, Neurons) and node.source in pools):
            parts[node.name] = reads
        if max(reads, total) > MOST_JOINED:
            raise GraphError(
                f"{type(node).__name__} {node.name!r} reads {reads} parts, seen through Concats and average pools, and "
                f"all layers up to it {total}; the limit is {MOST_JOINED}"
            )


def _size_multiple(nodes: tuple[Node, ...]) -> int:
    """See `Network.size_multiple`; GraphError where that is beyond all reason."""
    scales: dict[str, Fraction] = {}
    multiple = 1
    for node in nodes:
        scale = scales[node.sources[0]] if node.sources else Fraction(1)
        if isinstance(node, (Conv2d, AvgPool2d)):
            scale /= math.lcm(*node.stride)
        elif isinstance(node, ConvTranspose2d):
            scale *= math.gcd(*node.stride)
        scales[node.name] = scale
        multiple = math.lcm(multiple, scale.denominator)
        if multiple > LARGEST_MULTIPLE:
            stride = getattr(node, "stride", None)
            raise GraphError(
                f"{type(node).__name__} {node.name!r}: with its stride {stride} pictures are padded to multiples of "
                f"{multiple}; the limit is {LARGEST_MULTIPLE}"
            )
    return multiple


def _elements(shape: Shape) -> int:
    channels, height, width = shape
    return max(channels, FEWEST_CHANNELS) * height * width


def _check_sources(node: Node, by_name: Mapping[str, Node]) -> None:
    for source in node.sources:
        if source not in by_name:
            raise GraphError(f"{node.name!r} reads {source!r}, which is not a node")
        for kind, allowed in _ALLOWED_SOURCES.items():
            if isinstance(node, kind) and not isinstance(by_name[source], allowed):
                names = ", ".join(option.__name__ for option in allowed)
                found = type(by_name[source]).__name__
                raise GraphError(
                    f"{type(node).__name__} {node.name!r} reads {source!r}, a {found}; it can read {names}"
                )

"""The network: nodes in topological order, checked once, with metadata; it knows nothing of how it is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from ..errors import GraphError, InputError, first_few
from ..neurons import NeuronModel
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
        If a name is doubled or unknown, a node may not read what it reads, or the graph has a cycle.
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
                raise GraphError(f"a network has exactly one {kind.__name__} node (got {len(found)}: {found})")
        unknown = sorted(set(self.normalization) - {node.name for node in self.neurons})
        if unknown:
            raise GraphError(f"normalization names no neuron layer: {first_few(unknown)}")

    def __getitem__(self, name: str) -> Node:
        try:
            return self._by_name[name]
        except KeyError:
            raise GraphError(f"no node is called {name!r}; there are {', '.join(self._by_name)}") from None

    def __repr__(self) -> str:
        return f"Network({len(self.nodes)} nodes, {len(self.neurons)} neuron layers, {self.parameters} parameters)"

    @property
    def input(self) -> Input:
        """The node where the picture enters."""
        return next(node for node in self.nodes if isinstance(node, Input))

    @property
    def output(self) -> Output:
        """The node that accumulates the readout."""
        return next(node for node in self.nodes if isinstance(node, Output))

    @property
    def neurons(self) -> tuple[Neurons, ...]:
        """The layers of spiking neurons, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Neurons))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        weighted = (node for node in self.nodes if isinstance(node, (Conv2d, ConvTranspose2d, Linear)))
        return sum(node.weight.size + node.bias.size for node in weighted)

    @property
    def size_multiple(self) -> int:
        """Pictures whose height and width are multiples of this keep every skip aligned; `denoise` pads to it."""
        scales: dict[str, Fraction] = {}
        for node in self.nodes:
            scale = scales[node.sources[0]] if node.sources else Fraction(1)
            if isinstance(node, (Conv2d, AvgPool2d)):
                scale /= math.lcm(*node.stride)
            elif isinstance(node, ConvTranspose2d):
                scale *= math.gcd(*node.stride)
            scales[node.name] = scale
        return math.lcm(*(scale.denominator for scale in scales.values()))

    def shapes(self, picture: Shape) -> dict[str, Shape]:
        """Shape (C, H, W) that each node puts out for a picture of the shape `picture`.

        Raises
        ------
        InputError
            If the picture's size does not suit the network; the message says which multiple would.
        """
        shapes: dict[str, Shape] = {}
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
    """Nodes in topological order, otherwise in the order given."""
    by_name: dict[str, Node] = {}
    for node in nodes:
        if by_name.setdefault(node.name, node) is not node:
            raise GraphError(f"two nodes are called {node.name!r}")
    for node in nodes:
        _check_sources(node, by_name)
    ordered: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        ready = [node for node in waiting if all(source in ordered for source in node.sources)]
        if not ready:
            raise GraphError(f"the graph has a cycle through {waiting[0].name!r}")
        ordered.update((node.name, node) for node in ready)
        waiting = [node for node in waiting if node.name not in ordered]
    return tuple(ordered.values())


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

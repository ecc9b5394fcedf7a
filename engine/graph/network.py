"""The network: nodes in topological order, checked once, with metadata; it knows nothing of how it is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ..encoders import Encoder
from ..errors import GraphError, InputError, SpikeunetError, first_few
from ..html_tables import html_table
from ..lazy import lazy_property
from ..neurons import NeuronModel
from .answers import checked_shape, checked_state_values
from .limits import ELEMENTS_PER_PIXEL, FEWEST_CHANNELS, FEWEST_PIXELS
from .node import Input, Join, Neurons, Node, Output, Shape
from .order import by_size, carried_on, check_joins, size_multiple, topological
from .parameters import weights_and_biases
from .synapses import CurrentSum, Projection, Synapses, Weighted


class Network:
    """An immutable feed-forward graph of synapses and spiking neurons.

    Parameters
    ----------
    nodes : iterable of Node
        At least one Input, one Output and what lies between, in any order. Projections read the Input, Neurons or a
        Join of them, sums read synapses, and so do Neurons and Outputs.
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
        self.nodes = topological(tuple(nodes))
        self.metadata = MappingProxyType(dict(metadata or {}))
        self.normalization = MappingProxyType({name: float(value) for name, value in (normalization or {}).items()})
        self._by_name = {node.name: node for node in self.nodes}
        for kind, found in ((Input, self.inputs), (Output, self.outputs)):
            if not found:
                raise GraphError(f"a network has at least one {kind.__name__} node (got none)")
        check_joins(self.nodes)
        self._check_delays()
        self.size_multiple = size_multiple(self.nodes)
        """Pictures whose height and width are multiples of this keep every skip aligned; `denoise` pads to it."""
        unknown = sorted(set(self.normalization) - {node.name for node in self.neurons})
        if unknown:
            raise GraphError(f"normalization names no neuron layer: {first_few(unknown)}")

    def _check_delays(self) -> None:
        for node in filter(carried_on, self.nodes):
            if not self.input_channels.keys().isdisjoint(leaf for part in node.sources for leaf in self.leaves(part)):
                raise GraphError(
                    f"{type(node).__name__} {node.name!r}: delay must be 0, because it reads an Input, whose values "
                    "arrive at once"
                )

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

    def _repr_html_(self) -> str:
        """A table of the nodes, for notebooks."""
        rows = []
        for node in self.nodes:
            shown = getattr(node, "model", None)
            size = getattr(node, "weight", None)
            what = repr(shown) if shown is not None else "" if size is None else "x".join(map(str, size.shape))
            parameters = sum(getattr(node, name).size for name in ("weight", "bias") if hasattr(node, name))
            rows.append([node.name, type(node).__name__, ", ".join(node.sources), what, parameters])
        return html_table(repr(self), ["node", "kind", "reads", "weights or neurons", "parameters"], rows)

    # Looked up once: whoever asks for them node by node would walk through all nodes each time.

    @lazy_property
    def inputs(self) -> tuple[Input, ...]:
        """The nodes where pictures enter."""
        return tuple(node for node in self.nodes if isinstance(node, Input))

    @lazy_property
    def input(self) -> Input:
        """The node where the picture enters; InputError where there are several."""
        if len(self.inputs) > 1:
            names = first_few(node.name for node in self.inputs)
            raise InputError(f"a network with one input is needed here; this one has {len(self.inputs)}: {names}")
        return self.inputs[0]

    @lazy_property
    def input_channels(self) -> dict[str, slice]:
        """By Input node, its channels among those of all inputs, which come side by side."""
        found, first = {}, 0
        for node in self.inputs:
            found[node.name] = slice(first, first + node.channels)
            first += node.channels
        return found

    @lazy_property
    def encoded(self) -> dict[str, Encoder]:
        """By Input node that has one, its encoder."""
        return {node.name: node.encoder for node in self.inputs if node.encoder is not None}

    @lazy_property
    def outputs(self) -> tuple[Output, ...]:
        """The nodes that accumulate readouts, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Output))

    @lazy_property
    def output(self) -> Output:
        """The node that accumulates the readout; InputError where there are several."""
        if len(self.outputs) > 1:
            names = first_few(node.name for node in self.outputs)
            raise InputError(f"a network with one output is needed here; this one has {len(self.outputs)}: {names}")
        return self.outputs[0]

    @lazy_property
    def neurons(self) -> tuple[Neurons, ...]:
        """The layers of spiking neurons, in topological order."""
        return tuple(node for node in self.nodes if isinstance(node, Neurons))

    @lazy_property
    def parameters(self) -> int:
        """Number of weights and biases; a layer whose biases are all zero has none."""
        return sum(sum(weights_and_biases(node)) for node in self.nodes if isinstance(node, Synapses))

    @lazy_property
    def delays(self) -> bool:
        """Whether any synapses carry what they read to the next step."""
        return any(map(carried_on, self.nodes))

    def leaves(self, name: str) -> tuple[str, ...]:
        """The Input and Neurons nodes behind a node, in the order of their channels, Joins seen through."""
        return self._seen_through(name, Join)

    def projections(self, name: str) -> tuple[Projection, ...]:
        """The synapses whose currents add up to that of a node of synapses: its own, or those of a sum's parts."""
        found = (self[part] for part in self._seen_through(name, CurrentSum))
        return tuple(node for node in found if isinstance(node, Projection))

    def _seen_through(self, name: str, role: type[Node]) -> tuple[str, ...]:
        found, waiting = list[str](), [name]
        while waiting:
            node = self[waiting.pop()]
            if isinstance(node, role):
                waiting += reversed(node.sources)
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
        limit = left = ELEMENTS_PER_PIXEL * max(picture[1] * picture[2], FEWEST_PIXELS)
        shapes: dict[str, Shape] = {}
        for node in self.by_size:
            # What a loop gives back has the shape of what it is added to.
            incoming = [shapes[source] for source in node.sources if source in shapes] or [
                self._entering(node, picture)
            ]
            shapes[node.name] = self._shape(node, incoming, picture)
            largest = max(shapes[node.name], node.padded_shape(*incoming), key=_elements)
            kept = checked_state_values(node) if isinstance(node, Synapses) else 0
            left -= _elements(largest) + kept * math.prod(shapes[node.name])
            if left < 0:
                state = f", keeps {kept} numbers for each that it puts out" if kept else ""
                raise InputError(
                    f"{type(node).__name__} {node.name!r} puts out or pads {'x'.join(map(str, largest))} (channels x "
                    f"height x width){state}, and with it the network more than {limit} numbers, the limit for a "
                    f"picture of {picture[1]}x{picture[2]}; take another network"
                )
        for node in self.nodes if self.delays else ():
            self._shape(node, [shapes[source] for source in node.sources] or [self._entering(node, picture)], picture)
        return shapes

    def _entering(self, node: Node, picture: Shape) -> Shape:
        """What of the picture enters at an Input node: its own channels where there are several."""
        channels = self.input_channels[node.name]
        all_channels = sum(each.channels for each in self.inputs)
        if len(self.inputs) == 1 or picture[0] != all_channels:
            return picture
        return channels.stop - channels.start, *picture[1:]

    def _shape(self, node: Node, incoming: list[Shape], picture: Shape) -> Shape:
        """What a node puts out of these; InputError where the picture does not fit."""
        try:
            found = node.output_shape(*incoming)
        except GraphError as error:
            raise InputError(
                f"a picture of {picture[0]}x{picture[1]}x{picture[2]} (channels x height x width) does not fit the "
                f"network: {error}; {self._what_fits(picture)}"
            ) from None
        return checked_shape(node, found)

    def _what_fits(self, picture: Shape) -> str:
        """What to give in place of a picture that does not fit."""
        channels, multiple = sum(each.channels for each in self.inputs), self.size_multiple
        height, width = (side + -side % multiple for side in picture[1:])
        given = (channels, height, width)
        try:
            # Multiples of the strides fit no network of full connections, unless they happen to be its own size.
            found = given != picture and bool(self.shapes(given))
        except SpikeunetError:
            found = False
        return (
            f"{channels} channel(s) and sides that are multiples of {multiple} do"
            if found
            else "give one of another size"
        )

    @lazy_property
    def by_size(self) -> tuple[Node, ...]:
        """The nodes, each behind one that tells its size: of a network without loops, behind all that it reads."""
        return tuple(by_size(self.nodes))

    @lazy_property
    def loops(self) -> bool:
        """Whether what a node puts out comes back to it, through a delay."""
        known: set[str] = set()
        for node in self.by_size:
            if not known.issuperset(node.sources):
                return True
            known.add(node.name)
        return False

    @lazy_property
    def channels(self) -> dict[str, int]:
        """Channels that each node puts out, 0 where the picture decides; GraphError where weights do not fit."""
        channels: dict[str, int] = {}
        for node in self.by_size:
            given = [channels[source] for source in node.sources if source in channels]
            if isinstance(node, Input):
                channels[node.name] = node.channels
            elif isinstance(node, Projection):
                channels[node.name] = _channels_out(node, given[0])
            elif isinstance(node, Join):
                channels[node.name] = sum(given) if all(given) else 0
            else:
                channels[node.name] = next(filter(None, given), 0)
        return channels

    def widths(self, node: Weighted) -> tuple[int, ...] | None:
        """Input channels of a node that belong to each of the leaves that it reads; None where only a picture tells."""
        leaves = self.leaves(node.source)
        channels = [self.channels[leaf] for leaf in leaves]
        if all(channels):
            return tuple(node.in_channels // sum(channels) * count for count in channels)
        if len({leaf for leaf in leaves if not self.channels[leaf]}) > 1:
            return None
        rest = (node.in_channels - sum(channels)) // channels.count(0)
        return tuple(count or rest for count in channels)

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


def _channels_out(node: Projection, given: int) -> int:
    if given:
        return node.channels_out(given)
    return node.out_channels if isinstance(node, Weighted) else 0


def _elements(shape: Shape) -> int:
    return max(shape[0], FEWEST_CHANNELS) * shape[1] * shape[2]

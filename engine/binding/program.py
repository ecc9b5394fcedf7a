"""A network's layers in the order in which they run: one for each Neurons node and one for each Output."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from ..encoders import Encoder
from ..graph import Input, Network, Neurons, Output, Projection, Shape, Synapses, file_shares
from ..lazy import KnownOf, forget_known
from ..memory import called_by_clear_caches
from ..neurons import level_table
from .kernel_choice import AllowedKernels, allowed_kernels
from .layer import Binding, Layer, RowRange, Source
from .sum_layer import SumLayer

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Program:
    """A network bound to a picture's shape; it knows nodes of the network but not itself, or that would live for ever.

    Layers are in the order in which they run. Those of a loop go step by step together, because what one of them fires
    comes back to it through a delay. `last_use` says for each Neurons node which layer is the last one that reads its
    events, `inputs` which channels among those of all inputs each Input has, and `encoded` the shape of the spikes of
    each that has an encoder, `file_shares` how much of a layer the artificial network has. `prepared` is what the
    simulation has prepared and does not use just now (see engine/simulation/bands/bound_program.py).
    """

    layers: tuple[Layer, ...]
    loops: tuple[RowRange, ...]
    last_use: dict[str, int]
    inputs: dict[str, slice]
    encoders: dict[str, Encoder]
    encoded: dict[str, Shape]
    size_multiple: int
    file_shares: dict[str, Fraction]
    prepared: dict[Hashable, Any] = field(default_factory=dict)

    def known(self, key: Hashable, work_out: Callable[[], Found]) -> Found:
        """What has been prepared under a key, worked out where nothing has; it must not refer to the network."""
        found: Found | None = self.prepared.get(key)
        return self.prepared.setdefault(key, work_out()) if found is None else found


_SHAPES_KEPT = 4
_bound: KnownOf[Network, Program] = KnownOf(_SHAPES_KEPT)
"""What networks that are alive were bound to last."""

called_by_clear_caches(forget_known)


def build_program(network: Network, picture: Shape, kernels: AllowedKernels | None = None) -> Program:
    """Bind a network to pictures of the shape (C, H, W), all inputs joined, and to kernels.

    InputError where it does not fit.
    """
    kernels = allowed_kernels() if kernels is None else kernels
    return _bound.get(network, (picture, kernels), lambda: _bind(network, picture, kernels))


def _bind(network: Network, picture: Shape, kernels: AllowedKernels) -> Program:
    shapes = network.shapes(picture)
    found: list[Layer] = []
    feeds: list[Neurons | Output] = [*network.neurons, *network.outputs]
    for feed in feeds:
        node, neurons = network[feed.source], feed if isinstance(feed, Neurons) else None
        assert isinstance(node, Synapses)
        parts: list[Layer] = []
        for each in network.projections(node.name):
            sources, own = _sources(network, each, shapes), neurons if each is node else None
            parts.append(
                each.bind(Binding(feed.name, each, sources, shapes[each.source], shapes[each.name], own, kernels))
            )
        if isinstance(node, Projection):
            found += parts
            continue
        sources = tuple(source for part in parts for source in part.sources)
        whole = Binding(feed.name, node, sources, parts[0].incoming, shapes[node.name], neurons, kernels)
        found.append(SumLayer(**vars(whole), summands=tuple(parts)))
    layers, loops = _with_loops(found)
    last_use = {source.name: index for index, layer in enumerate(layers) for source in layer.sources}
    encoded = {name: shapes[name] for name in network.encoded}
    inputs, multiple = network.input_channels, network.size_multiple
    return Program(layers, loops, last_use, inputs, network.encoded, encoded, multiple, file_shares(network))


def _sources(network: Network, node: Projection, shapes: dict[str, Shape]) -> tuple[Source, ...]:
    """The Input and Neurons nodes that synapses read, with Joins resolved into channel offsets."""
    found: list[Source] = []
    offset = 0
    for name in network.leaves(node.source):
        leaf, channels, place = network[name], shapes[name][0], 0
        if isinstance(leaf, Input):
            levels = None if leaf.encoder is None else leaf.encoder.level_table()
            place = network.input_channels[name].start
        else:
            assert isinstance(leaf, Neurons)
            levels = level_table(leaf.model)
        found.append(Source(name, channels, offset, levels is None, levels, node.delay, place))
        offset += channels
    return tuple(found)


def _with_loops(layers: Sequence[Layer]) -> tuple[tuple[Layer, ...], tuple[RowRange, ...]]:
    """Layers in the order in which they run, and the first and last + 1 of each loop, whose layers are neighbours.

    A loop is a strongly connected part of the graph of layers, edges with a delay included. The order of other layers
    stays what it was, as far as it may.
    """
    index = {layer.name: number for number, layer in enumerate(layers)}
    edges = np.array(
        [(index[s.name], reader) for reader, layer in enumerate(layers) for s in layer.spiking if s.name in index],
        np.int64,
    ).reshape(-1, 2)
    if (edges[:, 0] < edges[:, 1]).all():
        return tuple(layers), ()
    # A sixth of what importing the engine takes, for networks with loops alone.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(len(edges), np.int8), edges.T), shape=(len(layers), len(layers)))
    _, part_of = connected_components(graph, connection="strong")
    waiting = list(dict.fromkeys(part_of.tolist()))
    reads: dict[int, set[int]] = {part: set() for part in waiting}
    for read, reader in part_of[edges].tolist():
        reads[reader].update({read} - {reader})
    order: list[int] = []
    while waiting:
        # Of those that read nothing that is still to come, the one whose first layer is first.
        order.append(next(part for part in waiting if reads[part].isdisjoint(waiting)))
        waiting.remove(order[-1])
    ordered = [int(number) for part in order for number in np.flatnonzero(part_of == part)]
    begins = np.cumsum([0, *(int((part_of == part).sum()) for part in order)]).tolist()
    itself = set(part_of[edges[edges[:, 0] == edges[:, 1], 0]].tolist())
    ranges = zip(order, begins[:-1], begins[1:], strict=True)
    loops = tuple((begin, end) for part, begin, end in ranges if end - begin > 1 or part in itself)
    return tuple(layers[number] for number in ordered), loops

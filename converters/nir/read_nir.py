"""Read a NIR file: populations, and between them one layer for each way that events take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikeunet.engine.errors import GraphError, StateDictError
from spikeunet.engine.graph import FILE_WEIGHTS, Input, Network, Neurons, Node, Output, Shape, Weighted
from spikeunet.engine.layers import Add

from ..weights.refusals import UnreadableError, refusals
from .graph import NEURONS, NirNode, flat_graph
from .hdf5 import read_groups
from .linear import MOST_FOLDED, MOST_PER_NUMBER, Chain
from .neurons import SILENT, Discretisation, neuron_model

SUFFIX = ".nir"
MOST_WAYS = 2**12


def is_nir(path: object) -> bool:
    """Whether a path is that of a NIR file, by its name."""
    return isinstance(path, (str, os.PathLike)) and Path(os.fspath(path)).suffix.lower() == SUFFIX


def read_nir(
    path: str | os.PathLike[str],
    dt: float | None = None,
    integration: str = "exponential",
    reset: str = "subtract",
) -> Network:
    """A spiking network out of a NIR file, with its neurons.

    Parameters
    ----------
    path : str or path-like
    dt : float, optional
        A step in seconds; needed where the file has time constants or delays.
    integration : "exponential" or "euler"
        How membranes follow their equations, see `Lapicque`; NIR leaves it to the simulator.
    reset : "subtract" or "zero"
        What a spike does to the potential: NIR subtracts the threshold.

    Returns
    -------
    Network
        Its metadata say, under "conversion", the size of the picture that the file is for, dt, integration and reset;
        and under "membranes" which populations have no spikes, so that their potentials are what the network puts out.

    Raises
    ------
    StateDictError
        If the file cannot be read or holds what the engine has no layer for; names the node and the remedy.
    InputError
        If an option is none.
    """
    path, how = Path(path), Discretisation(dt, integration, reset)
    if not path.is_file():
        raise StateDictError(f"{path}: is no file; check the path")
    with refusals(path, "a NIR file"):
        try:
            return _Reader(flat_graph(read_groups(path)), how).network()
        except GraphError as error:
            raise UnreadableError(f"makes a network that is none: {error}") from None


class _Reader:
    """Goes from population to population, those first that need no delay."""

    def __init__(self, nodes: Mapping[str, NirNode], how: Discretisation) -> None:
        self.nodes = nodes
        self.how = how
        self.shapes: dict[str, Shape] = {}
        self.axes: dict[str, int] = {}
        self.sources: dict[str, str] = {}
        self.made: list[Node] = []
        self.names: set[str] = set()
        self.file_weights: dict[str, list[int]] = {}
        self.placed = set[tuple[str, ...]]()
        self.ways = self.weights = 0
        self.numbers = sum(np.size(value) for node in nodes.values() for value in node.fields.values())
        self.membranes: list[str] = []
        self.readers = {name: list[str]() for name in nodes}
        for node in nodes.values():
            for source in node.sources:
                self.readers[source].append(node.name)

    def network(self) -> Network:
        """The network, in the order in which populations come to be known."""
        inputs = [node for node in self.nodes.values() if node.kind == "Input" and not node.sources]
        outputs = [node for node in self.nodes.values() if node.kind == "Output" and not self.readers[node.name]]
        if not inputs or not outputs:
            raise UnreadableError("holds no Input or no Output; export the whole network")
        for node in inputs:
            self.shapes[node.name], self.axes[node.name] = _shape(node)
            self.made.append(Input(self._name(node.name), self.shapes[node.name][0]))
        sizes = {self.shapes[node.name][1:] for node in inputs}
        if len(sizes) > 1:
            raise UnreadableError(f"has Inputs of several sizes, {sorted(sizes)}; all must have one height and width")
        # Ways are followed before anything is made of them: a population may be its own reader.
        ways = {node.name: list(self._ways(node)) for node in self.nodes.values() if self._ends(node)}
        for name in self._ordered(ways):
            self._population(self.nodes[name], ways[name])
        facts: dict[str, Any] = {"source": "nir", "input_size": list(next(iter(sizes)))}
        if self.how.dt is not None:
            facts |= {"dt": self.how.dt, "integration": self.how.integration}
        facts |= {"reset": self.how.reset, **({"membranes": self.membranes} if self.membranes else {})}
        added = {FILE_WEIGHTS: self.file_weights} if self.file_weights else {}
        return Network(self.made, {"conversion": facts, **added})

    def _ends(self, node: NirNode) -> bool:
        return node.kind in NEURONS or (node.kind == "Output" and not self.readers[node.name])

    def _ways(self, node: NirNode) -> Iterator[list[NirNode]]:
        """Each way to a node: the population where it begins, then what lies between."""
        if not node.sources:
            raise node.refuse("reads nothing; connect it or leave it out")
        waiting = [[self.nodes[source]] for source in reversed(node.sources)]
        while waiting:
            way = waiting.pop()
            self.ways += 1
            if self.ways > MOST_WAYS or len(way) > len(self.nodes):
                raise node.refuse("is reached by a loop without neurons, or by too many ways; put neurons into loops")
            begin = way[0]
            if begin.kind in NEURONS or (begin.kind == "Input" and not begin.sources):
                yield way
                continue
            if not begin.sources:
                raise begin.refuse("reads nothing; connect it or leave it out")
            waiting += [[self.nodes[source], *way] for source in reversed(begin.sources)]

    def _ordered(self, ways: Mapping[str, list[list[NirNode]]]) -> list[str]:
        """Populations, each behind those that it reads at once: what closes a loop comes a step later."""
        order: list[str] = []
        state: dict[str, int] = {}
        self.late: set[tuple[str, int]] = set()
        for root in ways:
            stack = [(root, iter(enumerate(ways[root])))] if root not in state else []
            state.setdefault(root, 1)
            while stack:
                name, rest = stack[-1]
                for index, (begin, *between) in rest:
                    source = begin.name
                    delayed = any(node.kind == "Delay" and node.array("delay").any() for node in between)
                    if source in ways and state.get(source) == 1 and not delayed:
                        self.late.add((name, index))
                    elif source in ways and source not in state:
                        state[source] = 1
                        stack.append((source, iter(enumerate(ways[source]))))
                        break
                else:
                    state[name] = 2
                    order.append(name)
                    stack.pop()
        return order

    def _population(self, node: NirNode, ways: list[list[NirNode]]) -> None:
        """Add a population or an Output, and the layers in front of it."""
        if node.kind == "Output" and [[each.kind in SILENT for each in way] for way in ways] == [[True]]:
            # A potential is what is put out; the readout adds up what it follows.
            ((silent,),) = ways
            self.membranes.append(silent.name)
            self._end(node, self.sources[silent.name], self.shapes[silent.name], self.axes[silent.name])
            return
        chains = [self._chain(way) for way in ways]
        known = next((chain for chain in chains if chain is not None), None)
        if known is None:
            raise node.refuse("is part of a loop that nothing drives, so that its size is open; connect it to an Input")
        shape = self.shapes[node.name] = known.made_shape
        self.axes[node.name] = known.axes
        made: list[tuple[Chain, int]] = []
        for index, way in enumerate(ways):
            chain = chains[index] or self._chain(way)
            if chain is None or chain.made_shape != shape:
                raise node.refuse(f"adds up {shape} and {chain and chain.made_shape} (channels, height, width)")
            self._count(node, chain)
            made.append((chain, max(chain.steps, int((node.name, index) in self.late))))
        parts = []
        for way, (chain, steps) in zip(ways, _with_one_bias_each(ways, made), strict=True):
            name = self._name(chain.named or f"{way[0].name}.{node.name}")
            layer = chain.projection(name, way[0].name, steps)
            if isinstance(layer, Weighted):
                self._account(layer, chain, way)
            self.made.append(layer)
            parts.append(name)
        source = parts[0] if len(parts) == 1 else self._sum(node, parts)
        if node.kind == "Output":
            self._end(node, source, shape, known.axes)
            return
        self.sources[node.name] = source
        self.made.append(Neurons(self._name(node.name), source, neuron_model(node, shape, self.how)))

    def _account(self, layer: Weighted, chain: Chain, way: list[NirNode]) -> None:
        """Note how many weights the file has for a layer, where it is not as many as that has."""
        # What several ways take is a layer on each of them here, and one in the file, which computes it once.
        scales = tuple(each.name for each in way if each.kind == "Scale")
        of_file = scales if chain.weights is None else (chain.named,)
        numbers = 0 if of_file in self.placed else chain.numbers
        self.placed.add(of_file)
        if numbers != layer.weight.size:
            self.file_weights[layer.name] = [numbers, layer.weight.size]

    def _count(self, node: NirNode, chain: Chain) -> None:
        """Refuse so many ways that the same weights would be there too often."""
        self.weights += 0 if chain.weights is None else chain.weights["weight"].size
        if self.weights > max(MOST_FOLDED, MOST_PER_NUMBER * self.numbers):
            raise node.refuse(f"is reached by too many ways: {self.weights} weights out of {self.numbers} in the file")

    def _chain(self, way: list[NirNode]) -> Chain | None:
        """What lies on a way; None where the size of its beginning is not known yet."""
        begin, *between = way
        if begin.kind in SILENT:
            raise begin.refuse("puts out a potential, which no synapses can carry; take LIF, or put it at the end")
        shape = self.shapes.get(begin.name)
        if shape is None:
            return None
        chain = Chain(shape, shape, self.axes[begin.name])
        for each in between:
            chain = chain if each.kind in ("Input", "Output") else chain.then(each, self.how.dt)
        return chain

    def _end(self, node: NirNode, source: str, shape: Shape, axes: int) -> None:
        """Add an Output, whose shape must be that of what it is given."""
        declared = tuple(int(side) for side in node.array("shape").reshape(-1))
        given = {1: (math.prod(shape),), 2: (shape[0], shape[2]), 3: shape}[axes]
        if declared != given:
            raise node.refuse(f"declares the shape {declared}, but is given {given}; export the network again")
        self.made.append(Output(self._name(node.name), source))

    def _sum(self, node: NirNode, parts: list[str]) -> str:
        name = self._name(f"{node.name}.sum")
        self.made.append(Add(name, tuple(parts)))
        return name

    def _name(self, wanted: str) -> str:
        """A name that no other node has."""
        name, number = wanted, 2
        while name in self.names or (name != wanted and name in self.nodes):
            name, number = f"{wanted}:{number}", number + 1
        self.names.add(name)
        return name


def _with_one_bias_each(ways: list[list[NirNode]], made: list[tuple[Chain, int]]) -> list[tuple[Chain, int]]:
    """What lies on each way to a population, and its delay, with the bias of a layer that several take on one of them.

    NIR adds up what a layer reads, and then its bias. It stays on the way of the least delay.
    """
    bearers: dict[tuple[str, ...], int] = {}
    rests = [_from_weights_on(way, chain) for way, (chain, _) in zip(ways, made, strict=True)]
    for index in sorted(range(len(made)), key=lambda each: made[each][1]):
        bearers.setdefault(rests[index], index)
    return [
        (chain if not rest or bearers[rest] == index else chain.without_bias(), steps)
        for index, (rest, (chain, steps)) in enumerate(zip(rests, made, strict=True))
    ]


def _from_weights_on(way: list[NirNode], chain: Chain) -> tuple[str, ...]:
    """The names of the nodes on a way from that with weights on; none where there is none."""
    names = [each.name for each in way]
    return () if chain.weights is None else tuple(names[names.index(chain.named) :])


def _shape(node: NirNode) -> tuple[Shape, int]:
    """(C, H, W) of an Input, of features (N,) and of signals (C, length), too; and how many axes it has in NIR."""
    sides = tuple(int(side) for side in node.array("shape").reshape(-1))
    if not 1 <= len(sides) <= 3 or min(sides) < 1:
        raise node.refuse(f"has the shape {sides}; it must be (features,), (C, length) or (C, H, W), without a batch")
    channels, *rest = sides
    height, width = (1, *rest) if len(rest) == 1 else (rest or (1, 1))
    return (channels, height, width), len(sides)

"""The order of a network's nodes: what they may read, what comes before what, and what follows for pictures' sizes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from fractions import Fraction
from numbers import Rational

from ..errors import GraphError
from .limits import LARGEST_MULTIPLE, MOST_ADDED, MOST_JOINED, MOST_NODES
from .node import Input, Join, Neurons, Node, Output
from .synapses import CurrentSum, Projection, Synapses

_ALLOWED_SOURCES: dict[type[Node], tuple[type[Node], ...]] = {
    Projection: (Input, Neurons, Join),
    CurrentSum: (Synapses,),
    Join: (Input, Neurons, Join),
    Neurons: (Synapses,),
    Output: (Synapses,),
}


def topological(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
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
        sources = _at_once(node)
        missing[node.name] = len(set(sources))
        for source in set(sources):
            readers[source].append(node.name)
    depths: dict[str, int] = {}
    ready = deque(name for name, count in missing.items() if not count)
    while ready:
        name = ready.popleft()
        depths[name] = 1 + max((depths[source] for source in _at_once(by_name[name])), default=0)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    return depths


def check_joins(nodes: tuple[Node, ...]) -> None:
    """Refuse Concats and sums that name so many sources, one within the other, that to list them would take for ever.

    What is listed are the sources of each node of synapses, Concats seen through, and what neurons and the readout
    receive, sums seen through.
    """
    alike = {node.name for node in nodes if isinstance(node, Synapses) and node.keeps_channels}
    sums = {node.name for node in nodes if isinstance(node, CurrentSum)}
    parts: dict[str, int] = {}
    total = added = 0
    for node in nodes:
        reads = sum(parts.get(source, 1) for source in node.sources)
        parts[node.name] = 1
        if isinstance(node, (Join, CurrentSum)):
            parts[node.name] = reads = 1 + reads
        elif isinstance(node, Projection):
            total += reads
        elif sums.intersection(node.sources):
            added += reads
        if node.name in alike or (isinstance(node, Neurons) and node.source in alike):
            parts[node.name] = reads
        if max(reads, total) > MOST_JOINED:
            raise GraphError(
                f"{type(node).__name__} {node.name!r} reads {reads} parts, seen through Concats, sums and average "
                f"pools, and all layers up to it {total}; the limit is {MOST_JOINED}"
            )
        if added > MOST_ADDED:
            raise GraphError(
                f"{type(node).__name__} {node.name!r} reads a sum of {reads} parts, and all layers up to it sums of "
                f"{added}; the limit is {MOST_ADDED}"
            )


def size_multiple(nodes: tuple[Node, ...]) -> int:
    """See `Network.size_multiple`; GraphError where that is beyond all reason."""
    multiple = 1
    for node, multiple in size_multiples(nodes):
        if multiple > LARGEST_MULTIPLE:
            raise GraphError(
                f"{type(node).__name__} {node.name!r}: for its sake pictures are padded to multiples of {multiple} in "
                f"height and width; the limit is {LARGEST_MULTIPLE}"
            )
    return multiple


def size_multiples(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, int]]:
    """Each node, and what pictures are padded to multiples of for its sake and that of those before it."""
    scales: dict[str, Fraction] = {}
    multiple = 1
    for node in by_size(nodes):
        known = [scales[source] for source in node.sources if source in scales]
        scale = known[0] if known else Fraction(1)
        if isinstance(node, Synapses):
            factor = node.size_factor
            if not isinstance(factor, Rational) or factor <= 0:
                raise GraphError(
                    f"{type(node).__name__} {node.name!r}: size_factor must be a Fraction or a whole number, as "
                    f"Fraction(1, 2) for half the height and width (got {factor!r})"
                )
            scale *= factor
        scales[node.name] = scale
        multiple = math.lcm(multiple, scale.denominator)
        yield node, multiple


def carried_on(node: Node) -> bool:
    """Whether what a node reads reaches it a step later."""
    return isinstance(node, Synapses) and node.delay > 0


def _at_once(node: Node) -> tuple[str, ...]:
    """What reaches a node in the same step."""
    return () if carried_on(node) else node.sources


def by_size(nodes: tuple[Node, ...]) -> list[Node]:
    """Nodes, each behind one that tells its size: all that it reads, or one part of a sum that is part of a loop.

    GraphError where a loop has none.
    """
    if not any(map(carried_on, nodes)):
        return list(nodes)
    found: dict[str, Node] = {}
    readers: dict[str, list[Node]] = {node.name: [] for node in nodes}
    for node in nodes:
        for source in set(node.sources):
            readers[source].append(node)
    missing = {node.name: len(set(node.sources)) for node in nodes}
    ready = deque(node for node in nodes if not node.sources)
    # Sums for which one part is known, while others are not: they are what a loop is begun with.
    begun: deque[Node] = deque()
    while ready or begun:
        node = (ready or begun).popleft()
        if node.name in found:
            continue
        found[node.name] = node
        for reader in readers[node.name]:
            missing[reader.name] -= 1
            if not missing[reader.name]:
                ready.append(reader)
            elif isinstance(reader, CurrentSum):
                begun.append(reader)
    if len(found) < len(nodes):
        first = next(node.name for node in nodes if node.name not in found)
        raise GraphError(
            f"the size of {first!r} depends on itself alone: what comes back through a delay must be added to a "
            "current that does not"
        )
    return list(found.values())


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

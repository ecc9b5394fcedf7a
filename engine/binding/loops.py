"""Which layers are parts of a loop, and the order in which layers run: a loop's step by step, the others at once."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .layer import Layer
from .window import RowRange


def with_loops(layers: Sequence[Layer]) -> tuple[tuple[Layer, ...], tuple[RowRange, ...]]:
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
    graph = csr_array((np.ones(len(edges), np.int8), edges.T), shape=(len(layers), len(layers)))
    count, part_of = connected_components(graph, connection="strong")
    between = np.unique(part_of[edges], axis=0)
    first = [int(np.flatnonzero(part_of == part)[0]) for part in range(count)]
    order = _in_order(first, between[between[:, 0] != between[:, 1]])
    ordered = [int(number) for part in order for number in np.flatnonzero(part_of == part)]
    begins = np.cumsum([0, *(int((part_of == part).sum()) for part in order)]).tolist()
    itself = set(part_of[edges[edges[:, 0] == edges[:, 1], 0]].tolist())
    ranges = zip(order, begins[:-1], begins[1:], strict=True)
    loops = tuple((begin, end) for part, begin, end in ranges if end - begin > 1 or part in itself)
    return tuple(layers[number] for number in ordered), loops


def _in_order(first: list[int], edges: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> list[int]:
    """Parts, each behind those that it reads; of those that may come next, the one whose first layer is first."""
    missing = np.bincount(edges[:, 1], minlength=len(first)).tolist()
    ready = [(place, part) for part, place in enumerate(first) if not missing[part]]
    heapify(ready)
    found: list[int] = []
    while ready:
        _, part = heappop(ready)
        found.append(part)
        for reader in edges[edges[:, 0] == part, 1].tolist():
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, (first[reader], reader))
    return found

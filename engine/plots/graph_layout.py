"""Where the layers of a network stand in a picture of it: a U where it goes down and up again, else a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..graph import Input, Network, Neurons, Output
from ..operations.exact import total

if TYPE_CHECKING:
    from ..operations import Operations


@dataclass(frozen=True)
class Edge:
    """What goes from one layer to another through a node of synapses.

    Parameters
    ----------
    source, target : str
        An Input or Neurons node, and a Neurons or Output node.
    synapses : str
        The node between them.
    operations : int
        Products of an event, or of a number of the analog input, and a weight.
    """

    source: str
    target: str
    synapses: str
    operations: int


@dataclass(frozen=True)
class Place:
    """Column and row of a layer, rows counted from the top; `right` in the arm that goes up, `order` among all."""

    column: float
    row: int
    right: bool
    order: int


def edges(network: Network, operations: Operations) -> list[Edge]:
    """All edges of a network, by what went along them in a run."""
    found = []
    for node in network.nodes:
        if not isinstance(node, Neurons | Output):
            continue
        for synapses in network.projections(node.sources[0]):
            leaves = dict.fromkeys(leaf for source in synapses.sources for leaf in network.leaves(source))
            found += [Edge(leaf, node.name, synapses.name, _along(operations, synapses.name, leaf)) for leaf in leaves]
    return found


def _along(operations: Operations, synapses: str, leaf: str) -> int:
    entry = operations.synapses[synapses]
    return int(total(entry.sources[leaf].synops)) if leaf in entry.sources else int(entry.macs)


def places(network: Network, heights: Mapping[str, int]) -> dict[str, Place]:
    """Where each Input, Neurons and Output node stands; `heights` are rows of pixels by node, which tell the depth.

    Layers of one resolution are a block of rows: left those before the smallest resolution, right those behind it.
    """
    names = [node.name for node in network.by_size if isinstance(node, Input | Neurons | Output)]
    levels = sorted({heights[name] for name in names}, reverse=True)
    depth = {name: levels.index(heights[name]) for name in names}
    turn = _turn([depth[name] for name in names])
    arms = (names[:turn], names[turn:])
    found, row = {}, 0
    for level in range(len(levels)):
        blocks = [[name for name in arm if depth[name] == level] for arm in arms]
        for right, block in enumerate(blocks):
            # The arm on the right goes up.
            order = reversed(block) if right else block
            column = (2 * len(levels) - level) if right else float(level)
            found.update(
                {name: Place(column, row + at, bool(right), names.index(name)) for at, name in enumerate(order)}
            )
        row += max(map(len, blocks))
    return found


def _turn(depths: list[int]) -> int:
    """Where the arm that goes up begins: behind the last of the deepest layers; nowhere if none is less deep then."""
    deepest = max(depths)
    last = len(depths) - 1 - depths[::-1].index(deepest)
    rises = any(later < earlier for earlier, later in zip(depths[last:], depths[last + 1 :], strict=False))
    return last + 1 if rises else len(depths)

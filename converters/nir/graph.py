"""A NIR graph laid flat: nested graphs are opened, and every node and edge is checked to be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import first_few

from ..weights.refusals import UnreadableError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "Affine": ("weight", "bias"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Conv1d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
    "Delay": ("delay",),
    "Flatten": ("start_dim", "end_dim"),
    "I": ("r",),
    "IF": ("r", "v_threshold"),
    "Input": ("shape",),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "Linear": ("weight",),
    "Output": ("shape",),
    "Scale": ("scale",),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "Threshold": ("threshold",),
}
"""Of each kind of node, the fields that it must have."""

NEURONS = ("CubaLIF", "I", "IF", "LI", "LIF", "Threshold")
RESETS = ("CubaLIF", "IF", "LIF")
"""Kinds that later versions of NIR give a potential to be reset to."""

MOST_PARTS = 2**12


@dataclass(frozen=True)
class NirNode:
    """A node, with the names of those that it reads.

    Parameters
    ----------
    name : str
        Within nested graphs "graph.node".
    kind : str
        A key of FIELDS.
    fields : dict
        Arrays, numbers and texts.
    sources : list of str
    """

    name: str
    kind: str
    fields: dict[str, Any]
    sources: list[str] = field(default_factory=list)

    def refuse(self, message: str) -> UnreadableError:
        """An error about this node, to be raised."""
        return UnreadableError(f"holds the {self.kind} {self.name!r:.100}, which {message}")

    def array(self, name: str) -> NDArray[np.float64]:
        """A field as float64; UnreadableError where it holds anything but finite numbers."""
        value = self.fields[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub" or not np.isfinite(value).all():
            raise self.refuse(f"has a {name} that is no array of finite numbers; export the network again")
        return np.asarray(value, np.float64)

    def whole(self, name: str, count: int) -> tuple[int, ...]:
        """A field as so many whole numbers; a single one stands for all."""
        numbers = self.array(name).reshape(-1)
        if numbers.size not in (1, count) or (numbers != np.floor(numbers)).any() or (np.abs(numbers) >= 2**31).any():
            raise self.refuse(f"has a {name} that is not {count} whole numbers (got {numbers[:4].tolist()})")
        return tuple(int(number) for number in np.broadcast_to(numbers, count))


def flat_graph(content: Mapping[str, Any]) -> dict[str, NirNode]:
    """The nodes of a file by their names, each with its sources, in the file's order."""
    top = content.get("node")
    if not isinstance(top, dict) or top.get("type") != "NIRGraph":
        raise UnreadableError("holds no NIRGraph under 'node'; export the whole network as a graph")
    nodes: dict[str, NirNode] = {}
    edges: list[tuple[str, str]] = []
    _open(top, "", nodes, edges)
    for source, target in dict.fromkeys(edges):  # a set of edges: one that is named twice is one
        for name in (source, target):
            if name not in nodes:
                raise UnreadableError(f"holds an edge of {name!r:.100}, which is no node; export the network again")
        nodes[target].sources.append(source)
    return nodes


def _open(graph: Mapping[str, Any], prefix: str, nodes: dict[str, NirNode], edges: list[tuple[str, str]]) -> None:
    """Add the nodes of a graph, and of those in it; edges end at the Inputs and begin at the Outputs of these."""
    parts, pairs = graph.get("nodes"), graph.get("edges")
    if not isinstance(parts, dict) or not isinstance(pairs, list) or len(nodes) + len(parts) > MOST_PARTS:
        raise UnreadableError(f"holds a graph {prefix.rstrip('.')!r:.100} without nodes or edges, or too many")
    doors: dict[str, dict[str, list[str]]] = {}
    for key, part in parts.items():
        if isinstance(part, dict) and part.get("type") == "NIRGraph":
            _open(part, f"{prefix}{key}.", nodes, edges)
            inner = part["nodes"].items()
            doors[key] = {kind: [f"{prefix}{key}.{n}" for n, p in inner if p["type"] == kind] for kind in _DOORS}
        else:
            nodes[f"{prefix}{key}"] = _node(f"{prefix}{key}", part)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(end, str) for end in pair):
            raise UnreadableError("holds an edge that does not name two nodes; export the network again")
        source, target = (_door(end, kind, prefix, doors) for end, kind in zip(pair, ("Output", "Input"), strict=True))
        edges.append((source, target))


_DOORS = ("Input", "Output")


def _door(name: str, kind: str, prefix: str, doors: Mapping[str, Mapping[str, list[str]]]) -> str:
    """The node that an edge of a graph means: of a nested graph its one Input or Output."""
    if name not in doors:
        return f"{prefix}{name}"
    found = doors[name][kind]
    if len(found) != 1:
        raise UnreadableError(
            f"holds the graph {prefix + name!r:.100}, which has {len(found)} {kind} nodes ({first_few(found) or '-'}); "
            "an edge needs one"
        )
    return found[0]


def _node(name: str, part: Any) -> NirNode:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise UnreadableError(
            f"holds {name!r:.100} of the type {str(kind)[:50]!r}, for which there is no layer; there are "
            f"{', '.join(FIELDS)}"
        )
    node = NirNode(name, kind, {key: value for key, value in part.items() if key != "type"})
    missing = [each for each in FIELDS[kind] if each not in node.fields]
    if missing:
        raise node.refuse(f"has no {missing[0]}; export the network again")
    if kind in RESETS and "v_reset" in node.fields and node.array("v_reset").any():
        raise node.refuse("is reset to another potential than 0, for which there is no neuron; set v_reset to 0")
    return node

"""Operators that exporters spell out by several others, none of which says what it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..weights.refusals import UnreadableError
from .graph import Graph, GraphNode

_TANH_FACTOR = math.sqrt(2 / math.pi)
"""What the tanh form of a GELU multiplies by: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""


def check_spelling(graph: Graph) -> None:
    """UnreadableError that says what a network has, where a refusal of the first operator of it would not."""
    made = {name: node for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if node.kind == "Erf" or (node.kind == "Tanh" and _of_gelu(made.get("".join(node.inputs[:1])), graph, made)):
            raise UnreadableError(
                f"has a GELU, of which {node.kind} {node.name!r} is a part, and for which there are no neurons; train "
                "with ReLU, ReLU6 or LeakyReLU in its place"
            )
        if node.kind == "GatherND":
            raise UnreadableError(
                f"takes pixels by their places (GatherND {node.name!r}), which is how an upsampling by 'nearest-exact' "
                "is exported; take mode='nearest', which is the same for whole factors"
            )


def _of_gelu(node: GraphNode | None, graph: Graph, made: dict[str, GraphNode]) -> bool:
    """Whether a node multiplies by what no other network would."""
    if node is None or node.kind != "Mul":
        return False
    constants = (_constant(name, graph, made) for name in node.inputs)
    return any(np.size(each) == 1 and math.isclose(np.ravel(each)[0], _TANH_FACTOR, rel_tol=1e-3) for each in constants)


def _constant(name: str, graph: Graph, made: dict[str, GraphNode]) -> Any:
    """A tensor of the file, if it is one of floats."""
    node = made.get(name)
    found = graph.constants.get(name) if node is None else node.attributes.get("value")
    return found if getattr(found, "dtype", None) in (np.float32, np.float64, np.float16) else ()

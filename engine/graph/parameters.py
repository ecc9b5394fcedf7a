"""How many weights and biases a node has, wherever they are counted."""

from __future__ import annotations

from .synapses import Synapses, Weighted


def weights_and_biases(node: Synapses) -> tuple[int, int]:
    """Numbers of weights and of biases; none of a node without any.

    A layer whose biases are all zero is one without a bias: nothing is added, and neurons behind it may be at rest.
    Neither files nor arrays tell the two apart.
    """
    if not isinstance(node, Weighted):
        return 0, 0
    return node.weight.size, node.bias.size if node.bias.any() else 0

"""How many weights and biases a node has, wherever they are counted."""

from __future__ import annotations

from .synapses import Synapses


def weights_and_biases(node: Synapses) -> tuple[int, int]:
    """Numbers of weights and of biases; none of a node without arrays.

    A layer whose biases are all zero is one without a bias: nothing is added, and neurons behind it may be at rest.
    Neither files nor arrays tell the two apart.
    """
    sizes = [getattr(node, name).size for name in node.arrays]
    if not sizes:
        return 0, 0
    return sizes[0], sizes[1] if getattr(node, node.arrays[1]).any() else 0

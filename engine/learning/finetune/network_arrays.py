"""The numbers of a network that training changes, one behind the other in a flat array that processes can share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network, Neurons, Node, Weighted
from .trainable_arrays import flat, with_arrays, with_initial

Array = NDArray[Any]


class NetworkArrays:
    """Weights and biases of a network, and the initial potentials of its neurons if wanted, by "node.weight" and so on.

    Parameters
    ----------
    network : Network
        Where the other numbers come from, and the shapes of these.
    initial : bool
        Whether initial potentials are among them.

    Attributes
    ----------
    size : int
        Of the flat array, float32.
    """

    def __init__(self, network: Network, initial: bool) -> None:
        self._network = network
        self._initial = initial
        self._shapes = {name: array.shape for name, array in self.arrays_of(network).items()}
        self.size = sum(map(math.prod, self._shapes.values()))

    def arrays_of(self, network: Network) -> dict[str, Array]:
        """The numbers of this network, or of one that differs from it in these alone."""
        found: dict[str, Array] = {}
        for node in network.nodes:
            if isinstance(node, Weighted):
                found |= {f"{node.name}.weight": node.weight, f"{node.name}.bias": node.bias}
            elif isinstance(node, Neurons) and self._initial:
                model: Any = node.model
                found[f"{node.name}.initial"] = np.array([model.initial], np.float32)
        return found

    def write(self, arrays: Mapping[str, Array], row: Array) -> None:
        """Put arrays by name into a flat one (size,); zeros for those that are not there."""
        for name, part in self._parts(row).items():
            part[:] = flat(arrays[name]) if name in arrays else 0

    def views(self, row: Array) -> dict[str, Array]:
        """The arrays in a flat one, by name, in the shapes of the network's; weights as `in_kernel_order` has them."""
        return {name: _shaped(part, self._shapes[name]) for name, part in self._parts(row).items()}

    def network(self, row: Array) -> Network:
        """The network with the numbers of a flat array, unchecked and uncopied."""
        views = self.views(row)
        return self._network.replace([_exchanged(node, views) for node in self._network.nodes])

    def _parts(self, row: Array) -> dict[str, Array]:
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        return dict(zip(self._shapes, np.split(row, np.cumsum(sizes)[:-1]), strict=True))


def _shaped(part: Array, shape: tuple[int, ...]) -> Array:
    """A view of what `flat` made of an array of this shape."""
    if len(shape) != 4:
        return part.reshape(shape)
    outer, inner, height, width = shape
    return part.reshape(height, width, inner, outer).transpose(3, 2, 0, 1)


def _exchanged(node: Node, views: Mapping[str, Array]) -> Node:
    made: Node = node
    if isinstance(node, Weighted):
        made = with_arrays(node, weight=views[f"{node.name}.weight"], bias=views[f"{node.name}.bias"])
    elif isinstance(node, Neurons) and f"{node.name}.initial" in views:
        made = with_initial(node, views[f"{node.name}.initial"])
    return made

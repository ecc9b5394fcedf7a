"""Whether what the weights of a running network meet are events of one size, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Projection
from ..simulation import simulate
from .comparison import require

Array = NDArray[Any]


def check_binary_inputs(network: Network, x: Array, steps: int, analog: Sequence[str] = ()) -> dict[str, float]:
    """Run a network, and look at every value that any of its synapses reads at any step: 0 or 1.

    Parameters
    ----------
    network : Network
    x : (C, H, W), or what else `simulate` takes
    steps : int
    analog : names of synapses
        Those that may read real numbers: the first convolution, which reads the picture.

    Returns
    -------
    dict of str to float
        For each of the other synapses, the share of ones among what they read.

    Raises
    ------
    AssertionError
        If one reads the analog input, or another value than 0 and 1; the message says which, where and what. If a name
        is none of the network's synapses.
    """
    names = [node.name for node in network.nodes if isinstance(node, Projection)]
    unknown = sorted(set(analog) - set(names))
    require(not unknown, f"no synapses are called {', '.join(unknown)}; there are {', '.join(names)}")
    checked = [node for node in network.nodes if isinstance(node, Projection) and node.name not in analog]
    inputs = set(network.input_channels) - set(network.encoded)
    for node in checked:
        read = sorted(inputs.intersection(network.leaves(node.source)))
        require(not read, f"{_called(node)} reads the analog input {', '.join(read)}; name it among those that may")
    spikes = simulate(network, x, steps, record={"spikes"}).spikes
    return {node.name: _share(_called(node), network.leaves(node.source), spikes) for node in checked}


def _called(node: Projection) -> str:
    return f"{type(node).__name__} {node.name!r}"


def _share(what: str, leaves: Sequence[str], spikes: Any) -> float:
    ones = total = 0
    for leaf in leaves:
        values = np.asarray(spikes[leaf])
        other = np.argwhere((values != 0) & (values != 1))
        if len(other):
            place = tuple(int(index) for index in other[0])
            raise AssertionError(f"{what} reads {values[place]:g} of {leaf!r} at {place}, which is neither 0 nor 1")
        ones, total = ones + int(np.count_nonzero(values)), total + values.size
    return ones / total

"""Scales of channels at which integers times a power of two hold the weights best."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Network, Weighted

from .normalization import normalize
from .sharing import Sharing

_MOST = 2 ** (1 / 3)
"""The most that an activation is divided by; measured."""


def with_full_codes(network: Network, names: Collection[str], bits: int) -> Network:
    """The network with channels scaled so that the largest weight of each is the largest code times a power of two.

    A power of two leaves up to half of the codes unused. The output stays as it is: what reads a channel is scaled by
    the inverse. Channels that must keep their scale, or share it with another layer's, are left alone, and so are those
    whose activations would grow, or shrink to less than four fifths.

    Parameters
    ----------
    network : Network
    names : collection of str
        Layers whose weights are to be rounded.
    bits : int
        Of a weight.
    """
    if network.loops:
        return network
    groups = Sharing(network, channels=True).groups
    readers = np.bincount(np.concatenate([np.zeros(0, np.int64), *groups.values()]))
    for name in [node.name for node in network.nodes if node.name in groups and node.name in names]:
        factors = _factors(network[name], 2 ** (bits - 1) - 1)
        alone = (groups[name] > 0) & (readers[groups[name]] == 1)
        if (alone & (factors != 1)).any():
            network = normalize(network, {name: np.where(alone, factors, 1.0)})
    return network


def _factors(node: Any, most: int) -> NDArray[np.float64]:
    """By what each channel is divided: 1 to 1.26.

    Activations that grow come to the end of the ladder, which costs more than coarser weights; those that shrink are
    rounded more coarsely.
    """
    layer: Weighted = node
    largest = np.abs(layer.by_output(layer.weight)).max(1).astype(np.float64)
    exponents = np.log2(np.where(largest > 0, largest / most, 1.0))
    found: NDArray[np.float64] = np.exp2(exponents - np.floor(exponents))
    return np.where(found <= _MOST, found, 1.0)

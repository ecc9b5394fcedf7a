"""Which layers share a scale, and what scale each channel of each node has.

A layer with weights has a scale of its own. What has none hands on that of what it reads, channel by channel. Layers
share one where their activations are added up, and where channels are put together that no weights tell apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError
from spikeunet.engine.graph import CurrentSum, Input, Join, Network, Node, Projection, Weighted

Array = NDArray[Any]

Agree = Callable[[Node, Array], None]
"""Called with a node and what it reads, where that has to be one and is not. If it returns, the first one is taken."""

_PICTURE = 0
"""Number of what has no scale: the picture."""


@dataclass(frozen=True)
class HandedOn:
    """Something that each channel has: a scale, or the layer that it comes from.

    Parameters
    ----------
    outgoing : dict
        By node but Joins, (K,) of what it puts out. Where K is not the number of channels, it divides it.
    incoming : dict
        By weighted node, (in_channels,) of what it reads.
    """

    outgoing: dict[str, Array]
    incoming: dict[str, Array]


def hand_on(network: Network, of_picture: float, of_layer: Callable[[Weighted], float], agree: Agree) -> HandedOn:
    """Give the picture and each layer with weights a number, and hand it on through all nodes that have none."""
    found = HandedOn({}, {})
    for node in network.by_size:
        if isinstance(node, Weighted):
            found.incoming[node.name] = _read(network, node, found.outgoing, agree)
            found.outgoing[node.name] = np.full(node.out_channels, of_layer(node))
        elif isinstance(node, Input):
            found.outgoing[node.name] = np.full(node.channels, of_picture)
        elif isinstance(node, Projection):
            found.outgoing[node.name] = _passed_on(network, node, found.outgoing, agree)
        elif isinstance(node, CurrentSum):
            found.outgoing[node.name] = _added(network, node, found.outgoing, agree)
        elif not isinstance(node, Join):
            found.outgoing[node.name] = found.outgoing[node.sources[0]]
    for node in network.nodes if network.loops else ():
        if isinstance(node, CurrentSum):  # now that what loops give back is known
            _added(network, node, found.outgoing, agree)
    return found


def _read(network: Network, node: Weighted, outgoing: dict[str, Array], agree: Agree) -> Array:
    """What each channel has that a weighted node reads."""
    parts = [outgoing[leaf] for leaf in network.leaves(node.source)]
    values = np.concatenate(parts)
    widths = network.widths(node)
    if _differ(values) and widths is not None:
        return np.concatenate([np.repeat(part, width // len(part)) for part, width in zip(parts, widths, strict=True)])
    return _one(node, values, node.in_channels, agree)


def _passed_on(network: Network, node: Projection, outgoing: dict[str, Array], agree: Agree) -> Array:
    """What each channel of a node without weights has."""
    leaves, channels = network.leaves(node.source), network.channels[node.name]
    values = np.concatenate([outgoing[leaf] for leaf in leaves])
    if _differ(values) and (all(map(network.channels.get, leaves)) or (len(leaves) == 1 and node.keeps_channels)):
        try:
            passed = node.pass_on(values)
        except InputError:
            passed = values[:0]
        if len(passed) and len(passed) == (channels or len(passed)):
            return passed
    return _one(node, values, channels or 1, agree)


def _added(network: Network, node: CurrentSum, outgoing: dict[str, Array], agree: Agree) -> Array:
    values = np.concatenate([outgoing[part] for part in node.sources if part in outgoing])
    return _one(node, values, network.channels[node.name] or 1, agree)


def _one(node: Node, values: Array, count: int, agree: Agree) -> Array:
    """One value so many times, that all agree on."""
    if _differ(values):
        agree(node, values)
    return np.full(count, values[0])


def _differ(values: Array) -> bool:
    return bool((values != values[0]).any())


class Sharing:
    """Which layers share a scale.

    Parameters
    ----------
    network : Network
    joined : bool
        Whether those that meet in a concatenation share one, too.
    """

    def __init__(self, network: Network, joined: bool = False) -> None:
        layers = [node.name for node in network.nodes if isinstance(node, Weighted)]
        self._numbers = {name: 1 + index for index, name in enumerate(layers)}
        self._names = ["", *layers]
        self._parents = list(range(len(self._names)))
        self._met: Node | None = None
        self._outgoing = hand_on(
            network, _PICTURE, lambda layer: self._numbers[layer.name], lambda node, found: self._unite(found, node)
        ).outgoing
        read_out = {group for node in network.outputs for group in self._groups(self._outgoing[node.name])}
        self._unscaled = {*read_out, self._group(_PICTURE)}
        for node in network.nodes if joined else ():
            if isinstance(node, Projection):
                self._join(network, node)
        fired = {part.name for node in network.neurons for part in network.projections(node.source)}
        self._able = [name for name in layers if name in fired and self._group(self._numbers[name]) not in read_out]
        first = {self._first(name) for name in self._able}
        self.scales = {name: self._first(name) for name in layers if self._first(name) in first - {""}}
        """By layer that can be scaled, the first one of those that it shares its scale with."""

    def layer_behind(self, name: str) -> str:
        """The layer whose scale a node has, a value of `scales`; "" where it has none, or several."""
        groups = self._groups(self._outgoing[name])
        return self._names[groups.pop()] if len(groups) == 1 and not groups & self._unscaled else ""

    def check(self) -> None:
        """InputError where a layer cannot be scaled because what it is put together with, the picture, has no scale."""
        name = next((name for name in self._able if name not in self.scales), None)
        if self._met is not None and name is not None:
            kind = type(self._met).__name__
            raise InputError(
                f"{kind} {self._met.name!r} puts the picture, which has no scale, together with activations that share "
                f"that of {name!r}; put a Scale with weights of 1 and neurons (SignedMultiThreshold where the picture "
                "has negative values) between the picture and it"
            )

    def _first(self, name: str) -> str:
        group = self._group(self._numbers[name])
        return "" if group in self._unscaled else self._names[group]

    def _join(self, network: Network, node: Projection) -> None:
        """Unite what synapses read together."""
        found = np.concatenate([self._outgoing[leaf] for leaf in network.leaves(node.source)])
        self._unite([number for number in self._groups(found) if number not in self._unscaled], node)

    def _unite(self, numbers: Any, node: Node) -> None:
        """Put all of these into one group, which is called by its lowest number."""
        groups = sorted(self._groups(numbers))
        if len(groups) > 1 and groups[0] == self._group(_PICTURE):
            self._met = self._met or node
        for group in groups[1:]:
            self._parents[group] = groups[0]

    def _groups(self, numbers: Any) -> set[int]:
        return {self._group(int(number)) for number in set(np.asarray(numbers).tolist())}

    def _group(self, number: int) -> int:
        """The lowest number of a group, found by way of others; that way is made shorter."""
        while self._parents[number] != number:
            self._parents[number] = number = self._parents[self._parents[number]]
        return number

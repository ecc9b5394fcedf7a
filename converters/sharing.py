"""Which layers share a scale, or which channels, and what scale each channel of each node has.

A layer with weights has a scale of its own, or one for each output channel. What has none hands on those of what it
reads, channel by channel. Layers (channels) share one where their activations are added up, and where channels are put
together that no weights tell apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError
from spikeunet.engine.graph import CurrentSum, Input, Join, Network, Node, Projection, Synapses, Weighted

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


def hand_on(network: Network, of_picture: float, of_layer: Callable[[Weighted], Any], agree: Agree) -> HandedOn:
    """Give the picture and each layer with weights a number, and hand it on through all nodes that have none.

    `of_layer` returns one for all output channels, or (out_channels,) of them.
    """
    found = HandedOn({}, {})
    other = next((node for node in network.nodes if isinstance(node, Synapses) and not node.homogeneous), None)
    if other is not None:
        raise InputError(
            f"{type(other).__name__} {other.name!r} multiplies what it reads with one another, so that scales would "
            "change what the network computes; take --normalization none (normalization='none')"
        )
    for node in network.by_size:
        if isinstance(node, Weighted):
            found.incoming[node.name] = _read(network, node, found.outgoing, agree)
            found.outgoing[node.name] = np.broadcast_to(of_layer(node), (node.out_channels,))
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
    """What each channel of a sum has: what that channel has of each part."""
    parts, channels = [outgoing[part] for part in node.sources if part in outgoing], network.channels[node.name]
    if not all(len(part) == channels for part in parts):
        return _one(node, np.concatenate(parts), channels or 1, agree)
    for column in np.unique(np.stack(parts), axis=1).T:
        if _differ(column):
            agree(node, column)
    return parts[0]


def _one(node: Node, values: Array, count: int, agree: Agree) -> Array:
    """One value so many times, that all agree on."""
    if _differ(values):
        agree(node, values)
    return np.full(count, values[0])


def _differ(values: Array) -> bool:
    return bool((values != values[0]).any())


class Sharing:
    """Which layers, or which of their channels, share a scale: those that do are a group, which has a number.

    Parameters
    ----------
    network : Network
    joined : bool
        Whether layers that meet in a concatenation share one, too.
    channels : bool
        Whether each output channel has a scale of its own, and not each layer.
    """

    def __init__(self, network: Network, joined: bool = False, channels: bool = False) -> None:
        layers = [node for node in network.nodes if isinstance(node, Weighted)]
        self._names = [""]
        self._numbers = {node.name: self._numbered(node, channels) for node in layers}
        self._parents = list(range(len(self._names)))
        self._met: Node | None = None
        self._outgoing = hand_on(
            network, _PICTURE, lambda layer: self._numbers[layer.name], lambda node, found: self._unite(found, node)
        ).outgoing
        for node in network.nodes if joined else ():
            if isinstance(node, Projection):
                self._join(network, node)
        self._roots = np.array([self._group(number) for number in range(len(self._names))])
        read_out = [self._roots[self._outgoing[node.name]] for node in network.outputs]
        self._read_out = {int(group) for found in read_out for group in found}
        fired = {part.name for node in network.neurons for part in network.projections(node.source)}
        self._able = {node.name: self._roots[self._numbers[node.name]] for node in layers if node.name in fired}
        self._scaled = self._groups_with_a_scale()
        numbers = {name: self._with_a_scale(self._roots[found]) for name, found in self._numbers.items()}
        self.groups = {name: groups for name, groups in numbers.items() if groups.any()}
        """By layer that can be scaled, (out_channels,) the group of each output channel, 0 for one without a scale."""

    @property
    def scales(self) -> dict[str, str]:
        """By layer that can be scaled, the first one of those that it shares its scale with."""
        return {name: self._names[int(groups.max())] for name, groups in self.groups.items()}

    @property
    def count(self) -> int:
        """Groups have numbers below this one."""
        return len(self._names)

    def groups_behind(self, name: str) -> Array:
        """(K,) the group of each channel of a node, 0 for one without a scale; see HandedOn.outgoing."""
        return self._with_a_scale(self._roots[self._outgoing[name]])

    def check(self) -> None:
        """InputError where a layer cannot be scaled because what it is put together with, the picture, has no scale."""
        picture = int(self._roots[_PICTURE])
        held = [name for name, groups in self._able.items() if picture in groups and picture not in self._read_out]
        if self._met is not None and held:
            kind = type(self._met).__name__
            raise InputError(
                f"{kind} {self._met.name!r} puts the picture, which has no scale, together with activations that share "
                f"that of {held[0]!r}; put a Scale with weights of 1 and neurons (SignedMultiThreshold where the "
                "picture has negative values) between the picture and it"
            )

    def _numbered(self, node: Weighted, channels: bool) -> Array:
        """A number for each output channel of a layer, or one for all."""
        first = len(self._names)
        self._names += [node.name] * (node.out_channels if channels else 1)
        return np.arange(first, first + node.out_channels) if channels else np.full(node.out_channels, first)

    def _groups_with_a_scale(self) -> Array:
        """Groups with a channel that neurons fire for, but those of the picture and of what is read out."""
        found = np.unique(np.concatenate([*self._able.values(), np.zeros(1, int)]))
        scaled: Array = found[~np.isin(found, [*self._read_out, self._roots[_PICTURE]])]
        return scaled

    def _with_a_scale(self, groups: Array) -> Array:
        kept: Array = np.where(np.isin(groups, self._scaled), groups, 0)
        return kept

    def _join(self, network: Network, node: Projection) -> None:
        """Unite what synapses read together, but what is read out and the picture."""
        found = np.concatenate([self._outgoing[leaf] for leaf in network.leaves(node.source)])
        unscaled = {self._group(_PICTURE)}
        for output in network.outputs:
            unscaled |= self._groups(self._outgoing[output.name])
        self._unite([number for number in self._groups(found) if number not in unscaled], node)

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

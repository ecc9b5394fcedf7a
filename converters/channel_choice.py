"""Which channels of a network can be left out, or change places, and the network without them.

A channel that is handed on as it is, by pools, sums, batch norms and convolutions channel by channel, stays in all of
these nodes or in none; see channel_pruning.py.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.binding import build_program
from spikeunet.engine.binding.gather_layer import GatherLayer
from spikeunet.engine.binding.integer_plan import integer_terms
from spikeunet.engine.errors import GraphError
from spikeunet.engine.graph import CurrentSum, Join, Network, Neurons, Node, Projection, Shape, Weighted
from spikeunet.engine.neurons import Heterogeneous

Array = NDArray[Any]
Keep = dict[str, NDArray[np.bool_]]
"""By node, which channels it keeps."""

_LANES = 16
"""Of vectors, to which channels are filled up; on any processor, so that the order is the same everywhere."""


@dataclass(frozen=True)
class Readers:
    """What may be done to the channels that layers with weights read and write.

    Parameters
    ----------
    ordered : frozenset of str
        Layers that add up products channel by channel, in their order: some may be left out.
    exact : frozenset of str
        Layers whose sums are not rounded, in whatever order.
    fixed : frozenset of str
        Layers of which no channel may be left out all the same.
    """

    ordered: frozenset[str]
    exact: frozenset[str]
    fixed: frozenset[str] = frozenset()


def readers_of(network: Network, shape: Shape) -> Readers:
    """Those of a network that sees pictures of the shape (C, H, W)."""
    parts = [
        part
        for layer in build_program(network, shape).layers
        for part in layer.parts
        if isinstance(part, GatherLayer) and isinstance(part.node, Weighted)
    ]
    exact = []
    for part in parts:
        padded = -(-part.outgoing[0] // _LANES) * _LANES
        if integer_terms(part.node, part.incoming, part.sources, padded) is not None:
            exact.append(part.node.name)
    return Readers(frozenset(part.node.name for part in parts), frozenset(exact))


def kept_channels(network: Network, fires: Mapping[str, NDArray[np.bool_]], readers: Readers) -> Keep:
    """By node, which channels must stay where those of the Neurons in `fires` must, (C,) each.

    A channel that is handed on as it is (by pools, sums, batch norms, convolutions channel by channel) stays in all of
    these nodes or in none.
    """
    keep = {name: np.zeros(count, np.bool_) for name, count in network.channels.items()}
    for name, channels in fires.items():
        if keep[name].size:  # A picture decides how many there are, and all stay.
            keep[name] |= channels
    fixed = {node.name for node in network.nodes if not _may_lose(network, node, readers)}
    for name in fixed:
        keep[name][:] = True
    _spread(network, keep, fixed)
    while empty := [name for name, channels in keep.items() if channels.size and not channels.any()]:
        keep[empty[0]][0] = True  # A layer has a channel at least.
        _spread(network, keep, fixed)
    return keep


def _may_lose(network: Network, node: Node, readers: Readers) -> bool:
    """Whether channels of a node may be left out, as far as it is up to the node itself."""
    if node.name in readers.fixed:
        return False
    if not all(network.channels[name] for name in (node.name, *(node.sources if _hands_on(node) else ()))):
        return False
    if isinstance(node, Neurons):
        # Parameters of their own, and random numbers, go by a neuron's place.
        own = isinstance(node.model, Heterogeneous) or hasattr(node.model, "seed")
        return not own
    if isinstance(node, Weighted):
        return _is_separable(node) and (node.name in readers.ordered or _is_tied(node))
    return isinstance(node, (CurrentSum, Join)) or (isinstance(node, Projection) and node.keeps_channels)


def _is_separable(node: Weighted) -> bool:
    """Whether there are weights of each output and input channel, and of no others."""
    return node.homogeneous and (_is_tied(node) or node.group_count == 1)


def _is_tied(node: Weighted) -> bool:
    """Whether each output channel reads the input channel of its number alone."""
    return node.group_count == node.in_channels == node.out_channels


def _hands_on(node: Node) -> bool:
    """Whether a node puts out the channels that it reads, one for one."""
    if isinstance(node, Weighted):
        return _is_tied(node)
    return not isinstance(node, Projection) or node.keeps_channels


def _spread(network: Network, keep: Keep, fixed: set[str]) -> None:
    """Keep what hangs together with what is kept."""
    changed = True
    while changed:
        changed = False
        for node in network.nodes:
            if not node.sources:
                continue
            if node.name in fixed or not keep[node.name].size:
                for source in node.sources:
                    changed |= _add(keep, source, np.True_)
            elif isinstance(node, Join):
                changed |= _join(keep, node)
            elif _hands_on(node):
                for source in node.sources:
                    changed |= _add(keep, source, keep[node.name]) | _add(keep, node.name, keep[source])


def _join(keep: Keep, node: Join) -> bool:
    """A Join's channels are those of its sources, one after the other."""
    changed, first = False, 0
    for source in node.sources:
        part = keep[node.name][first : first + keep[source].size]
        changed |= bool((keep[source] & ~part).any())
        part |= keep[source]
        changed |= _add(keep, source, part)
        first += keep[source].size
    return changed


def _add(keep: Keep, name: str, channels: Any) -> bool:
    """Keep some channels of a node; whether that was news."""
    news = bool((channels & ~keep[name]).any())
    keep[name] |= channels
    return news


# --- The network without the others ----------------------------------------------------------------------------------


def in_order(network: Network, keep: Keep, fired: Mapping[str, Array], readers: Readers) -> dict[str, NDArray[np.intp]]:
    """By node, the numbers of its channels that stay, those first that fire most where that changes no sum."""
    order = {name: np.flatnonzero(channels) for name, channels in keep.items()}
    may_move = functools.partial(_may_move, network, readers=readers)
    for names in _handed_on(network):
        nodes = [network[name] for name in names]
        if all(map(may_move, nodes)) and len({order[name].size for name in names}) == 1:
            counts, kept = sum(fired[name] for name in names if name in fired), order[names[0]]
            ordered = kept[np.argsort(-np.asarray(counts)[kept], kind="stable")]
            order |= dict.fromkeys(names, ordered)
    return order


def _handed_on(network: Network) -> list[list[str]]:
    """Nodes whose channels are one another's, number by number, and that have neurons among them."""
    group = {node.name: {node.name} for node in network.nodes}
    for node in network.nodes:
        for source in node.sources if _hands_on(node) and not isinstance(node, Join) else ():
            group[node.name] |= group[source]
            for name in group[node.name]:
                group[name] = group[node.name]
    found = {id(names): sorted(names) for names in group.values()}
    neurons = {node.name for node in network.neurons}
    return [names for names in found.values() if neurons & set(names)]


def _may_move(network: Network, node: Node, readers: Readers) -> bool:
    """Whether a node's channels may change places, and nobody who reads them rounds its sums."""
    if not _may_lose(network, node, readers) or isinstance(node, Join):
        return False
    for reader in network.nodes:
        if node.name in reader.sources and not isinstance(reader, Join) and _hands_on(reader):
            continue  # It has the same order.
        if not isinstance(reader, Projection) or node.name not in network.leaves(reader.source):
            continue
        # Behind a Join, what is handed on stands where the Join has it, as far as its channels are known.
        if _hands_on(reader) or not network.channels[reader.source]:
            return False
        if reader.name not in readers.exact or not _may_lose(network, reader, readers):
            return False
    return True


def with_channels_alone(
    network: Network, order: Mapping[str, NDArray[np.intp]]
) -> tuple[Network | None, frozenset[str]]:
    """The network with the channels alone that `in_order` says, in that order.

    None, and the name of a layer that takes no such channels, where there is one.
    """
    made: list[Node] = []
    for node in network.nodes:
        changed: Node | None = node
        if isinstance(node, Weighted):
            outputs, inputs = order[node.name], _read(network, node, order)
            if not (_are_all(outputs, node.out_channels) and _are_all(inputs, node.in_channels)):
                changed = with_channels(node, outputs, inputs)
        if changed is None:
            return None, frozenset({node.name})
        made.append(changed)
    return network.replace(made), frozenset()


def _are_all(numbers: NDArray[np.intp], count: int) -> bool:
    """Whether channels are all there are, as they were."""
    return np.array_equal(numbers, np.arange(count))


def _read(network: Network, node: Weighted, order: Mapping[str, NDArray[np.intp]]) -> NDArray[np.intp]:
    """Input channels of a node that stay: some neighbours stand for a channel where it reads all of its pixels."""
    leaves = network.leaves(node.source)
    widths = [network.channels[leaf] for leaf in leaves]
    if not all(widths):
        return np.arange(node.in_channels)
    firsts = np.cumsum([0, *widths])
    chosen = np.concatenate([first + order[leaf] for first, leaf in zip(firsts, leaves, strict=False)])
    each = node.in_channels // sum(widths)
    return (chosen[:, None] * each + np.arange(each)).reshape(-1)


def with_channels(node: Weighted, outputs: NDArray[np.intp], inputs: NDArray[np.intp]) -> Weighted | None:
    """A layer with some of its channels alone, all weights between them as they are.

    None of a kind, or of groups of several channels, where a channel cannot be left out, and where it refuses these.

    Parameters
    ----------
    node : Weighted
    outputs, inputs : int
        Numbers of output and input channels, in the order that they get; the same where each output channel reads the
        input channel of its number alone.
    """
    if not _is_separable(node):
        return None
    weight = node.weight
    by_output, by_input = (
        node.along_outputs(np.arange(node.out_channels)),
        node.along_inputs(np.arange(node.in_channels)),
    )
    for numbers, chosen in [(by_output, outputs), *([] if _is_tied(node) else [(by_input, inputs)])]:
        axes = _axes_of(np.broadcast_to(numbers, node.weight.shape))
        if len(axes) > 1:
            return None
        weight = weight.take(chosen, axes[0]) if axes else weight
    changed: dict[str, Any] = {"weight": np.ascontiguousarray(weight), "bias": node.bias[outputs]}
    if _is_tied(node) and "groups" in node.file_fields:
        changed["groups"] = len(outputs)
    try:
        return replace(node, **changed)
    except GraphError:
        return None


def _axes_of(numbers: Array) -> list[int]:
    """Axes along which numbers differ; none of a single channel."""
    return [axis for axis in range(numbers.ndim) if (numbers != numbers.take([0], axis)).any()]

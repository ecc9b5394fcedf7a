"""Channels whose neurons never fire are left out, with the weights that lead to them and away from them.

Trained networks have many channels that are 0 for every picture (a bias that was pushed too low; G. Sokar et al., "The
dormant neuron phenomenon in deep reinforcement learning", arXiv 2302.12902). Events cost nothing there, but each event
of the layer before is added to their potentials, in vain: without them the same spikes take fewer operations, and the
file is smaller. H. Hu, R. Peng, Y.-W. Tai and C.-K. Tang, "Network trimming", arXiv 1607.03250, leave out the neurons
of an artificial network that are 0 for most inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.diagnosis import middle_of
from spikeunet.engine.errors import InputError
from spikeunet.engine.fixed_point import weight_bits
from spikeunet.engine.graph import CurrentSum, Join, Network, Neurons, Node, Projection, Weighted
from spikeunet.engine.neurons import Heterogeneous
from spikeunet.engine.simulation import simulate

Array = NDArray[Any]
Keep = dict[str, NDArray[np.bool_]]
"""By node, which channels it keeps."""

LARGEST_SIDE = 512
"""Pixels of a picture's side; of larger ones the middle is taken, where the network's shapes allow it."""


@dataclass(frozen=True)
class Pruning:
    """What pruning left out.

    Parameters
    ----------
    channels : dict of str to (int, int)
        By Neurons node, channels before and after; those alone that have fewer.
    pictures : int
    accumulates_before, accumulates : int
        Of all pictures and steps, of the network as it was and as it is.
    change : float
        Root mean square of what the output differs by on the pictures, divided by that of the output: 0 where nothing
        fired that was left out.
    """

    channels: Mapping[str, tuple[int, int]]
    pictures: int
    accumulates_before: int
    accumulates: int
    change: float


def prune_channels(
    network: Network,
    pictures: Sequence[Array],
    steps: int = 1,
    most: float = 0.0,
    follow: Callable[[Sequence[Array]], Iterable[Array]] = iter,
) -> tuple[Network, Pruning]:
    """Leave out the channels of which hardly a neuron fires on any picture.

    Parameters
    ----------
    network : Network
        With a single input, which takes pictures.
    pictures : sequence of (C, H, W) float32
        What the network will see, noise included (`calibration_pictures`); of large ones the middles are looked at.
    steps : int
    most : float
        Share of a channel's neurons, over all pictures, that may fire at all in one that is left out.
    follow : function of a sequence that goes through it
        Is given the pictures, twice, and may show how far it has come.

    Returns
    -------
    Network
        What it puts out is, bit for bit, what it did, on every picture on which nothing would fire in what was left
        out. Channels that fire often come first where all that read them have weights of few bits, whose sums are exact
        in any order: neighbours are then silent together more often, which is faster. Metadata: "pruned_channels", how
        many, on how many pictures, and `most`.
    Pruning

        Channels are kept that are parts of an input or an output, that others' currents are added to or that kinds of
        layers read which mix channels without weights of their own, unless all that hangs together is silent; and so
        are all channels of neurons with parameters of their own or with noise.

    Raises
    ------
    InputError
        If there are no pictures, `most` is not from 0 to 1, or the network has several inputs or takes events.
    """
    if not 0 <= most < 1:
        raise InputError(f"most must be at least 0 and below 1 (got {most!r})")
    if len(network.inputs) > 1 or network.encoded:
        what = "events" if network.encoded else f"{len(network.inputs)} inputs"
        raise InputError(f"channels are pruned by the spikes of pictures, and this network takes {what}")
    if not len(pictures):
        raise InputError("channels are pruned by the spikes of pictures; give at least one")
    shown = [middle_of(network, np.asarray(picture), LARGEST_SIDE) for picture in pictures]
    fired, there = _fired(network, shown, steps, follow)
    keep = kept_channels(network, {name: fired[name] > most * there[name] for name in fired})
    pruned = with_channels_alone(network, in_order(network, keep, fired))
    change, before, after = _compared(network, pruned, shown, steps, follow)
    found = {
        node.name: (network.channels[node.name], pruned.channels[node.name])
        for node in network.neurons
        if network.channels[node.name] != pruned.channels[node.name]
    }
    said = {"channels": sum(width - left for width, left in found.values()), "pictures": len(shown), "most": most}
    pruned = pruned.replace(metadata={**network.metadata, "pruned_channels": said})
    return pruned, Pruning(found, len(shown), before, after, change)


def _fired(
    network: Network, pictures: Sequence[Array], steps: int, follow: Callable[[Sequence[Array]], Iterable[Array]]
) -> tuple[dict[str, Array], dict[str, int]]:
    """By Neurons node, of each channel how many neurons have fired, and how many there were."""
    fired: dict[str, Array] = {}
    there: dict[str, int] = {}
    for picture in follow(pictures):
        counts = simulate(network, picture, steps, record=("spike_count",)).spike_count
        for name, count in counts.items():
            fired[name] = fired.get(name, 0) + np.count_nonzero(count, axis=(1, 2))
            there[name] = there.get(name, 0) + count[0].size
    return fired, there


def _compared(
    network: Network,
    pruned: Network,
    pictures: Sequence[Array],
    steps: int,
    follow: Callable[[Sequence[Array]], Iterable[Array]],
) -> tuple[float, int, int]:
    """What the output differs by, relative to it, and the accumulates of both networks."""
    squares, whole, before, after = 0.0, 0.0, 0, 0
    for picture in follow(pictures):
        first, second = (simulate(each, picture, steps) for each in (network, pruned))
        for name, output in first.outputs.items():
            squares += float(np.square(second.outputs[name] - output, dtype=np.float64).sum())
            whole += float(np.square(output, dtype=np.float64).sum())
        before, after = before + first.total_accumulates, after + second.total_accumulates
    return float(np.sqrt(squares / whole)) if whole else 0.0, before, after


# --- Which channels --------------------------------------------------------------------------------------------------


def kept_channels(network: Network, fires: Mapping[str, NDArray[np.bool_]]) -> Keep:
    """By node, which channels must stay where those of the Neurons in `fires` must, (C,) each.

    A channel that is handed on as it is (by pools, sums, batch norms, convolutions channel by channel) stays in all of
    these nodes or in none.
    """
    keep = {name: np.zeros(count, np.bool_) for name, count in network.channels.items()}
    for name, channels in fires.items():
        if keep[name].size:  # A picture decides how many there are, and all stay.
            keep[name] |= channels
    fixed = {node.name for node in network.nodes if not _may_lose(network, node)}
    for name in fixed:
        keep[name][:] = True
    _spread(network, keep, fixed)
    while empty := [name for name, channels in keep.items() if channels.size and not channels.any()]:
        keep[empty[0]][0] = True  # A layer has a channel at least.
        _spread(network, keep, fixed)
    return keep


def _may_lose(network: Network, node: Node) -> bool:
    """Whether channels of a node may be left out, as far as it is up to the node itself."""
    if not all(network.channels[name] for name in (node.name, *(node.sources if _hands_on(node) else ()))):
        return False
    if isinstance(node, Neurons):
        # Parameters of their own, and random numbers, go by a neuron's place.
        own = isinstance(node.model, Heterogeneous) or hasattr(node.model, "seed")
        return not own
    if isinstance(node, Weighted):
        return with_channels(node, *_all_channels(node)) is not None
    return isinstance(node, (CurrentSum, Join)) or (isinstance(node, Projection) and node.keeps_channels)


def _all_channels(node: Weighted) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.arange(node.out_channels), np.arange(node.in_channels)


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


def in_order(network: Network, keep: Keep, fired: Mapping[str, Array]) -> dict[str, NDArray[np.intp]]:
    """By node, the numbers of its channels that stay, those first that fire most where that changes no sum."""
    order = {name: np.flatnonzero(channels) for name, channels in keep.items()}
    for names in _handed_on(network):
        nodes = [network[name] for name in names]
        if all(map(functools.partial(_may_move, network), nodes)) and len({order[name].size for name in names}) == 1:
            counts = sum(fired[name] for name in names if name in fired)
            kept = order[names[0]]
            for name in names:
                order[name] = kept[np.argsort(-np.asarray(counts)[kept], kind="stable")]
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


def _may_move(network: Network, node: Node) -> bool:
    """Whether a node's channels may change places, and nobody who reads them rounds its sums."""
    if not _may_lose(network, node) or isinstance(node, Join):
        return False
    for reader in network.nodes:
        if node.name in reader.sources and not isinstance(reader, Join) and _hands_on(reader):
            continue  # It has the same order.
        reads = (
            isinstance(reader, Projection) and isinstance(node, Neurons) and node.name in network.leaves(reader.source)
        )
        if reads and not _sums_exactly(network, reader):
            return False
    return True


def _sums_exactly(network: Network, reader: Node) -> bool:
    """Whether a node adds up products of its input channels, in any order without rounding, and these may move."""
    if not isinstance(reader, Weighted) or _is_tied(reader) or not _may_lose(network, reader):
        return False
    return weight_bits(reader) is not None


def with_channels_alone(network: Network, order: Mapping[str, NDArray[np.intp]]) -> Network:
    """The network with the channels alone that `in_order` says, in that order."""
    made: list[Node] = []
    for node in network.nodes:
        changed: Node | None = None
        if isinstance(node, Weighted):
            outputs, inputs = order[node.name], _read(network, node, order)
            as_they_are = np.array_equal(outputs, np.arange(node.out_channels)) and np.array_equal(
                inputs, np.arange(node.in_channels)
            )
            changed = None if as_they_are else with_channels(node, outputs, inputs)
        made.append(changed or node)
    return network.replace(made)


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

    None of a kind, or of groups of several channels, where a channel cannot be left out.

    Parameters
    ----------
    node : Weighted
    outputs, inputs : int
        Numbers of output and input channels, in the order that they get; the same where each output channel reads the
        input channel of its number alone.
    """
    if not node.homogeneous or not (_is_tied(node) or node.group_count == 1):
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
    return replace(node, **changed)


def _axes_of(numbers: Array) -> list[int]:
    """Axes along which numbers differ; none of a single channel."""
    return [axis for axis in range(numbers.ndim) if (numbers != numbers.take([0], axis)).any()]

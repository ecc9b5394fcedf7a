"""Channels whose neurons never fire are left out, with the weights that lead to them and away from them.

Trained networks have many channels that are 0 for every picture (a bias that was pushed too low; G. Sokar et al., "The
dormant neuron phenomenon in deep reinforcement learning", arXiv 2302.12902). Events cost nothing there, but each event
of the layer before is added to their potentials, in vain: without them the same spikes take fewer operations, and the
file is smaller. H. Hu, R. Peng, Y.-W. Tai and C.-K. Tang, "Network trimming", arXiv 1607.03250, leave out the neurons
of an artificial network that are 0 for most inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.diagnosis import middle_of
from spikeunet.engine.errors import InputError
from spikeunet.engine.graph import Network
from spikeunet.engine.simulation import simulate

from .channel_choice import in_order, kept_channels, readers_of, with_channels_alone

Array = NDArray[Any]
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
        Root mean square of what the output differs by on the pictures, divided by that of the output: 0 where it is the
        same, and infinite where it was 0 everywhere.
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
        out. Channels that fire often come first where no sum of what reads them is rounded (`quantize_weights`):
        neighbours are then silent together more often, which is faster. Metadata: "pruned_channels", how many in all,
        and on how many pictures and with which `most` last.
    Pruning

        Channels are kept that are parts of an input or an output, that others' currents are added to or that kinds of
        layers read which mix channels without weights, or in a way of their own; unless all that hangs together is
        silent. All channels of neurons with parameters of their own or with noise are kept.

    Raises
    ------
    InputError
        If there are no pictures or one is none, `most` is not from 0 to 1, or the network has several inputs or an
        encoder.
    """
    if not isinstance(most, (int, float)) or not 0 <= most < 1:
        raise InputError(f"most must be at least 0 and below 1 (got {most!r})")
    if len(network.inputs) > 1 or network.encoded:
        what = "an encoder" if network.encoded else f"{len(network.inputs)} inputs"
        raise InputError(f"channels are pruned by the spikes of pictures as they are, and this network has {what}")
    shown = [middle_of(network, _picture(picture), LARGEST_SIDE) for picture in pictures]
    if not shown:
        raise InputError("channels are pruned by the spikes of pictures; give at least one")
    fired, there = _fired(network, shown, steps, follow)
    fires = {name: fired[name] > most * there[name] for name in fired}
    readers, pruned = readers_of(network, shown[0].shape), None
    while pruned is None:
        order = in_order(network, kept_channels(network, fires, readers), fired, readers)
        pruned, refused = with_channels_alone(network, order)
        readers = replace(readers, fixed=readers.fixed | refused)
    change, before, after = _compared(network, pruned, shown, steps, follow)
    found = {
        node.name: (network.channels[node.name], pruned.channels[node.name])
        for node in network.neurons
        if network.channels[node.name] != pruned.channels[node.name]
    }
    earlier = network.metadata.get("pruned_channels", {}).get("channels", 0)
    count = earlier + sum(width - left for width, left in found.values())
    said = {"channels": count, "pictures": len(shown), "most": most}
    pruned = pruned.replace(metadata={**network.metadata, "pruned_channels": said})
    return pruned, Pruning(found, len(shown), before, after, change)


def _picture(given: Any) -> Array:
    """A picture, (C, H, W)."""
    picture = np.asarray(given)
    if picture.ndim != 3 or picture.dtype.kind != "f":
        raise InputError(f"pictures must be (C, H, W) of floats (got {picture.dtype} of shape {picture.shape})")
    return picture


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
    change = math.inf if squares else 0.0
    return math.sqrt(squares / whole) if whole else change, before, after

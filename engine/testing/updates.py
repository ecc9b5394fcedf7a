"""Updates of neurons by brute force: which pixels an event reaches, or fire without any, at each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Neurons, Node
from ..layers.taps import WeightedTaps
from ..neurons import is_event_driven

Array = NDArray[Any]


def updates_of(
    network: Network, node: Neurons, recorded: Mapping[str, Array], crossed: Mapping[str, Array]
) -> NDArray[np.int64]:
    """(T,): neurons that are updated at each step: all, or event-driven ones of pixels where something happens.

    That is where an event arrives, or where a neuron fires without any.
    """
    fired = np.asarray(crossed[node.name].any(axis=1))
    source = network[node.source]
    if not _is_event_driven(network, node, source, crossed):
        return np.full(len(fired), fired[0].size)
    assert isinstance(source, WeightedTaps)
    arriving = arriving_at(recorded[source.source] != 0, source.delay)
    ones = dataclasses.replace(source, weight=np.ones_like(source.weight))
    happens = [fires.any(axis=0) for fires in fired]
    for step, events in enumerate(arriving):
        # An event may meet weights of other groups alone: the neurons of a pixel are updated together.
        anywhere = np.broadcast_to(events.any(axis=0), events.shape).astype(np.float64)
        happens[step] |= (ones.forward((anywhere.transpose(1, 2, 0)[None],))[0] != 0).any(axis=-1)
    return np.array([fired.shape[1] * np.count_nonzero(of_step) for of_step in happens], np.int64)


def _is_event_driven(network: Network, node: Neurons, source: Node, crossed: Mapping[str, Array]) -> bool:
    """Whether neurons are passed over where nothing happens: they need no update, and no bias drives them.

    Of synapses that compute their current from all values, nothing is passed over.
    """
    if not isinstance(source, WeightedTaps) or not source.is_gathered or source.bias.any():
        return False
    return is_event_driven(node.model) and all(leaf in crossed for leaf in network.leaves(source.source))


def arriving_at(crossed: Array, delay: int) -> Array:
    """Crossings, (T, ...), at the step at which their events arrive."""
    return np.concatenate([np.zeros_like(crossed[:delay]), crossed[: len(crossed) - delay]])

"""Maps of where the layers of a network are active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError
from ..pictures.fitting import fitted
from ..simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..graph import Network

MOST_NEURONS = 1 << 24
"""Neurons of the run that the maps come from; of a picture with more its middle is taken. 128 MiB of counts."""
CHANNELS = 9
"""Channels of a layer that are shown one by one, the most active ones."""


@dataclass(frozen=True, eq=False)
class ActivityMap:
    """Where a layer of neurons was active.

    Parameters
    ----------
    layer : str
    shape : (C, H, W)
    mean : (H, W) float64
        Thresholds crossed by a neuron in a step, mean over channels and steps.
    channels : (n, H, W) float64
        The same of the `CHANNELS` most active channels.
    numbers : list of int
        Which these are.
    """

    layer: str
    shape: tuple[int, ...]
    mean: NDArray[np.float64]
    channels: NDArray[np.float64]
    numbers: list[int]


def part_for_maps(network: Network, inputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The picture (C, H, W), padded, or its middle that is small enough; None where the network takes no such part."""
    part, multiple = inputs, network.size_multiple
    while True:
        padded = fitted(network, part)[0]
        try:
            shapes = network.shapes(padded.shape)
        except (GraphError, InputError):
            return None
        if sum(int(np.prod(shapes[node.name])) for node in network.neurons) <= MOST_NEURONS:
            return np.ascontiguousarray(padded)
        smaller = _middle(part, multiple)
        if smaller.shape == part.shape:
            return None
        part = smaller


def _middle(part: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """Seven eighths of each side, whole multiples of what the network takes."""
    sides = [max(min(side, multiple), side * 7 // 8 // multiple * multiple) for side in part.shape[1:]]
    top, left = ((side - kept) // 2 for side, kept in zip(part.shape[1:], sides, strict=True))
    return part[:, top : top + sides[0], left : left + sides[1]]


def activity_maps(
    network: Network, part: NDArray[np.float32], steps: int, threads: int | None = None
) -> Iterator[ActivityMap]:
    """Maps of all layers on a picture of `part_for_maps`, in topological order."""
    counts = simulate(network, part, steps, threads=threads, record=("spike_count",)).spike_count
    for node in network.neurons:
        yield _map(node.name, counts[node.name], steps)


def _map(layer: str, count: NDArray[np.int64], steps: int) -> ActivityMap:
    by_channel: NDArray[Any] = count.sum(axis=(1, 2))
    numbers = [int(channel) for channel in np.argsort(-by_channel, kind="stable")[:CHANNELS]]
    return ActivityMap(layer, count.shape, count.mean(axis=0) / steps, count[numbers] / steps, numbers)


def sheet(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maps (n, H, W), three in a row, each on its own scale from 0 to 1."""
    count, height, width = channels.shape
    columns = min(3, count)
    found = np.zeros((-(-count // columns) * height, columns * width))
    for number, values in enumerate(channels):
        top, left = number // columns * height, number % columns * width
        found[top : top + height, left : left + width] = values / (values.max(initial=0.0) or 1.0)
    return found

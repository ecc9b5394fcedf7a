"""Count the products that events enter with one another, which no fan-out can say: see `Synapses.products`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.products import products_of
from ..currents import Inputs


def add_products(layer: Layer, inputs: Inputs, steps: int, counts: Sequence[NDArray[np.int64]]) -> None:
    """Add the products of a layer's events, and by kind of spike, to (2, 1 + K, 8) int64 of each of its queues.

    Analog values count as events.
    """
    channels, height, width = layer.incoming
    events = np.ones((steps, height, width, channels), np.bool_)
    levels = [queue.dense_levels().transpose(0, 2, 3, 1) for _, queue in inputs.queues]
    for (source, _), of_source in zip(inputs.queues, levels, strict=True):
        events[..., source.place] = of_source != 0
    found = products_of(layer, events)
    assert found is not None
    for (source, _), of_source, count in zip(inputs.queues, levels, counts, strict=True):
        assert source.levels is not None
        own = found[..., source.place]
        for step in range(steps):
            count[0, : 1 + source.thresholds, step] += source.levels.by_kind(_by_level(of_source[step], own[step]))


def _by_level(levels: NDArray[np.uint8], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(256,): the sum of the numbers at each level."""
    if levels.max(initial=0) <= 1:  # as of binary events; no number stands where there is none
        found = np.zeros(256, np.int64)
        found[1] = numbers.sum()
        return found
    return np.bincount(levels.ravel(), numbers.ravel(), minlength=256).astype(np.int64)

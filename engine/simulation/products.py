"""Count the products that events enter with one another, which no fan-out can say: see `Synapses.products`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..graph.answers import checked_products
from .layer_state import Inputs


def add_products(layer: Layer, inputs: Inputs, steps: int, counts: Sequence[NDArray[np.int64]]) -> None:
    """Add the products of a layer's events, and by kind of spike, to (2, 1 + K, 8) int64 of each of its queues.

    Analog values count as events.
    """
    channels, height, width = layer.incoming
    events = np.ones((steps, height, width, channels), np.bool_)
    levels = [queue.dense_levels().transpose(0, 2, 3, 1) for _, queue, _ in inputs.queues]
    for (source, _, _), of_source in zip(inputs.queues, levels, strict=True):
        events[..., source.place] = of_source != 0
    found = layer.counted_rows(checked_products(layer.node, layer.node.products(events), layer.incoming))
    for (source, _, _), of_source, count in zip(inputs.queues, levels, counts, strict=True):
        assert source.levels is not None
        own = found[..., source.place]
        for step in range(steps):
            by_level = np.bincount(of_source[step].ravel(), own[step].ravel(), minlength=256)
            count[0, : 1 + source.thresholds, step] += source.levels.by_kind(by_level.astype(np.int64))

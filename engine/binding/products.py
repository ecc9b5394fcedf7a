"""Products that events of a layer enter with one another, which no fan-out can say: see `Synapses.products`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..graph import Synapses
from ..graph.answers import checked_products

if TYPE_CHECKING:
    from .layer import Layer, Source


def products_of(layer: Layer, events: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Products (M, H, W, C) of events at M steps, rows that an earlier tile has counted left out; None without any.

    GraphError where they are no such numbers, or the fan-out, by whose channels all counts are multiplied, has several.
    """
    found = layer.node.products(events)
    if found is None:
        return None
    if layer.fan_out.channels != 1:
        raise layer.node.refuse("fan_out()", "must have 1 channel, because products() counts beside it")
    products = checked_products(layer.node, found, layer.incoming)
    return products if layer.window is None else products * layer.window.is_new[:, None, None]


def most_products(layer: Layer) -> NDArray[np.int64] | None:
    """(H, W, C) of a step in which all events are there; None, at once, of a kind whose fan-out says all."""
    if type(layer.node).products is Synapses.products:
        return None
    found = products_of(layer, np.ones((1, *layer.incoming[1:], layer.incoming[0]), np.bool_))
    return None if found is None else np.asarray(found[0])


def most_products_of(layer: Layer, source: Source) -> int:
    """Products that a source's events are counted with in a step in which all events are there."""
    return 0 if layer.most_products is None else int(layer.most_products[..., source.place].sum())

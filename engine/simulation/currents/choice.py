"""Which way a layer's current is computed in a group of steps."""

from __future__ import annotations

import numpy as np

from ...binding.kernel_choice import EVENT_INTEGERS, choose_kernels
from ...binding.pool_layer import PoolLayer
from ...binding.value_layer import ValueLayer
from ..memory.layer_state import LayerState
from .events import EventCurrents, EventIntegers
from .means import EventMeans, PlaneMeans
from .part import Inputs, Part
from .plane_products import PlaneProducts
from .values import ValueCurrents


def part_of(state: LayerState, inputs: Inputs, steps: int, kernels: str | None = None) -> Part:
    """What computes the current of a layer that is no sum, or of a part of one.

    `kernels` says what is to do so, whatever will be read; by default the activity of what is there to be read does.
    """
    layer, known = state.layer, kernels is None
    _, height, width = layer.incoming
    sizes = np.zeros(height, np.int64) if known else np.full(height, width * sum(s.channels for s in layer.spiking))
    for _, queue in inputs.queues if known else ():
        sizes += queue.start[:, -1] - queue.start[:, 0]
    row_sizes = np.concatenate([[0], sizes.cumsum()])
    kernels = kernels or choose_kernels(layer, int(row_sizes[-1]))
    dense = kernels == layer.dense_kernels
    way: type[Part] = PlaneProducts if dense else EventIntegers if kernels == EVENT_INTEGERS else EventCurrents
    if isinstance(layer, PoolLayer):
        way = PlaneMeans if dense else EventMeans
    elif isinstance(layer, ValueLayer):
        way = ValueCurrents
    return way(state, inputs, steps, kernels, row_sizes, known)

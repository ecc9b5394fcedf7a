"""Average pooling of levels that are spread out over planes, where that is faster than adding up event by event."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..build import Layer
from ..build.integer_layer import PooledLevels
from ..kernels.entries import host_compresses
from ..kernels.pooling import POOL_CHANNELS, pool_planes
from ..kernels.spread import PLANE_GAP, spread_rows
from ..kernels.window_block import window_token
from .dot_run import Rows, spread_sources
from .layer_state import Inputs
from .scratch import Scratch

POOLING_DENSITY_THAT_PAYS = 0.1
"""Share of the neurons that must fire in a group of steps."""


class PoolRun:
    """What the kernels take of an average pooling layer and its inputs.

    Parameters
    ----------
    layer : Layer
    pooled : PooledLevels
    inputs : Inputs
    steps : int
    """

    def __init__(self, layer: Layer, pooled: PooledLevels, inputs: Inputs, steps: int) -> None:
        self._geometry = layer.pool_geometry
        self._scale = pooled.scale
        self._steps = window_token(steps, 1, 1, 1, 1)[0]
        self._sources, self._channels = spread_sources(inputs, pooled.quanta)
        channels, _, width = layer.incoming
        _, columns, _, stride, _, padding = self._geometry[:6].tolist()
        reached = (layer.outgoing[2] - 1) * stride - padding + columns
        self._edge = padding * channels
        self._strides = ((padding + max(width, reached)) * channels, channels)

    @classmethod
    def where_it_pays(cls, layer: Layer, inputs: Inputs, steps: int, active: int) -> Self | None:
        """For a layer that pools spikes, where enough of the neurons that it reads are active; otherwise None."""
        if not layer.pooling or not inputs.queues or layer.pooled_levels is None or not host_compresses():
            return None
        channels, height, width = layer.incoming
        if layer.padded_channels % POOL_CHANNELS or active < POOLING_DENSITY_THAT_PAYS * channels * height * width:
            return None
        return cls(layer, layer.pooled_levels, inputs, steps)

    def run(self, scratch: Scratch, rows: Rows, means: NDArray[np.float32]) -> None:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        kernel, _, stride, _, padding = self._geometry[:5].tolist()
        first = rows[0] * stride - padding
        height = (rows[1] - 1 - rows[0]) * stride + kernel
        planes = scratch.planes(len(self._steps) * (height * self._strides[0] + PLANE_GAP))
        spread = (first, height, self._edge, planes)
        spread_rows(self._steps, self._sources, self._channels, spread, self._strides)
        pool_planes(self._steps, self._geometry, spread, self._strides, self._scale, means, rows)

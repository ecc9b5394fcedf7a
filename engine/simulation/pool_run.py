"""Average pooling of levels that are spread out over planes, where that is faster than adding up event by event."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..build.integer_layer import PooledLevels
from ..build.pool_layer import PoolLayer
from ..kernels.pooling import pool_planes
from ..kernels.spread import PLANE_GAP, spread_rows
from ..kernels.window_block import window_token
from .dot_run import Rows, spread_sources
from .layer_state import Inputs
from .scratch import Scratch


class PoolRun:
    """What the kernels take of an average pooling layer and its inputs.

    Parameters
    ----------
    layer : PoolLayer
    pooled : PooledLevels
    inputs : Inputs
    steps : int
    """

    def __init__(self, layer: PoolLayer, pooled: PooledLevels, inputs: Inputs, steps: int) -> None:
        self._geometry = layer.pool_geometry
        self._scale = pooled.scale
        self._steps = window_token(steps, 1, 1, 1, 1)[0]
        self._sources, self._channels, self._kept = spread_sources(inputs, pooled.quanta)
        channels, _, width = layer.incoming
        geometry = self._geometry
        reached = (geometry.output_width - 1) * geometry.stride_x - geometry.padding_x + geometry.kernel_width
        self._edge = geometry.padding_x * channels
        self._strides = ((geometry.padding_x + max(width, reached)) * channels, channels)

    @property
    def row_bytes(self) -> int:
        """Bytes of planes that an output row takes, without what its window shares with others."""
        return len(self._steps) * self._strides[0] * self._geometry.stride_y

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Geometry, sources and what is pooled, as `run_pool_bands` takes them."""
        scale = np.full(1, self._scale, np.float32)
        return self._geometry, (self._sources, self._channels), (self._strides, scale)

    @property
    def steps(self) -> tuple[int, ...]:
        """As long as there are steps."""
        return self._steps

    def room(self, scratch: Scratch, rows: int) -> tuple[int, NDArray[np.uint8]]:
        """Bytes before a row's first pixel; memory for the planes that so many output rows read."""
        return self._edge, scratch.planes(len(self._steps) * (self._height(rows) * self._strides[0] + PLANE_GAP))

    def _height(self, rows: int) -> int:
        """Input rows that so many output rows read."""
        return (rows - 1) * self._geometry.stride_y + self._geometry.kernel_height

    def run(self, scratch: Scratch, rows: Rows, means: NDArray[np.float32]) -> None:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        first = rows[0] * self._geometry.stride_y - self._geometry.padding_y
        spread = (first, self._height(rows[1] - rows[0]), *self.room(scratch, rows[1] - rows[0]))
        spread_rows(self._steps, self._sources, self._channels, spread, self._strides)
        pool_planes(self._steps, self._geometry, spread, self._strides, self._scale, means, rows)

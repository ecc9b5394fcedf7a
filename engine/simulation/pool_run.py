"""Average pooling of levels that are spread out over planes, where that is faster than adding up event by event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..binding.integer_layer import PooledLevels
from ..binding.pool_layer import PoolLayer
from ..kernels.arguments import OutputRows, Planes
from ..kernels.pooling import pool_planes
from ..kernels.spread import PLANE_GAP, spread_rows
from ..kernels.tables import PlaneLayout, PoolTables
from ..kernels.window_block import window_token
from .dot_run import spread_sources
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
        self._steps = window_token(steps, 1, 1, 1, 1).steps
        self.sources, self._kept = spread_sources(inputs, pooled.quanta)
        channels, _, width = layer.incoming
        geometry = layer.pool_geometry
        reached = (geometry.output_width - 1) * geometry.stride_x - geometry.padding_x + geometry.kernel_width
        row = (geometry.padding_x + max(width, reached)) * channels
        self.tables = PoolTables(geometry, PlaneLayout(geometry.padding_x * channels, row, channels), pooled.scale)

    @property
    def row_bytes(self) -> int:
        """Bytes of planes that an output row takes, without what its window shares with others."""
        return len(self._steps) * self.tables.layout.row_bytes * self.tables.geometry.stride_y

    def planes(self, scratch: Scratch, rows: int) -> NDArray[np.uint8]:
        """Memory for the planes that so many output rows read."""
        return scratch.planes(len(self._steps) * (self._height(rows) * self.tables.layout.row_bytes + PLANE_GAP))

    def _height(self, rows: int) -> int:
        """Input rows that so many output rows read."""
        return (rows - 1) * self.tables.geometry.stride_y + self.tables.geometry.kernel_height

    def run(self, scratch: Scratch, rows: OutputRows, means: NDArray[np.float32]) -> None:
        """Means of a band's windows, flat: rows, width, steps, padded channels."""
        count, geometry = rows.end - rows.first, self.tables.geometry
        first = rows.first * geometry.stride_y - geometry.padding_y
        planes = Planes(first, self._height(count), self.planes(scratch, count))
        spread_rows(self._steps, self.sources, planes, self.tables.layout)
        pool_planes(self._steps, self.tables, planes, means, rows)

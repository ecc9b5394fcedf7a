"""Average pooling of levels that are spread out over planes, where that is faster than adding up event by event."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding.integer_layer import PooledLevels
from ..binding.pool_layer import PoolLayer
from ..kernels.arguments import BandTable
from ..kernels.planes import PLANE_GAP, fill_planes
from ..kernels.pooling import pool_planes
from ..kernels.sources import packed_sources
from ..kernels.tables import PlaneLayout, PoolGeometry, PoolTables
from ..kernels.window_block import window_token
from .event_sources import plane_sources
from .layer_state import Inputs
from .scratch import Scratch


def pool_tables(layer: PoolLayer, pooled: PooledLevels) -> PoolTables:
    """An average pooling of levels that are spread out."""
    channels, _, width = layer.incoming
    geometry = layer.pool_geometry
    reached = (geometry.output_width - 1) * geometry.stride_x - geometry.padding_x + geometry.kernel_width
    row = (geometry.padding_x + max(width, reached)) * channels
    return PoolTables(geometry, PlaneLayout(geometry.padding_x * channels, row, channels), pooled.scale)


def window_rows(geometry: PoolGeometry, bands: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """(n, 2): first and last + 1 input row that the windows of each band cover; they may lie beyond the input."""
    first, end = np.array(bands, np.int64).T * geometry.stride_y - geometry.padding_y
    return np.column_stack([first, end - geometry.stride_y + geometry.kernel_height])


class PlaneMeans:
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
        self.sources = packed_sources(plane_sources(inputs, pooled.quanta))
        self.tables = pool_tables(layer, pooled)

    @property
    def row_bytes(self) -> int:
        """Bytes of planes that an output row takes, without what its window shares with others."""
        return len(self._steps) * self.tables.layout.row_bytes * self.tables.geometry.stride_y

    def input_rows(self, bands: tuple[tuple[int, int], ...], _height: int) -> NDArray[np.int64]:
        """(n, 2): first and last + 1 input row that the windows of each band cover; they may lie beyond the input."""
        return window_rows(self.tables.geometry, bands)

    def phases(
        self, bands: BandTable, scratch: Scratch, most_inputs: int, means: NDArray[np.float32]
    ) -> list[tuple[Any, tuple[Any, ...]]]:
        """Kernels for each band and what they take: they leave means, flat: rows, width, steps, padded channels."""
        layout = self.tables.layout
        planes = scratch.planes(len(self._steps) * (most_inputs * layout.row_bytes + PLANE_GAP))
        return [
            (fill_planes, (bands, self._steps, self.sources, planes, layout)),
            (pool_planes, (bands, self._steps, self.tables, planes, means)),
        ]

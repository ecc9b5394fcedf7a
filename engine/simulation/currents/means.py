"""Means over windows: added up event by event, or of levels that are spread out over planes, where that is faster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...binding.pool_layer import PoolLayer
from ...kernels.arguments import BandTable
from ...kernels.planes import PLANE_GAP, fill_planes
from ...kernels.pooling import clear_sums, divide_by_area, pool_analog, pool_events, pool_planes
from ...kernels.tables import PoolGeometry
from ...kernels.window_block import window_token
from ..memory.worker_memory import Phase, WorkerMemory
from .part import Part, Target, most_inputs
from .sources import event_sources, plane_sources


class EventMeans(Part):
    """Means of events, and of the picture."""

    layer: PoolLayer

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:  # noqa: ARG002 - needs none
        geometry, means = self.layer.pool_geometry, target.array
        phases = [Phase(clear_sums, (bands, geometry, self.steps, means))]
        sources = event_sources(self.inputs, self.known)
        if sources:
            phases.append(Phase(pool_events, (bands, geometry, sources, self.steps, means)))
        for offset in self.inputs.picture_offsets:
            analog = (bands, geometry, self.inputs.picture, self.steps, offset, means)
            phases.append(Phase(pool_analog, analog))
        return [*phases, Phase(divide_by_area, (bands, geometry, self.steps, means))]


class PlaneMeans(Part):
    """Means of levels in integers, silent neurons included."""

    layer: PoolLayer
    spreads_out = True

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:
        tables, steps = self.layer.pool_tables, window_token(self.steps, 1, 1, 1, 1).steps
        assert self.layer.pooled_levels is not None
        sources = plane_sources(self.inputs, self.layer.pooled_levels.quanta)
        size = self.steps * (most_inputs(bands) * tables.layout.row_bytes + PLANE_GAP)
        planes = memory.scratch.array("planes", size, np.uint8)
        return [
            Phase(fill_planes, (bands, steps, sources, planes, tables.layout)),
            Phase(pool_planes, (bands, steps, tables, planes, target.array)),
        ]

    def input_rows(self, rows: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        return window_rows(self.layer.pool_geometry, rows)

    @property
    def input_bytes(self) -> int:
        # Without what the windows of output rows share with others.
        tables = self.layer.pool_tables
        return self.layer.outgoing[1] * self.steps * tables.layout.row_bytes * tables.geometry.stride_y


def window_rows(geometry: PoolGeometry, bands: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """(n, 2): first and last + 1 input row that the windows of each band cover; they may lie beyond the input."""
    first, end = np.array(bands, np.int64).T * geometry.stride_y - geometry.padding_y
    return np.column_stack([first, end - geometry.stride_y + geometry.kernel_height])

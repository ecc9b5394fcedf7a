"""A layer bound to some of its output rows and to the input rows that these read: all that a tile needs of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..build import Layer
from ..build.fan_out import FanOut, ZeroFanOut
from ..build.integer_layer import IntegerLayer
from ..build.plan import AxisPhase, GatherPlan, make_plan
from ..graph import Conv2d, ConvTranspose2d, Linear
from ..kernels.tables import PoolGeometry
from ..lazy import lazy_property

RowRange = tuple[int, int]
"""First row and last row + 1."""

NOTHING_READ = (0, 0)
"""What `Layer.input_rows` says of output rows that read padding alone."""


@dataclass(frozen=True, eq=False)
class TileFanOut(FanOut):
    """Fan-out of the rows of a window; no fan-out is the usual one, because events are counted window by window."""

    @property
    def usual(self) -> tuple[int, int]:
        """None: every event is looked at."""
        return 0, 0


@dataclass(frozen=True, eq=False)
class TileLayer(Layer):
    """The output rows `rows` of the layer `whole`, read from the input rows `window`.

    `incoming` and `outgoing` are the shapes of window and rows, so that whoever runs a layer runs this one likewise.
    Input rows before `counted` were counted by an earlier tile: their fan-out is 0 here.
    """

    whole: Layer
    rows: RowRange
    window: RowRange
    counted: int

    @lazy_property
    def plan(self) -> GatherPlan:
        """Tables with the vertical offsets that lead from the tile's first row to the window's."""
        assert isinstance(self.node, (Conv2d, ConvTranspose2d, Linear))
        axis = self.whole.plan.rows
        # Rows begin at a multiple of the output step (see `TileSchedule`), so that phases stay as they are.
        shift = self.rows[0] // axis.output_step * axis.input_step - self.window[0]
        rows = replace(axis, phases=tuple(_shifted(phase, shift) for phase in axis.phases))
        return make_plan(self.node, self.incoming, self.outgoing, rows)

    @lazy_property
    def weights(self) -> NDArray[np.float32]:
        """Weights of the whole layer."""
        return self.whole.weights

    @lazy_property
    def integers(self) -> IntegerLayer | None:
        """Those of the whole layer, with tables for the window."""
        whole = self.whole.integers
        return None if whole is None else replace(whole, plan=self.integer_plan)

    @lazy_property
    def pool_geometry(self) -> PoolGeometry:
        """What the pooling kernel takes; the padding is the distance from the window's first row, so below 0 too."""
        whole = self.whole.pool_geometry
        padding = whole.padding_y + self.window[0] - self.rows[0] * whole.stride_y
        return whole._replace(padding_y=padding, height=self.incoming[1])

    @lazy_property
    def fan_out(self) -> FanOut:
        """Targets of each event in all of the layer's output, for the rows that this tile counts."""
        whole = self.whole.fan_out
        rows = np.where(self._is_new, whole.rows[slice(*self.window)], 0)
        return TileFanOut(rows, whole.columns, whole.channels)

    @lazy_property
    def zero_fan_out(self) -> ZeroFanOut | None:
        """Weights of zero that each event meets, likewise."""
        whole = self.whole.zero_fan_out
        if whole is None:
            return None
        kinds = len(whole.zeros)
        classes = np.where(self._is_new, whole.row_classes[slice(*self.window)], kinds)
        nothing = np.zeros((1, *whole.zeros.shape[1:]), np.int64)
        return ZeroFanOut(classes, whole.column_classes, np.concatenate([whole.zeros, nothing]))

    @property
    def _is_new(self) -> NDArray[np.bool_]:
        """(window rows,) whether no earlier tile has counted the row."""
        return np.arange(*self.window) >= self.counted

    def input_rows(self, first: int, last: int) -> RowRange:
        """First and last + 1 row of the window that the rows first ... last - 1 of the tile read."""
        if not self.pooling:
            return self.plan.input_rows(first, last)
        geometry = self.pool_geometry
        low = max(first * geometry.stride_y - geometry.padding_y, 0)
        high = min((last - 1) * geometry.stride_y - geometry.padding_y + geometry.kernel_height, geometry.height)
        return (low, high) if low < high else (0, 0)


def _shifted(phase: AxisPhase, shift: int) -> AxisPhase:
    return replace(phase, offsets=tuple(offset + shift for offset in phase.offsets)) if phase.offsets else phase


def tile_layer(whole: Layer, rows: RowRange, counted: int) -> TileLayer:
    """The output rows `rows` of a layer; `counted` input rows have been counted."""
    window = whole.input_rows(*rows)
    if window == NOTHING_READ:
        # Kernels want a row at least; it is not counted, and nothing is read from it.
        window, counted = (0, 1), 1
    return TileLayer(
        name=whole.name,
        node=whole.node,
        sources=whole.sources,
        incoming=(whole.incoming[0], window[1] - window[0], whole.incoming[2]),
        outgoing=(whole.outgoing[0], rows[1] - rows[0], whole.outgoing[2]),
        neurons=whole.neurons,
        kernels=whole.kernels,
        whole=whole,
        rows=rows,
        window=window,
        counted=counted,
    )

"""Into which bands a layer is cut that is brought up to date, and which input pixels its output pixels read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..kernels.increment_arguments import DirtyTaps
from ..layers.taps import Axis

_MOST_BANDS = 24
"""Of a layer: few rows each, so that little is computed that has not changed."""

_FEW_ROWS = 4
"""Of a band, for layers with few rows."""


def rows_of_bands(height: int, step: int, threads: int) -> tuple[tuple[int, int], ...]:
    """First and last + 1 row of each band; `step` rows stay together."""
    rows = max(-(-height // _MOST_BANDS), min(_FEW_ROWS, -(-height // threads)))
    rows = -(-rows // step) * step
    return tuple((first, min(first + rows, height)) for first in range(0, height, rows))


def dirty_taps(layer: Layer) -> DirtyTaps:
    """Which input pixels an output pixel reads."""
    axes = layer.node.axes(layer.incoming)  # type: ignore[attr-defined]
    _, height, width = layer.incoming
    rows = _taps_of(axes[0], height, layer.outgoing[1], -1)
    columns = _taps_of(axes[1], width, layer.outgoing[2], width)
    offsets = np.zeros(0, np.int64)
    margin = 0
    if (axes[1].output_step, axes[1].input_step, axes[1].divisor, len(axes[1].phases)) == (1, 1, 1, 1):
        offsets = np.array(axes[1].phases[0].offsets, np.int64)
        columns = columns[:, :0]
        margin = max(0, -int(offsets.min(initial=0)))
    longest = max(width + 1, layer.outgoing[2] + int(offsets.max(initial=0)))
    line = np.zeros(margin + longest, np.uint8)
    reached = _reached(_taps_of(axes[1], width, layer.outgoing[2], width), width, layer.outgoing[2])
    return DirtyTaps(rows, columns, offsets, margin, reached, line, np.zeros((height, 2), np.int64))


def _reached(columns: NDArray[np.int64], width: int, out_width: int) -> NDArray[np.int64]:
    """(width, 2): see `DirtyTaps.reached`."""
    reached = np.zeros((width + 1, 2), np.int64)
    reached[:, 0] = out_width
    outputs = np.broadcast_to(np.arange(out_width)[:, None], columns.shape)
    np.minimum.at(reached[:, 0], columns, outputs)
    np.maximum.at(reached[:, 1], columns, outputs + 1)
    reached = reached[:width]
    reached[:, 0] = np.minimum.accumulate(reached[::-1, 0])[::-1]
    reached[:, 1] = np.maximum.accumulate(reached[:, 1])
    return reached


def _taps_of(axis: Axis, size: int, out_size: int, missing: int) -> NDArray[np.int64]:
    """(out_size, taps): which inputs each output reads along an axis; `missing` for padding."""
    most = max((len(phase.offsets) for phase in axis.phases), default=0)
    found = np.full((out_size, most), missing, np.int64)
    inputs, outputs, taps, _ = axis.pairs(size, out_size)
    found[outputs, taps] = inputs
    return found

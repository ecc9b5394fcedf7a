"""What kernels read, by name: tables of a layer's plan, and arguments that travel together.

Rows of a table are records of a structured array, anything else that belongs together is a named tuple. Numba compiles
both to what it makes of arrays and of tuples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# --- Gathering, see gather.py; engine/build/plan.py makes them -------------------------------------------------------


class GatherGeometry(NamedTuple):
    """Sizes and distances of a convolution, transposed convolution or full connection; see `Axis` of the plan.

    Parameters
    ----------
    output_step_y, output_step_x : int
        Outputs from one output pixel of a phase to the next one.
    input_step_y, input_step_x : int
        How far what they read moves meanwhile.
    height, width : int
        Of the input, pixels.
    output_width : int
        Pixels.
    channels : int
        Of the input, all sources together.
    divisor : int
        Of columns: only multiples of it are inputs, of a column that many times less.
    """

    output_step_y: int
    output_step_x: int
    input_step_y: int
    input_step_x: int
    height: int
    width: int
    output_width: int
    channels: int
    divisor: int


GATHER_PHASE = np.dtype(
    [
        ("first_y", np.int64),
        ("first_x", np.int64),
        ("first_run", np.int64),
        ("end_run", np.int64),
        ("first_column", np.int64),
        ("end_column", np.int64),
        ("kernel_rows", np.int64),
        ("weights", np.int64),
    ],
    align=True,
)
"""A phase: its first output pixel; first and last + 1 of its row runs and of its columns; rows of its kernel; where its
weights begin, numbers."""

ROW_RUN = np.dtype([("offset", np.int64), ("rows", np.int64), ("kernel_row", np.int64)], align=True)
"""Neighbouring input rows that a phase reads: offset of the first one from the input row under the kernel's origin; how
many; index of the first one's kernel row among those of the phase."""


class GatherTables(NamedTuple):
    """Which kernel taps an output pixel reads, and where their weights lie.

    Parameters
    ----------
    geometry : GatherGeometry
    phases : (P,) GATHER_PHASE
    row_runs : (R,) ROW_RUN
        Those of all phases.
    columns : (S,) int64
        Offset of each kernel column from the input column under the kernel's origin, ascending in each phase.
    """

    geometry: GatherGeometry
    phases: NDArray[np.void]
    row_runs: NDArray[np.void]
    columns: NDArray[np.int64]


# --- Sums of products in integers, see dot_band.py; engine/build/integer_plan.py makes them --------------------------


class DotGeometry(NamedTuple):
    """Sizes and distances of the same layers where levels are spread out over planes of bytes.

    Parameters
    ----------
    output_step_y, output_step_x, input_step_y, input_step_x, output_width : int
        As in `GatherGeometry`.
    row_bytes, pixel_bytes : int
        Of a plane's row, and of a pixel.
    """

    output_step_y: int
    output_step_x: int
    input_step_y: int
    input_step_x: int
    output_width: int
    row_bytes: int
    pixel_bytes: int


DOT_PHASE = np.dtype(
    [
        ("first_y", np.int64),
        ("first_x", np.int64),
        ("first_segment", np.int64),
        ("end_segment", np.int64),
        ("weights", np.int64),
        ("block_bytes", np.int64),
    ],
    align=True,
)
"""A phase: its first output pixel; first and last + 1 of its segments; where its weights begin, and how many there are
for a block of output channels, both in bytes."""

SEGMENT = np.dtype([("levels", np.int64), ("quads", np.int64), ("weights", np.int64)], align=True)
"""What an output pixel reads of one input row: where these levels begin, bytes from those of the pixel itself on; quads
of levels; where its weights begin, bytes from those of the phase and the block of output channels on."""


class DotTables(NamedTuple):
    """Which levels an output pixel reads, and where their weights lie.

    Parameters
    ----------
    geometry : DotGeometry
    phases : (P,) DOT_PHASE
    segments : (S,) SEGMENT
        Those of all phases.
    """

    geometry: DotGeometry
    phases: NDArray[np.void]
    segments: NDArray[np.void]


# --- Average pooling, see pooling.py ---------------------------------------------------------------------------------


class PoolGeometry(NamedTuple):
    """Sizes and distances of an average pooling, in pixels.

    Parameters
    ----------
    kernel_height, kernel_width, stride_y, stride_x : int
    padding_y, padding_x : int
        Where only some rows are there, below 0 too.
    height, width : int
        Of the input.
    output_width : int
    """

    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    height: int
    width: int
    output_width: int

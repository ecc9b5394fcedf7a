"""Tables that kernels read, by name: a layer's plan, its bands, and what its events count for.

Rows of a table are records of a structured array, anything else that belongs together is a named tuple. Numba compiles
both to what it makes of arrays and of tuples. What else kernels take is in arguments.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# --- Gathering, see gather.py; engine/binding/plan.py makes them ------------------------------------------------------


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
    block_width : int
        Output channels whose weights are neighbours in memory.
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
    block_width: int


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


# --- Sums of products in integers, see dot_band.py; engine/binding/integer_plan.py makes them ------------------------


class DotGeometry(NamedTuple):
    """Sizes and distances of the same layers where levels are spread out over planes, as in `GatherGeometry`."""

    output_step_y: int
    output_step_x: int
    input_step_y: int
    input_step_x: int
    output_width: int


class PlaneLayout(NamedTuple):
    """How levels lie in a plane of bytes: row, pixel, channel.

    Parameters
    ----------
    edge : int
        Bytes before a row's first pixel.
    row_bytes, pixel_bytes : int
        Of a row, and of a pixel.
    """

    edge: int
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
    layout : PlaneLayout
    phases : (P,) DOT_PHASE
    segments : (S,) SEGMENT
        Those of all phases.
    """

    geometry: DotGeometry
    layout: PlaneLayout
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


class PoolTables(NamedTuple):
    """An average pooling of levels that are spread out.

    Parameters
    ----------
    geometry : PoolGeometry
    layout : PlaneLayout
    scale : float32
        Quantum of the levels / pixels of a window, a power of two: nothing is rounded.
    """

    geometry: PoolGeometry
    layout: PlaneLayout
    scale: np.float32


# --- Bands, see band.py ----------------------------------------------------------------------------------------------

BAND = np.dtype(
    [
        ("first_row", np.int64),
        ("end_row", np.int64),
        ("first_input", np.int64),
        ("end_input", np.int64),
        ("first_entry", np.int64),
        ("first_counted", np.int64),
        ("end_counted", np.int64),
    ],
    align=True,
)
"""A band: first and last + 1 of its output rows, and of the input rows that they read; where its entries go; first and
last + 1 of the input rows whose events it counts, where levels are spread out."""

# --- Counting, see count.py ------------------------------------------------------------------------------------------


class FanTables(NamedTuple):
    """How many outputs an event of each pixel reaches: the product of two numbers.

    Parameters
    ----------
    rows : (H,) int64
    columns : (W,) int64
    usual_row, usual_column : int
        What most of them are.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    usual_row: int
    usual_column: int


class ZeroTables(NamedTuple):
    """How many weights of zero an event meets.

    Parameters
    ----------
    row_classes : (H,) int64
    column_classes : (W,) int64
        Rows and columns whose pixels meet the same kernel taps have the same class.
    zeros : (row classes, column classes, C) int64
        Weights of zero that an event of each channel meets; of size 0 where nobody wants to know.
    """

    row_classes: NDArray[np.int64]
    column_classes: NDArray[np.int64]
    zeros: NDArray[np.int64]


# --- Layers in one call, see sequence.py ------------------------------------------------------------------------------

CALL = np.dtype([("function", np.int64), ("block", np.int64)], align=True)
"""Addresses of a function and of the block of arguments that it takes, see bound_call.py."""


# --- Rank order, see inhibition.py; engine/encoders/foveal.py makes them ----------------------------------------------

CELL_MAP = np.dtype(
    [
        (name, np.int64)
        for name in ("first", "rows", "columns", "first_y", "first_x", "stride", "kind", "channel", "sign")
    ],
    align=True,
)
"""Cells of one kind that see one channel: first value, rows and columns of cells, where the first cell stands in the
picture, how far apart they are, kind, channel, and 1 or -1, which all of a kind's kernels are multiplied with."""


# --- Which pixels are computed, see touched.py -----------------------------------------------------------------------


class Reach(NamedTuple):
    """Which output pixels an event of each input pixel reaches: the pairs of the rows and columns that it reaches.

    Parameters
    ----------
    first_input, end_input : (H,) int64
        First and last + 1 of the input rows that reach each output row, and perhaps some that do not.
    row_begins, rows : int64
        The input row y reaches the output rows rows[row_begins[y] : row_begins[y + 1]].
    column_begins, columns : int64
        Columns likewise.
    width : int
        Of the output.
    """

    first_input: NDArray[np.int64]
    end_input: NDArray[np.int64]
    row_begins: NDArray[np.int64]
    rows: NDArray[np.int64]
    column_begins: NDArray[np.int64]
    columns: NDArray[np.int64]
    width: int


class Touched(NamedTuple):
    """The pixels of a band that are computed.

    Parameters
    ----------
    spans : int32
        From row * line on: a number of spans, then first and last + 1 pixel of each.
    line : int
        0 where all rows have the same spans: all pixels.
    marks : (rows * W,) uint16
        Of event-driven neurons: a bit for each step at which an event reaches the pixel, and bit 8 where it is not at
        rest.
    """

    spans: NDArray[np.int32]
    line: int
    marks: NDArray[np.uint16]

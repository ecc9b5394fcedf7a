"""How a convolution is gathered: which kernel taps an output pixel reads, and where their weights lie.

A convolution reads one set of taps for all output pixels. A transposed convolution of stride s falls into s x s phases,
one for each remainder of the output position, and each phase is an ordinary convolution of stride 1 with a part of the
kernel. Both are thus described by the same tables, which the kernels in engine/kernels/gather.py walk.

Along a row, the phases of a transposed convolution need not be taken apart: an input pixel counts for as many
neighbouring output pixels as the kernel has columns, and the next one for those that lie a stride further on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape
from ..kernels.dot import host_dots
from ..kernels.processor import host_lanes
from ..kernels.quads import LANES
from ..kernels.tables import GATHER_PHASE, ROW_RUN, GatherGeometry, GatherTables, Reach
from ..layers.taps import Axis, AxisPhase
from ..memory import CACHE_LINE, aligned_bytes, aligned_empty

Number = TypeVar("Number", np.float32, np.int8, np.int16, np.int32)


@dataclass(frozen=True, eq=False)
class GatherPlan:
    """Tables for the gather kernels, and the taps that weights are packed by, so many output channels in a block.

    `window` says for how many neighbouring output pixels an input pixel counts, where that is the same everywhere and
    there are several; otherwise it is 1.
    """

    tables: GatherTables
    rows: Axis
    columns: Axis
    block_width: int
    window: int

    @property
    def is_in_step(self) -> bool:
        """Whether a row of outputs is walked in step with one row of inputs, or with neighbouring ones at once."""
        return self.reads_neighbours and self.tables.geometry.divisor == 1 and self.window > 1

    @property
    def reads_neighbours(self) -> bool:
        """Whether the rows that an output reads are neighbours."""
        phases = self.tables.phases
        return bool((phases["end_run"] - phases["first_run"] == 1).all())

    @property
    def slides(self) -> bool:
        """Whether all outputs read by the same taps."""
        axes = self.rows, self.columns
        return all((axis.output_step, axis.divisor, len(axis.phases)) == (1, 1, 1) for axis in axes)


def _joined(columns: Axis) -> Axis:
    """The phases of a transposed convolution in one, where its taps are neighbours; other axes as they are."""
    reached = [
        (offset * columns.output_step - phase.first, tap)
        for phase in columns.reading
        for offset, tap in zip(phase.offsets, phase.indices, strict=True)
    ]
    if columns.output_step == 1 or not reached:
        return columns
    offsets, taps = zip(*sorted(reached), strict=True)
    neighbours = len(offsets) > 1 and offsets[-1] - offsets[0] == len(offsets) - 1
    return Axis(1, 1, (AxisPhase(0, offsets, taps),), columns.output_step) if neighbours else columns


def contiguous_runs(phase: AxisPhase) -> list[tuple[int, int, int]]:
    """Runs of neighbouring inputs: offset of the first, number, position among the phase's taps."""
    runs: list[tuple[int, int, int]] = []
    for position, offset in enumerate(phase.offsets):
        if runs and runs[-1][0] + runs[-1][1] == offset:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, runs[-1][2])
        else:
            runs.append((offset, 1, position))
    return runs


def _window(columns: Axis) -> int:
    """Neighbouring outputs that an input counts for, in each phase; 1 where it is not so, or a kernel has gaps."""
    shapes = {tuple(number for _, number, _ in contiguous_runs(phase)) for phase in columns.phases}
    (numbers, *others) = shapes
    return numbers[0] if columns.input_step == 1 and not others and len(numbers) == 1 else 1


def _block_width(channels: int, window: int) -> int:
    """Output channels in a block: enough accumulators to hide the latency of an addition, and few beyond `channels`."""
    lanes = host_lanes()
    if channels <= lanes:
        return lanes
    if channels <= 16:
        return 16
    if channels <= 32:
        return 32
    if host_dots()[0] == "amx":  # whose tiles are filled by two vectors at a time
        return 32 if window > 1 else 64
    vectors, counts = -(-channels // LANES), (2, 5, 7, 3) if window > 1 else (4, 6, 5, 7, 3)
    while not any(vectors % each == 0 for each in counts):
        vectors += 1
    return LANES * next(each for each in counts if vectors % each == 0)


def quad_block_width(padded: int) -> int:
    """Output channels in a block, of so many filled up.

    Four vectors, whose bytes are interleaved together, or else as few blocks as can be: each walks the events anew.
    """
    return next(vectors * LANES for vectors in (4, 7, 6, 5, 3, 2, 1) if padded % (vectors * LANES) == 0)


def phase_places(rows: Axis, columns: Axis) -> NDArray[np.int64]:
    """(phases of the rows, phases of the columns, 2): first output row and column of each phase."""
    firsts = ([phase.first for phase in axis.phases] for axis in (rows, columns))
    return np.stack(np.meshgrid(*firsts, indexing="ij"), axis=-1).astype(np.int64)


def inside(places: NDArray[np.int64], outgoing: Shape) -> NDArray[np.bool_]:
    """Which of all phases begin within the output."""
    return np.asarray((places < outgoing[1:]).all(axis=-1)).reshape(-1)


def _ranges(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2): begin and end of parts of these sizes that follow one another."""
    ends = np.cumsum(sizes)
    return np.stack([ends - sizes, ends], axis=-1)


def make_plan(
    rows: Axis, columns: Axis, incoming: Shape, outgoing: Shape, block_width: int | None = None
) -> GatherPlan:
    """Tables for synapses with these taps that read (C, H, W) `incoming` and put out `outgoing`.

    `block_width` is by default what suits weights in float32.
    """
    columns = _joined(columns)
    window = _window(columns) if outgoing[2] > 1 else 1
    block_width = _block_width(outgoing[0], window) if block_width is None else block_width
    blocks = -(-outgoing[0] // block_width)
    runs = [contiguous_runs(phase) for phase in rows.phases]
    heights = np.array([len(phase.offsets) for phase in rows.phases])
    widths = np.array([len(phase.offsets) for phase in columns.phases])
    places = phase_places(rows, columns)
    phases = np.zeros(places.shape[:2], GATHER_PHASE)
    phases["first_y"], phases["first_x"] = places[..., 0], places[..., 1]
    phases["first_run"], phases["end_run"] = _ranges([len(of_phase) for of_phase in runs]).T[..., None]
    phases["first_column"], phases["end_column"] = _ranges(widths).T
    phases["kernel_rows"] = heights[:, None]
    weights = heights[:, None] * widths * (blocks * incoming[0] * block_width)
    phases["weights"] = (np.cumsum(weights) - weights.reshape(-1)).reshape(weights.shape)
    steps = (rows.output_step, columns.output_step, rows.input_step, columns.input_step)
    sizes = (*incoming[1:], outgoing[2], incoming[0])
    tables = GatherTables(
        geometry=GatherGeometry(*steps, *sizes, columns.divisor, block_width),
        phases=phases.reshape(-1)[(weights.reshape(-1) > 0) | inside(places, outgoing)],
        row_runs=np.array([run for of_phase in runs for run in of_phase], ROW_RUN),
        columns=np.array([offset for phase in columns.phases for offset in phase.offsets], np.int64),
    )
    return GatherPlan(tables, rows, columns, block_width, window)


def pack_weights(kernel: NDArray[Number], plan: GatherPlan) -> NDArray[Number]:
    """Flat, of the kernel's type, as gather_band reads it.

    Phase, block of output channels, kernel row, input channel, kernel column (last one first), channel in block.
    """
    missing = -kernel.shape[3] % plan.block_width
    if missing:
        kernel = np.pad(kernel, (*[(0, 0)] * 3, (0, missing)))
    # Kernels may read a vector from where the last numbers are.
    packed = aligned_bytes(kernel.nbytes + CACHE_LINE).view(kernel.dtype)
    place = 0
    for vertical in plan.rows.reading:
        for horizontal in plan.columns.reading:
            taps = _taps(kernel, vertical.indices, horizontal.indices[::-1])
            by_block = taps.reshape(*taps.shape[:3], -1, plan.block_width).transpose(3, 0, 2, 1, 4)
            packed[place : place + taps.size].reshape(by_block.shape)[:] = by_block
            place += taps.size
    return packed[:place]


def _taps(kernel: NDArray[Number], rows: tuple[int, ...], columns: tuple[int, ...]) -> NDArray[Number]:
    """Some rows and columns of a kernel; without a copy where they are those of an ordinary convolution."""
    height, width = kernel.shape[:2]
    if rows == tuple(range(height)) and columns == tuple(range(width))[::-1]:
        return kernel[:, ::-1]
    return kernel[np.ix_(rows, columns)]


def padded_bias(bias: NDArray[np.float32], padded: int) -> NDArray[np.float32]:
    """Bias, followed by zeros up to a whole number of blocks."""
    result = aligned_empty(padded)
    result[: bias.size] = bias
    result[bias.size :] = 0
    return result


def make_reach(rows: Axis, columns: Axis, incoming: Shape, outgoing: Shape) -> Reach:
    """What synapses with these taps reach that read (C, H, W) `incoming` and put out `outgoing`."""
    of_rows = rows.pairs(incoming[1], outgoing[1])[:2]
    first, end = np.full(outgoing[1], incoming[1], np.int64), np.zeros(outgoing[1], np.int64)
    np.minimum.at(first, of_rows[1], of_rows[0])
    np.maximum.at(end, of_rows[1], of_rows[0] + 1)
    of_columns = columns.pairs(incoming[2], outgoing[2])[:2]
    return Reach(first, end, *_by_input(*of_rows, incoming[1]), *_by_input(*of_columns, incoming[2]), outgoing[2])


def reached(reach: Reach, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H', W'), the output pixels that the events of input pixels reach; `active`, (H, W), says which have events."""
    rows = _matrix(reach.row_begins, reach.rows, len(reach.first_input))
    columns = _matrix(reach.column_begins, reach.columns, reach.width)
    return np.asarray(rows.T @ active.astype(np.float32) @ columns > 0)


def _matrix(begins: NDArray[np.int64], outputs: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(inputs, outputs), 1 where an input reaches an output."""
    found = np.zeros((len(begins) - 1, size), np.float32)
    found[np.repeat(np.arange(len(begins) - 1), np.diff(begins)), outputs] = 1
    return found


def _by_input(
    inputs: NDArray[np.int64], outputs: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the outputs of each input begin, and the outputs."""
    begins = np.concatenate([[0], np.cumsum(np.bincount(inputs, minlength=size))]).astype(np.int64)
    return begins, np.ascontiguousarray(outputs[np.argsort(inputs, kind="stable")])

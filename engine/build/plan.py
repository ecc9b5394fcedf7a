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

import numpy as np
from numpy.typing import NDArray

from ..graph import Conv2d, ConvTranspose2d, Linear, Shape
from ..kernels.processor import host_lanes
from ..kernels.tables import GATHER_PHASE, ROW_RUN, GatherGeometry, GatherTables
from ..lazy import lazy_property


@dataclass(frozen=True)
class AxisPhase:
    """Taps of one phase along one axis, by ascending offset.

    Output `first + i * output_step` reads the input `i * input_step + offset` through the kernel index of that offset.
    """

    first: int
    offsets: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """All phases along one axis.

    Where `divisor` is not 1, an output reads an input `i * input_step + offset` only if that is a multiple of the
    divisor: of the input that many times less.
    """

    output_step: int
    input_step: int
    phases: tuple[AxisPhase, ...]
    divisor: int = 1

    @lazy_property
    def reading(self) -> tuple[AxisPhase, ...]:
        """Phases that have taps: of a large stride, hardly any."""
        return tuple(phase for phase in self.phases if phase.offsets)

    @property
    def reach(self) -> int:
        """Inputs from the first one that an output reads to the last one, at most."""
        return max((phase.offsets[-1] - phase.offsets[0] + 1 for phase in self.reading), default=0)

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        """First and last + 1 input that the outputs first ... last - 1 read; both may lie beyond the input.

        (0, 0) where they read nothing.
        """
        spans = []
        for phase in self.reading:
            begin = max(0, -((phase.first - first) // self.output_step))
            end = (last - 1 - phase.first) // self.output_step
            if begin <= end:
                lowest, highest = phase.offsets[0], phase.offsets[-1]
                spans.append((begin * self.input_step + lowest, end * self.input_step + highest + 1))
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else (0, 0)


@dataclass(frozen=True, eq=False)
class GatherPlan:
    """Tables for the gather kernels, and the dense kernel that the weights are packed from.

    Parameters
    ----------
    tables : GatherTables
        What the kernels take.
    rows, columns : Axis
    block_width : int
        Output channels in a block.
    window : int
        Neighbouring output pixels that an input pixel counts for, where that is the same everywhere; otherwise 1.
    """

    tables: GatherTables
    rows: Axis
    columns: Axis
    block_width: int
    window: int

    def input_rows(self, first: int, last: int) -> tuple[int, int]:
        """First and last + 1 input row that the output rows first ... last - 1 read."""
        low, high = self.rows.inputs(first, last)
        low, high = max(low, 0), min(high, self.tables.geometry.height)
        return (low, high) if low < high else (0, 0)


def kernel_axes(node: Conv2d | ConvTranspose2d | Linear, incoming: Shape) -> tuple[Axis, Axis]:
    """Vertical and horizontal taps of a node."""
    if isinstance(node, Linear):
        return _convolution_axis(incoming[1], 1, 0, 1), _convolution_axis(incoming[2], 1, 0, 1)
    sizes = node.weight.shape[2:]
    if isinstance(node, Conv2d):
        vertical, horizontal = zip(sizes, node.stride, node.padding, node.dilation, strict=True)
        return _convolution_axis(*vertical), _convolution_axis(*horizontal)
    vertical, horizontal = zip(sizes, node.stride, node.padding, node.dilation, strict=True)
    return _transposed_axis(*vertical), _transposed_axis(*horizontal)


def _convolution_axis(size: int, stride: int, padding: int, dilation: int) -> Axis:
    taps = range(size)
    return Axis(1, stride, (AxisPhase(0, tuple(tap * dilation - padding for tap in taps), tuple(taps)),))


def _transposed_axis(size: int, stride: int, padding: int, dilation: int) -> Axis:
    found: list[list[tuple[int, int]]] = [[] for _ in range(stride)]
    for tap in range(size):
        place = tap * dilation - padding
        found[place % stride].append((-(place // stride), tap))
    phases = []
    for first, taps in enumerate(found):
        taps.sort()
        phases.append(AxisPhase(first, tuple(offset for offset, _ in taps), tuple(tap for _, tap in taps)))
    return Axis(stride, 1, tuple(phases))


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
    """Output channels in a block: enough accumulators to hide the latency of an addition, and no more than channels."""
    lanes = host_lanes()
    if channels <= lanes:
        return lanes
    if channels <= 16:
        return 16
    return 32 if channels <= 32 or window > 1 else 64


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
    node: Conv2d | ConvTranspose2d | Linear, incoming: Shape, outgoing: Shape, rows: Axis | None = None
) -> GatherPlan:
    """Tables for a node that reads (C, H, W) `incoming` and puts out `outgoing`.

    `rows` are its vertical taps where only some rows are there, see `spikeunet.engine.simulation.tile_layer`.
    """
    own_rows, columns = kernel_axes(node, incoming)
    rows, columns = own_rows if rows is None else rows, _joined(columns)
    window = _window(columns)
    block_width = _block_width(outgoing[0], window)
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
    tables = GatherTables(
        geometry=GatherGeometry(*steps, incoming[1], incoming[2], outgoing[2], incoming[0], columns.divisor),
        phases=phases.reshape(-1)[(weights.reshape(-1) > 0) | inside(places, outgoing)],
        row_runs=np.array([run for of_phase in runs for run in of_phase], ROW_RUN),
        columns=np.array([offset for phase in columns.phases for offset in phase.offsets], np.int64),
    )
    return GatherPlan(
        tables=tables,
        rows=rows,
        columns=columns,
        block_width=block_width,
        window=window,
    )

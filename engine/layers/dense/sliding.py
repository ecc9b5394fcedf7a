"""Where the taps of a sliding kernel lie: tables for engine/kernels/correlation.py.

A convolution and a transposed convolution slide the same kernel; one reads what the other writes. The *wide* side of
the kernel is the input of a convolution or the output of a transposed one, the *narrow* side the other. Along one axis,
with W the wide size, tap k of the window n of the narrow side lies at the padded wide position n * stride +
k * dilation.

Wide planes are cut into `stride` phases, one for each remainder of the padded position, so that neighbouring windows
read neighbouring pixels. Going to the wide side, each phase of the outputs is a correlation of its own with some of the
taps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...kernels.correlation import CHANNELS, GROUP
from ...lazy import lazy_property
from ...memory import worked_out_once

Pair = tuple[int, int]
Table = NDArray[np.int64]


@dataclass(frozen=True)
class Phase:
    """Outputs first, first + stride, ... (`count` of them) of the wide side; the taps that reach them.

    Parameters
    ----------
    first, count : int
    taps : tuple of (int, int)
        Index of each tap, and the narrow position that it reads for the first output; ascending by the latter.
    """

    first: int
    count: int
    taps: tuple[Pair, ...]


@dataclass(frozen=True)
class Axis:
    """One axis of a sliding kernel."""

    kernel: int
    stride: int
    dilation: int
    padding: int
    wide: int
    narrow: int

    @property
    def extent(self) -> int:
        """Padded wide positions that any window reads."""
        return (self.narrow - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def phase_size(self) -> int:
        """Positions in each phase of the wide planes."""
        return -(-self.extent // self.stride)

    def wide_place(self, padded: int) -> Pair:
        """Phase of a padded wide position, and its place there; (-1, 0) where no window reads it."""
        if padded >= self.extent:
            return -1, 0
        return padded % self.stride, padded // self.stride

    @lazy_property
    def phases(self) -> tuple[Phase, ...]:
        """The outputs of the wide side by phase, none of them empty; narrow positions may lie outside."""
        found = []
        for remainder in range(self.stride):
            start = max(0, -(-(self.padding - remainder) // self.stride))
            first = remainder + start * self.stride - self.padding
            count = -(-(self.wide - first) // self.stride)
            places = [
                (start + (remainder - tap * self.dilation) // self.stride, tap)
                for tap in range(self.kernel)
                if (remainder - tap * self.dilation) % self.stride == 0
            ]
            if count > 0:
                found.append(Phase(first, count, tuple((tap, place) for place, tap in sorted(places))))
        return tuple(found)

    @property
    def margin(self) -> int:
        """Zeros before the first position of the narrow planes."""
        return max([0, *(-place for phase in self.phases for _, place in phase.taps)])

    @property
    def narrow_size(self) -> int:
        """Positions of the narrow planes: margin, the side itself up to whole groups, and what lies behind."""
        ends = [place + phase.count for phase in self.phases for _, place in phase.taps]
        return self.margin + max([-(-self.narrow // GROUP) * GROUP, *ends])


@dataclass(frozen=True)
class Layout:
    """How planes of one side of the kernel lie in memory, for each picture; distances in numbers.

    Parameters
    ----------
    rows, columns : (H,) and (W,) int64
        Where each row and column goes; negative where nothing reads it.
    row : int
        Distance of neighbouring rows.
    plane : int
        Distance of planes of 16 channels.
    origin : int
        Where the first window, or the first position, lies.
    """

    rows: Table
    columns: Table
    row: int
    plane: int
    origin: int = 0


@dataclass(frozen=True)
class Outputs:
    """A correlation with some of the taps that yields every `step`-th output from `first` on, `count` of them.

    Parameters
    ----------
    first, count, step : (int, int)
    taps : (K,) int64
        Index of each tap.
    places : (K,) int64
        What each reads, as a distance from the first window.
    """

    first: Pair
    count: Pair
    step: Pair
    taps: Table
    places: Table


@dataclass(frozen=True)
class Sliding:
    """Both axes of a sliding kernel."""

    rows: Axis
    columns: Axis

    @lazy_property
    def wide(self) -> Layout:
        """Planes of the wide side."""
        down, across = self.rows, self.columns
        row = across.phase_size * CHANNELS
        phase = down.phase_size * row

        def table(axis: Axis, by_phase: int, by_place: int) -> Table:
            found = (axis.wide_place(axis.padding + position) for position in range(axis.wide))
            return np.array([-1 if part < 0 else part * by_phase + place * by_place for part, place in found], np.int64)

        rows, columns = table(down, across.stride * phase, row), table(across, phase, CHANNELS)
        return Layout(rows, columns, row, down.stride * across.stride * phase)

    @lazy_property
    def narrow(self) -> Layout:
        """Planes of the narrow side."""
        row = self.columns.narrow_size * CHANNELS
        rows = (np.arange(self.rows.narrow) + self.rows.margin) * row
        columns = (np.arange(self.columns.narrow) + self.columns.margin) * CHANNELS
        origin = int(rows[0] + columns[0])
        return Layout(rows, columns, row, self.rows.narrow_size * row, origin)

    @lazy_property
    def to_narrow(self) -> tuple[Outputs, ...]:
        """The correlation that reads the wide planes."""
        wide, down, across = self.wide, self.rows, self.columns
        phase = down.phase_size * wide.row
        places = [
            (y[0] * across.stride + x[0]) * phase + y[1] * wide.row + x[1] * CHANNELS
            for y, x in itertools.product(*([axis.wide_place(k * axis.dilation) for k in range(axis.kernel)]
                                            for axis in (down, across)))
        ]  # fmt: skip
        size = (down.narrow, across.narrow)
        return (Outputs((0, 0), size, (1, 1), np.arange(len(places)), np.array(places, np.int64)),)

    @lazy_property
    def to_wide(self) -> tuple[Outputs, ...]:
        """The correlations that read the narrow planes, by phase."""
        found = []
        for vertical, horizontal in itertools.product(self.rows.phases, self.columns.phases):
            pairs = list(itertools.product(vertical.taps, horizontal.taps))
            taps = [y[0] * self.columns.kernel + x[0] for y, x in pairs]
            places = [y[1] * self.narrow.row + x[1] * CHANNELS for y, x in pairs]
            found.append(
                Outputs(
                    (vertical.first, horizontal.first),
                    (vertical.count, horizontal.count),
                    (self.rows.stride, self.columns.stride),
                    np.array(taps, np.int64),
                    np.array(places, np.int64),
                )
            )
        return tuple(found)


@worked_out_once(256)
def sliding(kernel: Pair, stride: Pair, dilation: Pair, padding: Pair, wide: Pair, narrow: Pair) -> Sliding:
    """Tables of a kernel; each argument by (rows, columns)."""
    axes = (Axis(*numbers) for numbers in zip(kernel, stride, dilation, padding, wide, narrow, strict=True))
    return Sliding(*axes)

"""Arguments of the kernels that bring layers up to date, see increments.py and changes.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DIRTY_FOUND = np.dtype([(name, np.int64) for name in ("bands", "pixels", "rows", "way", "entries")], align=True)
"""What is found out of a layer: touched bands, dirty pixels, rows of the touched bands, way of bringing it up to date,
entries that are read."""

INCREMENT_COSTS = np.dtype(
    [(name, np.float64) for name in ("entry", "pixel_by_changes", "pixel_in_full", "row_in_full")], align=True
)
"""Nanoseconds: from change to change, of an entry and of a dirty pixel; in full, of a dirty pixel and of a row of a
touched band."""


class ChangeMemory(NamedTuple):
    """Where it is noted what a layer fires that is not what it fired.

    Parameters
    ----------
    changed : (H, W) uint8
        Whether anything has changed at a pixel. Only there the next three are looked at.
    begins : (H, W) int64
        Where a pixel's entries begin.
    numbers : (H, W) int32
        How many there are.
    totals : (H, W) int32
        Sum of their quanta.
    channels : unsigned, pairs : uint16, quanta : int8
        Entries, see changes.py.
    words : uint64
        The memory of the pairs.
    values : (256,) uint8
        Each level in quanta.
    shift : int
        By how many bits to the right a level that is read backwards, bit by bit, is shifted to be that; -1 where it is
        something else, or the processor does not pack vectors.
    splits : int
        Whether a byte may not hold a difference.
    net : (threads, channels, filled up) int32
        Receives by channel how many neurons fire, less how many fired.
    thread : int
        Whose row of `net` that is.
    thresholds : int
    counts : (1 + K, 8) int64
        Receives what is fired at even bytes, and what was fired at odd ones, as `count_levels` says.
    """

    changed: NDArray[np.uint8]
    begins: NDArray[np.int64]
    numbers: NDArray[np.int32]
    totals: NDArray[np.int32]
    channels: NDArray[np.unsignedinteger[Any]]
    pairs: NDArray[np.uint16]
    quanta: NDArray[np.int8]
    words: NDArray[np.uint64]
    values: NDArray[np.uint8]
    shift: int
    splits: int
    net: NDArray[np.int32]
    thread: int
    thresholds: int
    counts: NDArray[np.int64]


class ChangedSource(NamedTuple):
    """Changes to read; fields as those of `ChangeMemory`.

    Parameters
    ----------
    unit : float32
        What a quantum is; 0 where levels are none.
    channel_offset : int
        First channel of this source among all sources.
    """

    changed: NDArray[np.uint8]
    begins: NDArray[np.int64]
    numbers: NDArray[np.int32]
    totals: NDArray[np.int32]
    channels: NDArray[np.unsignedinteger[Any]]
    pairs: NDArray[np.uint16]
    quanta: NDArray[np.int8]
    unit: np.float32
    channel_offset: int


class LevelSource(NamedTuple):
    """Levels of all neurons of a layer.

    Parameters
    ----------
    levels : uint8
        Flat, (H, W, padded).
    height, width, padded, channels : int
    values, shift
        As those of `ChangeMemory`, as the reading layer takes them.
    emit : (256,) float32
        Value of each level.
    channel_offset : int
    """

    levels: NDArray[np.uint8]
    height: int
    width: int
    padded: int
    channels: int
    values: NDArray[np.uint8]
    shift: int
    emit: NDArray[np.float32]
    channel_offset: int


class ChangeEntries(NamedTuple):
    """A thread's memory for changes that are unpacked; `begins` and `keys` as those of `Entries`.

    Parameters
    ----------
    quanta : int8
    stride : int
        0: of a single step.
    totals : int32
        As `begins`: the sum of all quanta before.
    """

    begins: NDArray[np.int32]
    keys: NDArray[np.int32]
    quanta: NDArray[np.int8]
    stride: int
    totals: NDArray[np.int32]


class OffsetIntegers(NamedTuple):
    """As `ScaledIntegers`, of weights that are larger by `OFFSET` than they are: unsigned bytes."""

    integers: NDArray[np.uint8]
    scale: NDArray[np.float32]


class ReadColumns(NamedTuple):
    """Which columns of a band's input rows are unpacked.

    Parameters
    ----------
    spans : (H, 2) int64
        First and last + 1 column of each input row in which something has changed, see `mark_dirty`.
    reach : int
        How far from these columns are unpacked, too.
    """

    spans: NDArray[np.int64]
    reach: int


class DirtyTarget(NamedTuple):
    """Where what is computed of dirty pixels goes.

    Parameters
    ----------
    dirty : (H, W) uint8
        Which pixels these are.
    kept : float32
        (H, W, padded channels), flat, receives their currents.
    words : uint8
        (rows, W, padded channels), flat, of the band, receives the levels.
    """

    dirty: NDArray[np.uint8]
    kept: NDArray[np.float32]
    words: NDArray[np.uint8]


class DirtyTaps(NamedTuple):
    """Which input pixels an output pixel reads.

    Parameters
    ----------
    rows : (output rows, taps) int64
        Input rows, -1 for padding.
    columns : (output columns, taps) int64
        Input columns, or the input's width for padding; no taps where `offsets` say the same.
    offsets : (taps,) int64
        Input column less output column, where that is the same everywhere.
    margin : int
        Columns of `line` before the first one.
    reached : (W, 2) int64
        First and last + 1 output column that input columns up to one reach, and from one on.
    line : uint8
        Memory for a row and its margins; zeros.
    spans : (H, 2) int64
        Memory for the first and last + 1 changed column of each input row.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    offsets: NDArray[np.int64]
    margin: int
    reached: NDArray[np.int64]
    line: NDArray[np.uint8]
    spans: NDArray[np.int64]


class OddPlaces(NamedTuple):
    """Input pixels whose events do not meet what most events meet.

    Parameters
    ----------
    rows : (H,) uint8
        Whether a row has such pixels alone.
    columns : int64
        Columns that have, in all rows.
    row_class, column_class : int
        Of all others, see `ZeroTables`.
    """

    rows: NDArray[np.uint8]
    columns: NDArray[np.int64]
    row_class: int
    column_class: int


class DirtyNumbers(NamedTuple):
    """What is found out of a layer.

    Parameters
    ----------
    all : (1,) int64
        Whether all pixels are dirty, whatever has changed.
    found : (1,) DIRTY_FOUND
    """

    all: NDArray[np.int64]
    found: NDArray[np.void]


class IncrementCalls(NamedTuple):
    """What a thread does for each layer.

    Parameters
    ----------
    before, meanwhile : (layers, n) CALL
        What the first thread does before all bands, and while others begin.
    phases : (2, layers, n) CALL
        For each band, by the way in which the layer is brought up to date.
    """

    before: NDArray[np.void]
    meanwhile: NDArray[np.void]
    phases: NDArray[np.void]


class LayerProgress(NamedTuple):
    """What has been found out of all layers.

    Parameters
    ----------
    found : (layers,) DIRTY_FOUND
    touched : int64
        Numbers of the touched bands of all layers, one after the other.
    begins : (layers,) int64
        Where those of each layer begin.
    """

    found: NDArray[np.void]
    touched: NDArray[np.int64]
    begins: NDArray[np.int64]

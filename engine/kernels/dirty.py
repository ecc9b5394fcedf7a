"""Which output pixels read something that has changed, and which way of bringing them up to date is sooner done."""

from __future__ import annotations

import numba
import numpy as np

from .bound_call import compiled_phase
from .shared_counter import ENTRIES, read_shared

FULL, CHANGES = 0, 1
"""Ways of bringing a layer up to date."""


@numba.njit(inline="always")
def _join_row(joined, changed):
    """What is marked in one row or the other; loops from 0 to the end of a row become vectors."""
    for x in range(joined.size):
        joined[x] |= changed[x]


@compiled_phase
def join_changed(_number, changed, joined, first):
    """What has changed in `joined` or here, (H, W) uint8; of the first one, here alone."""
    for y in range(changed.shape[0]):
        if first:
            joined[y] = 0
        _join_row(joined[y], changed[y])


@numba.njit(inline="always")
def columns_read(first_row, end_row, read, width):
    """First and last + 1 column of some rows that is no further than `reach` from what has changed in any of them."""
    spans, reach = read
    first, end = width, 0
    for row in range(first_row, end_row):
        if spans[row, 0] < spans[row, 1]:
            first, end = min(first, spans[row, 0]), max(end, spans[row, 1])
    return (max(first - reach, 0), min(end + reach, width)) if first < end else (0, 0)


@compiled_phase
def clear_changed(_number, changed):
    """Forget changes; (H, W) uint8."""
    changed[:] = 0


@numba.njit(inline="always")
def _find_spans(changed, spans):
    """First and last + 1 column of each row in which something has changed."""
    width = changed.shape[1]
    for y in range(changed.shape[0]):
        any_changed, row = np.uint8(0), changed[y]
        for x in range(width):
            any_changed |= row[x]
        if any_changed == 0:
            spans[y, 0], spans[y, 1] = width, width
            continue
        first, end = 0, width
        while first < width and changed[y, first] == 0:
            first += 1
        while end > first and changed[y, end - 1] == 0:
            end -= 1
        spans[y, 0], spans[y, 1] = first, end


@numba.njit(inline="always")
def _mark_row(changed, taps, y, line, dirty):
    """Mark the dirty pixels of an output row; returns how many there are."""
    first, end = changed.shape[1], 0
    for tap in range(taps.rows.shape[1]):
        row = taps.rows[y, tap]
        if row >= 0 and taps.spans[row, 0] < taps.spans[row, 1]:
            first, end = min(first, taps.spans[row, 0]), max(end, taps.spans[row, 1])
    dirty[y] = 0
    if first >= end:
        return 0
    for tap in range(taps.rows.shape[1]):
        row = taps.rows[y, tap]
        if row >= 0:
            _join_row(line[taps.margin + first : taps.margin + end], changed[row, first:end])
    first_out, end_out = taps.reached[first, 0], taps.reached[end - 1, 1]
    marked = dirty[y, first_out:end_out]
    for tap in range(taps.offsets.size):
        begin = taps.margin + taps.offsets[tap] + first_out
        _join_row(marked, line[begin : begin + marked.size])
    for tap in range(taps.columns.shape[1]):
        for x in range(first_out, end_out):
            dirty[y, x] |= line[taps.margin + taps.columns[x, tap]]
    found = 0
    for x in range(marked.size):
        found += marked[x]
    line[taps.margin + first : taps.margin + end] = 0
    return found


@compiled_phase
def mark_dirty(_number, changed, taps, bands, dirty, touched, numbers):
    """Find out which output pixels read something that has changed, and choose how they are brought up to date.

    changed : (H, W) uint8, of the input
    taps : DirtyTaps
    dirty : (H, W) uint8, of the output; receives them
    touched : (bands,) int64, receives the bands that have such pixels
    numbers : DirtyNumbers
    """
    _find_spans(changed, taps.spans)
    found, pixels, rows = 0, 0, 0
    for band in range(bands.table.size):
        before = pixels
        for y in range(bands.table[band].first_row, bands.table[band].end_row):
            if numbers.all[0] != 0:
                dirty[y] = 1
                pixels += dirty.shape[1]
            else:
                pixels += _mark_row(changed, taps, y, taps.line, dirty)
        if pixels != before:
            touched[found] = band
            found += 1
            rows += bands.table[band].end_row - bands.table[band].first_row
    now = numbers.found[0]
    now.bands, now.pixels, now.rows = found, pixels, rows


@compiled_phase
def choose_path(_number, sources, counters, costs, numbers):
    """Choose how the dirty pixels are brought up to date.

    sources : int64, layers that are read
    counters : (layers, ...) int64, see shared_counter.py
    costs : (1,) INCREMENT_COSTS
    """
    entries = 0
    for place in range(sources.size):
        entries += read_shared(counters[sources[place]], ENTRIES)
    now, cost = numbers.found[0], costs[0]
    by_changes = entries * cost.entry + now.pixels * cost.pixel_by_changes
    in_full = now.pixels * cost.pixel_in_full + now.rows * cost.row_in_full
    pays = numbers.all[0] == 0 and by_changes < in_full
    now.way = CHANGES if pays else FULL
    now.entries = entries

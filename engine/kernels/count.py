"""Count events, thresholds and synaptic operations from an event queue.

Up to eight one-byte levels share a word, so eight steps are counted at a time: a word is turned into eight ones and
zeros (did the neuron fire at this step; did it cross threshold k), and such words are added until a byte is full. Of
many entries at once, all thresholds are counted together (`bit_counts`).
"""

from __future__ import annotations

import numba
import numpy as np

from .bit_counts import GROUP, MOST_GROUPS, count_bits, count_bits_and_fired, count_fired
from .compilation import compiled_bare, compiled_inner

_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_FLUSH = 255

_PIXELS_OF_AN_ENTRY = 4
"""Pixels for each entry from which on entries are counted one by one."""


# LLVM turns these loops over an index into vector instructions, and a loop over the elements not as well.


@compiled_inner
def _sum_fired(words):
    sums = np.uint64(0)
    for k in range(words.size):
        sums += ((((words[k] & _LOW) + _LOW) | words[k]) & _HIGH) >> np.uint64(7)
    return sums


@compiled_inner
def _sum_crossed(words, threshold):
    sums = np.uint64(0)
    for k in range(words.size):
        sums += (words[k] >> threshold) & _ONES
    return sums


@compiled_inner
def _flush(sums, factor, counts):
    for step in range(8):
        counts[step] += np.int64((sums >> np.uint64(8 * step)) & np.uint64(255)) * factor


@compiled_inner
def _add_few(levels, thresholds, factor, counts):
    """Add the events and thresholds of at most _FLUSH entries, `factor` times."""
    _flush(_sum_fired(levels), factor, counts[0])
    for threshold in range(thresholds):
        _flush(_sum_crossed(levels, np.uint64(threshold)), factor, counts[1 + threshold])


@compiled_inner
def _add_totals(totals, bit, counts):
    """Add what `bit_counts` has found at a bit."""
    for step in range(8):
        counts[step] += np.int64((totals[2 * bit + (step & 1)] >> np.uint64(8 * (step & 6))) & np.uint64(0xFFFF))


@compiled_bare
def count_levels(levels, thresholds, counts):
    """Add the events and thresholds crossed of some entries to `counts`.

    levels : (entries,) uint64
    thresholds : number of thresholds, at most 8
    counts : (>= 1 + thresholds, 8) int64; events and each threshold, by step of the word
    """
    done = 0
    while levels.size - done >= GROUP:
        groups = min((levels.size - done) // GROUP, MOST_GROUPS)
        # With fewer than eight thresholds, a bit of each level is free to say that the neuron fired.
        totals = count_bits_and_fired(levels, done, groups) if thresholds < 8 else count_bits(levels, done, groups)
        for threshold in range(thresholds):
            _add_totals(totals, threshold, counts[1 + threshold])
        if thresholds == 8:
            totals = count_fired(levels, done, groups)
        _add_totals(totals, np.int64(7), counts[0])
        done += groups * GROUP
    for first in range(done, levels.size, _FLUSH):
        _add_few(levels[first : first + _FLUSH], thresholds, 1, counts)


@compiled_bare
def count_uneven_rows(start, levels, rows, fan, thresholds, counts):
    """Add to `counts`, for the events and thresholds of some rows, how far their fan-out is from the usual one.

    All pixels but those at the borders have one fan-out, most often; only where it differs are events looked at again.

    start : (H, W + 1) int64, levels : unsigned; the queue
    rows : InputRows
    fan : FanTables
    thresholds, counts : as in `count_levels`
    """
    if _is_sparse(start, rows):
        _count_uneven_entries(start, levels, rows, fan, thresholds, counts)
        return
    x = np.int64(0)  # not a literal, for which kernels would be compiled again
    while x < fan.columns.size:
        # Neighbours of equal fan-out lie side by side in the queue and are counted together.
        end = x + 1
        while end < fan.columns.size and fan.columns[end] == fan.columns[x]:
            end += 1
        for kind in range(1 + thresholds):
            _count_uneven_columns(start, levels, rows, x, end, fan, kind, counts[kind])
        x = end


@numba.njit(inline="always")
def _is_sparse(start, rows):
    """Whether hardly any pixel of some rows has an entry."""
    width, entries = start.shape[1] - 1, 0
    for row in range(rows.first, rows.end):
        entries += start[row, width] - start[row, 0]
    return entries < width * (rows.end - rows.first) // _PIXELS_OF_AN_ENTRY


@compiled_inner
def _count_uneven_entries(start, levels, rows, fan, thresholds, counts):
    """The same where hardly any pixel has an event: row by row, and nothing of what is silent but where it begins."""
    width, usual = fan.columns.size, fan.usual_row * fan.usual_column
    for row in range(rows.first, rows.end):
        if start[row, 0] == start[row, width]:
            continue
        for x in range(width):
            excess = fan.rows[row] * fan.columns[x] - usual
            if excess != 0 and start[row, x] != start[row, x + 1]:
                for first in range(start[row, x], start[row, x + 1], _FLUSH):
                    _add_few(levels[first : min(first + _FLUSH, start[row, x + 1])], thresholds, excess, counts)


@compiled_inner
def _count_uneven_columns(start, levels, rows, first_column, end_column, fan, kind, counts):
    """Add the events (kind 0) or one threshold's crossings of some columns of equal fan-out, from row to row.

    The pixels of a border are few in a row and have one fan-out in most rows: their sums wait till a byte is full.
    """
    sums, held, factor = np.uint64(0), 0, 0
    usual = fan.usual_row * fan.usual_column
    for row in range(rows.first, rows.end):
        excess = fan.rows[row] * fan.columns[first_column] - usual
        if excess != 0:
            end = start[row, end_column]
            for first in range(start[row, first_column], end, _FLUSH):
                words = levels[first : min(first + _FLUSH, end)]
                if excess != factor or held + words.size > _FLUSH:
                    _flush(sums, factor, counts)
                    sums, held, factor = np.uint64(0), 0, excess
                sums += _sum_fired(words) if kind == 0 else _sum_crossed(words, np.uint64(kind - 1))
                held += words.size
    _flush(sums, factor, counts)


@compiled_bare
def count_zeros_of_rows(start, channels, levels, rows, tables, channel_offset, counts):
    """Add to `counts`, for each event of some rows, the weights of zero that it meets.

    start : (H, W + 1) int64, channels, levels : unsigned; the queue
    rows : InputRows
    tables : ZeroTables
    channel_offset : where the queue's channels begin among the C
    counts : (8,) int64, by step of the word
    """
    columns = tables.column_classes
    if _is_sparse(start, rows):
        # Row by row, and nothing of what is silent but where it begins.
        for row in range(rows.first, rows.end):
            if start[row, 0] != start[row, columns.size]:
                for column in range(columns.size):
                    if start[row, column] != start[row, column + 1]:
                        of_class = tables.zeros[tables.row_classes[row]][columns[column]][channel_offset:]
                        _add_zeros(channels, levels, start[row, column], start[row, column + 1], of_class, counts)
        return
    x = np.int64(0)
    while x < columns.size:
        # Neighbours of one class lie side by side in the queue.
        end = x + 1
        while end < columns.size and columns[end] == columns[x]:
            end += 1
        for row in range(rows.first, rows.end):
            of_class = tables.zeros[tables.row_classes[row]][columns[x]][channel_offset:]
            _add_zeros(channels, levels, start[row, x], start[row, end], of_class, counts)
        x = end


@compiled_inner
def _add_zeros(channels, levels, first, end, zeros, counts):
    """Add the weights of zero, by channel, that some entries meet."""
    if levels.itemsize == 1:
        # Every entry of one step has an event: no branch is taken.
        total = 0
        for entry in range(first, end):
            total += zeros[channels[entry]]
        counts[0] += total
        return
    # Two steps at a time, which their sums then stay in registers for, and no branch that goes by what has fired.
    for step in range(0, levels.itemsize, 2):
        shift, total, next_total = np.uint64(8 * step), 0, 0
        for entry in range(first, end):
            number = zeros[channels[entry]]
            pair = np.uint16(np.uint64(levels[entry]) >> shift)
            total += number if pair & np.uint16(255) else 0
            next_total += number if pair >> np.uint16(8) else 0
        counts[step] += total
        counts[step + 1] += next_total

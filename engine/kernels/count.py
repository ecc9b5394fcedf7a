"""Count events, thresholds and synaptic operations from an event queue.

Up to eight one-byte levels share a word, so eight steps are counted at a time: a word is turned into eight ones and
zeros (did the neuron fire at this step; did it cross threshold k), and such words are added until a byte is full.
"""

from __future__ import annotations

import numpy as np

from .vector_block import compiled_bare

_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_FLUSH = 255


# LLVM turns these loops over an index into vector instructions, and a loop over the elements not as well.


@compiled_bare
def _sum_fired(words):
    sums = np.uint64(0)
    for k in range(words.size):
        sums += ((((words[k] & _LOW) + _LOW) | words[k]) & _HIGH) >> np.uint64(7)
    return sums


@compiled_bare
def _sum_crossed(words, threshold):
    sums = np.uint64(0)
    for k in range(words.size):
        sums += (words[k] >> threshold) & _ONES
    return sums


@compiled_bare
def _flush(sums, factor, counts):
    for step in range(8):
        counts[step] += np.int64((sums >> np.uint64(8 * step)) & np.uint64(255)) * factor


@compiled_bare
def _add_counts(levels, thresholds, factor, counts):
    for first in range(0, levels.size, _FLUSH):
        words = levels[first : first + _FLUSH]
        _flush(_sum_fired(words), factor, counts[0])
        for threshold in range(thresholds):
            _flush(_sum_crossed(words, np.uint64(threshold)), factor, counts[1 + threshold])


@compiled_bare
def count_levels(levels, thresholds, counts):
    """Add the events and thresholds crossed of some entries to `counts`.

    levels : (entries,) uint64
    thresholds : number of thresholds
    counts : (>= 1 + thresholds, 8) int64; events and each threshold, by step of the word
    """
    _add_counts(levels, thresholds, 1, counts)


@compiled_bare
def count_uneven_rows(
    start, levels, first_row, end_row, fan_rows, fan_columns, usual_row, usual_column, thresholds, counts
):
    """Add to `counts`, for the events and thresholds of some rows, how far their fan-out is from the usual one.

    All pixels but those at the borders have one fan-out, most often; only where it differs are events looked at again.

    start : (H, W + 1) int64, levels : uint64; the queue
    fan_rows : (H,) int64, fan_columns : (W,) int64; a pixel's fan-out is the product of the two
    usual_row, usual_column : what most of them are
    thresholds, counts : as in `count_levels`
    """
    usual = usual_row * usual_column
    for row in range(first_row, end_row):
        x = 0
        while x < fan_columns.size:
            # Neighbours of equal fan-out lie side by side in the queue and are counted together.
            end = x + 1
            while end < fan_columns.size and fan_columns[end] == fan_columns[x]:
                end += 1
            excess = fan_rows[row] * fan_columns[x] - usual
            if excess != 0:
                _add_counts(levels[start[row, x] : start[row, end]], thresholds, excess, counts)
            x = end


@compiled_bare
def count_zeros_of_rows(
    start, channels, levels, first_row, end_row, row_classes, column_classes, zeros, channel_offset, counts
):
    """Add to `counts`, for each event of some rows, the weights of zero that it meets.

    start : (H, W + 1) int64, channels : int32, levels : uint64; the queue
    row_classes : (H,) int64, column_classes : (W,) int64; rows and columns whose pixels meet the same kernel taps
    zeros : (row classes, column classes, C) int64, weights of zero that an event of each channel meets
    channel_offset : where the queue's channels begin among the C
    counts : (8,) int64, by step of the word
    """
    for row in range(first_row, end_row):
        of_row = zeros[row_classes[row]]
        for x in range(column_classes.size):
            of_pixel = of_row[column_classes[x]]
            for entry in range(start[row, x], start[row, x + 1]):
                number = of_pixel[channel_offset + channels[entry]]
                # A trained network has hardly any weights of zero: most events end here.
                if number != 0:
                    word = levels[entry]
                    fired = ((((word & _LOW) + _LOW) | word) & _HIGH) >> np.uint64(7)
                    for step in range(8):
                        counts[step] += number * np.int64((fired >> np.uint64(8 * step)) & np.uint64(1))

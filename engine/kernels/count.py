"""Count events, thresholds and synaptic operations from an event queue.

Up to eight one-byte levels share a word, so eight steps are counted at a time: a word is turned into eight ones and
zeros (did the neuron fire at this step; did it cross threshold k), and such words are added until a byte might overflow.
"""

from __future__ import annotations

import numpy as np

from .vector_block import compiled

_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_FLUSH = 255


@compiled
def count_rows(start, levels, first_row, end_row, fan_rows, fan_columns, thresholds, counts):
    """Add the events and thresholds crossed of some rows to `counts`, plainly and times each pixel's fan-out.

    start : (H, W + 1) int64, levels : uint64; the queue
    fan_rows : (H,) int64, fan_columns : (W,) int64; a pixel's fan-out is the product of the two
    thresholds : number of thresholds
    counts : (>= 2, >= 1 + thresholds, 8) int64; [0] plain, [1] weighted by fan-out; then events and each threshold, by
        step of the word
    """
    for row in range(first_row, end_row):
        x = 0
        while x < fan_columns.size:
            # Neighbours of equal fan-out lie side by side in the queue and are counted together.
            end = x + 1
            while end < fan_columns.size and fan_columns[end] == fan_columns[x]:
                end += 1
            fan = fan_rows[row] * fan_columns[x]
            entry = start[row, x]
            last = start[row, end]
            x = end
            while entry < last:
                words = levels[entry : min(last, entry + _FLUSH)]
                entry += words.size
                sums = np.uint64(0)
                for word in words:
                    sums += ((((word & _LOW) + _LOW) | word) & _HIGH) >> np.uint64(7)
                _flush(sums, 0, fan, counts)
                for threshold in range(thresholds):
                    shift = np.uint64(threshold)
                    sums = np.uint64(0)
                    for word in words:
                        sums += (word >> shift) & _ONES
                    _flush(sums, 1 + threshold, fan, counts)


@compiled
def _flush(sums, kind, fan, counts):
    for step in range(8):
        number = np.int64((sums >> np.uint64(8 * step)) & np.uint64(255))
        counts[0, kind, step] += number
        counts[1, kind, step] += number * fan


@compiled
def count_effective_rows(
    start, channels, levels, first_row, end_row, row_classes, column_classes, targets, channel_offset, effective
):
    """Add to `effective`, for each event of some rows, the non-zero weights that it meets.

    start : (H, W + 1) int64, channels : int32, levels : uint64; the queue
    row_classes : (H,) int64, column_classes : (W,) int64; rows and columns whose pixels meet the same kernel taps
    targets : (row classes, column classes, C) int64, non-zero weights that an event of each channel meets
    channel_offset : where the queue's channels begin among the C
    effective : (8,) int64, by step of the word
    """
    for row in range(first_row, end_row):
        of_row = targets[row_classes[row]]
        for x in range(column_classes.size):
            of_pixel = of_row[column_classes[x]]
            for entry in range(start[row, x], start[row, x + 1]):
                number = of_pixel[channel_offset + channels[entry]]
                word = levels[entry]
                fired = ((((word & _LOW) + _LOW) | word) & _HIGH) >> np.uint64(7)
                for step in range(8):
                    effective[step] += number * np.int64((fired >> np.uint64(8 * step)) & np.uint64(1))

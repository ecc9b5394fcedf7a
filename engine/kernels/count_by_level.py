"""Count the spikes of levels that are no bit masks: how many neurons fired at each level, at each step.

Each event adds to one number of a table (levels, steps); a level that counts as several spikes adds so many.
"""

from __future__ import annotations

import numpy as np

from .compilation import compiled

_BYTE = np.uint64(255)
_BITS = np.uint64(8)


@compiled
def count_by_level(levels, spikes, factor, counts):
    """Add the events and the spikes by level of some entries to `counts`, `factor` times.

    levels : (entries,) unsigned, words with a byte for each step
    spikes : (256,) int64, spikes that each level counts for
    counts : (256, 8) int64; [0] events, [k] spikes of level k, by step of the word
    """
    for entry in range(levels.size):
        word = np.uint64(levels[entry])
        step = 0
        while word:
            level = np.int64(word & _BYTE)
            if level != 0:
                counts[0, step] += factor
                counts[level, step] += factor * spikes[level]
            word >>= _BITS
            step += 1


@compiled
def count_uneven_rows_by_level(start, levels, rows, fan, spikes, counts):
    """Add to `counts`, for the events and spikes of some rows, how far their fan-out is from the usual one.

    start : (H, W + 1) int64, levels : unsigned; the queue
    rows : InputRows
    fan : FanTables
    spikes, counts : as in `count_by_level`
    """
    for row in range(rows.first, rows.end):
        for x in range(fan.columns.size):
            excess = fan.rows[row] * fan.columns[x] - fan.usual_row * fan.usual_column
            if excess != 0:
                count_by_level(levels[start[row, x] : start[row, x + 1]], spikes, excess, counts)

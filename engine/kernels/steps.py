"""Cut event queues of several steps into those of one step, and join them again: what layers of a loop read."""

from __future__ import annotations

import numpy as np

from .compilation import compiled
from .vectors import LEVEL_BITS

_LEVEL = np.uint64((1 << LEVEL_BITS) - 1)
_BITS = np.uint64(LEVEL_BITS)


@compiled
def events_at(start, channels, levels, step, found_start, found_channels, found_levels):
    """Write the events of one step, of all entries of a queue; returns how many there are.

    start : (H, W + 1) int64, channels, levels : unsigned; the queue
    found_start : (H, W + 1) int64
    found_channels, found_levels : as `channels`, and uint8; with room for all entries and one more
    """
    shift = _BITS * np.uint64(step)
    height, edges = start.shape
    found = 0
    for row in range(height):
        found_start[row, 0] = found
        for x in range(edges - 1):
            for entry in range(start[row, x], start[row, x + 1]):
                # Written whether it is one or not, and then kept or not: no branch to be guessed wrongly.
                level = (np.uint64(levels[entry]) >> shift) & _LEVEL
                found_channels[found] = channels[entry]
                found_levels[found] = level
                found += level != 0
            found_start[row, x + 1] = found
    return found


@compiled
def join_steps(start, channels, levels, by_channel, joined_start, joined_channels, words):
    """Write one queue of what queues of one step each hold; returns how many entries it has.

    start : (steps, H, W + 1) int64, channels : unsigned, levels : uint8; the queues, entries one behind the other
    by_channel : (C,) uint64 zeros, which they are again afterwards
    joined_start : (H, W + 1) int64
    joined_channels, words : as `channels`, and uint64; with room for all entries and one more
    """
    steps, height, edges = start.shape
    found = 0
    for row in range(height):
        joined_start[row, 0] = found
        for x in range(edges - 1):
            lowest, highest = by_channel.size, -1
            for step in range(steps):
                first, last = start[step, row, x], start[step, row, x + 1]
                if first < last:
                    lowest, highest = min(lowest, channels[first]), max(highest, channels[last - 1])
                shift = _BITS * np.uint64(step)
                for entry in range(first, last):
                    by_channel[channels[entry]] |= np.uint64(levels[entry]) << shift
            for channel in range(lowest, highest + 1):
                joined_channels[found] = channel
                words[found] = by_channel[channel]
                found += by_channel[channel] != 0
                by_channel[channel] = 0
            joined_start[row, x + 1] = found
    return found

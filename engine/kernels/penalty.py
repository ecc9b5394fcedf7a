"""What the spike-count penalty and the count of accumulates need of a picture (H, W, C) of emitted values."""

from __future__ import annotations

import numpy as np

from .compilation import compiled


@compiled
def saturated_sums(values, knee, cost):
    """Sum over the pixels of cost * |v| / (|v| + knee), by channel, (C,) float64.

    values : (H, W, C) float32 or float64, C-contiguous; knee : number of that type, positive
    cost : (H, W) float64, C-contiguous
    """
    sums = np.zeros(values.shape[2])
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            pixel, share = values[y, x], cost[y, x]
            for channel in range(pixel.size):
                size = abs(pixel[channel])
                sums[channel] += share * (size / (size + knee))
    return sums


@compiled
def count_fired(values):
    """How many channels are not zero, by pixel, (H, W) int64, of (H, W, C), C-contiguous."""
    counts = np.empty(values.shape[:2], np.int64)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            pixel, count = values[y, x], 0
            for channel in range(pixel.size):
                count += pixel[channel] != 0
            counts[y, x] = count
    return counts

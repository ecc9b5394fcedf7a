"""What some rows of event queues emit, silent neurons as zeros, for synapses without kernels of their own."""

from __future__ import annotations

from .compilation import compiled_bare


@compiled_bare
def emitted_rows(start, channels, levels, bytes_each, emit, first_row, channel_offset, values):
    """Write what a queue emits at each step.

    start : (H, W + 1) int64, channels : unsigned; the queue
    levels : uint8, the queue's levels byte by byte, `bytes_each` for each entry
    emit : (256,) float32, value of each level
    first_row : row of the queue that the first row of values is
    channel_offset : first channel of this source among all sources
    values : float32, (steps, rows, W, C)
    """
    for row in range(values.shape[1]):
        for x in range(values.shape[2]):
            for entry in range(start[first_row + row, x], start[first_row + row, x + 1]):
                channel = channel_offset + channels[entry]
                for step in range(values.shape[0]):
                    values[step, row, x, channel] = emit[levels[entry * bytes_each + step]]

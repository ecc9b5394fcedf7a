"""Average pooling of events, and the firing of neurons whose currents are already in memory."""

from __future__ import annotations

import numpy as np

from .firing import fire
from .vector_block import compiled_bare
from .window_block import empty_block, next_pixel

# geometry : (9,) int64: kernel height, width; stride y, x; padding y, x; input height, width; output width
# sums, currents : float32, (rows, width, steps, padded channels) of the band, the output rows rows[0] to rows[1] - 1
# rows : first row, last row + 1, padded channels, channels


_index = np.uint64
"""Numba looks at each signed index whether it counts from the end: in these short loops that is half of the time."""


@compiled_bare
def pool_events(geometry, source, steps, sums, rows):
    """Add one source's events to the sum of each window; `source` as in decode.py."""
    start, channels, levels, bytes_each, emit, _, channel_offset, _ = source
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, height, width, out_width = geometry
    padded, entry_bytes = _index(rows[2]), _index(bytes_each)
    for y in range(rows[0], rows[1]):
        top = y * stride_y - padding_y
        for x in range(out_width):
            left = x * stride_x - padding_x
            place = _index(((y - rows[0]) * out_width + x) * steps * rows[2] + channel_offset)
            for row in range(max(top, 0), min(top + kernel_y, height)):
                # Neighbouring columns' events are contiguous.
                first, last = max(left, 0), min(left + kernel_x, width)
                if first >= last:
                    continue
                if steps == 1:
                    for entry in range(_index(start[row, first]), _index(start[row, last])):
                        sums[place + _index(channels[entry])] += emit[_index(levels[entry * entry_bytes])]
                    continue
                for entry in range(_index(start[row, first]), _index(start[row, last])):
                    target, level = place + _index(channels[entry]), entry * entry_bytes
                    for step in range(_index(steps)):
                        sums[target + step * padded] += emit[_index(levels[level + step])]


@compiled_bare
def pool_analog(geometry, picture, steps, channel_offset, sums, rows):
    """Add an analog source, (H, W, C) float32, whose value is the same at every step."""
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, height, width, out_width = geometry
    for y in range(rows[0], rows[1]):
        top = y * stride_y - padding_y
        for x in range(out_width):
            left = x * stride_x - padding_x
            place = ((y - rows[0]) * out_width + x) * steps * rows[2] + channel_offset
            for row in range(max(top, 0), min(top + kernel_y, height)):
                for column in range(max(left, 0), min(left + kernel_x, width)):
                    for step in range(steps):
                        for channel in range(picture.shape[2]):
                            sums[place + step * rows[2] + channel] += picture[row, column, channel]


@compiled_bare
def divide_by_area(geometry, sums):
    """Turn sums into means, in place; padding counts as zeros."""
    area = np.float32(geometry[0] * geometry[1])
    for place in range(sums.size):
        sums[place] /= area


@compiled_bare
def fire_currents(token, currents, neurons, words, rows, out_width):
    """Spikes of neurons whose currents are in memory; `words` as in gather_band. The token's window is one pixel."""
    neuron, before, before_stride, after, after_stride = neurons
    padded = rows[2]
    for local in range((rows[1] - rows[0]) * out_width):
        pixel = rows[0] * out_width + local
        for channel in range(0, padded, len(token[2]) * len(token[3])):
            block = next_pixel(empty_block(token), currents, local * len(token[0]) * padded + channel, padded)
            source = pixel * before_stride + channel
            target = pixel * after_stride + channel
            fire(block, before, source, after, target, neuron, words, local * padded + channel)

"""Average pooling of events, and the firing of neurons whose currents are already in memory."""

from __future__ import annotations

import numpy as np

from .vector_block import compiled, fire, load_steps


@compiled
def pool_currents(geometry, decoded, steps, currents, rows):
    """Mean of each window, padding counted as zeros, for the output rows rows[0] to rows[1] - 1.

    geometry : (9,) int64: kernel height, width; stride y, x; padding y, x; input height, width; output width
    decoded : (first_row, row_start, keys, values) as decode_rows leaves them with key_scale 1
    currents : float32, (rows, width, steps, padded channels) of the band
    rows : first row, last row + 1, padded channels, channels
    """
    kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, height, width, out_width = geometry
    first_row, row_start, keys, values = decoded
    padded, channels = rows[2], rows[3]
    area = np.float32(kernel_y * kernel_x)
    sums = np.empty(channels * steps, np.float32)
    for y in range(rows[0], rows[1]):
        top = y * stride_y - padding_y
        for x in range(out_width):
            left = x * stride_x - padding_x
            sums[:] = 0
            for row in range(max(top, 0), min(top + kernel_y, height)):
                for column in range(max(left, 0), min(left + kernel_x, width)):
                    for entry in range(row_start[row - first_row, column], row_start[row - first_row, column + 1]):
                        channel = keys[entry] - column * channels
                        for step in range(steps):
                            sums[channel * steps + step] += values[entry * steps + step]
            place = ((y - rows[0]) * out_width + x) * steps * padded
            for step in range(steps):
                for channel in range(channels):
                    currents[place + step * padded + channel] = sums[channel * steps + step] / area


@compiled
def fire_currents(token, currents, neurons, words, rows, out_width):
    """Spikes of neurons whose currents are in memory, (rows, width, steps, padded channels); see gather_band."""
    neuron, before, before_stride, after, after_stride = neurons
    padded = rows[2]
    for y in range(rows[0], rows[1]):
        for x in range(out_width):
            pixel = y * out_width + x
            local = (y - rows[0]) * out_width + x
            for channel in range(0, padded, len(token[1]) * len(token[2])):
                block = load_steps(token, currents, local * len(token[0]) * padded + channel, padded)
                source = pixel * before_stride + channel
                target = pixel * after_stride + channel
                fire(block, before, source, after, target, neuron, words, local * padded + channel)

"""Max pooling of spikes: windows that keep how much each of their inputs has emitted in all."""

from __future__ import annotations

import numpy as np

from .compilation import compiled_bare


@compiled_bare
def pool_maxima(padded, inside, geometry, gated, state, currents):
    """Current of each window at each step.

    padded : float32, (steps, rows under the windows, columns with padding, C)
    inside : first, last + 1 row and column of `padded` that are no padding
    geometry : kernel height, width; stride y, x
    gated : whether the input that has emitted most is let through, else what the largest sum has grown by is put out
    state : float32, (rows, columns, C, kernel height * width), what each input has emitted so far, moved on
    currents : float32, (steps, rows, columns, C)
    """
    first_row, end_row, first_column, end_column = inside
    kernel_height, kernel_width, down, right = geometry
    steps, rows, columns, channels = currents.shape
    for y in range(rows):
        for x in range(columns):
            top, left = y * down, x * right
            first_i, end_i = max(first_row - top, 0), min(end_row - top, kernel_height)
            first_j, end_j = max(first_column - left, 0), min(end_column - left, kernel_width)
            for channel in range(channels):
                sums = state[y, x, channel]
                for step in range(steps):
                    before, after, chosen = np.float32(-np.inf), np.float32(-np.inf), np.float32(0)
                    for i in range(first_i, end_i):
                        for j in range(first_j, end_j):
                            tap = i * kernel_width + j
                            value = padded[step, top + i, left + j, channel]
                            before = max(before, sums[tap])
                            sums[tap] += value
                            if sums[tap] > after:
                                after, chosen = sums[tap], value
                    currents[step, y, x, channel] = chosen if gated else after - before

"""Attention without softmax: what k and v hold together, added up for each q, silent channels left out."""

from __future__ import annotations

from .compilation import compiled_bare


@compiled_bare
def attend(values, first_row, scale, pairs, currents):
    """Current of some output rows at each step.

    values : float32, (steps, H, W, 3 C), all rows: q, k and v
    first_row : of the output
    scale : float32
    pairs : float32, (d, d) of a head, to be written to: sums over all pixels of k[i] * v[j]
    currents : float32, (steps, rows, W, C)

    Sums are added up pixel by pixel and channel by channel, whatever rows are wanted.
    """
    steps, rows, width, channels = currents.shape
    size, height = pairs.shape[0], values.shape[1]
    for step in range(steps):
        for first in range(0, channels, size):
            pairs[:] = 0
            for y in range(height):
                for x in range(width):
                    pixel = values[step, y, x]
                    for i in range(size):
                        k = pixel[channels + first + i]
                        if k != 0:
                            for j in range(size):
                                pairs[i, j] += k * pixel[2 * channels + first + j]
            for y in range(rows):
                for x in range(width):
                    pixel, current = values[step, first_row + y, x], currents[step, y, x, first : first + size]
                    current[:] = 0
                    for i in range(size):
                        q = pixel[first + i]
                        if q != 0:
                            for j in range(size):
                                current[j] += q * pairs[i, j]
                    for j in range(size):
                        current[j] *= scale

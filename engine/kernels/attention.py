"""Attention without softmax: what k and v hold together, added up for each q, silent channels left out."""

from __future__ import annotations

from .compilation import compiled_bare


@compiled_bare
def pair_sums(values, pairs):
    """Of each row, sums over its pixels of k[i] * v[j] in each head, pixel by pixel.

    values : float32 or float64, (steps, H, W, 3 C): q, k and v
    pairs : float64, (steps, H, heads, d, d), zeros, to be added to
    """
    steps, height, width, _ = values.shape
    heads, size = pairs.shape[2:4]
    channels = heads * size
    for step in range(steps):
        for y in range(height):
            for x in range(width):
                pixel = values[step, y, x]
                for head in range(heads):
                    sums, k, v = pairs[step, y, head], channels + head * size, 2 * channels + head * size
                    for i in range(size):
                        factor = pixel[k + i]
                        if factor != 0:
                            for j in range(size):
                                sums[i, j] += factor * pixel[v + j]


@compiled_bare
def attend(values, pairs, scale, currents):
    """Current of some rows at each step, channel by channel of q.

    values : float32 or float64, (steps, H, W, 3 C), of these rows: q, k and v
    pairs : of the type of values, (steps, heads, d, d), of all rows together
    scale : of that type
    currents : of that type, (steps, H, W, C), to be written to
    """
    steps, height, width, channels = currents.shape
    size = pairs.shape[2]
    for step in range(steps):
        for y in range(height):
            for x in range(width):
                pixel = values[step, y, x]
                for first in range(0, channels, size):
                    sums, current = pairs[step, first // size], currents[step, y, x, first : first + size]
                    current[:] = 0
                    for i in range(size):
                        q = pixel[first + i]
                        if q != 0:
                            for j in range(size):
                                current[j] += q * sums[i, j]
                    for j in range(size):
                        current[j] *= scale

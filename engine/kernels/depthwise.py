"""Depthwise convolution of values: each channel for itself, or for a few output channels of its own."""

from __future__ import annotations

from .compilation import compiled_bare


@compiled_bare
def convolve_depthwise(padded, weight, bias, geometry, currents):
    """Current of some output rows.

    padded : float, (M, rows under the kernel, columns with padding, C)
    weight : float, (kernel height, kernel width, outputs of a channel, C)
    bias : float, (outputs of a channel, C)
    geometry : stride y, x; dilation y, x
    currents : float, (M, rows, columns, outputs of a channel, C)
    """
    down, right, tall, wide = geometry
    pictures, rows, columns, outputs, channels = currents.shape
    for picture in range(pictures):
        for y in range(rows):
            for x in range(columns):
                for output in range(outputs):
                    current = currents[picture, y, x, output]
                    for channel in range(channels):
                        current[channel] = bias[output, channel]
                    for i in range(weight.shape[0]):
                        for j in range(weight.shape[1]):
                            seen = padded[picture, y * down + i * tall, x * right + j * wide]
                            taps = weight[i, j, output]
                            for channel in range(channels):
                                current[channel] += seen[channel] * taps[channel]

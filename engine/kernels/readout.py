"""The running sum of a layer without neurons."""

from __future__ import annotations

from .compilation import compiled_bare


@compiled_bare
def add_to_readout(currents, shape, readout, first):
    """Add the currents of some pixels, one step after the other, to those from pixel `first` on.

    currents : float32, (pixels, steps, padded channels), flat
    shape : pixels, steps, padded channels, channels
    readout : (all pixels * channels,) float32
    """
    pixels, steps, padded, channels = shape
    for pixel in range(pixels):
        for channel in range(channels):
            place = (first + pixel) * channels + channel
            total = readout[place]
            for step in range(steps):
                total += currents[(pixel * steps + step) * padded + channel]
            readout[place] = total

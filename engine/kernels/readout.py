"""The running sum of a layer without neurons."""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase


@compiled_phase
def add_to_readout(band, bands, currents, steps, readout, width, touched):
    """Add the currents of a band, one step after the other, to the running sum.

    currents : float32, (pixels, steps, padded channels), flat
    readout : (all pixels * channels,) float32
    width : pixels of a row
    touched : Touched, the pixels that were computed; the current of all others is 0
    """
    rows = output_rows(band, bands)
    padded, channels = rows.padded, rows.channels
    for row in range(rows.end - rows.first):
        spans = row * touched.line
        for span in range(touched.spans[spans]):
            first, end = touched.spans[spans + 1 + 2 * span], touched.spans[spans + 2 + 2 * span]
            # Pixels in the inner loop, of which there are many; each number is still added to step by step.
            for step in range(steps):
                for channel in range(channels):
                    for pixel in range(row * width + first, row * width + end):
                        place = (rows.first * width + pixel) * channels + channel
                        readout[place] += currents[(pixel * steps + step) * padded + channel]

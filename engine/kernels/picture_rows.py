"""The analog input's current in a few output channels, along rows of the picture: vectors of channels would be empty.

Each output begins with its bias, and additions to it come in the order of gather.py (kernel column, kernel row,
channel), each rounded once: the numbers are the same, bit for bit.
"""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase
from .depthwise import multiply_add


@compiled_phase
def gather_picture(band, bands, picture, taps, bias, line, target):
    """Currents of a band.

    picture : (H, W, C) float32
    taps : PictureTaps
    bias : (channels,) float32
    line : 0 where the target is the band's own; where it is that of all rows, the numbers of a row
    target : float32, (rows, width, padded channels), flat, receives the currents, 0 in channels that are none
    """
    rows = output_rows(band, bands)
    target = target[rows.first * line :]
    height, width, channels = picture.shape
    sums, outputs = taps.sums, taps.sums.size
    apart = taps.step_x * channels
    # Neurons that are none, too, whose potentials are looked at with those of the others.
    target[: (rows.end - rows.first) * outputs * rows.padded] = 0
    for y in range(rows.first, rows.end):
        for output in range(rows.channels):
            for x in range(outputs):
                sums[x] = bias[output]
            for column in range(taps.columns.size):
                offset = taps.columns[column]
                first = max(0, (taps.step_x - 1 - offset) // taps.step_x)
                end = min(outputs, (width - 1 - offset) // taps.step_x + 1)
                for row in range(taps.rows.size):
                    read = y * taps.step_y + taps.rows[row]
                    if read < 0 or read >= height:
                        continue
                    line_read, count = picture[read].reshape(width * channels), max(0, end - first)
                    reached = sums[first : first + count]
                    for channel in range(channels):
                        weight = taps.weights[row, column, channel, output]
                        seen = line_read[(first * taps.step_x + offset) * channels + channel :]
                        if apart == 1:
                            # Numbers side by side, which vectors take.
                            for number in range(count):
                                reached[number] = multiply_add(weight, seen[number], reached[number])
                        else:
                            for number in range(count):
                                reached[number] = multiply_add(weight, seen[number * apart], reached[number])
            begin = (y - rows.first) * outputs * rows.padded + output
            for x in range(outputs):
                target[begin + x * rows.padded] = sums[x]

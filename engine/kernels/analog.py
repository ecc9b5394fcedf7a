"""The current of an analog input: a dense convolution, computed once and then injected at every step."""

from __future__ import annotations

from .vector_block import compiled


@compiled
def add_analog_current(plan, block_width, weights, picture, channel_offset, padded, currents):
    """Add to `currents` what an analog source contributes.

    plan, weights : as in gather.py
    picture : (H, W, C) float32, channels channel_offset ... of the layer's input
    currents : float32, (output height, output width, padded channels), holds the bias before
    """
    geometry, phases, row_taps, column_runs = plan
    out_height = currents.size // (geometry[6] * padded)
    for phase in range(phases.shape[0]):
        for y in range(phases[phase, 0], out_height, geometry[0]):
            top = (y - phases[phase, 0]) // geometry[0] * geometry[2]
            for x in range(phases[phase, 1], geometry[6], geometry[1]):
                left = (x - phases[phase, 1]) // geometry[1] * geometry[3]
                place = (y * geometry[6] + x) * padded
                for tap in range(phases[phase, 2], phases[phase, 3]):
                    row = top + row_taps[tap]
                    if row < 0 or row >= geometry[4]:
                        continue
                    _add_row(
                        plan,
                        phase,
                        tap,
                        block_width,
                        weights,
                        picture[row],
                        left,
                        channel_offset,
                        padded,
                        currents,
                        place,
                    )


@compiled
def _add_row(plan, phase, tap, block_width, weights, row, left, channel_offset, padded, currents, place):
    geometry, phases, row_taps, column_runs = plan
    tap_rows = phases[phase, 3] - phases[phase, 2]
    columns = phases[phase, 6]
    for run in range(phases[phase, 4], phases[phase, 5]):
        for position in range(column_runs[run, 1]):
            x = left + column_runs[run, 0] + position
            if x < 0 or x >= geometry[5]:
                continue
            for channel in range(row.shape[1]):
                value = row[x, channel]
                for block in range(padded // block_width):
                    kernel_row = block * tap_rows + tap - phases[phase, 2]
                    kernel_column = kernel_row * columns + column_runs[run, 2] + position
                    source = kernel_column * geometry[7] + channel_offset + channel
                    base = phases[phase, 7] + source * block_width
                    for lane in range(block_width):
                        currents[place + block * block_width + lane] += value * weights[base + lane]

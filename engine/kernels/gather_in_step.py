"""`gather_band` where a row of outputs is walked in step with a row of inputs, as that of most convolutions is.

Where few numbers are added up for a pixel, what is done once for each pixel takes as long; here that is little.
"""

from __future__ import annotations

from .band import decoded_rows, output_rows
from .bound_call import compiled_phase
from .gathered import add_events, begin_block, enter_pixel, put_out


@compiled_phase
def gather_in_step(band, bands, token, connections, entries, line, constant, neurons, target, touched):
    """As `gather_band`, and the same numbers, bit for bit.

    The token has a window of several pixels, the tables a divisor of 1 and one run of rows in each phase; of a row, all
    pixels are computed, or those of no row where `touched` has no spans.
    """
    if touched.spans[0] == 0:
        return
    tables, weights = connections
    rows, decoded = output_rows(band, bands), decoded_rows(band, bands, entries)
    target = target[rows.first * line :]
    geometry, each = tables.geometry, decoded.rows + 1
    window, width = len(token.window), len(token.vectors) * len(token.lanes)
    block_width = len(token.row) * len(token.lanes)
    padded, shape, scale = rows.padded, (len(token.steps), rows.padded), window * block_width
    step_y, step_x = geometry.output_step_y, geometry.output_step_x
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        run, left = tables.row_runs[phase.first_run], tables.columns[phase.first_column]
        block_weights = phase.kernel_rows * geometry.channels * scale
        pixels = max(geometry.output_width - phase.first_x + step_x - 1, 0) // step_x
        first_y = phase.first_y + (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y * step_y
        for channel in range(0, padded, width):
            weight_base = phase.weights + channel // block_width * block_weights + channel % block_width
            for y in range(first_y, rows.end, step_y):
                top = (y - phase.first_y) // step_y * geometry.input_step_y + run.offset
                begin, end = max(top, 0), min(top + run.rows, geometry.height)
                shift = weight_base + (run.kernel_row - top + decoded.first_row) * geometry.channels * scale
                place, count = left * each - decoded.first_row + begin, max(end - begin, 0)
                # The pixel that enters the window, behind the last one any; and that which has been in it for longest.
                entering = y * geometry.output_width + phase.first_x
                last, pixel = entering + (pixels - 1) * step_x, entering - (window - 1) * step_x
                local = pixel - rows.first * geometry.output_width
                block = begin_block(token)
                for column in range(left, left + pixels + window - 1 if pixels > 0 else left):
                    block = enter_pixel(block, constant.values, entering * constant.stride + channel)
                    if column >= 0 and column < geometry.width:
                        block = add_events(block, weights, shift, scale, decoded.entries, place, place + count)
                    if column >= left + window - 1:
                        put_out(block, weights, constant, neurons, pixel, channel, target, local, shape)
                    entering = min(entering + step_x, last)
                    place += each
                    pixel += step_x
                    local += step_x

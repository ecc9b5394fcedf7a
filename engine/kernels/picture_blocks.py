"""The analog input's current of some neighbouring output pixels at a time, whose weights are read once for all of them.

A picture has a number everywhere: there are no events to unpack, and nothing to walk to. Additions to an output come in
the order of gather.py (kernel column, kernel row, channel), each rounded once: the numbers are the same, bit for bit.
"""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase
from .compilation import inlined
from .gathered import begin_block, enter_pixel, put_out
from .window_block import multiply_add_pixels


@inlined
def add_picture(block, tables, weights, picture, x, begin, end, shift):
    """A block plus what its pixels, from column `x` of the output on, read of the rows begin ... end - 1.

    The weights of row r and kernel column 0, the last one in memory, are at shift + r * channels * those of a channel.
    """
    geometry, phase = tables.geometry, tables.phases[0]
    width, channels, block_width = geometry.width, geometry.channels, geometry.block_width
    kernel_columns = phase.end_column - phase.first_column
    of_channel, apart = kernel_columns * block_width, geometry.input_step_x * channels
    for tap in range(kernel_columns):
        column = x * geometry.input_step_x + tables.columns[phase.first_column + tap]
        if column < 0 or column >= width:
            continue
        place = shift + begin * channels * of_channel + (kernel_columns - 1 - tap) * block_width
        for row in range(begin, end):
            read = (row * width + column) * channels
            for channel in range(channels):
                block = multiply_add_pixels(block, weights, place, picture, read + channel, apart)
                place += of_channel
    return block


@compiled_phase
def gather_picture_blocks(band, bands, tokens, connections, picture, line, constant, neurons, target, touched):
    """As `gather_band` of the events that `decode_analog_rows` makes of a picture, and the same numbers, bit for bit.

    tokens : `window_token` of one step, of some pixels and of one
    connections : GatherTables of one phase, with a divisor of 1 and one run of rows; weights as in `gather_band`
    picture : (H, W, C) float32, C-contiguous
    line, constant, neurons, target : as in `gather_band`
    touched : Touched, of all pixels, or those of no row
    """
    if touched.spans[0] == 0:
        return
    tables, weights = connections
    token, single = tokens
    rows, geometry, phase = output_rows(band, bands), tables.geometry, tables.phases[0]
    target = target[rows.first * line :]
    run, columns, step = tables.row_runs[phase.first_run], tables.columns, geometry.input_step_x
    window, width = len(token.window), len(token.vectors) * len(token.lanes)
    padded, outputs, shape = rows.padded, geometry.output_width, (1, rows.padded)
    of_row = geometry.channels * (phase.end_column - phase.first_column) * geometry.block_width
    # Pixels of which no kernel column lies beyond the picture.
    inner = max(-(columns[phase.first_column] // step), 0)
    inner_end = min((geometry.width - 1 - columns[phase.end_column - 1]) // step + 1, outputs)
    for channel in range(0, padded, width):
        in_blocks = channel // geometry.block_width * phase.kernel_rows * of_row
        base = phase.weights + in_blocks + channel % geometry.block_width
        for y in range(rows.first, rows.end):
            top = y * geometry.input_step_y + run.offset
            begin, end = max(top, 0), min(top + run.rows, geometry.height)
            shift, pixel = base + (run.kernel_row - top) * of_row, y * outputs
            local, x = pixel - rows.first * outputs, 0
            while x < outputs:
                if x >= inner and x + window <= inner_end:
                    block = begin_block(token)
                    for each in range(window):
                        block = enter_pixel(block, constant.values, (pixel + each) * constant.stride + channel)
                    block = add_picture(block, tables, weights, picture, x, begin, end, shift)
                    for each in range(window):
                        put_out(block, weights, constant, neurons, pixel + each, channel, target, local + each, shape)
                        block = enter_pixel(block, constant.values, pixel * constant.stride + channel)
                    count = window
                else:
                    alone = begin_block(single)
                    alone = enter_pixel(alone, constant.values, pixel * constant.stride + channel)
                    alone = add_picture(alone, tables, weights, picture, x, begin, end, shift)
                    put_out(alone, weights, constant, neurons, pixel, channel, target, local, shape)
                    count = 1
                pixel, local, x = pixel + count, local + count, x + count

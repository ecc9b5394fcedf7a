"""Spike-driven convolution, transposed convolution and full connection: one kernel.

For each output pixel and block of output channels, the events of the input pixels under the kernel are walked and their
weight rows added up in registers, for up to eight steps at once; then the neurons fire, still in registers, and only
packed levels reach memory. A weight row is thus read once for all steps in which its neuron fires.

Where the stride is 1, an event counts for as many neighbouring output pixels as the kernel has columns, so a window of
that many pixels stays in registers: the kernel walks along a row of output pixels, each step takes the events of one
column of the input, adds them to all pixels of the window, and the first one is finished. In a transposed convolution
of stride s, s pixels are finished for each column. Otherwise the window is one pixel, and each column under the kernel
is walked for it.

Events are sorted by column, then row (see decode.py): those of neighbouring rows in a column are contiguous, and each
column under the kernel is a single loop. The weights that an event meets in the pixels of the window are neighbours in
memory.

The order of additions to an output (kernel column, kernel row, channel) is the same in every specialisation, and an
event that is absent at a step adds an exact zero. So the spikes do not depend on how steps are grouped, nor on threads,
nor on the window.

Where currents are sums of integers, four events can be added at a time (see quads.py). What differs then stands in
gathered.py, and the sums are the same, bit for bit (see engine/binding/integer_plan.py).
"""

from __future__ import annotations

from .band import decoded_rows, output_rows
from .bound_call import compiled_phase
from .gathered import add_column, begin_block, enter_pixel, put_out


@compiled_phase
def gather_band(band, bands, token, connections, entries, line, constant, neurons, target, touched):
    """Spikes, or without neurons the currents, of a band.

    token : `window_token`, or for integers `sums_token`
    connections : GatherTables, and weights: float32, or for integers ScaledIntegers; flat: phase, block of output
        channels, kernel row, input channel, kernel column (last one first), channel in block
    entries : Entries of what the band reads, or for integers QuantaEntries
    line : 0 where the target is the band's own; where it is that of all rows, the numbers of a row
    constant : Constant
    neurons : LadderNeurons, for sums that are integers IntegerLadder, or None
    target : unsigned, (rows, width, padded channels) of the band, receives the packed levels; without neurons float32,
        (rows, width, steps, padded channels), receives the currents
    touched : Touched, the pixels that are computed
    """
    tables, weights = connections
    rows, decoded = output_rows(band, bands), decoded_rows(band, bands, entries)
    target = target[rows.first * line :]
    geometry, columns = tables.geometry, tables.columns
    window = len(token.window)
    width = len(token.vectors) * len(token.lanes)
    # Known when the kernel is compiled, where more than one pixel depends on it.
    block_width = len(token.row) * len(token.lanes) if window > 1 else geometry.block_width
    padded, shape = rows.padded, (len(token.steps), rows.padded)
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        first_column, kernel_columns = phase.first_column, phase.end_column - phase.first_column
        scale = (kernel_columns if window == 1 else window) * block_width
        block_weights = phase.kernel_rows * geometry.channels * scale
        step_y, step_x = geometry.output_step_y, geometry.output_step_x
        first_y = phase.first_y + (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y * step_y
        for channel in range(0, padded, width):
            in_block = channel % block_width
            weight_base = phase.weights + channel // block_width * block_weights + in_block
            for y in range(first_y, rows.end, step_y):
                top = (y - phase.first_y) // step_y * geometry.input_step_y
                line = y * geometry.output_width + phase.first_x
                spans = (y - rows.first) * touched.line
                for span in range(touched.spans[spans]):
                    # In pixels of the phase, those of the span that it has.
                    first, end = touched.spans[spans + 1 + 2 * span], touched.spans[spans + 2 + 2 * span]
                    first = max(first - phase.first_x + step_x - 1, 0) // step_x
                    end = max(end - phase.first_x + step_x - 1, 0) // step_x
                    block = begin_block(token)
                    # With a divisor d, only every d-th pixel that enters brings a column with it.
                    wait, column = 0, 0
                    if window > 1:
                        wait = -(first + columns[first_column]) % geometry.divisor
                        column = (first + wait + columns[first_column]) // geometry.divisor
                    for ahead in range(first, end + window - 1 if end > first else first):
                        # The pixel that enters the window; behind the last one, any.
                        entering = line + min(ahead, end - 1) * step_x
                        block = enter_pixel(block, constant.values, entering * constant.stride + channel)
                        if window == 1:
                            for tap in range(kernel_columns):
                                reached = ahead * geometry.input_step_x + columns[first_column + tap]
                                column = reached if geometry.divisor == 1 else reached // geometry.divisor
                                if column >= 0 and column < geometry.width and column * geometry.divisor == reached:
                                    base = weight_base + (kernel_columns - 1 - tap) * block_width
                                    block = add_column(tables, phase, weights, base, scale, decoded, block, top, column)
                        elif wait > 0:
                            wait -= 1
                        else:
                            if column >= 0 and column < geometry.width:
                                block = add_column(
                                    tables, phase, weights, weight_base, scale, decoded, block, top, column
                                )
                            column += 1
                            wait = geometry.divisor - 1
                        if ahead < first + window - 1:
                            continue
                        pixel = line + (ahead - window + 1) * step_x
                        local = pixel - rows.first * geometry.output_width
                        put_out(block, weights, constant, neurons, pixel, channel, target, local, shape)

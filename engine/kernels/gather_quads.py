"""Spike-driven convolution in integers: as gather.py, with four events at a time and weights of a byte.

The same walk over output pixels, windows and columns; what differs is what an event adds (see quads.py). Where currents
are sums of integers, both give the same ones, bit for bit (see engine/binding/integer_plan.py).
"""

from __future__ import annotations

import numba

from .arguments import DecodedQuanta
from .band import output_rows
from .compilation import compiled_bare
from .entries import CHUNK, add_to_chunk, turn_chunk
from .firing import fire_pixel
from .quads import add_quad, currents_of_sums, empty_sums, next_sums
from .sources import count_sources, source_at
from .window_block import store_pixel

_ALL = 0xFFFFFFFF


@numba.njit(inline="always")
def decoded_quanta(band, bands, entries):
    """A band's input rows, as events in quanta that are unpacked."""
    first, end = bands.table[band].first_input, bands.table[band].end_input
    return DecodedQuanta(first, end - first, entries.begins, entries.keys, entries.quanta, entries.stride)


@numba.njit(inline="always")
def _decode_pixel(source, steps, base, first, end, place, decoded):
    keys, found, stride = decoded.keys, decoded.quanta, decoded.stride
    channels, levels, quanta = source.channels, source.levels, source.quanta
    bytes_each = levels.size // max(source.words.size, 1)
    for entry in range(first, end):
        keys[place] = base + channels[entry]
        for step in range(steps):
            found[place + step * stride] = quanta[levels[entry * bytes_each + step]]
        place += 1


@numba.njit(inline="always")
def _decode_source(source, row, x, steps, base, place, decoded):
    """Unpack a pixel of one source; returns where the next entries go."""
    base += source.channel_offset
    entry, end = source.start[row, x], source.start[row, x + 1]
    if steps == 1 and source.shift >= 0 and end + CHUNK <= source.channels.size:
        # Whole chunks: what they write too much is overwritten by what comes next.
        for first in range(0, end - entry, CHUNK):
            add_to_chunk(source.channels, entry + first, base, decoded.keys, place + first)
            turn_chunk(source.shift, source.levels, entry + first, decoded.quanta, place + first)
    else:
        _decode_pixel(source, steps, base, entry, end, place, decoded)
    return place + end - entry


@compiled_bare
def decode_quanta(band, bands, sources, entries, steps, row_keys):
    """Unpack the rows of the sources that a band reads; as `decode_rows`.

    sources : PlaneSources
    entries : QuantaEntries, which receive what is unpacked
    steps : tuple as long as there are steps
    """
    decoded, queues = decoded_quanta(band, bands, entries), sources.queues
    rows, begins = decoded.rows, decoded.begins
    place = 0
    for x in range(source_at(queues, 0).start.shape[1] - 1):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for number in range(count_sources(queues)):
                source = source_at(queues, number)
                place = _decode_source(source, decoded.first_row + row, x, len(steps), row * row_keys, place, decoded)
        begins[x * (rows + 1) + rows] = place


@numba.njit(inline="always")
def _add_column(tables, phase, weights, weight_base, scale, decoded, block, top, column):
    """`block` plus the sums from the events of one column of input pixels."""
    geometry = tables.geometry
    first_row, begins, keys = decoded.first_row, decoded.begins, decoded.keys
    for number in range(phase.first_run, phase.end_run):
        run = tables.row_runs[number]
        begin = top + run.offset
        end = min(begin + run.rows, geometry.height)
        shift = weight_base + ((run.kernel_row - begin + first_row) * geometry.channels) * scale
        begin = max(begin, 0)
        if begin < end:
            place = column * (decoded.rows + 1) - first_row
            entry, last = begins[place + begin], begins[place + end]
            while entry + 4 <= last:
                rows = (
                    shift + keys[entry] * scale,
                    shift + keys[entry + 1] * scale,
                    shift + keys[entry + 2] * scale,
                    shift + keys[entry + 3] * scale,
                )
                block = add_quad(block, weights, rows, decoded.quanta, entry, decoded.stride, _ALL)
                entry += 4
            if entry < last:
                rows = (
                    shift + keys[entry] * scale,
                    shift + keys[min(entry + 1, last - 1)] * scale,
                    shift + keys[min(entry + 2, last - 1)] * scale,
                    shift + keys[entry] * scale,
                )
                present = (1 << (8 * (last - entry))) - 1
                block = add_quad(block, weights, rows, decoded.quanta, entry, decoded.stride, present)
    return block


@compiled_bare
def gather_quads(band, bands, tokens, connections, entries, constant, neurons, target):
    """Spikes, or without neurons the currents, of a band; as `gather_band`.

    tokens : QuadTokens
    connections : GatherTables, and ScaledIntegers in the order of `gather_band`
    entries : QuantaEntries of what the band reads
    """
    tables, scaled = connections
    token, single = tokens
    weights = scaled.integers
    rows, decoded = output_rows(band, bands), decoded_quanta(band, bands, entries)
    geometry, columns = tables.geometry, tables.columns
    window = len(token.window)
    width = len(token.vectors) * len(token.lanes)
    block_width = len(token.row) * len(token.lanes)
    padded = rows.padded
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        first_column, kernel_columns = phase.first_column, phase.end_column - phase.first_column
        scale = (kernel_columns if window == 1 else window) * block_width
        block_weights = phase.kernel_rows * geometry.channels * scale
        step_y, step_x = geometry.output_step_y, geometry.output_step_x
        first_y = phase.first_y + (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y * step_y
        pixels = (geometry.output_width - phase.first_x + step_x - 1) // step_x
        for channel in range(0, padded, width):
            in_block = channel % block_width
            weight_base = phase.weights + channel // block_width * block_weights + in_block
            for y in range(first_y, rows.end, step_y):
                top = (y - phase.first_y) // step_y * geometry.input_step_y
                line = y * geometry.output_width + phase.first_x
                block = empty_sums(token)
                wait, column = 0, 0
                if window > 1:
                    wait = -columns[first_column] % geometry.divisor
                    column = (wait + columns[first_column]) // geometry.divisor
                for ahead in range(pixels + window - 1):
                    block = next_sums(block)
                    if window == 1:
                        for tap in range(kernel_columns):
                            reached = ahead * geometry.input_step_x + columns[first_column + tap]
                            column = reached if geometry.divisor == 1 else reached // geometry.divisor
                            if column >= 0 and column < geometry.width and column * geometry.divisor == reached:
                                base = weight_base + (kernel_columns - 1 - tap) * block_width
                                block = _add_column(tables, phase, weights, base, scale, decoded, block, top, column)
                    elif wait > 0:
                        wait -= 1
                    else:
                        if column >= 0 and column < geometry.width:
                            block = _add_column(tables, phase, weights, weight_base, scale, decoded, block, top, column)
                        column += 1
                        wait = geometry.divisor - 1
                    if ahead < window - 1:
                        continue
                    pixel = line + (ahead - window + 1) * step_x
                    local = pixel - rows.first * geometry.output_width
                    place = pixel * constant.stride + channel
                    currents = currents_of_sums(single, block, scaled.scale, constant.values, channel, place)
                    # Numba compiles only the branch that the type of `neurons` calls for.
                    if neurons is None:
                        store_pixel(currents, target, local * len(token.steps) * padded + channel, padded)
                    else:
                        fire_pixel(currents, neurons, pixel, channel, target, local * padded + channel)

"""Currents of dirty pixels alone, gathered as in gather.py: from change to change, or of all events in float32.

From change to change in integers four are added at a time (see quads.py). Differences are signed, so weights have to be
unsigned bytes: they are larger by `OFFSET` than they are, and what that brings too much is known from the differences'
sum. In float32 a change is an event whose value is the difference, and sums begin at the currents before: numbers that
are multiples of one power of two, and small enough, are added up without rounding in any order.
"""

from __future__ import annotations

from numba.extending import overload

from .band import decoded_rows, output_rows
from .bound_call import compiled_phase
from .changes import begin_changes, decode_changes_of_pixel
from .compilation import INNER
from .dirty import columns_read
from .firing import fire_pixel
from .gathered import OFFSET, add_column, begin_block, enter_pixel
from .quads import SumsBlock, currents_of_differences
from .sources import count_sources, source_at
from .window_block import store_pixel

__all__ = ["OFFSET", "decode_changes", "decode_levels", "gather_dirty"]

# --- Unpacking -------------------------------------------------------------------------------------------------------


@compiled_phase
def decode_changes(band, bands, sources, read, entries, row_keys):
    """Unpack the changes of the rows that a band reads, sorted by column; as `decode_rows`.

    sources : of ChangedSource, as `packed_sources` makes them
    read : ReadColumns
    entries : ChangeEntries, or for float32 Entries
    """
    decoded = decoded_rows(band, bands, entries)
    rows = decoded.rows
    place, total = 0, 0
    width = source_at(sources, 0).changed.shape[1]
    first, end = columns_read(decoded.first_row, decoded.first_row + rows, read, width)
    for x in range(first, end):
        for row in range(rows):
            begin_changes(entries, x * (rows + 1) + row, place, total)
            y = decoded.first_row + row
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                if source.changed[y, x]:
                    base = row * row_keys + source.channel_offset
                    place = decode_changes_of_pixel(source, y, x, base, place, entries)
                    total += source.totals[y, x]
        begin_changes(entries, x * (rows + 1) + rows, place, total)


@compiled_phase
def decode_levels(band, bands, sources, read, entries, row_keys):
    """Unpack all levels of the rows that a band reads, as far as dirty pixels read them; as `decode_rows`, of a step.

    sources : of LevelSource, as `packed_sources` makes them
    read : ReadColumns
    entries : Entries
    """
    decoded = decoded_rows(band, bands, entries)
    rows, begins, keys, values = decoded.rows, entries.begins, entries.keys, entries.values
    place, width = 0, source_at(sources, 0).width
    first, end = columns_read(decoded.first_row, decoded.first_row + decoded.rows, read, width)
    for x in range(first, end):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                kept, base = ((decoded.first_row + row) * width + x) * source.padded, row * row_keys
                for channel in range(source.channels):
                    # Written always, kept only where it is not silent.
                    level = source.levels[kept + channel]
                    keys[place] = base + source.channel_offset + channel
                    values[place] = source.emit[level]
                    place += level != 0
        begins[x * (rows + 1) + rows] = place


# --- Gathering -------------------------------------------------------------------------------------------------------


def finished_changes(block, weights, constant, channel, place):
    """`finished_pixel`, where what is added to are currents that are kept."""


@overload(finished_changes, inline="always", jit_options=INNER)
def _finished_changes(block, weights, constant, channel, place):
    if isinstance(block, SumsBlock):
        return lambda block, weights, constant, channel, place: currents_of_differences(
            block, weights.scale, constant, channel, place
        )
    return lambda block, weights, constant, channel, place: block


@compiled_phase
def gather_dirty(band, bands, token, connections, entries, read, constant, neurons, target):
    """Currents of a band's dirty pixels, and what their neurons fire; as `gather_band`.

    connections : GatherTables, and weights: float32, or OffsetIntegers
    entries : Entries of all that the band reads, or ChangeEntries
    read : ReadColumns
    constant : Constant; what the sums are added to: of changes, the currents before them
    neurons : LadderNeurons or None
    target : DirtyTarget
    """
    tables, weights = connections
    dirty, kept, words = target
    rows, decoded = output_rows(band, bands), decoded_rows(band, bands, entries)
    geometry, columns = tables.geometry, tables.columns
    window = len(token.window)
    width = len(token.vectors) * len(token.lanes)
    # Known when the kernel is compiled, where more than one pixel depends on it.
    block_width = len(token.row) * len(token.lanes) if window > 1 else geometry.block_width
    padded, divisor = rows.padded, geometry.divisor
    first_read, end_read = columns_read(decoded.first_row, decoded.first_row + decoded.rows, read, geometry.width)
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
                end = 0
                while end < pixels:
                    # The next pixels, side by side, that are dirty.
                    first = end
                    while first < pixels and dirty[y, phase.first_x + first * step_x] == 0:
                        first += 1
                    end = first
                    while end < pixels and dirty[y, phase.first_x + end * step_x] != 0:
                        end += 1
                    block = begin_block(token)
                    for ahead in range(first, end + window - 1 if first < end else first):
                        entering = line + min(ahead, pixels - 1) * step_x
                        block = enter_pixel(block, constant.values, entering * constant.stride + channel)
                        if window == 1:
                            for tap in range(kernel_columns):
                                reached = ahead * geometry.input_step_x + columns[first_column + tap]
                                column = reached if divisor == 1 else reached // divisor
                                if column >= first_read and column < end_read and column * divisor == reached:
                                    base = weight_base + (kernel_columns - 1 - tap) * block_width
                                    block = add_column(tables, phase, weights, base, scale, decoded, block, top, column)
                        else:
                            reached = ahead + columns[first_column]
                            column = reached if divisor == 1 else reached // divisor
                            if column >= first_read and column < end_read and column * divisor == reached:
                                block = add_column(
                                    tables, phase, weights, weight_base, scale, decoded, block, top, column
                                )
                        if ahead - window + 1 < first:
                            continue
                        pixel = line + (ahead - window + 1) * step_x
                        place = pixel * padded + channel
                        currents = finished_changes(
                            block, weights, constant.values, channel, pixel * constant.stride + channel
                        )
                        store_pixel(currents, kept, place, padded)
                        if neurons is not None:
                            local = place - rows.first * geometry.output_width * padded
                            fire_pixel(currents, neurons, pixel, channel, words, local)

"""Unpack rows of event queues into keys and float values, sorted by column, ready to be gathered from.

A queue keeps for each active neuron one word with its levels over up to eight steps. Each band of output rows unpacks
the input rows that it reads once and then walks the result for every block of output channels.
"""

from __future__ import annotations

import numba

from .entries import CHUNK, add_to_chunk, look_up_chunk
from .vector_block import compiled_bare

# Arguments that travel together:
#   sources : tuple of (start, channels, levels, bytes_each, emit, channel_offset), one for each queue that is joined
#     start : (H, W + 1) int64, channels : int32; the queue
#     levels : uint8, the queue's levels byte by byte, `bytes_each` an entry, of which the first `steps` count
#     emit : (256,) float32, value of each level
#     channel_offset : first channel of this source among all sources
#   decoded = (first_row, rows, begins, keys, values)
#     first_row, rows : the rows of the queues
#     begins : (W * (rows + 1),) int32; the entries of the pixel (first_row + row, x) are begins[x * (rows + 1) + row]
#         ... up to the next one
#     keys : int32, row * row_keys + channel, the row counted from first_row
#     values : float32, `steps` for each entry
#   Behind each column's entries there is room for a chunk.


@numba.njit(inline="always")
def _decode_pixel(channels, levels, bytes_each, emit, steps, base, first, end, place, keys, values):
    for entry in range(first, end):
        keys[place] = base + channels[entry]
        for step in range(steps):
            values[place * steps + step] = emit[levels[entry * bytes_each + step]]
        place += 1


@numba.njit(inline="always")
def _decode_pixel_by_chunks(channels, levels, emit, steps, base, entry, end, place, keys, values):
    """Loops whose lengths are easy to predict; what they write too much is overwritten by what comes next."""
    for done in range(0, end - entry, CHUNK):
        add_to_chunk(channels, entry + done, base, keys, place + done)
    for done in range(0, (end - entry) * steps, CHUNK):
        look_up_chunk(emit, levels, entry * steps + done, values, place * steps + done)


@compiled_bare
def place_entries(sources, first_row, rows, begins):
    """Fill `begins`."""
    width = sources[0][0].shape[1] - 1
    begins[0] = 0
    for row in range(rows):
        for x in range(width):
            number = 0
            for source in sources:
                number += source[0][first_row + row, x + 1] - source[0][first_row + row, x]
            begins[x * (rows + 1) + row + 1] = number
    for x in range(width):
        base = x * (rows + 1)
        if x > 0:
            begins[base] = begins[base - 1] + CHUNK
        for row in range(rows):
            begins[base + row + 1] += begins[base + row]


@compiled_bare
def decode_rows(sources, decoded, steps, row_keys, cursor):
    """Fill keys and values.

    row_keys : channels of all sources together, the distance between the keys of neighbouring rows
    cursor : (W,) int32, for the kernel's own use
    """
    first_row, rows, begins, keys, values = decoded
    # Row by row, as the queues lie in memory, and source by source: whatever is written too much is overwritten later.
    for row in range(rows):
        for x in range(cursor.size):
            cursor[x] = begins[x * (rows + 1) + row]
        for source in sources:
            start, channels, levels, bytes_each, emit, channel_offset = source
            base = row * row_keys + channel_offset
            # Chunks of entries are read whole, as far as there are whole ones.
            last = channels.size - CHUNK if bytes_each == steps else -1
            for x in range(cursor.size):
                place = cursor[x]
                entry, end = start[first_row + row, x], start[first_row + row, x + 1]
                if end <= last:
                    _decode_pixel_by_chunks(channels, levels, emit, steps, base, entry, end, place, keys, values)
                else:
                    _decode_pixel(channels, levels, bytes_each, emit, steps, base, entry, end, place, keys, values)
                cursor[x] = place + end - entry


@compiled_bare
def decode_analog_rows(picture, channel_offsets, decoded, row_keys):
    """Fill begins, keys and values with an analog source, (H, W, C) float32, as events of a single step.

    channel_offsets : (sources,) int64; the picture may be joined several times
    """
    first_row, rows, begins, keys, values = decoded
    place = 0
    for x in range(picture.shape[1]):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for offset in channel_offsets:
                for channel in range(picture.shape[2]):
                    keys[place] = row * row_keys + offset + channel
                    values[place] = picture[first_row + row, x, channel]
                    place += 1
        begins[x * (rows + 1) + rows] = place

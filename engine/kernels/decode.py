"""Unpack rows of event queues into keys and float values, sorted by column, ready to be gathered from.

A queue keeps for each active neuron one word with its levels over up to eight steps. Each band of output rows unpacks
the input rows that it reads once and then walks the result for every block of output channels.
"""

from __future__ import annotations

import numba

from .entries import CHUNK, add_to_chunk, look_up_chunk, prefetch, scale_chunk
from .vector_block import compiled_bare

# Arguments that travel together:
#   sources : tuple of (start, channels, levels, bytes_each, emit, scale, channel_offset), one for each queue
#     start : (H, W + 1) int64, channels : unsigned; the queue
#     levels : uint8, the queue's levels byte by byte, `bytes_each` an entry, of which the first `steps` count
#     emit : (256,) float32, value of each level
#     scale : float32, see `Source.scale` (engine/build/layers.py)
#     channel_offset : first channel of this source among all sources
#   decoded = (first_row, rows, begins, keys, values)
#     first_row, rows : the rows of the queues
#     begins : (W * (rows + 1),) int32; the entries of the pixel (first_row + row, x) are begins[x * (rows + 1) + row]
#         ... up to the next one
#     keys : int32, row * row_keys + channel, the row counted from first_row
#     values : float32, `steps` for each entry
#   Behind the last entry there is room for a chunk.

_AHEAD = 64
"""Entries between those that are unpacked and those that are fetched into the cache: some pixels of the same row."""


@numba.njit(inline="always")
def _decode_pixel(channels, levels, bytes_each, emit, steps, base, first, end, place, keys, values):
    for entry in range(first, end):
        keys[place] = base + channels[entry]
        for step in range(steps):
            values[place * steps + step] = emit[levels[entry * bytes_each + step]]
        place += 1


@numba.njit(inline="always")
def _decode_pixel_by_chunks(channels, levels, emit, scale, steps, base, entry, end, place, keys, values):
    """Loops whose lengths are easy to predict; what they write too much is overwritten by what comes next."""
    for done in range(0, end - entry, CHUNK):
        add_to_chunk(channels, entry + done, base, keys, place + done)
    if scale != 0:
        for done in range(0, (end - entry) * steps, CHUNK):
            scale_chunk(scale, levels, entry * steps + done, values, place * steps + done)
        return
    for done in range(0, (end - entry) * steps, CHUNK):
        look_up_chunk(emit, levels, entry * steps + done, values, place * steps + done)


@compiled_bare
def decode_rows(sources, decoded, steps, row_keys):
    """Fill begins, keys and values.

    row_keys : channels of all sources together, the distance between the keys of neighbouring rows
    """
    first_row, rows, begins, keys, values = decoded
    place = 0
    for x in range(sources[0][0].shape[1] - 1):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for source in sources:
                start, channels, levels, bytes_each, emit, scale, channel_offset = source
                base = row * row_keys + channel_offset
                entry, end = start[first_row + row, x], start[first_row + row, x + 1]
                # Walking down a column, the processor does not see that every row is read from left to right.
                prefetch(channels, entry + _AHEAD)
                prefetch(levels, (entry + _AHEAD) * bytes_each)
                # Chunks of entries are read whole, as far as there are whole ones.
                if bytes_each == steps and end <= channels.size - CHUNK:
                    _decode_pixel_by_chunks(channels, levels, emit, scale, steps, base, entry, end, place, keys, values)
                else:
                    _decode_pixel(channels, levels, bytes_each, emit, steps, base, entry, end, place, keys, values)
                place += end - entry
        begins[x * (rows + 1) + rows] = place


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

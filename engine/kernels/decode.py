"""Unpack rows of event queues into keys and float values, sorted by column, ready to be gathered from.

A queue keeps for each active neuron one word with its levels over up to eight steps. Each band of output rows unpacks
the input rows that it reads once and then walks the result for every block of output channels.
"""

from __future__ import annotations

import numba

from .compilation import compiled_bare
from .entries import CHUNK, add_to_chunk, look_up_chunk, prefetch, scale_chunk
from .sources import count_sources, source_at

# Arguments that travel together:
#   sources : of (start, channels, levels, bytes_each, emit, scale, channel_offset, always), one for each queue, as
#       `packed_sources` makes them
#     start : (H, W + 1) int64, channels : unsigned; the queue
#     levels : uint8, the queue's levels byte by byte, `bytes_each` an entry, of which the first `steps` count
#     emit : (256,) float32, value of each level
#     scale : float32, see `Source.scale` (engine/build/binding.py)
#     channel_offset : first channel of this source among all sources
#     always : chunks that are unpacked of every pixel, MOST_CHUNKS at most: as many as nearly all of them need
#   decoded = (first_row, rows, begins, keys, values)
#     first_row, rows : the rows of the queues
#     begins : (W * (rows + 1),) int32; the entries of the pixel (first_row + row, x) are begins[x * (rows + 1) + row]
#         ... up to the next one
#     keys : int32, row * row_keys + channel, the row counted from first_row
#     values : float32, `steps` for each entry
#   Behind the last entry there is room for MOST_CHUNKS chunks.

MOST_CHUNKS = 4
"""That may be unpacked of a pixel whether it has as many entries or not."""

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
def _decode_chunks(channels, levels, emit, scale, steps, base, entry, first, end, place, keys, values):
    """The entries' chunks first ... end - 1; what they write too much is overwritten by what comes next."""
    for chunk in range(first, end):
        add_to_chunk(channels, entry + chunk * CHUNK, base, keys, place + chunk * CHUNK)
    if scale != 0:
        for chunk in range(first * steps, end * steps):
            scale_chunk(scale, levels, entry * steps + chunk * CHUNK, values, place * steps + chunk * CHUNK)
        return
    for chunk in range(first * steps, end * steps):
        look_up_chunk(emit, levels, entry * steps + chunk * CHUNK, values, place * steps + chunk * CHUNK)


@numba.njit(inline="always")
def _decode_source(source, row, x, steps, base, place, keys, values):
    """Unpack a pixel of one source; returns where the next entries go."""
    start, channels, levels, bytes_each, emit, scale, channel_offset, always = source
    base += channel_offset
    entry, end = start[row, x], start[row, x + 1]
    # Walking down a column, the processor does not see that every row is read from left to right.
    prefetch(channels, entry + _AHEAD)
    prefetch(levels, (entry + _AHEAD) * bytes_each)
    # Chunks of entries are read whole, as far as there are whole ones.
    if bytes_each == steps and max(end, entry + (always - 1) * CHUNK) <= channels.size - CHUNK:
        # Loops whose lengths are easy to predict: as many chunks as most pixels need, and hardly ever more.
        _decode_chunks(channels, levels, emit, scale, steps, base, entry, 0, always, place, keys, values)
        if end - entry > always * CHUNK:
            chunks = (end - entry + CHUNK - 1) // CHUNK
            _decode_chunks(channels, levels, emit, scale, steps, base, entry, always, chunks, place, keys, values)
    else:
        _decode_pixel(channels, levels, bytes_each, emit, steps, base, entry, end, place, keys, values)
    return place + end - entry


@compiled_bare
def decode_rows(sources, decoded, steps, row_keys):
    """Fill begins, keys and values.

    row_keys : channels of all sources together, the distance between the keys of neighbouring rows
    """
    first_row, rows, begins, keys, values = decoded
    place = 0
    for x in range(source_at(sources, 0)[0].shape[1] - 1):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                place = _decode_source(source, first_row + row, x, steps, row * row_keys, place, keys, values)
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

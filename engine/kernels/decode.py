"""Unpack rows of event queues into keys and float values, sorted by column, ready to be gathered from.

A queue keeps for each active neuron one word with its levels over up to eight steps. Each band of output rows unpacks
the input rows that it reads once and then walks the result for every block of output channels.
"""

from __future__ import annotations

import numba

from .band import decoded_rows
from .bound_call import compiled_phase
from .entries import CHUNK, add_to_chunk, look_up_chunk, prefetch, scale_chunk
from .sources import count_sources, source_at

MOST_CHUNKS = 4
"""That may be unpacked of a pixel whether it has as many entries or not."""

_AHEAD = 64
"""Entries between those that are unpacked and those that are fetched into the cache: some pixels of the same row."""


@numba.njit(inline="always")
def _decode_pixel(source, steps, base, first, end, place, decoded):
    keys, values = decoded.entries.keys, decoded.entries.values
    channels, levels, emit = source.channels, source.levels, source.emit
    for entry in range(first, end):
        keys[place] = base + channels[entry]
        for step in range(steps):
            values[place * steps + step] = emit[levels[entry * source.bytes_each + step]]
        place += 1


@numba.njit(inline="always")
def _decode_chunks(source, steps, base, entry, first, end, place, decoded):
    """The entries' chunks first ... end - 1; what they write too much is overwritten by what comes next."""
    keys, values, levels = decoded.entries.keys, decoded.entries.values, source.levels
    for chunk in range(first, end):
        add_to_chunk(source.channels, entry + chunk * CHUNK, base, keys, place + chunk * CHUNK)
    if source.scale != 0:
        for chunk in range(first * steps, end * steps):
            scale_chunk(source.scale, levels, entry * steps + chunk * CHUNK, values, place * steps + chunk * CHUNK)
        return
    for chunk in range(first * steps, end * steps):
        look_up_chunk(source.emit, levels, entry * steps + chunk * CHUNK, values, place * steps + chunk * CHUNK)


@numba.njit(inline="always")
def _decode_source(source, row, x, steps, base, place, decoded):
    """Unpack a pixel of one source; returns where the next entries go."""
    always = source.always
    base += source.channel_offset
    entry, end = source.start[row, x], source.start[row, x + 1]
    # Walking down a column, the processor does not see that every row is read from left to right.
    prefetch(source.channels, entry + _AHEAD)
    prefetch(source.levels, (entry + _AHEAD) * source.bytes_each)
    # Chunks of entries are read whole, as far as there are whole ones.
    if source.bytes_each == steps and max(end, entry + (always - 1) * CHUNK) <= source.channels.size - CHUNK:
        # Loops whose lengths are easy to predict: as many chunks as most pixels need, and hardly ever more.
        _decode_chunks(source, steps, base, entry, 0, always, place, decoded)
        if end - entry > always * CHUNK:
            chunks = (end - entry + CHUNK - 1) // CHUNK
            _decode_chunks(source, steps, base, entry, always, chunks, place, decoded)
    else:
        _decode_pixel(source, steps, base, entry, end, place, decoded)
    return place + end - entry


@numba.njit(inline="always")
def are_silent(sources, decoded):
    """Whether no source has an entry in the rows that a band reads."""
    for number in range(count_sources(sources)):
        start = source_at(sources, number).start
        for row in range(decoded.first_row, decoded.first_row + decoded.rows):
            if start[row, 0] != start[row, start.shape[1] - 1]:
                return False
    return True


@compiled_phase
def decode_rows(band, bands, sources, entries, steps, row_keys):
    """Unpack the rows of the sources that a band reads.

    sources : of EventSource, as `packed_sources` makes them
    entries : Entries, which receive what is unpacked
    row_keys : channels of all sources together, the distance between the keys of neighbouring rows
    """
    decoded = decoded_rows(band, bands, entries)
    rows, begins = decoded.rows, decoded.entries.begins
    if are_silent(sources, decoded):
        begins[:] = 0
        return
    place = 0
    for x in range(source_at(sources, 0).start.shape[1] - 1):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                place = _decode_source(source, decoded.first_row + row, x, steps, row * row_keys, place, decoded)
        begins[x * (rows + 1) + rows] = place


@compiled_phase
def decode_nothing(band, bands, entries):
    """What `decode_rows` makes of no sources at all."""
    decoded = decoded_rows(band, bands, entries)
    decoded.entries.begins[:] = 0


@compiled_phase
def decode_analog_rows(band, bands, picture, channel_offsets, entries, row_keys):
    """Unpack the rows of an analog source, (H, W, C) float32, that a band reads, as events of a single step.

    channel_offsets : (sources,) int64; the picture may be joined several times
    """
    decoded = decoded_rows(band, bands, entries)
    rows, (begins, keys, values) = decoded.rows, decoded.entries
    width, channels = picture.shape[1:]
    each = channel_offsets.size * channels
    for x in range(width):
        for row in range(rows + 1):
            begins[x * (rows + 1) + row] = (x * rows + row) * each
    for row in range(rows):
        for number in range(channel_offsets.size):
            key = row * row_keys + channel_offsets[number]
            for channel in range(channels):
                place = row * each + number * channels + channel
                # Column by column from row to row: a line of the picture is read at once.
                for x in range(width):
                    keys[place + x * rows * each] = key + channel
                    values[place + x * rows * each] = picture[decoded.first_row + row, x, channel]

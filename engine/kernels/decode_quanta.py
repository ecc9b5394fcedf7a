"""Unpack rows of event queues into keys and levels in quanta, ready to be gathered from four at a time.

As decode.py, but a level stays an integer of a byte, and those of a step are side by side, as quads.py reads them.
"""

from __future__ import annotations

import numba

from .band import decoded_rows
from .bound_call import compiled_phase
from .decode import are_silent
from .entries import CHUNK, add_to_chunk, turn_chunk
from .sources import count_sources, source_at


@numba.njit(inline="always")
def _decode_pixel(source, steps, base, first, end, place, decoded):
    keys, found, stride = decoded.entries.keys, decoded.entries.quanta, decoded.entries.stride
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
    whole = source.levels.size == len(steps) * source.words.size
    if whole and source.shift >= 0 and end + CHUNK <= source.channels.size:
        # Whole chunks: what they write too much is overwritten by what comes next.
        keys, quanta, stride = decoded.entries.keys, decoded.entries.quanta, decoded.entries.stride
        for first in range(0, end - entry, CHUNK):
            add_to_chunk(source.channels, entry + first, base, keys, place + first)
            turn_chunk(steps, source.shift, source.levels, entry + first, quanta, place + first, stride)
    else:
        _decode_pixel(source, len(steps), base, entry, end, place, decoded)
    return place + end - entry


@compiled_phase
def decode_quanta(band, bands, sources, entries, steps, row_keys):
    """Unpack the rows of the sources that a band reads; as `decode_rows`.

    sources : of PlaneSource, as `packed_sources` makes them
    entries : QuantaEntries, which receive what is unpacked
    steps : tuple as long as there are steps
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

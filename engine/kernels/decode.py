"""Unpack rows of an event queue into keys and float values, ready to be gathered from.

A queue keeps for each active neuron one word with its levels over up to eight steps. Each band of output rows unpacks
the input rows that it reads once and then walks the result for every block of output channels.
"""

from __future__ import annotations

from .vector_block import compiled


@compiled
def decode_rows(
    start, channels, words, emit, first_row, steps, row_keys, channel_offset, key_scale, cursor, keys, values
):
    """Append one source's events of some rows to `keys` and `values`.

    start : (H, W + 1) int64, channels : int32, words : uint64; the queue
    emit : (256,) float32, value of each level
    first_row : row of the queue that row 0 of `cursor` stands for
    steps : number of steps in a word
    row_keys : int, key distance between neighbouring pixels divided by key_scale (channels of all sources together)
    channel_offset : int, first channel of this source among all sources
    key_scale : int, number of channels in a block of output channels
    cursor : (rows, W) int64, where each pixel's next entry goes; moved on
    keys : (entries,) int64, (pixel * row_keys + channel) * key_scale
    values : (entries * steps,) float32
    """
    for row in range(cursor.shape[0]):
        for x in range(cursor.shape[1]):
            place = cursor[row, x]
            base = x * row_keys + channel_offset
            for entry in range(start[first_row + row, x], start[first_row + row, x + 1]):
                keys[place] = (base + channels[entry]) * key_scale
                word = words[entry]
                for step in range(steps):
                    values[place * steps + step] = emit[word & 255]
                    word >>= 8
                place += 1
            cursor[row, x] = place


@compiled
def decode_analog_rows(picture, first_row, steps, row_keys, channel_offset, key_scale, cursor, keys, values):
    """Append an analog source, (H, W, C) float32, whose value is the same at every step; see `decode_rows`."""
    for row in range(cursor.shape[0]):
        for x in range(cursor.shape[1]):
            place = cursor[row, x]
            for channel in range(picture.shape[2]):
                keys[place] = (x * row_keys + channel_offset + channel) * key_scale
                for step in range(steps):
                    values[place * steps + step] = picture[first_row + row, x, channel]
                place += 1
            cursor[row, x] = place

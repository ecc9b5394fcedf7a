"""Write a band's non-zero words to the event queue."""

from __future__ import annotations

import numba

from .compilation import compiled_bare
from .entries import keep_nonzero


@numba.njit(inline="always")
def _compact_pixel(words, base, count, channels, levels, place):
    """Append the entries of a pixel; returns where the next ones go."""
    for channel in range(count):
        # Written always, kept only where the word is not zero: cheaper than a branch that is hard to predict.
        word = words[base + channel]
        channels[place] = channel
        levels[place] = word
        place += word != 0
    return place


@compiled_bare
def compact_rows(token, words, rows, place, start, channels, levels, masks):
    """Pack the active neurons of a band.

    token : `lanes_token` where the processor can compress vectors (see `keep_nonzero`), else None
    words : unsigned, (rows, W, padded channels), what the neurons of the band fired
    rows : OutputRows
    place : where the first entry goes
    start : (rows, W + 1) int64, receives where each pixel's entries begin
    channels : unsigned, levels : as words; receive the entries, with room for all neurons of the band and a vector more
    masks : (rows, W, bytes) uint8, flat, receives each pixel's mask (see `EventQueue.masks`); untouched without a token
    """
    base, mask, mask_bytes = 0, 0, (rows.channels + 31) // 32 * 4
    if token is not None and rows.channels % 32 != 0:
        # `keep_nonzero` writes the bits of the channels that there are.
        masks[: (rows.end - rows.first) * (start.shape[1] - 1) * mask_bytes] = 0
    for row in range(rows.end - rows.first):
        for x in range(start.shape[1] - 1):
            start[row, x] = place
            if token is None:
                place = _compact_pixel(words, base, rows.channels, channels, levels, place)
            else:
                for channel in range(0, rows.channels, len(token)):
                    place = keep_nonzero(
                        token, words, base + channel, channel, rows.channels, channels, levels, place,
                        masks, mask + channel // 8,
                    )  # fmt: skip
                mask += mask_bytes
            base += rows.padded
        start[row, start.shape[1] - 1] = place

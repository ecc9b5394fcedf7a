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


@numba.njit(inline="always")
def _skip(token, start, row, first, end, place, masks, mask_bytes):
    """Note that the pixels first ... end - 1 of a row are silent."""
    start[row, first:end] = place
    if token is not None:
        line = row * (start.shape[1] - 1)
        masks[(line + first) * mask_bytes : (line + end) * mask_bytes] = 0


@compiled_bare
def compact_rows(token, words, rows, place, start, channels, levels, masks, touched):
    """Pack the active neurons of a band.

    token : `lanes_token` where the processor can compress vectors (see `keep_nonzero`), else None
    words : unsigned, (rows, W, padded channels), what the neurons of the band fired
    rows : OutputRows
    place : where the first entry goes
    start : (rows, W + 1) int64, receives where each pixel's entries begin
    channels : unsigned, levels : as words; receive the entries, with room for all neurons of the band and a vector more
    masks : (rows, W, bytes) uint8, flat, receives each pixel's mask (see `EventQueue.masks`); untouched without a token
    touched : Touched, the pixels that were computed; all others are silent
    """
    width, mask_bytes = start.shape[1] - 1, (rows.channels + 31) // 32 * 4
    if token is not None and rows.channels % 32 != 0:
        # `keep_nonzero` writes the bits of the channels that there are.
        masks[: (rows.end - rows.first) * width * mask_bytes] = 0
    for row in range(rows.end - rows.first):
        spans, silent = row * touched.line, 0
        for span in range(touched.spans[spans]):
            first, end = touched.spans[spans + 1 + 2 * span], touched.spans[spans + 2 + 2 * span]
            if silent < first:
                _skip(token, start, row, silent, first, place, masks, mask_bytes)
            for x in range(first, end):
                start[row, x] = place
                base, mask = (row * width + x) * rows.padded, (row * width + x) * mask_bytes
                if token is None:
                    place = _compact_pixel(words, base, rows.channels, channels, levels, place)
                else:
                    for channel in range(0, rows.channels, len(token)):
                        place = keep_nonzero(
                            token, words, base + channel, channel, rows.channels, channels, levels, place,
                            masks, mask + channel // 8,
                        )  # fmt: skip
            silent = end
        _skip(token, start, row, silent, width, place, masks, mask_bytes)
        start[row, width] = place

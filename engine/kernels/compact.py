"""Write a band's non-zero words to the event queue."""

from __future__ import annotations

import numba
from numba import types
from numba.extending import overload

from .compilation import IN_PLACE, compiled_bare
from .entries import PACKED, keep_nonzero, pack_nonzero


def append_pixel(token, words, base, count, channels, levels, place, masks, mask):
    """Append the entries of a pixel, as the type of the token says; returns where the next ones go."""


@overload(append_pixel, jit_options=IN_PLACE)
def _append_pixel(token, words, base, count, channels, levels, place, masks, mask):
    if isinstance(token, types.NoneType):
        return _append_one_by_one
    return _append_by_orders if isinstance(token, types.Array) else _append_vectors


def _append_one_by_one(token, words, base, count, channels, levels, place, masks, mask):
    for channel in range(count):
        # Written always, kept only where the word is not zero: cheaper than a branch that is hard to predict.
        word = words[base + channel]
        channels[place] = channel
        levels[place] = word
        place += word != 0
    return place


def _append_by_orders(token, words, base, count, channels, levels, place, masks, mask):
    for channel in range(0, count, PACKED):
        place = pack_nonzero(token, words, base + channel, channel, count, channels, levels, place)
    return place


def _append_vectors(token, words, base, count, channels, levels, place, masks, mask):
    for channel in range(0, count, len(token)):
        place = keep_nonzero(
            token, words, base + channel, channel, count, channels, levels, place, masks, mask + channel // 8
        )
    return place


@numba.njit(inline="always")
def _skip(start, row, first, end, place, masks, mask_bytes):
    """Note that the pixels first ... end - 1 of a row are silent."""
    start[row, first:end] = place
    if masks.size > 0:
        line = row * (start.shape[1] - 1)
        masks[(line + first) * mask_bytes : (line + end) * mask_bytes] = 0


@compiled_bare
def compact_rows(token, words, rows, place, start, channels, levels, masks, touched):
    """Pack the active neurons of a band.

    token : `lanes_token` where the processor can compress vectors (see `keep_nonzero`), `orders_of_lanes` for
        `pack_nonzero`, else None
    words : unsigned, (rows, W, padded channels), what the neurons of the band fired
    rows : OutputRows
    place : where the first entry goes
    start : (rows, W + 1) int64, receives where each pixel's entries begin
    channels : unsigned, levels : as words; receive the entries, with room for all neurons of the band and a vector more
    masks : (rows, W, bytes) uint8, flat, receives each pixel's mask (see `EventQueue.masks`); empty where the
        processor does not compress vectors
    touched : Touched, the pixels that were computed; all others are silent
    """
    width, mask_bytes = start.shape[1] - 1, (rows.channels + 31) // 32 * 4
    if masks.size > 0 and rows.channels % 32 != 0:
        # `keep_nonzero` writes the bits of the channels that there are.
        masks[: (rows.end - rows.first) * width * mask_bytes] = 0
    for row in range(rows.end - rows.first):
        spans, silent = row * touched.line, 0
        for span in range(touched.spans[spans]):
            first, end = touched.spans[spans + 1 + 2 * span], touched.spans[spans + 2 + 2 * span]
            if silent < first:
                _skip(start, row, silent, first, place, masks, mask_bytes)
            for x in range(first, end):
                start[row, x] = place
                base, mask = (row * width + x) * rows.padded, (row * width + x) * mask_bytes
                place = append_pixel(token, words, base, rows.channels, channels, levels, place, masks, mask)
            silent = end
        _skip(start, row, silent, width, place, masks, mask_bytes)
        start[row, width] = place

"""Count the weights of zero that events meet, channel by channel, for pixels that meet the same kernel taps."""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compilation import compiled_inner
from .vectors import _data, _load_vector, _store_vector, _vector

MASK_CHANNELS = 32
"""Channels of a pixel that are looked at together."""

_MASK_BYTES = MASK_CHANNELS // 8

_FLUSH = 255

_BYTE, _NUMBER, _PLACE = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _adding_up(find_active):
    """An intrinsic (totals, data, place, stride, pixels) for what finds the active channels of a pixel.

    totals[k] += how many of some pixels, whose data begin `stride` bytes apart at data[place], have channel k active,
    for MASK_CHANNELS channels and at most _FLUSH pixels: the counts stay in a register of bytes.
    """

    @intrinsic
    def add(typing_context, totals, data, place, stride, pixels):
        def generate(context, builder, signature, arguments):
            totals, data = (_data(context, builder, signature.args[k], arguments[k]) for k in (0, 1))
            _, _, place, stride, pixels = arguments
            held = cgutils.alloca_once_value(builder, ir.Constant(_vector(MASK_CHANNELS, _BYTE), None))
            with cgutils.for_range(builder, pixels) as loop:
                active = find_active(builder, data, builder.add(place, builder.mul(loop.index, stride)))
                active = builder.zext(active, _vector(MASK_CHANNELS, _BYTE))
                builder.store(builder.add(builder.load(held), active), held)
            counts = builder.zext(builder.load(held), _vector(MASK_CHANNELS, _PLACE))
            before = _load_vector(builder, totals, _PLACE(0), MASK_CHANNELS, _PLACE)
            _store_vector(builder, builder.add(before, counts), totals, _PLACE(0))
            return context.get_dummy_value()

        return types.void(totals, data, types.intp, types.intp, types.intp), generate

    return add


def _of_levels(builder, levels, place):
    """Levels that are not zero."""
    found = _load_vector(builder, levels, place, MASK_CHANNELS, _BYTE)
    return builder.icmp_unsigned("!=", found, ir.Constant(found.type, None))


def _of_masks(builder, masks, place):
    """Bits that are set."""
    pointer = builder.bitcast(builder.gep(masks, [place], inbounds=True), _NUMBER.as_pointer())
    return builder.bitcast(builder.load(pointer, align=1), _vector(MASK_CHANNELS, ir.IntType(1)))


add_levels, add_masks = _adding_up(_of_levels), _adding_up(_of_masks)


@compiled_inner
def _next_of_class(classes, x):
    """The next column of the class of column x; beyond the last column where there is none."""
    following = x + 1
    while following < classes.size and classes[following] != classes[x]:
        following += 1
    return following


@compiled_inner
def _first_of_class(classes, kind):
    x = 0
    while x < classes.size and classes[x] != kind:
        x += 1
    return x


@numba.njit(inline="always")
def count_by_class(tables, rows, add, data, layout, totals, add_up, counts):
    """Count the active channels of pixels of one class, and add up what they meet; class by class.

    tables : ZeroTables
    rows : InputRows
    add : `add_levels` or `add_masks`
    data : uint8, flat
    layout : where row 0 begins in it; bytes from row to row, from pixel to pixel, and between channels 0 and 32
    totals : int64, zeros; as many as a pixel has channels, filled up
    add_up : function of (counts, weights of zero by channel, totals)
    counts : what it takes
    """
    begin, row_bytes, pixel, word_bytes = layout
    classes = tables.column_classes
    for kind in range(tables.zeros.shape[1]):
        x = _first_of_class(classes, kind)
        while x < classes.size:
            # Columns that are evenly apart: neighbours, or every second one where a layer has a stride of two.
            apart, pixels, following = _next_of_class(classes, x) - x, 1, x
            while following + apart < classes.size and _next_of_class(classes, following) == following + apart:
                following, pixels = following + apart, pixels + 1
            for row in range(rows.first, rows.end):
                place = begin + row * row_bytes + x * pixel
                for word in range((pixel + word_bytes - 1) // word_bytes):
                    for first in range(0, pixels, _FLUSH):
                        more = min(_FLUSH, pixels - first)
                        at = place + first * apart * pixel + word * word_bytes
                        add(totals[word * MASK_CHANNELS :], data, at, apart * pixel, more)
                # Rows of one class follow each other, nearly all of them.
                if row + 1 == rows.end or tables.row_classes[row + 1] != tables.row_classes[row]:
                    add_up(counts, tables.zeros[tables.row_classes[row]][kind], totals)
                    totals[:] = 0
            x = _next_of_class(classes, following)


@numba.njit(inline="always")
def _add_zeros(target, of_class, totals):
    """Add the weights of zero that a source's channels meet which are active so often."""
    first, channels, counts = target
    total = 0
    for channel in range(channels):
        total += of_class[first + channel] * totals[channel]
    counts[0] += total


@compiled_inner
def count_zeros_of_masks(masks, rows, width, tables, place, totals, counts):
    """Add to `counts`, for each event of some rows at a single step, the weights of zero that it meets.

    masks : uint8, the queue's, flat
    rows : InputRows
    width : pixels of a row
    tables : ZeroTables
    place : where the queue's channels begin among the C, and how many there are
    totals : int64, memory for as many as a pixel has bits
    counts : (8,) int64
    """
    first, channels = place
    pixel = (channels + MASK_CHANNELS - 1) // MASK_CHANNELS * _MASK_BYTES
    totals[:] = 0
    data = 0, pixel * width, pixel, _MASK_BYTES
    count_by_class(tables, rows, add_masks, masks, data, totals, _add_zeros, (first, channels, counts))

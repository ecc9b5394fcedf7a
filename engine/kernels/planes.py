"""Spread event queues out over planes of bytes, silent neurons as zeros, for the dot kernels."""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .arguments import InputRows
from .band import plane_rows
from .bound_call import compiled_phase
from .compilation import compiled_inner
from .sources import count_sources, source_at
from .vectors import _backwards, _data, _pairs_joined, _store_vector, _vector
from .zero_counts import MASK_CHANNELS, add_levels, count_by_class

_MASK_BYTES = MASK_CHANNELS // 8

PLANE_GAP = 64
"""Bytes between planes: kernels may read and write so many beyond a plane's last pixel."""

_BYTE, _NUMBER, _PLACE = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _filling(channels):
    """An intrinsic (steps, words, entry, masks, mask, shift, planes, place, size) for so many channels.

    It spreads their entries out and returns how many there were. Step t goes to planes[place + t * size], ...; `steps`
    is a tuple that long, with as many steps as a word has bytes.
    """

    @intrinsic
    def fill(typing_context, steps, words, entry, masks, mask, shift, planes, place, size):
        def generate(context, builder, signature, arguments):
            _, words, entry, masks, mask, shift, planes, place, size = arguments
            words, masks, planes = (
                _data(context, builder, signature.args[k], array) for k, array in ((1, words), (3, masks), (6, planes))
            )
            pointer = builder.gep(masks, [mask], inbounds=True)
            bits = builder.load(builder.bitcast(pointer, ir.IntType(channels).as_pointer()), align=1)
            width = signature.args[1].dtype.bitwidth
            lanes = min(channels, 512 // width)
            parts, found = [], entry
            for first in range(0, channels, lanes):
                part = builder.trunc(builder.lshr(bits, bits.type(first)), ir.IntType(lanes))
                part = part if lanes < channels else bits
                parts.append(_expanded(builder, words, found, part, ir.IntType(width), lanes))
                found = builder.add(found, _resized(builder, builder.ctpop(part), found.type))
            for step in range(signature.args[0].count):
                levels = _bytes_of_step(builder, parts, step, width // 8)
                _store_vector(builder, _backwards(builder, levels, shift), planes, place)
                place = builder.add(place, size)
            return builder.sub(found, entry)

        number = types.intp
        return number(steps, words, number, masks, number, number, planes, number, number), generate

    return fill


_fill_one, _fill_two = _filling(MASK_CHANNELS), _filling(2 * MASK_CHANNELS)


def _resized(builder, value, number_type):
    return value if value.type.width == number_type.width else builder.zext(value, number_type)


def _expanded(builder, words, entry, bits, word_type, lanes):
    """Words, one after the other, to the lanes whose bits are set; zeros to the others."""
    vector = _vector(lanes, word_type)
    pointer = builder.gep(words, [entry], inbounds=True)
    lane_bits = builder.bitcast(bits, _vector(lanes, ir.IntType(1)))
    function_type = ir.FunctionType(vector, [pointer.type, lane_bits.type, vector])
    name = f"llvm.masked.expandload.v{lanes}i{word_type.width}"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [pointer, lane_bits, ir.Constant(vector, None)])


def _bytes_of_step(builder, parts, step, each):
    """The step's byte of all words."""
    found = []
    for part in parts:
        as_bytes = builder.bitcast(part, _vector(part.type.count * each, _BYTE))
        chosen = ir.Constant(_vector(part.type.count, _NUMBER), list(range(step, part.type.count * each, each)))
        found.append(builder.shuffle_vector(as_bytes, as_bytes, chosen))
    while len(found) > 1:
        found = _pairs_joined(builder, found)
    return found[0]


@numba.njit(inline="always")
def _fill_entries(source, first, end, place, size, steps, planes):
    """Spread a pixel's entries out, one by one."""
    channels, levels, quanta = source.channels, source.levels, source.quanta
    bytes_each = levels.size // max(source.words.size, 1)
    place += source.channel_offset
    for entry in range(first, end):
        for step in range(steps):
            planes[place + channels[entry] + step * size] = quanta[levels[entry * bytes_each + step]]


@numba.njit(inline="always")
def _clear_around(planes, steps, size, height, layout, end):
    """Zeros to what lies around the input's pixels, which end at byte `end` of a row."""
    for step in range(steps):
        for row in range(planes.rows):
            base, inside = step * size + row * layout.row_bytes, 0 <= planes.first_row + row < height
            planes.levels[base : base + (layout.edge if inside else layout.row_bytes)] = 0
            planes.levels[base + end : base + layout.row_bytes] = 0
        gap = (step + 1) * size - PLANE_GAP
        planes.levels[gap : gap + PLANE_GAP] = 0


@compiled_inner
def _fill_words(steps, source, entry, mask, words, levels, place, size):
    """Spread the entries of so many words of masks out, from the entry and the word of masks on, side by side."""
    for word in range(0, words - 1, 2):
        entry += _fill_two(
            steps, source.words, entry, source.masks, _MASK_BYTES * (mask + word), source.shift, levels,
            place + MASK_CHANNELS * word, size,
        )  # fmt: skip
    if words % 2:
        last = words - 1
        _fill_one(
            steps, source.words, entry, source.masks, _MASK_BYTES * (mask + last), source.shift, levels,
            place + MASK_CHANNELS * last, size,
        )  # fmt: skip


@compiled_inner
def _fill_by_source(steps, sources, rows, planes, size, layout):
    """Spread one source after the other out, of which none writes beyond its channels."""
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        words = source.width // MASK_CHANNELS
        pixels = source.start.shape[1] - 1
        # A source that is alone fills a whole row.
        pieces, together = (1, pixels) if words * MASK_CHANNELS == layout.pixel_bytes else (pixels, 1)
        for row in range(rows[0], rows[1]):
            place = (row - planes.first_row) * layout.row_bytes + layout.edge + source.channel_offset
            mask = row * pixels * words
            for piece in range(pieces):
                entry = source.start[row, piece]
                _fill_words(steps, source, entry, mask, words * together, planes.levels, place, size)
                mask += words
                place += layout.pixel_bytes


@compiled_phase
def fill_planes(band, bands, steps, sources, memory, layout):
    """Fill planes with the levels of the rows of the sources that a band reads, and zeros around them.

    steps : tuple as long as there are steps
    sources : of PlaneSource, as `packed_sources` makes them
    memory : uint8, see `Planes`
    layout : PlaneLayout
    """
    planes = plane_rows(band, bands, memory)
    first_row, levels = planes.first_row, planes.levels
    size = planes.rows * layout.row_bytes + PLANE_GAP
    height, width = source_at(sources, 0).start.shape
    first, end = max(first_row, 0), min(first_row + planes.rows, height)
    written, exactly = True, True  # whether each pixel is written to whole, and nothing beyond it
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        written &= source.masks.size > 0
        exactly &= source.width % MASK_CHANNELS == 0
    if written:
        _clear_around(planes, len(steps), size, height, layout, layout.edge + (width - 1) * layout.pixel_bytes)
    else:
        levels[: len(steps) * size] = 0
    if written and exactly:
        _fill_by_source(steps, sources, (first, end), planes, size, layout)
        return
    for row in range(first, end):
        base = (row - first_row) * layout.row_bytes + layout.edge
        for x in range(width - 1):
            # Sources in order: what one writes too much, always zeros, is overwritten by the next one or next pixel.
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                entry = source.start[row, x]
                if source.masks.size == 0:
                    _fill_entries(source, entry, source.start[row, x + 1], base, size, len(steps), levels)
                    continue
                words = (source.width + MASK_CHANNELS - 1) // MASK_CHANNELS
                mask, place = (row * (width - 1) + x) * words, base + source.channel_offset
                _fill_words(steps, source, entry, mask, words, levels, place, size)
            base += layout.pixel_bytes


@numba.njit(inline="always")
def _add_zeros(target, of_class, totals):
    """Add the weights of zero that channels meet which are active so often."""
    sources, step, counts = target
    for number in range(count_sources(sources)):
        source, total = source_at(sources, number), 0
        for channel in range(source.channel_offset, source.channel_offset + source.width):
            total += of_class[channel] * totals[channel]
        counts[number, 1, 0, step] += total


@compiled_phase
def count_zeros_of_planes(band, bands, steps, sources, memory, layout, zeros):
    """Count, for each event that is spread out and that this band counts, the weights of zero that it meets.

    steps, sources, memory, layout : as in `fill_planes`
    zeros : ZeroCounts
    """
    planes = plane_rows(band, bands, memory)
    rows = InputRows(bands.table[band].first_counted, bands.table[band].end_counted)
    size, row = planes.rows * layout.row_bytes + PLANE_GAP, layout.row_bytes
    totals = zeros.sums
    totals[:] = 0
    for step in range(len(steps)):
        place = step * size - planes.first_row * row + layout.edge
        data = place, row, layout.pixel_bytes, MASK_CHANNELS
        target = sources, step, zeros.counts
        count_by_class(zeros.tables, rows, add_levels, planes.levels, data, totals, _add_zeros, target)

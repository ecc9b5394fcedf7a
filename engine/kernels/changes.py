"""Levels that have changed: found by comparing vectors of them, packed side by side, and put into a queue.

An entry is a channel, a pair of levels (the new one in the lower byte, the old one in the upper), and by how many
quanta the neuron emits more than before, a signed byte; where a byte does not hold it, further entries of the same
channel, whose pair is 0, have the rest.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .band import output_rows
from .bound_call import compiled_phase
from .byte_rows import lowest_one
from .compilation import INNER
from .count import count_levels
from .entries import CHUNK, _compressed, add_to_chunk, host_compresses
from .increment_arguments import ChangeEntries
from .shared_counter import ENTRIES, TAKEN, add_shared
from .vectors import _data, _load_vector, _offset, _splat, _store_vector, _vector

READY, CHANGED = TAKEN + 1, TAKEN + 2
"""Of a layer's counters, see shared_counter.py: whether its bands may be taken, and neurons whose level has changed."""

_BYTE, _PAIR = ir.IntType(8), ir.IntType(16)


@intrinsic
def keep_changed(typing_context, new, word, old, kept, channel, channels_end, shift, changes, place, net):
    """Append the CHUNK levels that are not what they were; how many these are, and the sum of their differences.

    new : uint8; those of the channels channel, channel + 1, ..., as far as they lie before channels_end, at word, ...
    old : uint8; what they were, at kept, ...; receives the new ones, and zeros beyond channels_end
    shift : by how many bits to the right a level that is read backwards is shifted to be its quanta
    changes : channels uint16 or uint32, pairs uint16, quanta int8; receive the entries from `place` on, as far as a
        byte holds their differences, and are written whole chunks of
    net : int32; net[channel], ... receives 1 more for each neuron that fires now, and 1 less for each that fired
    """

    def generate(context, builder, signature, arguments):
        new, word, old, kept, channel, end, shift, changes, place, net = arguments
        new, old = (_data(context, builder, signature.args[k], array) for k, array in ((0, new), (2, old)))
        arrays = [
            _data(context, builder, kind, builder.extract_value(changes, k))
            for k, kind in enumerate(signature.args[7].types)
        ]
        number = ir.IntType(signature.args[7].types[0].dtype.bitwidth)
        numbers = _ascending(builder, channel, number)
        last = _splat(builder, _resized(builder, _offset(builder, end, -1), number), CHUNK)
        inside = builder.icmp_unsigned("<=", numbers, last)
        found, before = (_load_vector(builder, *each, CHUNK, _BYTE) for each in ((new, word), (old, kept)))
        found = builder.select(inside, found, ir.Constant(found.type, None))
        differs = builder.icmp_unsigned("!=", found, before)
        _store_vector(builder, found, old, kept)
        wide = _vector(CHUNK, _PAIR)
        difference = builder.sub(*(_quanta(builder, each, shift) for each in (found, before)))
        pairs = builder.or_(
            builder.zext(found, wide), builder.shl(builder.zext(before, wide), ir.Constant(wide, [8] * CHUNK))
        )
        for values, array in zip((numbers, pairs, builder.trunc(difference, found.type)), arrays, strict=True):
            _store_vector(builder, _compressed(builder, values, differs), array, place)
        net, number = _data(context, builder, signature.args[9], net), _vector(CHUNK, ir.IntType(32))
        fires, fired = (
            builder.sext(builder.icmp_unsigned("!=", each, ir.Constant(each.type, None)), number)
            for each in (found, before)
        )
        more = builder.add(_load_vector(builder, net, channel, CHUNK, ir.IntType(32)), builder.sub(fired, fires))
        _store_vector(builder, more, net, channel)
        function_type = ir.FunctionType(_PAIR, [wide])
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.vector.reduce.add.v{CHUNK}i16")
        total = builder.sext(builder.call(function, [difference]), place.type)
        count = builder.zext(builder.ctpop(builder.bitcast(differs, ir.IntType(CHUNK))), place.type)
        return context.make_tuple(builder, signature.return_type, (count, total))

    number = types.intp
    result = types.UniTuple(types.intp, 2)
    return result(new, number, old, number, number, number, number, changes, number, net), generate


def _ascending(builder, first, number):
    ascending = ir.Constant(_vector(CHUNK, number), list(range(CHUNK)))
    return builder.add(_splat(builder, _resized(builder, first, number), CHUNK), ascending)


def _resized(builder, value, number):
    return value if value.type.width == number.width else builder.trunc(value, number)


def _quanta(builder, levels, shift):
    """Levels read backwards and shifted, 16 bits each."""
    function_type = ir.FunctionType(levels.type, [levels.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.bitreverse.v{CHUNK}i8")
    turned = builder.zext(builder.call(function, [levels]), _vector(CHUNK, _PAIR))
    return builder.lshr(turned, _splat(builder, builder.trunc(shift, _PAIR), CHUNK))


@intrinsic
def copy_chunk(typing_context, source, first, target, place):
    """target[place + k] = source[first + k] for all k < CHUNK; int8."""

    def generate(context, builder, signature, arguments):
        source, target = (_data(context, builder, signature.args[k], arguments[k]) for k in (0, 2))
        _store_vector(builder, _load_vector(builder, source, arguments[1], CHUNK, _BYTE), target, arguments[3])
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def multiply_chunk(typing_context, factor, source, first, target, place):
    """target[place + k] = factor * source[first + k] for all k < CHUNK; source int8, target float32."""

    def generate(context, builder, signature, arguments):
        factor, source, first, target, place = arguments
        source, target = (_data(context, builder, signature.args[k], array) for k, array in ((1, source), (3, target)))
        numbers = builder.sitofp(_load_vector(builder, source, first, CHUNK, _BYTE), _vector(CHUNK))
        _store_vector(builder, builder.fmul(_splat(builder, factor, CHUNK), numbers), target, place)
        return context.get_dummy_value()

    return types.void(types.float32, source, types.intp, target, types.intp), generate


@intrinsic
def differing(typing_context, new, word, old, kept):
    """Which of the CHUNK levels new[word], ... are not those at old[kept], ...: bits, uint64; uint8 arrays."""

    def generate(context, builder, signature, arguments):
        pairs = ((0, arguments[1]), (2, arguments[3]))
        found, before = (
            _load_vector(builder, _data(context, builder, signature.args[k], arguments[k]), place, CHUNK, _BYTE)
            for k, place in pairs
        )
        bits = builder.bitcast(builder.icmp_unsigned("!=", found, before), ir.IntType(CHUNK))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(new, types.intp, old, types.intp), generate


@numba.njit(inline="always")
def _append_one_by_one(words, word, levels, kept, channels, changes, place, net):
    """`keep_changed` of all channels of a pixel, for levels that mean anything and processors of any kind."""
    total, first = np.int64(0), place
    for chunk in range(0, channels, CHUNK):
        differs = differing(words, word + chunk, levels, kept + chunk)
        if channels - chunk < CHUNK:  # What is behind the last channel are other pixels' levels, or none.
            differs &= (np.uint64(1) << np.uint64(channels - chunk)) - np.uint64(1)
        while differs != 0:
            channel = chunk + lowest_one(differs)
            differs &= differs - np.uint64(1)
            new, old = words[word + channel], levels[kept + channel]
            changes.channels[place] = channel
            changes.pairs[place] = np.uint16(new) | np.uint16(old) << np.uint16(8)
            difference = np.int64(changes.values[new]) - np.int64(changes.values[old])
            changes.quanta[place] = difference
            total += difference
            place += 1
            net[channel] += np.int32(new != 0) - np.int32(old != 0)
            levels[kept + channel] = new
    return place - first, total


@numba.njit(inline="always")
def _append_in_vectors(words, word, levels, kept, channels, changes, place, net):
    """`keep_changed` of all channels of a pixel, where levels are quanta read backwards."""
    if changes.shift < 0:
        return _append_one_by_one(words, word, levels, kept, channels, changes, place, net)
    arrays, total, first = (changes.channels, changes.pairs, changes.quanta), np.int64(0), place
    for channel in range(0, channels, CHUNK):
        count, more = keep_changed(
            words, word + channel, levels, kept + channel, channel, channels, changes.shift, arrays, place, net
        )
        place += count
        total += more
    return place - first, total


# Chosen here: where a processor cannot compress vectors, LLVM cannot even compile that it does, and ends the process.
_append_of_pixel = _append_in_vectors if host_compresses() else _append_one_by_one


@numba.njit(inline="always")
def _within_byte(number):
    """The nearest number that a signed byte holds."""
    if number > 127:
        return np.int64(127)
    return np.int64(-128) if number < -128 else number


@numba.njit(inline="always")
def _split(changes, first, end):
    """Give entries whose difference is more than a byte holds further ones; returns where the next ones go."""
    place = end
    for entry in range(first, end):
        pair = changes.pairs[entry]
        left = np.int64(changes.values[pair & 255]) - np.int64(changes.values[pair >> 8])
        part = _within_byte(left)
        changes.quanta[entry] = part
        left -= part
        while left != 0:
            part = _within_byte(left)
            changes.channels[place] = changes.channels[entry]
            changes.pairs[place] = 0
            changes.quanta[place] = part
            left -= part
            place += 1
    return place


@compiled_phase
def find_changes(band, bands, words, dirty, levels, changes, counters):
    """Note which neurons of a band fire something else than before, and count what they fire and fired.

    words : uint8, (rows, W, padded channels), flat, of the band, and CHUNK more; looked at where a pixel is dirty
    dirty : (H, W) uint8
    levels : uint8, the same of all rows; what they fired before, receives what they fire
    changes : ChangeMemory
    counters : int64, those of the layer, see shared_counter.py
    """
    rows = output_rows(band, bands)
    begin = bands.table[band].first_entry
    place, local, found = begin, 0, 0
    net = changes.net[changes.thread]
    for y in range(rows.first, rows.end):
        for x in range(dirty.shape[1]):
            if dirty[y, x]:
                word, kept = local * rows.padded, (y * dirty.shape[1] + x) * rows.padded
                count, total = _append_of_pixel(words, word, levels, kept, rows.channels, changes, place, net)
                first, place = place, place + count
                found += place - first
                if changes.splits:
                    place = _split(changes, first, place)
                changes.changed[y, x] = place != first
                changes.begins[y, x] = first
                changes.numbers[y, x] = place - first
                changes.totals[y, x] = total
            local += 1
    add_shared(counters, ENTRIES, place - begin)
    add_shared(counters, CHANGED, found)
    last_word = (place + 3) // 4
    for entry in range(place, 4 * last_word):
        changes.pairs[entry] = 0
    count_levels(changes.words[begin // 4 : last_word], changes.thresholds, changes.counts)


def begin_changes(entries, index, place, total):
    """Note where entries begin, and of ChangeEntries the sum of the differences before."""


@overload(begin_changes, inline="always", jit_options=INNER)
def _begin_changes(entries, index, place, total):
    if entries.instance_class is not ChangeEntries:

        def begin_floats(entries, index, place, total):
            entries.begins[index] = place

        return begin_floats

    def begin(entries, index, place, total):
        entries.begins[index], entries.totals[index] = place, total

    return begin


def put_differences(source, first, entries, place):
    """Unpack the differences of CHUNK changes: quanta, or in float32 what they are."""


@overload(put_differences, inline="always", jit_options=INNER)
def _put_differences(source, first, entries, place):
    if entries.instance_class is ChangeEntries:
        return lambda source, first, entries, place: copy_chunk(source.quanta, first, entries.quanta, place)
    return lambda source, first, entries, place: multiply_chunk(
        source.unit, source.quanta, first, entries.values, place
    )


@numba.njit(inline="always")
def decode_changes_of_pixel(source, y, x, base, place, entries):
    """Unpack the changes of a pixel; returns where the next ones go."""
    first, number = source.begins[y, x], source.numbers[y, x]
    for entry in range(0, number, CHUNK):
        add_to_chunk(source.channels, first + entry, base, entries.keys, place + entry)
        put_differences(source, first + entry, entries, place + entry)
    return place + number

"""Many entries of an event queue at a time."""

from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .processor import host_features, host_lanes
from .vectors import _backwards, _data, _load_vector, _offset, _splat, _store_vector, _vector

CHUNK = 16
"""Numbers that `add_to_chunk`, `look_up_chunk` and `scale_chunk` treat at once."""


PACKED = 8
"""Words that `pack_nonzero` looks at."""


@functools.cache
def host_compresses() -> bool:
    """Whether this processor can store the chosen lanes of a vector side by side, be they bytes or words."""
    return host_lanes() == 16 and {"avx512vl", "avx512vbmi2"} <= host_features()


@functools.cache
def host_packs() -> bool:
    """Whether this processor can put the lanes of a vector in any order, as `pack_nonzero` needs it."""
    return "avx2" in host_features()


@functools.cache
def orders_of_lanes() -> NDArray[np.uint8]:
    """(256 * PACKED,): for each byte the places of the bits that are set, then those of the others."""
    bits = np.arange(256)[:, None] >> np.arange(PACKED) & 1
    return np.argsort(1 - bits, axis=1, kind="stable").astype(np.uint8).reshape(-1)


def lanes_token(lanes: int) -> tuple[int, ...]:
    """A value whose Numba type says how many lanes a vector has."""
    return (0,) * lanes


@intrinsic
def add_to_chunk(typing_context, source, first, amount, target, place):
    """target[place + k] = source[first + k] + amount for all k < CHUNK; source uint16 or uint32, target int32."""

    def generate(context, builder, signature, arguments):
        source, first, amount, target, place = arguments
        number, narrow = ir.IntType(32), ir.IntType(signature.args[0].dtype.bitwidth)
        values = _load_vector(builder, _data(context, builder, signature.args[0], source), first, CHUNK, narrow)
        if narrow.width < number.width:
            values = builder.zext(values, _vector(CHUNK, number))
        values = builder.add(values, _splat(builder, builder.trunc(amount, number), CHUNK))
        _store_vector(builder, values, _data(context, builder, signature.args[3], target), place)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp), generate


@intrinsic
def look_up_chunk(typing_context, table, codes, first, target, place):
    """target[place + k] = table[codes[first + k]] for all k < CHUNK; codes are bytes."""

    def generate(context, builder, signature, arguments):
        table, codes, first, target, place = arguments
        table, codes, target = (
            _data(context, builder, signature.args[position], array)
            for position, array in ((0, table), (1, codes), (3, target))
        )
        for k in range(CHUNK):
            code = builder.load(builder.gep(codes, [_offset(builder, first, k)], inbounds=True))
            value = builder.load(builder.gep(table, [builder.zext(code, first.type)], inbounds=True))
            builder.store(value, builder.gep(target, [_offset(builder, place, k)], inbounds=True))
        return context.get_dummy_value()

    return types.void(table, codes, types.intp, target, types.intp), generate


@intrinsic
def scale_chunk(typing_context, scale, codes, first, target, place):
    """target[place + k] = scale * codes[first + k] read backwards, bit by bit, for all k < CHUNK; codes are bytes."""

    def generate(context, builder, signature, arguments):
        scale, codes, first, target, place = arguments
        codes = _load_vector(builder, _data(context, builder, signature.args[1], codes), first, CHUNK, ir.IntType(8))
        function_type = ir.FunctionType(codes.type, [codes.type])
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.bitreverse.v{CHUNK}i8")
        numbers = builder.zext(builder.call(function, [codes]), _vector(CHUNK, ir.IntType(32)))
        values = builder.fmul(builder.sitofp(numbers, _vector(CHUNK)), _splat(builder, scale, CHUNK))
        _store_vector(builder, values, _data(context, builder, signature.args[3], target), place)
        return context.get_dummy_value()

    return types.void(types.float32, codes, types.intp, target, types.intp), generate


@intrinsic
def turn_chunk(typing_context, steps, shift, codes, first, target, place, stride):
    """Codes read backwards, bit by bit, and shifted to the right, of CHUNK words of as many bytes as there are steps.

    That of word `first` + k and step t goes to target[place + t * stride + k]; codes and target are bytes.
    """
    count = steps.count

    def generate(context, builder, signature, arguments):
        _, shift, codes, first, target, place, stride = arguments
        codes, target = (_data(context, builder, signature.args[k], array) for k, array in ((2, codes), (4, target)))
        first = builder.mul(first, first.type(count))
        words = _load_vector(builder, codes, first, CHUNK * count, ir.IntType(8))
        turned = _backwards(builder, words, shift)
        for step in range(count):
            own = ir.Constant(_vector(CHUNK, ir.IntType(32)), list(range(step, CHUNK * count, count)))
            _store_vector(builder, builder.shuffle_vector(turned, turned, own), target, place)
            place = builder.add(place, stride)
        return context.get_dummy_value()

    number = types.intp
    return types.void(steps, number, codes, number, target, number, number), generate


@intrinsic
def prefetch(typing_context, array, index):
    """Have array[index] fetched into the first-level cache; what lies beyond the array does no harm."""

    def generate(context, builder, signature, arguments):
        pointer = builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch")
        builder.call(function, [pointer, number(0), number(3), number(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def keep_nonzero(typing_context, token, words, word, channel, channels_end, channels, levels, place, masks, mask):
    """Append a vector's words that are not zero, and the channels that they belong to; returns where the next ones go.

    Which ones they are is written to masks[mask], masks[mask + 1], ..., uint8, a bit each.

    Looks at the channels channel, channel + 1, ... as far as they lie before channels_end; their words are words[word],
    words[word + 1], ... Writes a whole vector of each. Only for processors that compress vectors: `host_compresses`.
    """
    lanes = token.count

    def generate(context, builder, signature, arguments):
        _, words, word, channel, channels_end, channels, levels, place, masks, mask = arguments
        word_type = ir.IntType(signature.args[1].dtype.bitwidth)
        words = _data(context, builder, signature.args[1], words)
        channels = _data(context, builder, signature.args[5], channels)
        levels = _data(context, builder, signature.args[6], levels)
        found = _load_vector(builder, words, word, lanes, word_type)
        number = ir.IntType(signature.args[5].dtype.bitwidth)
        ascending = ir.Constant(_vector(lanes, number), list(range(lanes)))
        numbers = builder.add(_splat(builder, _resized(builder, channel, number), lanes), ascending)
        last = _splat(builder, _resized(builder, _offset(builder, channels_end, -1), number), lanes)
        kept = builder.and_(
            builder.icmp_unsigned("!=", found, ir.Constant(found.type, None)),
            builder.icmp_unsigned("<=", numbers, last),
        )
        for values, array in ((numbers, channels), (found, levels)):
            _store_vector(builder, _compressed(builder, values, kept), array, place)
        bits = builder.bitcast(kept, ir.IntType(lanes))
        pointer = builder.gep(_data(context, builder, signature.args[8], masks), [mask], inbounds=True)
        builder.store(bits, builder.bitcast(pointer, bits.type.as_pointer()), align=1)
        count = builder.ctpop(bits)
        return builder.add(place, builder.zext(count, place.type))

    number = types.intp
    return number(token, words, number, number, number, channels, levels, number, masks, number), generate


@intrinsic
def pack_nonzero(typing_context, orders, words, word, channel, channels_end, channels, levels, place):
    """As `keep_nonzero`, of PACKED words of up to 32 bits, without masks, for processors of which `host_packs` is true.

    orders : what `orders_of_lanes` returns; what is written too much is words and channels that are not kept
    """

    def generate(context, builder, signature, arguments):
        orders, words, word, channel, channels_end, channels, levels, place = arguments
        orders, words, channels, levels = (
            _data(context, builder, signature.args[k], array)
            for k, array in ((0, orders), (1, words), (5, channels), (6, levels))
        )
        byte, word_type = ir.IntType(8), ir.IntType(signature.args[1].dtype.bitwidth)
        found = _load_vector(builder, words, word, PACKED, word_type)
        there = builder.icmp_unsigned("!=", found, ir.Constant(found.type, None))
        left = builder.sub(channels_end, channel)
        inside = builder.select(
            builder.icmp_signed("<", left, left.type(PACKED)), builder.shl(left.type(1), left), left.type(256)
        )
        inside = builder.trunc(builder.sub(inside, inside.type(1)), byte)
        bits = builder.and_(builder.bitcast(there, byte), inside)
        index = builder.mul(builder.zext(bits, place.type), place.type(PACKED))
        order = _load_vector(builder, orders, index, PACKED, byte)
        number = ir.IntType(signature.args[5].dtype.bitwidth)
        numbers = builder.zext(order, _vector(PACKED, number))
        numbers = builder.add(numbers, _splat(builder, builder.trunc(channel, number), PACKED))
        _store_vector(builder, numbers, channels, place)
        _store_vector(builder, _in_order(builder, found, order), levels, place)
        return builder.add(place, builder.zext(builder.ctpop(bits), place.type))

    number = types.intp
    return number(orders, words, number, number, number, channels, levels, number), generate


def _in_order(builder, found, order):
    """PACKED words of 8, 16 or 32 bits in another order; bytes that say which one comes where."""
    width = found.type.element.width
    if width == 32:
        places = builder.zext(order, _vector(PACKED, ir.IntType(32)))
        return _moved(builder, "llvm.x86.avx2.permd", found, places)
    sixteen = _vector(16, ir.IntType(8))
    if width == 16:  # Two bytes each.
        twice = builder.mul(builder.zext(order, found.type), ir.Constant(found.type, [0x0202] * PACKED))
        places = builder.bitcast(builder.add(twice, ir.Constant(found.type, [0x0100] * PACKED)), sixteen)
        moved = _moved(builder, "llvm.x86.ssse3.pshuf.b.128", builder.bitcast(found, sixteen), places)
        return builder.bitcast(moved, found.type)
    whole = ir.Constant(_vector(16, ir.IntType(32)), list(range(16)))
    filled = (builder.shuffle_vector(each, each, whole) for each in (found, order))
    moved = _moved(builder, "llvm.x86.ssse3.pshuf.b.128", *filled)
    return builder.shuffle_vector(moved, moved, ir.Constant(_vector(PACKED, ir.IntType(32)), list(range(PACKED))))


def _moved(builder, name, values, places):
    function_type = ir.FunctionType(values.type, [values.type, places.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), [values, places])


def _resized(builder, value, number_type):
    return value if value.type.width == number_type.width else builder.trunc(value, number_type)


def _compressed(builder, values, kept):
    """The lanes that are kept, side by side, then zeros: faster than storing no more than those."""
    kind = f"v{values.type.count}i{values.type.element.width}"
    function_type = ir.FunctionType(values.type, [values.type, values.type, kept.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.avx512.mask.compress.{kind}")
    return builder.call(function, [values, ir.Constant(values.type, None), kept])

"""Many entries of an event queue at a time."""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .processor import host_features, host_lanes
from .vectors import _data, _load_vector, _offset, _splat, _store_vector, _vector

CHUNK = 16
"""Numbers that `add_to_chunk`, `look_up_chunk` and `scale_chunk` treat at once."""


@functools.cache
def host_compresses() -> bool:
    """Whether this processor can store the chosen lanes of a vector side by side, be they bytes or words."""
    return host_lanes() == 16 and {"avx512vl", "avx512vbmi2"} <= host_features()


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
def turn_chunk(typing_context, shift, codes, first, target, place):
    """target[place + k] = codes[first + k] read backwards, bit by bit, and shifted to the right, for all k < CHUNK.

    Codes and target are bytes.
    """

    def generate(context, builder, signature, arguments):
        shift, codes, first, target, place = arguments
        codes = _load_vector(builder, _data(context, builder, signature.args[1], codes), first, CHUNK, ir.IntType(8))
        function_type = ir.FunctionType(codes.type, [codes.type])
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.bitreverse.v{CHUNK}i8")
        turned = builder.call(function, [codes])
        shifted = builder.lshr(turned, _splat(builder, builder.trunc(shift, ir.IntType(8)), CHUNK))
        _store_vector(builder, shifted, _data(context, builder, signature.args[3], target), place)
        return context.get_dummy_value()

    return types.void(types.intp, codes, types.intp, target, types.intp), generate


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


def _resized(builder, value, number_type):
    return value if value.type.width == number_type.width else builder.trunc(value, number_type)


def _compressed(builder, values, kept):
    """The lanes that are kept, side by side, then zeros: faster than storing no more than those."""
    kind = f"v{values.type.count}i{values.type.element.width}"
    function_type = ir.FunctionType(values.type, [values.type, values.type, kept.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.avx512.mask.compress.{kind}")
    return builder.call(function, [values, ir.Constant(values.type, None), kept])

"""Sums of integers that bytes of 0 and 1 meet, four bytes at a time, out of tables.

Four bytes of a row are one of sixteen quads, of which each has a sum of weights for each output. Those sums are worked
out once for all rows, for some outputs and some quads at a time, so that the table stays in the first-level cache; then
a row's sums are those of its quads, whoever fires. Processors need no products for that.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .byte_rows import finish_row, keep_row, zero_row
from .compilation import compiled_bare
from .dot import CHUNK_LEVELS, LANES
from .vectors import _data, _load_vector, _offset, _splat, _store_vector, _vector

TABLE_SIZE = 1 << 13
"""Sums of a table, in 16 bits: half of a first-level cache of 32 KiB."""

_CHUNK_QUADS = CHUNK_LEVELS // 4
"""Of a row, whose length is a multiple of that."""

_GROUP = 8
"""Quads whose codes are in a word."""

_CODE = 8
"""A quad's code is its four bits, times this: with two vectors a sum is eight times as far as the code says, in bytes,
which x86 reaches in one instruction."""

_BYTE, _SHORT, _NUMBER, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)


@intrinsic
def put_codes(typing_context, words, word, codes, place):
    """Write the codes of 16 quads, those of eight words of a row."""

    def generate(context, builder, signature, arguments):
        words, word, codes, place = arguments
        data = builder.gep(_data(context, builder, signature.args[0], words), [word], inbounds=True)
        bits = _load_vector(builder, builder.bitcast(data, _NUMBER.as_pointer()), _WORD(0), _CHUNK_QUADS, _NUMBER)
        for shift in (7, 14):
            bits = builder.or_(bits, builder.lshr(bits, _splat(builder, _NUMBER(shift), _CHUNK_QUADS)))
        bits = builder.and_(bits, _splat(builder, _NUMBER(15), _CHUNK_QUADS))
        found = builder.shl(bits, _splat(builder, _NUMBER(_CODE.bit_length() - 1), _CHUNK_QUADS))
        found = builder.trunc(found, _vector(_CHUNK_QUADS, _BYTE))
        _store_vector(builder, found, _data(context, builder, signature.args[2], codes), place)
        return context.get_dummy_value()

    return types.void(words, types.intp, codes, types.intp), generate


@intrinsic
def put_quad_sums(typing_context, vectors, weights, place, stride, table, index):
    """Write a quad's sixteen sums, of weights[place ...] and of three more lines of weights."""
    lanes = LANES * vectors.count

    def generate(context, builder, signature, arguments):
        _, weights, place, stride, table, index = arguments
        weights, table = (_data(context, builder, signature.args[k], arguments[k]) for k in (1, 4))
        sums = [ir.Constant(_vector(lanes, _SHORT), None)]
        for line in range(4):
            first = builder.add(place, builder.mul(stride, stride.type(line)))
            weight = builder.sext(_load_vector(builder, weights, first, lanes, _BYTE), sums[0].type)
            sums += [builder.add(each, weight) for each in sums]
        for number, each in enumerate(sums):
            _store_vector(builder, each, table, _offset(builder, index, number * lanes))
        return context.get_dummy_value()

    number = types.intp
    return types.void(vectors, weights, number, number, table, number), generate


@intrinsic
def add_quads(typing_context, block, table, index, codes, place):
    """Add the sums of eight quads, whose codes begin at `place`, to those of a row."""
    lanes = LANES * block.vectors

    def generate(context, builder, signature, arguments):
        result, table, index, codes, place = arguments
        table, codes = (_data(context, builder, signature.args[k], arguments[k]) for k in (1, 3))
        pointer = builder.bitcast(builder.gep(codes, [place], inbounds=True), _WORD.as_pointer())
        word = builder.load(pointer, align=1)
        for quad in range(_GROUP):
            code = builder.and_(builder.lshr(word, _WORD(8 * quad)), _WORD(255))
            sums = builder.add(builder.mul(code, _WORD(lanes // _CODE)), _offset(builder, index, quad * 16 * lanes))
            for vector in range(block.vectors):
                found = _load_vector(builder, table, _offset(builder, sums, vector * LANES), LANES, _SHORT)
                result = builder.insert_value(result, builder.add(builder.extract_value(result, vector), found), vector)
        return result

    return block(block, table, types.intp, codes, types.intp), generate


@compiled_bare
def add_up_quads(vectors, rows, weights, factors, adds, scratch, currents):
    """Currents of rows of bytes, silent channels included.

    vectors : a tuple, as long as there are vectors of 16 outputs at once, 1 or 2
    rows : uint64, (rows, words), whose bytes are 0 or 1, of a multiple of 64; which one is the first
    weights : int8, flat (bytes of a row, padded outputs)
    factors : scale and bias, float32, (padded outputs,)
    adds : whether currents are added to what is there
    scratch : uint8, a byte for each quad of all rows; int16, (TABLE_SIZE,); int32, for 32 outputs of each row; all
        overwritten
    currents : float32, (rows, padded outputs)
    """
    (words, first), (scale, bias), (codes, table, sums) = rows, factors, scratch
    count, padded = currents.shape
    lanes, quads = LANES * len(vectors), 2 * words.shape[1]
    at_once, of_quad = TABLE_SIZE // (16 * lanes), 16 * lanes
    for number in range(count):
        for quad in range(0, quads, _CHUNK_QUADS):
            put_codes(words[first + number], quad // 2, codes, number * quads + quad)
    for output in range(0, padded, lanes):
        for begin in range(0, quads, at_once):
            here = min(at_once, quads - begin)
            for quad in range(here):
                put_quad_sums(vectors, weights, 4 * (begin + quad) * padded + output, padded, table, quad * of_quad)
            for number in range(count):
                block = zero_row(vectors)
                for quad in range(0, here, _GROUP):
                    block = add_quads(block, table, quad * of_quad, codes, number * quads + begin + quad)
                if begin + at_once < quads:
                    keep_row(block, sums, number * lanes, begin > 0)
                else:
                    finish_row(block, sums, number * lanes, begin > 0, (scale, bias, output), currents[number], adds)

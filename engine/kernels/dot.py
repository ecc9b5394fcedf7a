"""Sums of products of levels and 8-bit weights, in integers: tiles of output pixels and channels.

What a multi-threshold neuron emits is a small integer, its level counted in quanta. Where weights are small integers
too, times a power of two, a layer's input current is a sum of products of bytes. Processors do 4 of them a lane in one
instruction (AVX-512 VNNI), or 16 x 16 x 64 (AMX). No such sum is rounded, so it does not depend on the order, and is
what float32 arithmetic gives as well as long as that rounds nothing either (see engine/binding/integer_plan.py).

A group is 16 neighbouring output pixels of a row. For each of them a segment is what it reads of one input row: levels
side by side in memory, because a row has the channels of its pixels one after the other. Segments are cut into chunks
of 64 levels. There are three kinds of kernels, which give the same sums: "amx" and "vnni" for such processors,
"portable" for all.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .processor import host_features
from .vectors import _data, _load_vector, _offset, _put_currents, _splat, _store_vector, _vector, token_length

GROUP = 16
"""Output pixels that are treated together; rows of an AMX tile."""

LANES = 16
"""Output channels of a vector."""

CHUNK_LEVELS = 64
"""Levels of a chunk; bytes in a row of an AMX tile."""

CHUNK_BYTES = CHUNK_LEVELS * LANES
"""Bytes of a chunk's weights for a vector of output channels: quad of levels, channel, level in quad."""

HALF = 8
"""Output pixels whose sums are in vector registers at once."""

_KINDS = ("portable", "vnni", "amx")

_BYTE, _NUMBER, _PLACE = ir.IntType(8), ir.IntType(32), ir.IntType(64)


class DotToken(NamedTuple):
    """A value whose Numba type says how sums of products are computed.

    Parameters
    ----------
    kind : tuple
        As long as the kind's number, from 1 on.
    vectors : tuple
        As long as there are vectors of output channels, 1 to 3; with AMX at most 2.
    few : tuple
        As long as there are output channels, where they are so few that a vector holds the levels of one pixel rather
        than the outputs; otherwise empty.
    """

    kind: tuple[int, ...]
    vectors: tuple[int, ...]
    few: tuple[int, ...]


def dot_token(kind: str, vectors: int, few: int = 0) -> DotToken:
    """A value whose Numba type says which kind of kernel, and how many vectors, or few channels, are put out."""
    return DotToken((0,) * (_KINDS.index(kind) + 1), (0,) * vectors, (0,) * few)


@functools.cache
def host_dots() -> tuple[str, ...]:
    """The kinds of kernels that this processor and system allow, the fastest first."""
    features = host_features()
    vectors = {"avx512f", "avx512vnni"} <= features
    tiles = {"avx512f", "amx-tile", "amx-int8"} <= features and _tiles_granted()
    return ("amx",) * tiles + ("vnni",) * vectors + ("portable",)


def _tiles_granted() -> bool:
    """Ask Linux for the tile registers, which a process may not use unasked."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    system_call, request_permission, tile_data = 158, 0x1023, 18  # arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    try:
        return bool(ctypes.CDLL(None).syscall(system_call, request_permission, tile_data) == 0)
    except (OSError, AttributeError):
        return False


def tile_configuration() -> np.ndarray:
    """(64,) uint8, what `load_configuration` takes: eight tiles of 16 rows of 64 bytes."""
    configuration = np.zeros(64, np.uint8)
    configuration[0] = 1  # palette
    configuration[16:32].view(np.uint16)[:] = CHUNK_LEVELS
    configuration[48:56] = GROUP
    return configuration


# --- AMX: sums of two groups and one or two vectors of channels in the tiles 0 ... 3 ---------------------------------


def _call(builder, name, *arguments):
    function_type = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.{name}"), arguments)


def _byte_pointer(builder, context, array_type, array, index):
    pointer = builder.gep(_data(context, builder, array_type, array), [index], inbounds=True)
    return builder.bitcast(pointer, _BYTE.as_pointer())


@intrinsic
def load_configuration(typing_context, configuration):
    """Say how large tiles are, see `tile_configuration`."""

    def generate(context, builder, signature, arguments):
        _call(builder, "ldtilecfg", _byte_pointer(builder, context, signature.args[0], arguments[0], _PLACE(0)))
        return context.get_dummy_value()

    return types.void(configuration), generate


@intrinsic
def release_tiles(typing_context):
    """Give the tile registers back, so that switching threads need not save them."""

    def generate(context, builder, signature, arguments):
        _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def zero_tiles(typing_context):
    """Start four sums."""

    def generate(context, builder, signature, arguments):
        for tile in range(4):
            _call(builder, "tilezero", _BYTE(tile))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def multiply_chunk(typing_context, token, planes, first, second, stride, weights, place):
    """Add a chunk's products, of the groups whose levels begin at planes[first] and planes[second]."""
    vectors = token_length(token, "vectors")

    def generate(context, builder, signature, arguments):
        _, planes, first, second, stride, weights, place = arguments
        for tile, index in ((4, first), (5, second)):
            pointer = _byte_pointer(builder, context, signature.args[1], planes, index)
            _call(builder, "tileloadd64", _BYTE(tile), pointer, stride)
        for vector in range(vectors):
            index = _offset(builder, place, vector * CHUNK_BYTES)
            pointer = _byte_pointer(builder, context, signature.args[5], weights, index)
            _call(builder, "tileloadd64", _BYTE(6 + vector), pointer, _PLACE(4 * LANES))
            for group in range(2):
                _call(builder, "tdpbusd", _BYTE(2 * group + vector), _BYTE(4 + group), _BYTE(6 + vector))
        return context.get_dummy_value()

    number = types.intp
    return types.void(token, planes, number, number, number, weights, number), generate


@intrinsic
def store_tiles(typing_context, token, sums, index):
    """Write the sums of both groups: pixel, channel."""
    vectors = token_length(token, "vectors")

    def generate(context, builder, signature, arguments):
        _, sums, index = arguments
        for group in range(2):
            for vector in range(vectors):
                place = _offset(builder, index, (group * GROUP * vectors + vector) * LANES)
                pointer = _byte_pointer(builder, context, signature.args[1], sums, place)
                _call(builder, "tilestored64", _BYTE(2 * group + vector), pointer, _PLACE(4 * LANES * vectors))
        return context.get_dummy_value()

    return types.void(token, sums, types.intp), generate


# --- Vectors: sums of half a group in vector registers ---------------------------------------------------------------


class SumBlock(types.Type):
    """Numba type of the sums of half a group."""

    def __init__(self, kind: int, vectors: int) -> None:
        self.kind = kind
        self.vectors = vectors
        super().__init__(name=f"SumBlock({kind}, {vectors})")


@register_model(SumBlock)
class _SumBlockModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(LANES, _NUMBER), HALF * block.vectors))


@intrinsic
def zero_sums(typing_context, token):
    """Start the sums."""
    block = SumBlock(token_length(token, "kind"), token_length(token, "vectors"))

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(block), None)

    return block(token), generate


@intrinsic
def multiply_quad(typing_context, block, planes, index, stride, weights, place):
    """Add the products of four levels of each pixel, at planes[index + pixel * stride], and their weights."""

    def generate(context, builder, signature, arguments):
        result, planes, index, stride, weights, place = arguments
        planes, weights = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, planes), (4, weights))
        )
        rows = []
        for vector in range(block.vectors):
            row = _load_vector(builder, weights, _offset(builder, place, vector * CHUNK_BYTES), 4 * LANES, _BYTE)
            rows.append(builder.bitcast(row, _vector(LANES, _NUMBER)))
        for pixel in range(HALF):
            pointer = builder.gep(planes, [builder.add(index, builder.mul(stride, stride.type(pixel)))], inbounds=True)
            quad = builder.load(builder.bitcast(pointer, _NUMBER.as_pointer()), align=1)
            for vector, row in enumerate(rows):
                position = pixel * block.vectors + vector
                sum_ = _quad_product(builder, block.kind, builder.extract_value(result, position), quad, row)
                result = builder.insert_value(result, sum_, position)
        return result

    return block(block, planes, types.intp, types.intp, weights, types.intp), generate


def _quad_product(builder, kind, sum_, quad, row):
    """The sum plus the products of a quad's four bytes, unsigned, with those of each lane of the row, signed."""
    if _KINDS[kind - 1] == "vnni":
        quads = _splat(builder, quad, LANES)
        function_type = ir.FunctionType(sum_.type, [sum_.type] * 3)
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.vpdpbusd.512")
        return builder.call(function, [sum_, quads, row])
    for byte in range(4):
        level = builder.and_(builder.lshr(quad, _NUMBER(8 * byte)), _NUMBER(255))
        left, right = (_splat(builder, _NUMBER(shift), LANES) for shift in (24 - 8 * byte, 24))
        weight = builder.ashr(builder.shl(row, left), right)
        sum_ = builder.add(sum_, builder.mul(weight, _splat(builder, level, LANES)))
    return sum_


@intrinsic
def store_sums(typing_context, block, sums, index):
    """Write the sums: pixel, channel."""

    def generate(context, builder, signature, arguments):
        block_value, sums, index = arguments
        sums = _data(context, builder, signature.args[1], sums)
        for position in range(HALF * block.vectors):
            value = builder.extract_value(block_value, position)
            _store_vector(builder, value, sums, _offset(builder, index, position * LANES))
        return context.get_dummy_value()

    return types.void(block, sums, types.intp), generate


@intrinsic
def finish_sums(typing_context, block, factors, output, currents, row, rows, adds):
    """Write currents from `output` on, or add them to what is there: `bias` + the sums * `scale`.

    factors : scale and bias
    row, rows : each pixel has a row of currents, from `row` on; there are `rows` of them
    """

    def generate(context, builder, signature, arguments):
        block_value, factors, output, currents, row, rows, adds = arguments
        kinds, both = signature.args[1], cgutils.unpack_tuple(builder, factors, 2)
        scale, bias = (_data(context, builder, kind, array) for kind, array in zip(kinds, both, strict=True))
        array = context.make_array(signature.args[3])(context, builder, currents)
        padded = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        for pixel in range(HALF):
            with builder.if_then(builder.icmp_signed("<", _PLACE(pixel), rows)):
                begin = builder.add(builder.mul(_offset(builder, row, pixel), padded), output)
                for vector in range(block.vectors):
                    sums = builder.extract_value(block_value, pixel * block.vectors + vector)
                    first, target = (_offset(builder, place, vector * LANES) for place in (output, begin))
                    _put_currents(builder, sums, scale, bias, first, array.data, target, adds)
        return context.get_dummy_value()

    number = types.intp
    return types.void(block, factors, number, currents, number, number, types.boolean), generate

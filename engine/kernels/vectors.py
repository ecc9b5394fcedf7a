"""Vectors of numbers in registers and in memory, for intrinsics to emit; LLVM's vectors, of any width.

No fastmath anywhere: products that are added are fused, with a single rounding on every processor, and all other
operations round once each, so the same numbers come out whatever the vector width.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

LEVEL_BITS = 8
"""Bits of a level in a 64-bit word that holds a neuron's levels over up to eight steps."""


def token_length(token, name):
    """How long a part of a token is, whose Numba type is given."""
    return token[token.fields.index(name)].count


def _vector(lanes, element=None):
    return ir.VectorType(element or ir.FloatType(), lanes)


def _alignment(element):
    return 4 if isinstance(element, ir.FloatType) else element.width // 8


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _load_vector(builder, data, index, lanes, element=None):
    pointer = builder.gep(data, [index], inbounds=True)
    pointer = builder.bitcast(pointer, _vector(lanes, element).as_pointer())
    return builder.load(pointer, align=_alignment(element or ir.FloatType()))


def _store_vector(builder, value, data, index):
    pointer = builder.gep(data, [index], inbounds=True)
    pointer = builder.bitcast(pointer, value.type.as_pointer())
    builder.store(value, pointer, align=_alignment(value.type.element))


def _weights_of(builder, shift, keys, entry, scale):
    """The place shift + keys[entry] * scale, of an entry's weights."""
    key = builder.sext(builder.load(builder.gep(keys, [entry], inbounds=True)), scale.type)
    return builder.add(shift, builder.mul(key, scale))


def _splat(builder, value, lanes):
    vector_type = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector_type, ir.Undefined), zeros)


def _pairs_joined(builder, vectors):
    """Each two vectors that follow one another as one, of an even number of vectors."""
    count = 2 * vectors[0].type.count
    both = ir.Constant(_vector(count, ir.IntType(32)), list(range(count)))
    return [builder.shuffle_vector(*pair, both) for pair in zip(vectors[::2], vectors[1::2], strict=True)]


def _unpacked(builder, first, second, half):
    """Numbers of two vectors in turn, those of the lower or upper half of each 128 bits."""
    count, each = first.type.count, 128 // first.type.element.width
    chosen = [
        source * count + lane + half * each // 2 + place
        for lane in range(0, count, each)
        for place in range(each // 2)
        for source in range(2)
    ]
    return builder.shuffle_vector(first, second, ir.Constant(_vector(count, ir.IntType(32)), chosen))


def _backwards(builder, levels, shift):
    """Levels read backwards, bit by bit, and shifted to the right."""
    function_type = ir.FunctionType(levels.type, [levels.type])
    name = f"llvm.bitreverse.v{levels.type.count}i8"
    turned = builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), [levels])
    # Bytes have no shift of their own: shift eight of them together, and drop what came from the neighbour.
    eights = _vector(levels.type.count // 8, ir.IntType(64))
    shifted = builder.lshr(builder.bitcast(turned, eights), _splat(builder, shift, eights.count))
    byte = levels.type.element
    kept = _splat(builder, builder.lshr(byte(255), builder.trunc(shift, byte)), levels.type.count)
    return builder.and_(builder.bitcast(shifted, levels.type), kept)


def _fused_multiply_add(builder, lanes):
    vector = _vector(lanes)
    function_type = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fma.v{lanes}f32")


def _offset(builder, index, amount):
    return builder.add(index, ir.Constant(index.type, amount))


def _put_currents(builder, sums, scale, bias, output, target, place, adds):
    """Write currents out of sums, int32, from `output` on: bias + sum * scale, or add them to what is there."""
    lanes = sums.type.count
    factor, shift = (_load_vector(builder, data, output, lanes) for data in (scale, bias))
    value = builder.fadd(shift, builder.fmul(builder.sitofp(sums, factor.type), factor))
    added = builder.fadd(_load_vector(builder, target, place, lanes), value)
    _store_vector(builder, builder.select(adds, added, value), target, place)

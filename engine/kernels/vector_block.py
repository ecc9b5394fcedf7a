"""Accumulators that stay in vector registers: a block of steps x vectors x lanes float32 numbers.

Numba keeps a value in registers when its data model is made of LLVM vectors. A `VectorBlock` holds, for one output
pixel, the input current of `vectors * lanes` channels at `steps` time steps; the functions below load, update, fire and
store it. How many steps, vectors and lanes there are is part of the type: kernels take a token (see `block_token`)
whose type carries the three numbers, so that one source compiles to a few specialisations.

No fastmath anywhere: `multiply_add` is a fused multiply-add with a single rounding on every processor, all other
operations round once each, so the same numbers come out whatever the vector width.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LEVEL_BITS = 8
"""Bits of a level in a 64-bit word that holds a neuron's levels over up to eight steps."""


def block_token(steps: int, vectors: int, lanes: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A value whose Numba type says how many steps, vectors and lanes a block has."""
    return ((0,) * steps, (0,) * vectors, (0,) * lanes)


class VectorBlock(types.Type):
    """Numba type of a block of accumulators."""

    def __init__(self, steps: int, vectors: int, lanes: int) -> None:
        self.steps = steps
        self.vectors = vectors
        self.lanes = lanes
        super().__init__(name=f"VectorBlock({steps}, {vectors}, {lanes})")


def token_length(token, name):
    """How long a part of a token is, whose Numba type is given."""
    return token[token.fields.index(name)].count


def _vector(lanes, element=None):
    return ir.VectorType(element or ir.FloatType(), lanes)


@register_model(VectorBlock)
class _VectorBlockModel(models.PrimitiveModel):
    def __init__(self, manager, block):
        super().__init__(manager, block, ir.ArrayType(_vector(block.lanes), block.steps * block.vectors))


def _block_of(token):
    return VectorBlock(token[0].count, token[1].count, token[2].count)


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


def _splat(builder, value, lanes):
    vector_type = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector_type, ir.Undefined), zeros)


def _fused_multiply_add(builder, lanes):
    vector = _vector(lanes)
    function_type = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fma.v{lanes}f32")


def _offset(builder, index, amount):
    return builder.add(index, ir.Constant(index.type, amount))


@intrinsic
def load_constant(typing_context, token, array, index):
    """Block whose steps all start from array[index], array[index + 1], ... (a bias, or an analog input's current)."""
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        for vector in range(block.vectors):
            index = _offset(builder, arguments[2], vector * block.lanes)
            value = _load_vector(builder, data, index, block.lanes)
            for step in range(block.steps):
                result = builder.insert_value(result, value, step * block.vectors + vector)
        return result

    return block(token, array, types.intp), generate


@intrinsic
def load_steps(typing_context, token, array, index, stride):
    """Block whose step t is array[index + t * stride], array[index + t * stride + 1], ..."""
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        index = arguments[2]
        for step in range(block.steps):
            for vector in range(block.vectors):
                value = _load_vector(builder, data, _offset(builder, index, vector * block.lanes), block.lanes)
                result = builder.insert_value(result, value, step * block.vectors + vector)
            index = builder.add(index, arguments[3])
        return result

    return block(token, array, types.intp, types.intp), generate


@intrinsic
def store_steps(typing_context, block, array, index, stride):
    """Write step t of the block to array[index + t * stride], array[index + t * stride + 1], ..."""

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[1], arguments[1])
        index = arguments[2]
        for step in range(block.steps):
            for vector in range(block.vectors):
                value = builder.extract_value(arguments[0], step * block.vectors + vector)
                _store_vector(builder, value, data, _offset(builder, index, vector * block.lanes))
            index = builder.add(index, arguments[3])
        return context.get_dummy_value()

    return types.void(block, array, types.intp, types.intp), generate

"""Find four neighbouring channels at a time of which any fires, in planes of bytes, ready to be gathered from.

Where many neurons fire, four neighbouring channels hardly ever are silent all together, unless those that fire seldom
are neighbours of each other. Then there are far fewer such fours than events, and their weights lie side by side as one
instruction takes them (`add_four` in quads.py): nothing has to be interleaved. What is silent is left out all the same.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .band import decoded_rows, plane_rows
from .bound_call import compiled_phase
from .planes import PLANE_GAP
from .sources import source_at
from .vectors import _data, _load_vector, _splat, _store_vector, _vector

LANES = 16
"""Fours of a vector."""

_NUMBER, _MASK = ir.IntType(32), ir.IntType(LANES)


@intrinsic
def take_fours(typing_context, steps, planes, place, size, count, key, keys, fours, entry, stride):
    """Write down which of up to 16 fours have a level in any step, and these; returns how many there are.

    steps : tuple as long as there are steps
    planes : uint8; the fours of step t begin at place + t * size, `count` of them
    key : that of the first one
    keys, fours, entry, stride : where they go, see `FourEntries`; a whole vector is written
    """

    def generate(context, builder, signature, arguments):
        _, planes, place, size, count, key, keys, fours, entry, stride = arguments
        planes, keys, fours = (
            _data(context, builder, signature.args[k], array) for k, array in ((1, planes), (6, keys), (7, fours))
        )
        found = []
        for _ in range(signature.args[0].count):
            pointer = builder.bitcast(builder.gep(planes, [place], inbounds=True), _NUMBER.as_pointer())
            found.append(_load_vector(builder, pointer, ir.IntType(64)(0), LANES, _NUMBER))
            place = builder.add(place, size)
        any_ = found[0]
        for each in found[1:]:
            any_ = builder.or_(any_, each)
        lanes = ir.Constant(_vector(LANES, _NUMBER), list(range(LANES)))
        inside = builder.icmp_signed("<", lanes, _splat(builder, builder.trunc(count, _NUMBER), LANES))
        there = builder.icmp_unsigned("!=", any_, ir.Constant(any_.type, None))
        mask = builder.and_(inside, there)
        own = builder.add(lanes, _splat(builder, builder.trunc(key, _NUMBER), LANES))
        _store_vector(builder, _compressed(builder, own, mask), keys, entry)
        for each in found:
            _store_vector(builder, _compressed(builder, each, mask), fours, entry)
            entry = builder.add(entry, stride)
        return builder.zext(builder.ctpop(builder.bitcast(mask, _MASK)), place.type)

    number = types.intp
    return number(steps, planes, number, number, number, number, keys, fours, number, number), generate


def _compressed(builder, vector, mask):
    """The lanes of a vector whose bits are set, one after the other, in a register: to memory it is slow on some."""
    function_type = ir.FunctionType(vector.type, [vector.type, vector.type, mask.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.mask.compress.v16i32")
    return builder.call(function, [vector, ir.Constant(vector.type, None), mask])


@compiled_phase
def find_fours(band, bands, steps, sources, memory, layout, entries, choice):
    """Write down the fours of the planes that `fill_planes` has filled, sorted by column.

    steps, sources, memory, layout : as in `fill_planes`
    entries : FourEntries
    choice : FourChoice
    """
    planes, decoded = plane_rows(band, bands, memory), decoded_rows(band, bands, entries)
    rows, (begins, keys, fours, stride) = decoded.rows, decoded.entries
    each = layout.pixel_bytes // 4
    size, found = planes.rows * layout.row_bytes + PLANE_GAP, 0
    for x in range(source_at(sources, 0).start.shape[1] - 1):
        for row in range(rows):
            begins[x * (rows + 1) + row] = found
            place = row * layout.row_bytes + layout.edge + x * layout.pixel_bytes
            for first in range(0, each, LANES):
                found += take_fours(
                    steps, planes.levels, place + 4 * first, size, each - first, row * each + first, keys, fours,
                    found, stride,
                )  # fmt: skip
        begins[x * (rows + 1) + rows] = found
    fewer = 100 * found <= choice.percent * each * rows * (source_at(sources, 0).start.shape[1] - 1)
    choice.spans[0], choice.dense[0] = int(fewer), int(not fewer)

"""Sums of products for two groups of output pixels, with whichever kind of kernel: see dot.py and dot_few.py."""

from __future__ import annotations

import numba

from .compilation import inlined
from .dot import (
    CHUNK_BYTES,
    CHUNK_LEVELS,
    GROUP,
    HALF,
    LANES,
    multiply_chunk,
    multiply_quad,
    store_sums,
    store_tiles,
    zero_sums,
    zero_tiles,
)
from .dot_few import add_few


@numba.njit(inline="always")
def _add_in_vectors(token, segments, ends, planes, begin, stride, weights, weight_base, sums, place):
    vectors = len(token.vectors)
    for half in range(0, GROUP, HALF):
        block = zero_sums(token)
        for segment in range(ends[0], ends[1]):
            source = begin + segments[segment].levels + half * stride
            weight = weight_base + segments[segment].weights
            for quad in range(segments[segment].quads):
                # Of each chunk, the quads of one vector of channels, then those of the next.
                inside = quad // LANES * (vectors - 1) * CHUNK_BYTES
                block = multiply_quad(block, planes, source + 4 * quad, stride, weights, weight + 64 * quad + inside)
        store_sums(block, sums, place + half * vectors * LANES)


@numba.njit(inline="always")
def _add_in_tiles(token, segments, ends, planes, begins, stride, weights, weight_base, sums, place):
    vectors = len(token.vectors)
    zero_tiles()
    for segment in range(ends[0], ends[1]):
        first, second = begins[0] + segments[segment].levels, begins[1] + segments[segment].levels
        weight = weight_base + segments[segment].weights
        for chunk in range((segments[segment].quads + LANES - 1) // LANES):
            shift = chunk * CHUNK_LEVELS
            multiply_chunk(token, planes, first + shift, second + shift, stride, weights, weight)
            weight += vectors * CHUNK_BYTES
    store_tiles(token, sums, place)


@inlined
def add_groups(token, segments, ends, planes, begins, stride, weights, weight_base, sums, place):
    """Sums of two groups into sums[place ...], int32: group, pixel, channel.

    token : see `dot_token`
    segments : (S,) SEGMENT; levels are counted from those of the group's first pixel, weights from weight_base
    ends : first segment, last + 1
    planes : uint8, flat, levels; `begins` of the two groups, and `stride` from pixel to pixel
    weights : int8, flat, see engine/binding/integer_plan.py
    """
    if len(token.kind) == 3:  # AMX; Numba compiles only the branch that the type calls for
        _add_in_tiles(token, segments, ends, planes, begins, stride, weights, weight_base, sums, place)
    elif len(token.few) > 0:
        for begin in begins:
            add_few(token, segments, ends, planes, begin, stride, weights, weight_base, sums, place)
            place += GROUP * LANES
    else:
        for begin in begins:
            _add_in_vectors(token, segments, ends, planes, begin, stride, weights, weight_base, sums, place)
            place += GROUP * len(token.vectors) * LANES

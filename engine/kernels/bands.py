"""All phases of a layer, band by band, in one call: unpack events, gather, fire, pack, count.

Worker threads call it at the same time, without Python between the bands, and each takes the next band that none has
taken.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compact import compact_rows
from .count import count_levels
from .decode import decode_rows
from .dot_band import dot_band
from .gather import gather_band
from .spread import count_zeros_of_planes, spread_rows
from .vector_block import _data, compiled_bare


@intrinsic
def take_next(typing_context, counter):
    """Add 1 to counter[0], (1,) int64, and return what it was; no two threads are told the same."""
    if counter.dtype != types.int64:
        return None  # no such overload

    def generate(context, builder, signature, arguments):
        data = _data(context, builder, signature.args[0], arguments[0])
        return builder.atomic_rmw("add", data, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), generate


@compiled_bare
def run_bands(tokens, plan, weights, sources, constants, bands, scratch, room, thresholds, counts):
    """Run the bands that are left.

    tokens : the gather's `window_token`; `lanes_token` or None, see `compact_rows`
    plan, weights : see `gather_band`
    sources : see decode.py
    constants : constant, constant_stride, neurons, as `gather_band` takes them
    bands : counter, (1,) int64, of the bands taken; (n, 5) int64, first row, last row + 1, first and last + 1 input
        row that they read, where the band's entries go; padded channels; channels
    scratch : begins, keys, values, as in decode.py, and words, as in `gather_band`, large enough for every band
    room : start, channels, levels, as `compact_rows` takes them, but of all rows; levels as uint64; masks
    thresholds, counts : see `count_levels`; by byte of a word
    """
    token, compress = tokens
    constant, constant_stride, neurons = constants
    counter, table, padded, channels = bands
    begins, keys, values, words = scratch
    band = take_next(counter)
    while band < table.shape[0]:
        first, last, begin = table[band, 0], table[band, 1], table[band, 4]
        first_input, end_input = table[band, 2], table[band, 3]
        rows = (first, last, padded, channels)
        decoded = (first_input, end_input - first_input, begins, keys, values)
        decode_rows(sources, decoded, len(token[0]), plan[0][7])
        gather_band(token, plan, weights, decoded, constant, constant_stride, neurons, words, rows)
        _finish_band(compress, words, rows, begin, room, thresholds, counts)
        band = take_next(counter)


@compiled_bare
def run_dot_bands(tokens, plan, weights, sources, constants, bands, scratch, room, thresholds, counts):
    """`run_bands` in integers.

    tokens : those that `dot_band` takes; `lanes_token` or None
    plan, weights : see `dot_band`; weights and scale
    sources : sources and channels, see `spread_rows`; classes, zeros, sums and counts, see `count_zeros_of_planes`
    bands : as in `run_bands`, the input rows as `IntegerPlan.input_rows` says; the table has two columns more, first
        and last + 1 input row whose events the band counts
    scratch : planes, sums, tiles, words, as `dot_band` takes them, large enough for every band
    """
    dot_tokens, compress = tokens
    numbers, scale = weights
    constant, constant_stride, neurons = constants
    counter, table, padded, channels = bands
    edge, planes, sums, tiles, words = scratch
    sources, source_channels, (classes, zeros, zero_sums, zero_counts) = sources
    steps, strides = dot_tokens[1][0], (plan[0][5], plan[0][6])
    band = take_next(counter)
    while band < table.shape[0]:
        rows = (table[band, 0], table[band, 1], padded, channels)
        spread = (table[band, 2], table[band, 3] - table[band, 2], edge, planes)
        spread_rows(steps, sources, source_channels, spread, strides)
        if zeros.size > 0:
            own = (table[band, 5], table[band, 6])
            count_zeros_of_planes(
                steps, sources, source_channels, spread, strides, own, classes, zeros, zero_sums, zero_counts
            )
        dot_band(dot_tokens, plan, numbers, scale, spread, constant, constant_stride, neurons, words, rows, sums, tiles)
        _finish_band(compress, words, rows, table[band, 4], room, thresholds, counts)
        band = take_next(counter)


@numba.njit(inline="always")
def _finish_band(compress, words, rows, begin, room, thresholds, counts):
    """Pack and count what a band has fired."""
    start, numbers, levels, level_words, masks = room
    each = 8 * level_words.size // levels.size
    line = (start.shape[1] - 1) * ((rows[3] + 31) // 32 * 4)
    compact_rows(
        compress, words, rows, begin, start[rows[0] : rows[1]], numbers, levels, masks[rows[0] * line : rows[1] * line]
    )
    end = start[rows[1] - 1, start.shape[1] - 1]
    # Several entries lie in a word of eight bytes: the last word is filled up.
    last_word = (end * each + 7) // 8
    for entry in range(end, last_word * 8 // each):
        levels[entry] = 0
    count_levels(level_words[begin * each // 8 : last_word], thresholds, counts)

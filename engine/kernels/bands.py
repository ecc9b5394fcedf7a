"""All phases of a layer, band by band, in one call: unpack events, gather, fire, pack, count.

Worker threads call it at the same time, without Python between the bands, and each takes the next band that none has
taken.
"""

from __future__ import annotations

import numba

from .compact import compact_rows
from .compilation import compiled_bare
from .count import count_levels
from .decode import decode_analog_rows, decode_rows
from .dot_band import dot_band
from .gather import gather_band
from .pooling import fire_currents, pool_planes
from .readout import add_to_readout
from .shared_counter import ENTRIES, add_shared, next_band
from .spread import count_zeros_of_planes, spread_rows

# Arguments that all of them take:
#   bands : counters, (>= 2 + threads,) int64, shares and worker, see shared_counter.py; table, (n, >= 5) int64: first
#       row, last row + 1, first and last + 1 input row that they read, where the band's entries go; padded channels;
#       channels
#   room : start, channels, levels, as `compact_rows` takes them, but of all rows; levels as uint64; masks
#   thresholds, counts : see `count_levels`; by byte of a word


@compiled_bare
def run_bands(tokens, tables, weights, sources, constants, bands, scratch, room, thresholds, counts):
    """Run the bands that are left.

    tokens : the gather's `window_token`; `lanes_token` or None, see `compact_rows`
    tables, weights : see `gather_band`
    sources : see decode.py
    constants : constant, constant_stride, neurons, as `gather_band` takes them
    scratch : begins, keys, values, as in decode.py, and words, as in `gather_band`, large enough for every band
    """
    token, compress = tokens
    constant, constant_stride, neurons = constants
    counters, shares, worker, table, padded, channels = bands
    begins, keys, values, words = scratch
    band = next_band(counters, shares, worker)
    while band >= 0:
        first, last, begin = table[band, 0], table[band, 1], table[band, 4]
        first_input, end_input = table[band, 2], table[band, 3]
        rows = (first, last, padded, channels)
        decoded = (first_input, end_input - first_input, begins, keys, values)
        decode_rows(sources, decoded, len(token[0]), tables.geometry.channels)
        gather_band(token, tables, weights, decoded, constant, constant_stride, neurons, words, rows)
        _finish_band(compress, words, rows, begin, room, counters, thresholds, counts)
        band = next_band(counters, shares, worker)


@compiled_bare
def run_dot_bands(tokens, tables, weights, sources, constants, bands, scratch, room, thresholds, counts):
    """`run_bands` in integers.

    tokens : those that `dot_band` takes; `lanes_token` or None
    tables, weights : see `dot_band`; weights and scale
    sources : sources and channels, see `spread_rows`; classes, zeros, sums and counts, see `count_zeros_of_planes`
    bands : input rows as `IntegerPlan.input_rows` says; the table has two columns more, first and last + 1 input row
        whose events the band counts
    scratch : planes, sums, tiles, words, as `dot_band` takes them, large enough for every band
    """
    dot_tokens, compress = tokens
    numbers, scale = weights
    constant, constant_stride, neurons = constants
    counters, shares, worker, table, padded, channels = bands
    edge, planes, sums, tiles, words = scratch
    band = next_band(counters, shares, worker)
    while band >= 0:
        rows = (table[band, 0], table[band, 1], padded, channels)
        spread = (table[band, 2], table[band, 3] - table[band, 2], edge, planes)
        _spread_and_count(dot_tokens, tables, sources, spread, (table[band, 5], table[band, 6]))
        dot_band(
            dot_tokens, tables, numbers, scale, spread, constant, constant_stride, neurons, words, rows, sums, tiles
        )
        _finish_band(compress, words, rows, table[band, 4], room, counters, thresholds, counts)
        band = next_band(counters, shares, worker)


@compiled_bare
def run_readout_bands(tokens, tables, weights, sources, constants, bands, scratch, readout):
    """`run_dot_bands` for a layer without neurons.

    constants : constant and constant_stride
    scratch : float32 currents instead of the words
    readout : see `add_to_readout`
    """
    numbers, scale = weights
    constant, constant_stride = constants
    counters, shares, worker, table, padded, channels = bands
    edge, planes, sums, tiles, currents = scratch
    width, steps = tables.geometry.output_width, len(tokens[1][0])
    band = next_band(counters, shares, worker)
    while band >= 0:
        rows = (table[band, 0], table[band, 1], padded, channels)
        spread = (table[band, 2], table[band, 3] - table[band, 2], edge, planes)
        _spread_and_count(tokens, tables, sources, spread, (table[band, 5], table[band, 6]))
        dot_band(tokens, tables, numbers, scale, spread, constant, constant_stride, None, currents, rows, sums, tiles)
        shape = ((rows[1] - rows[0]) * width, steps, padded, channels)
        add_to_readout(currents, shape, readout, rows[0] * width)
        band = next_band(counters, shares, worker)


@compiled_bare
def run_pool_bands(tokens, geometry, sources, pooled, neurons, bands, scratch, room, thresholds, counts):
    """Run the bands of an average pooling layer that are left, from levels that are spread out.

    tokens : `window_token` of one pixel; tuple as long as there are steps; `lanes_token` or None
    geometry : PoolGeometry
    sources : sources and channels, see `spread_rows`
    pooled : strides of the planes, and (1,) float32, what sums are multiplied with, see `pool_planes`
    neurons : as `fire_currents` takes them
    scratch : edge, planes, currents, words, large enough for every band
    """
    token, steps, compress = tokens
    sources, source_channels = sources
    strides, scale = pooled
    counters, shares, worker, table, padded, channels = bands
    edge, planes, currents, words = scratch
    band = next_band(counters, shares, worker)
    while band >= 0:
        rows = (table[band, 0], table[band, 1], padded, channels)
        first = rows[0] * geometry.stride_y - geometry.padding_y
        height = (rows[1] - 1 - rows[0]) * geometry.stride_y + geometry.kernel_height
        spread = (first, height, edge, planes)
        spread_rows(steps, sources, source_channels, spread, strides)
        pool_planes(steps, geometry, spread, strides, scale[0], currents, rows)
        fire_currents(token, currents, (len(steps) * padded, padded), neurons, words, rows, geometry.output_width)
        _finish_band(compress, words, rows, table[band, 4], room, counters, thresholds, counts)
        band = next_band(counters, shares, worker)


@compiled_bare
def run_picture_bands(
    tokens, steps_token, tables, weights, picture, constants, bands, scratch, room, thresholds, counts
):
    """Run the bands that are left of a layer that reads nothing but the analog input, in all of its steps.

    tokens : `window_token` of one step; `lanes_token` or None
    steps_token : `window_token` of all steps and one pixel, or None where there is one step
    tables, weights : see `gather_band`
    picture : (H, W, C) float32; (sources,) int64, see `decode_analog_rows`
    constants : bias and neurons
    scratch : begins, keys, values, currents, words, large enough for every band
    """
    token, compress = tokens
    picture, offsets = picture
    bias, neurons = constants
    counters, shares, worker, table, padded, channels = bands
    begins, keys, values, currents, words = scratch
    geometry = tables.geometry
    band = next_band(counters, shares, worker)
    while band >= 0:
        rows = (table[band, 0], table[band, 1], padded, channels)
        decoded = (table[band, 2], table[band, 3] - table[band, 2], begins, keys, values)
        decode_analog_rows(picture, offsets, decoded, geometry.channels)
        # Numba compiles only the branch that the type calls for.
        if steps_token is None:
            gather_band(token, tables, weights, decoded, bias, 0, neurons, words, rows)
        else:  # the current is the same in each step
            gather_band(token, tables, weights, decoded, bias, 0, None, currents, rows)
            fire_currents(steps_token, currents, (padded, 0), neurons, words, rows, geometry.output_width)
        _finish_band(compress, words, rows, table[band, 4], room, counters, thresholds, counts)
        band = next_band(counters, shares, worker)


@numba.njit(inline="always")
def _spread_and_count(tokens, tables, sources, spread, own):
    """Spread a band's input rows out and count, for those that are its own, the weights of zero that events meet."""
    sources, channels, (classes, zeros, zero_sums, zero_counts) = sources
    steps, strides = tokens[1][0], (tables.geometry.row_bytes, tables.geometry.pixel_bytes)
    spread_rows(steps, sources, channels, spread, strides)
    if zeros.size > 0:
        count_zeros_of_planes(steps, sources, channels, spread, strides, own, classes, zeros, zero_sums, zero_counts)


@numba.njit(inline="always")
def _finish_band(compress, words, rows, begin, room, counters, thresholds, counts):
    """Pack and count what a band has fired."""
    start, numbers, levels, level_words, masks = room
    each = 8 * level_words.size // levels.size
    line = (start.shape[1] - 1) * ((rows[3] + 31) // 32 * 4)
    compact_rows(
        compress, words, rows, begin, start[rows[0] : rows[1]], numbers, levels, masks[rows[0] * line : rows[1] * line]
    )
    end = start[rows[1] - 1, start.shape[1] - 1]
    add_shared(counters, ENTRIES, end - begin)
    # Several entries lie in a word of eight bytes: the last word is filled up.
    last_word = (end * each + 7) // 8
    for entry in range(end, last_word * 8 // each):
        levels[entry] = 0
    count_levels(level_words[begin * each // 8 : last_word], thresholds, counts)

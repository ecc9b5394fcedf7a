"""All phases of a layer, band by band, in one call: unpack events, gather, fire, pack, count.

Worker threads call it at the same time, without Python between the bands, and each takes the next band that none has
taken.
"""

from __future__ import annotations

import numba

from .arguments import Decoded, InputRows, OutputRows, Planes
from .compact import compact_rows
from .compilation import compiled_bare
from .count import count_levels
from .decode import decode_analog_rows, decode_rows
from .dot_band import dot_band
from .gather import gather_band
from .pooling import divide_by_area, fire_currents, pool_events, pool_planes
from .readout import add_to_readout
from .shared_counter import ENTRIES, add_shared, next_band
from .sources import count_sources, source_at
from .spread import count_zeros_of_planes, spread_rows

# Arguments that all of them take: bands, a SharedBands; room, an EventRoom.


@compiled_bare
def run_bands(token, tables, weights, sources, constant, neurons, bands, scratch, room):
    """Run the bands that are left.

    token : the gather's `window_token`
    tables, weights, constant, neurons : see `gather_band`
    sources : of EventSource, as `packed_sources` makes them
    scratch : GatherScratch
    """
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        decoded = _decoded(bands, band, scratch)
        decode_rows(sources, decoded, len(token.steps), tables.geometry.channels)
        gather_band(token, tables, weights, decoded, constant, neurons, scratch.words, rows)
        _finish_band(scratch.words, rows, band, bands, room)
        band = _next(bands)


@compiled_bare
def run_dot_bands(tokens, tables, weights, sources, zeros, constant, neurons, bands, scratch, room):
    """`run_bands` in integers.

    tokens, tables, weights : see `dot_band`
    sources : SpreadSources
    zeros : ZeroCounts
    bands : input rows as `IntegerPlan.input_rows` says
    scratch : DotScratch
    """
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        planes = _spread_and_count(tokens.block.steps, tables.layout, sources, zeros, bands, band, scratch.planes)
        dot_band(tokens, tables, weights, planes, constant, neurons, scratch.target, rows, scratch)
        _finish_band(scratch.target, rows, band, bands, room)
        band = _next(bands)


@compiled_bare
def run_readout_bands(tokens, tables, weights, sources, zeros, constant, bands, scratch, readout):
    """`run_dot_bands` for a layer without neurons.

    readout : see `add_to_readout`
    """
    width, steps = tables.geometry.output_width, len(tokens.block.steps)
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        planes = _spread_and_count(tokens.block.steps, tables.layout, sources, zeros, bands, band, scratch.planes)
        dot_band(tokens, tables, weights, planes, constant, None, scratch.target, rows, scratch)
        shape = ((rows.end - rows.first) * width, steps, rows.padded, rows.channels)
        add_to_readout(scratch.target, shape, readout, rows.first * width)
        band = _next(bands)


@compiled_bare
def run_event_readout_bands(token, tables, weights, sources, constant, bands, scratch, readout):
    """`run_bands` for a layer without neurons.

    readout : see `add_to_readout`
    """
    width, steps = tables.geometry.output_width, len(token.steps)
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        decoded = _decoded(bands, band, scratch)
        decode_rows(sources, decoded, steps, tables.geometry.channels)
        gather_band(token, tables, weights, decoded, constant, None, scratch.currents, rows)
        shape = ((rows.end - rows.first) * width, steps, rows.padded, rows.channels)
        add_to_readout(scratch.currents, shape, readout, rows.first * width)
        band = _next(bands)


@compiled_bare
def run_pool_bands(token, tables, sources, neurons, bands, scratch, room):
    """Run the bands of an average pooling layer that are left, from levels that are spread out.

    token : `window_token` of one pixel
    tables : PoolTables
    sources : SpreadSources
    neurons : as `fire_currents` takes them
    scratch : PoolScratch
    """
    geometry = tables.geometry
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        first = rows.first * geometry.stride_y - geometry.padding_y
        height = (rows.end - 1 - rows.first) * geometry.stride_y + geometry.kernel_height
        planes = Planes(first, height, scratch.planes)
        spread_rows(token.steps, sources, planes, tables.layout)
        pool_planes(token.steps, tables, planes, scratch.currents, rows)
        strides = (len(token.steps) * rows.padded, rows.padded)
        fire_currents(token, scratch.currents, strides, neurons, scratch.words, rows, geometry.output_width)
        _finish_band(scratch.words, rows, band, bands, room)
        band = _next(bands)


@compiled_bare
def run_event_pool_bands(token, geometry, sources, neurons, bands, scratch, room):
    """`run_pool_bands` from event to event.

    geometry : PoolGeometry
    sources : of EventSource, as `packed_sources` makes them
    """
    steps = len(token.steps)
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        currents = scratch.currents[: (rows.end - rows.first) * geometry.output_width * steps * rows.padded]
        currents[:] = 0
        for number in range(count_sources(sources)):
            pool_events(geometry, source_at(sources, number), steps, currents, rows)
        divide_by_area(geometry, currents)
        strides = (steps * rows.padded, rows.padded)
        fire_currents(token, currents, strides, neurons, scratch.words, rows, geometry.output_width)
        _finish_band(scratch.words, rows, band, bands, room)
        band = _next(bands)


@compiled_bare
def run_picture_bands(token, steps_token, tables, weights, picture, constant, neurons, bands, scratch, room):
    """Run the bands that are left of a layer that reads nothing but the analog input, in all of its steps.

    token : `window_token` of one step
    steps_token : `window_token` of all steps and one pixel, or None where there is one step
    tables, weights, neurons : see `gather_band`
    picture : (H, W, C) float32; (sources,) int64, see `decode_analog_rows`
    constant : the bias
    scratch : GatherScratch
    """
    values, offsets = picture
    geometry = tables.geometry
    band = _next(bands)
    while band >= 0:
        rows = _rows(bands, band)
        decoded = _decoded(bands, band, scratch)
        decode_analog_rows(values, offsets, decoded, geometry.channels)
        # Numba compiles only the branch that the type calls for.
        if steps_token is None:
            gather_band(token, tables, weights, decoded, constant, neurons, scratch.words, rows)
        else:  # the current is the same in each step
            gather_band(token, tables, weights, decoded, constant, None, scratch.currents, rows)
            strides = (rows.padded, 0)
            fire_currents(steps_token, scratch.currents, strides, neurons, scratch.words, rows, geometry.output_width)
        _finish_band(scratch.words, rows, band, bands, room)
        band = _next(bands)


@numba.njit(inline="always")
def _next(bands):
    return next_band(bands.counters, bands.shares, bands.worker)


@numba.njit(inline="always")
def _rows(bands, band):
    return OutputRows(bands.table[band].first_row, bands.table[band].end_row, bands.padded, bands.channels)


@numba.njit(inline="always")
def _decoded(bands, band, scratch):
    """Memory for a band's input rows."""
    first, end = bands.table[band].first_input, bands.table[band].end_input
    return Decoded(first, end - first, scratch.begins, scratch.keys, scratch.values)


@numba.njit(inline="always")
def _spread_and_count(steps, layout, sources, zeros, bands, band, memory):
    """Spread a band's input rows out and count, for those that are its own, the weights of zero that events meet."""
    first, end = bands.table[band].first_input, bands.table[band].end_input
    planes = Planes(first, end - first, memory)
    spread_rows(steps, sources, planes, layout)
    if zeros.tables.zeros.size > 0:
        own = InputRows(bands.table[band].first_counted, bands.table[band].end_counted)
        count_zeros_of_planes(steps, sources, planes, layout, own, zeros)
    return planes


@numba.njit(inline="always")
def _finish_band(words, rows, band, bands, room):
    """Pack and count what a band has fired."""
    begin, start = bands.table[band].first_entry, room.start
    each = 8 * room.words.size // room.levels.size
    line = (start.shape[1] - 1) * ((rows.channels + 31) // 32 * 4)
    masks = room.masks[rows.first * line : rows.end * line]
    compact_rows(room.compress, words, rows, begin, start[rows.first : rows.end], room.channels, room.levels, masks)
    end = start[rows.end - 1, start.shape[1] - 1]
    add_shared(bands.counters, ENTRIES, end - begin)
    # Several entries lie in a word of eight bytes: the last word is filled up.
    last_word = (end * each + 7) // 8
    for entry in range(end, last_word * 8 // each):
        room.levels[entry] = 0
    count_levels(room.words[begin * each // 8 : last_word], room.thresholds, room.counts)

"""Average pooling of events, and the firing of neurons whose currents are already in memory."""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .band import output_rows, plane_rows
from .bound_call import compiled_phase
from .firing import fire_pixel
from .planes import PLANE_GAP
from .processor import host_lanes
from .sources import count_sources, source_at
from .vectors import _data, _load_vector, _splat, _store_vector, _vector
from .window_block import empty_block, next_pixel

# geometry : PoolGeometry
# sums, currents : float32, (rows, width, steps, padded channels) of the band, the output rows `rows`
# rows : OutputRows


POOL_CHANNELS = host_lanes()
"""Channels that `pool_planes` takes at once."""

_index = np.uint64
"""Numba looks at each signed index whether it counts from the end: in these short loops that is half of the time."""


@compiled_phase
def clear_sums(band, bands, geometry, steps, sums):
    """Let sums of a band's windows begin, (rows, width, steps, padded channels) float32."""
    rows = output_rows(band, bands)
    sums[: (rows.end - rows.first) * geometry.output_width * steps * rows.padded] = 0


@compiled_phase
def pool_events(band, bands, geometry, sources, steps, sums):
    """Add the events of all sources to the sum of each of a band's windows.

    sources : of EventSource, as `packed_sources` makes them
    """
    for number in range(count_sources(sources)):
        _pool_source(geometry, source_at(sources, number), steps, sums, output_rows(band, bands))


@numba.njit(inline="always")
def _pool_source(geometry, source, steps, sums, rows):
    start, channels, levels, emit = source.start, source.channels, source.levels, source.emit
    padded, entry_bytes = _index(rows.padded), _index(source.bytes_each)
    for y in range(rows.first, rows.end):
        top = y * geometry.stride_y - geometry.padding_y
        for x in range(geometry.output_width):
            left = x * geometry.stride_x - geometry.padding_x
            place = _index(((y - rows.first) * geometry.output_width + x) * steps * rows.padded + source.channel_offset)
            for row in range(max(top, 0), min(top + geometry.kernel_height, geometry.height)):
                # Neighbouring columns' events are contiguous.
                first, last = max(left, 0), min(left + geometry.kernel_width, geometry.width)
                if first >= last:
                    continue
                if steps == 1:
                    for entry in range(_index(start[row, first]), _index(start[row, last])):
                        sums[place + _index(channels[entry])] += emit[_index(levels[entry * entry_bytes])]
                    continue
                for entry in range(_index(start[row, first]), _index(start[row, last])):
                    target, level = place + _index(channels[entry]), entry * entry_bytes
                    for step in range(_index(steps)):
                        sums[target + step * padded] += emit[_index(levels[level + step])]


@intrinsic
def sum_levels(typing_context, window, planes, place, strides, scale, sums, index):
    """sums[index + k] = scale * the sum of planes[place + k] and of what lies under a window, for POOL_CHANNELS bytes.

    window : rows, columns; strides : bytes from row to row, and from column to column
    """

    def generate(context, builder, signature, arguments):
        window, planes, place, strides, scale, sums, index = arguments
        planes, sums = (_data(context, builder, signature.args[k], array) for k, array in ((1, planes), (5, sums)))
        rows, columns = (builder.extract_value(window, k) for k in range(2))
        row_bytes, column_bytes = (builder.extract_value(strides, k) for k in range(2))
        number = _vector(POOL_CHANNELS, ir.IntType(32))
        total = cgutils.alloca_once_value(builder, ir.Constant(number, None))
        with cgutils.for_range(builder, rows) as row:
            of_row = builder.add(place, builder.mul(row.index, row_bytes))
            with cgutils.for_range(builder, columns) as column:
                source = builder.add(of_row, builder.mul(column.index, column_bytes))
                levels = _load_vector(builder, planes, source, POOL_CHANNELS, ir.IntType(8))
                builder.store(builder.add(builder.load(total), builder.zext(levels, number)), total)
        mean = builder.fmul(
            builder.sitofp(builder.load(total), _vector(POOL_CHANNELS)), _splat(builder, scale, POOL_CHANNELS)
        )
        _store_vector(builder, mean, sums, index)
        return context.get_dummy_value()

    pair, place = types.UniTuple(types.intp, 2), types.intp
    return types.void(pair, planes, place, pair, types.float32, sums, place), generate


@compiled_phase
def pool_planes(band, bands, steps, tables, levels, sums):
    """Means of each of a band's windows, from levels that are spread out.

    steps : tuple as long as there are steps
    tables : PoolTables
    levels : see `Planes`
    """
    rows, planes = output_rows(band, bands), plane_rows(band, bands, levels)
    geometry, layout = tables.geometry, tables.layout
    size = planes.rows * layout.row_bytes + PLANE_GAP
    strides = (layout.row_bytes, layout.pixel_bytes)
    window = (geometry.kernel_height, geometry.kernel_width)
    target = 0
    for y in range(rows.first, rows.end):
        top = y * geometry.stride_y - geometry.padding_y - planes.first_row
        for x in range(geometry.output_width):
            left = x * geometry.stride_x - geometry.padding_x
            place = top * layout.row_bytes + layout.edge + left * layout.pixel_bytes
            for _step in range(len(steps)):
                for channel in range(0, rows.padded, POOL_CHANNELS):
                    sum_levels(window, planes.levels, place + channel, strides, tables.scale, sums, target + channel)
                target += rows.padded
                place += size


@compiled_phase
def pool_analog(band, bands, geometry, picture, steps, channel_offset, sums):
    """Add an analog source, (H, W, C) float32, whose value is the same at every step."""
    rows = output_rows(band, bands)
    for y in range(rows.first, rows.end):
        top = y * geometry.stride_y - geometry.padding_y
        for x in range(geometry.output_width):
            left = x * geometry.stride_x - geometry.padding_x
            place = ((y - rows.first) * geometry.output_width + x) * steps * rows.padded + channel_offset
            for row in range(max(top, 0), min(top + geometry.kernel_height, geometry.height)):
                for column in range(max(left, 0), min(left + geometry.kernel_width, geometry.width)):
                    for step in range(steps):
                        for channel in range(picture.shape[2]):
                            sums[place + step * rows.padded + channel] += picture[row, column, channel]


@compiled_phase
def divide_by_area(band, bands, geometry, steps, sums):
    """Turn a band's sums into means, in place; padding counts as zeros."""
    rows = output_rows(band, bands)
    area = np.float32(geometry.kernel_height * geometry.kernel_width)
    for place in range((rows.end - rows.first) * geometry.output_width * steps * rows.padded):
        sums[place] /= area


@compiled_phase
def fire_currents(band, bands, token, currents, strides, neurons, words, out_width):
    """Spikes of a band whose currents are in memory; `words` as in gather_band. The token's window is one pixel.

    neurons : LadderNeurons
    strides : numbers in `currents` from pixel to pixel, and from step to step
    """
    rows = output_rows(band, bands)
    padded = rows.padded
    for local in range((rows.end - rows.first) * out_width):
        pixel = rows.first * out_width + local
        for channel in range(0, padded, len(token.vectors) * len(token.lanes)):
            block = next_pixel(empty_block(token), currents, local * strides[0] + channel, strides[1])
            fire_pixel(block, neurons, pixel, channel, words, local * padded + channel)

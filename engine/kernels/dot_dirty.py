"""Currents of dirty pixels alone, of all levels that they read, silent ones included; as dot_band.py."""

from __future__ import annotations

import numba

from .band import output_rows, plane_rows
from .bound_call import compiled_phase
from .dirty import columns_read
from .dot import GROUP, LANES, load_configuration, release_tiles
from .dot_groups import add_groups
from .entries import CHUNK, turn_chunk
from .firing import fire_pixel
from .planes import PLANE_GAP
from .sources import count_sources, source_at
from .stored_sums import block_of_sums
from .window_block import store_pixel


@compiled_phase
def spread_levels(band, bands, sources, read, memory, layout):
    """Fill planes with the levels that dirty pixels of a band read, and zeros around them; as `fill_planes`.

    sources : of LevelSource, as `packed_sources` makes them
    read : ReadColumns
    """
    planes = plane_rows(band, bands, memory)
    first_row, target = planes.first_row, planes.levels
    height, width = source_at(sources, 0).height, source_at(sources, 0).width
    target[: planes.rows * layout.row_bytes + PLANE_GAP] = 0
    first, end = columns_read(max(first_row, 0), min(first_row + planes.rows, height), read, width)
    for row in range(max(first_row, 0), min(first_row + planes.rows, height)):
        base = (row - first_row) * layout.row_bytes + layout.edge + first * layout.pixel_bytes
        for x in range(first, end):
            # In order: what is written too much, always zeros, is overwritten by the next source or pixel.
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                place = base + source.channel_offset
                kept = (row * width + x) * source.padded
                if source.shift >= 0:
                    for channel in range(0, source.channels, CHUNK):
                        turn_chunk((0,), source.shift, source.levels, kept + channel, target, place + channel, 0)
                else:
                    for channel in range(source.channels):
                        target[place + channel] = source.values[source.levels[kept + channel]]
            base += layout.pixel_bytes


@numba.njit(inline="always")
def _dirty_groups(dirty, phase, steps, ends, pixels, groups):
    """List the groups of pixels of some rows of a phase that have dirty ones; returns how many there are."""
    found = 0
    in_row = (pixels + GROUP - 1) // GROUP
    for row in range(ends[0], ends[1]):
        y = phase.first_y + row * steps[0]
        for group in range(in_row):
            any_dirty = 0
            for x in range(group * GROUP, min((group + 1) * GROUP, pixels)):
                any_dirty |= dirty[y, phase.first_x + x * steps[1]]
            groups[found] = row * in_row + group
            found += any_dirty != 0
    return found


@compiled_phase
def dot_dirty(band, bands, tokens, tables, weights, scratch, groups, constant, neurons, target):
    """Currents of a band's dirty pixels, of all levels, silent ones included; as `dot_band`, of a single step.

    groups : int64, memory for the numbers of all groups of pixels of a band
    neurons, target : as in `gather_dirty`
    """
    rows, planes = output_rows(band, bands), plane_rows(band, bands, scratch.planes)
    dirty, kept, words = target
    token, one_pixel = tokens.dot, tokens.block
    geometry, layout, segments = tables.geometry, tables.layout, tables.segments
    sums, scale, levels = scratch.sums, weights.scale, planes.levels
    padded, width = rows.padded, len(token.vectors) * LANES
    stride = geometry.input_step_x * layout.pixel_bytes
    if len(token.kind) == 3:
        load_configuration(scratch.tiles)
    step_y, step_x = geometry.output_step_y, geometry.output_step_x
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        first_y = (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y
        end_y = (max(rows.end - phase.first_y, 0) + step_y - 1) // step_y
        pixels = max(geometry.output_width - phase.first_x + step_x - 1, 0) // step_x
        in_row = (pixels + GROUP - 1) // GROUP
        found = _dirty_groups(dirty, phase, (step_y, step_x), (first_y, end_y), pixels, groups)
        for channel in range(0, padded, width):
            weight_base = phase.weights + channel // width * phase.block_bytes
            for first in range(0, found, 2):
                # Two groups are added up together.
                last = min(first + 1, found - 1)
                begin = _begin_of_group(groups[first], in_row, geometry, layout, planes, stride)
                other = _begin_of_group(groups[last], in_row, geometry, layout, planes, stride)
                ends = (phase.first_segment, phase.end_segment)
                add_groups(
                    token, segments, ends, levels, (begin, other), stride, weights.integers, weight_base, sums, 0
                )
                for each in range(last - first + 1):
                    y = phase.first_y + groups[first + each] // in_row * step_y
                    x = groups[first + each] % in_row * GROUP
                    for k in range(min(pixels - x, GROUP)):
                        column = phase.first_x + (x + k) * step_x
                        if dirty[y, column] == 0:
                            continue
                        pixel = y * geometry.output_width + column
                        index, place = (each * GROUP + k) * width, pixel * constant.stride + channel
                        block = block_of_sums(one_pixel, sums, index, 0, scale, constant.values, channel, place)
                        store_pixel(block, kept, pixel * padded + channel, padded)
                        if neurons is not None:
                            local = (pixel - rows.first * geometry.output_width) * padded + channel
                            fire_pixel(block, neurons, pixel, channel, words, local)
    if len(token.kind) == 3:
        release_tiles()


@numba.njit(inline="always")
def _begin_of_group(group, in_row, geometry, layout, planes, stride):
    """Where what a group of output pixels reads begins among the planes."""
    top = (group // in_row * geometry.input_step_y - planes.first_row) * layout.row_bytes
    return top + layout.edge + group % in_row * GROUP * stride

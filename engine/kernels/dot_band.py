"""Spike-driven convolution, transposed convolution and full connection in integers, for layers in which many fire.

Levels are spread out over planes of bytes, silent neurons as zeros; `dot` sums up their products with 8-bit weights for
groups of output pixels; then the neurons fire, as in gather.py. What a neuron's input current is does not depend on
which of the two computed it (see engine/binding/integer_plan.py).
"""

from __future__ import annotations

from .band import output_rows, plane_rows
from .bound_call import compiled_phase
from .dot import GROUP, LANES, load_configuration, release_tiles
from .dot_groups import add_groups
from .gathered import put_out
from .planes import PLANE_GAP
from .stored_sums import StoredSums


@compiled_phase
def dot_band(band, bands, tokens, tables, weights, scratch, wanted, constant, neurons, target):
    """Spikes, or without neurons the currents, of a band.

    tokens : DotTokens
    tables : DotTables
    weights : ScaledIntegers
    scratch : DotScratch, with the levels that the band reads
    wanted : (1,) int64, 0 where another kernel computes this band
    constant, neurons, target : as in `gather_band`
    """
    if wanted[0] == 0:
        return
    rows, planes = output_rows(band, bands), plane_rows(band, bands, scratch.planes)
    token, window = tokens.dot, tokens.block
    geometry, layout, segments = tables.geometry, tables.layout, tables.segments
    sums, levels = scratch.sums, planes.levels
    size = planes.rows * layout.row_bytes + PLANE_GAP
    padded = rows.padded
    width = len(token.vectors) * LANES
    step_stride = GROUP * width
    # Two groups are added up together: neighbours of one step, or two steps (there is an even number of them) of one.
    steps, shape = len(window.steps), (len(window.steps), padded)
    at_once = 2 if steps == 1 else 1
    stride = geometry.input_step_x * layout.pixel_bytes
    if len(token.kind) == 3:
        load_configuration(scratch.tiles)
    step_y, step_x = geometry.output_step_y, geometry.output_step_x
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        ends = (phase.first_segment, phase.end_segment)
        first_y = (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y
        end_y = (max(rows.end - phase.first_y, 0) + step_y - 1) // step_y
        pixels = max(geometry.output_width - phase.first_x + step_x - 1, 0) // step_x
        in_row = (pixels + GROUP - 1) // GROUP
        groups = (end_y - first_y) * in_row
        for channel in range(0, padded, width):
            weight_base = phase.weights + channel // width * phase.block_bytes
            for group in range(0, groups, at_once):
                other = min(group + at_once, groups) - 1
                row, x = first_y + group // in_row, group % in_row * GROUP
                other_row, other_x = first_y + other // in_row, other % in_row * GROUP
                top = (row * geometry.input_step_y - planes.first_row) * layout.row_bytes
                begin = top + layout.edge + x * stride
                if steps == 1:
                    other_top = (other_row * geometry.input_step_y - planes.first_row) * layout.row_bytes
                    second = other_top + layout.edge + other_x * stride
                else:
                    second = begin + size
                for step in range(0, steps, 2):
                    begins, place = (begin + step * size, second + step * size), step * step_stride
                    add_groups(
                        token, segments, ends, levels, begins, stride, weights.integers, weight_base, sums, place
                    )
                for each in range(other - group + 1):
                    if each == 1:
                        row, x = other_row, other_x
                    y = phase.first_y + row * step_y
                    for k in range(min(pixels - x, GROUP)):
                        pixel = y * geometry.output_width + phase.first_x + (x + k) * step_x
                        local = pixel - rows.first * geometry.output_width
                        index = (each * GROUP + k) * width
                        stored = StoredSums(token.vectors, window, sums, index, step_stride)
                        put_out(stored, weights, constant, neurons, pixel, channel, target, local, shape)
    if len(token.kind) == 3:
        release_tiles()

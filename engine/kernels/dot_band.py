"""Spike-driven convolution, transposed convolution and full connection in integers, for layers in which many fire.

Levels are spread out over planes of bytes, silent neurons as zeros; `dot` sums up their products with 8-bit weights for
groups of output pixels; then the neurons fire, as in gather.py. What a neuron's input current is does not depend on
which of the two computed it (see engine/binding/integer_plan.py).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .arguments import IntegerLadder
from .band import output_rows, plane_rows
from .bound_call import compiled_phase
from .compilation import IN_PLACE
from .dot import GROUP, LANES, load_configuration, release_tiles
from .dot_groups import add_groups
from .firing import fire_pixel
from .integer_firing import fire_stored_sums
from .planes import PLANE_GAP
from .vectors import _data, _load_vector, _offset, _vector
from .window_block import _block_of, store_pixel


@intrinsic
def block_of_sums(typing_context, token, sums, index, step_stride, scale, constant, channel, place):
    """Currents of a pixel as a block: constant[place + k] + scale[channel + k] * sums[index + step * step_stride + k].

    Both products and sums are exact, see engine/binding/integer_plan.py.
    """
    block = _block_of(token)

    def generate(context, builder, signature, arguments):
        _, sums, index, step_stride, scale, constant, channel, place = arguments
        sums, scale, constant = (
            _data(context, builder, signature.args[position], array)
            for position, array in ((1, sums), (4, scale), (5, constant))
        )
        result = ir.Constant(context.get_value_type(block), ir.Undefined)
        shifts = [vector * block.lanes for vector in range(block.vectors)]
        scales = [_load_vector(builder, scale, _offset(builder, channel, shift), block.lanes) for shift in shifts]
        offsets = [_load_vector(builder, constant, _offset(builder, place, shift), block.lanes) for shift in shifts]
        for step in range(block.steps):
            for vector, shift in enumerate(shifts):
                sum_ = _load_vector(builder, sums, _offset(builder, index, shift), block.lanes, ir.IntType(32))
                current = builder.fmul(builder.sitofp(sum_, _vector(block.lanes)), scales[vector])
                current = builder.fadd(offsets[vector], current)
                result = builder.insert_value(result, current, block.position(0, step, vector))
            index = builder.add(index, step_stride)
        return result

    number = types.intp
    return block(token, sums, number, number, scale, constant, number, number), generate


def put_out_stored(stored, scale, constant, neurons, pixel, channel, target, local, padded):
    """`put_out` of sums in memory, `stored`: DotToken, Token, sums, where the pixel has some, and from step to step."""


@overload(put_out_stored, jit_options=IN_PLACE)
def _put_out_stored(stored, scale, constant, neurons, pixel, channel, target, local, padded):
    if isinstance(neurons, types.NoneType):
        return _put_out_currents
    return _put_out_of_integers if neurons.instance_class is IntegerLadder else _put_out_levels


def _put_out_currents(stored, scale, constant, neurons, pixel, channel, target, local, padded):
    _, window, sums, index, step_stride = stored
    place = pixel * constant.stride + channel
    block = block_of_sums(window, sums, index, step_stride, scale, constant.values, channel, place)
    store_pixel(block, target, local * len(window.steps) * padded + channel, padded)


def _put_out_levels(stored, scale, constant, neurons, pixel, channel, target, local, padded):
    _, window, sums, index, step_stride = stored
    place = pixel * constant.stride + channel
    block = block_of_sums(window, sums, index, step_stride, scale, constant.values, channel, place)
    fire_pixel(block, neurons, pixel, channel, target, local * padded + channel)


def _put_out_of_integers(stored, scale, constant, neurons, pixel, channel, target, local, padded):
    token, window, sums, index, step_stride = stored
    numbers, limits = (neurons.addends, neurons.biases, neurons.shifts), (neurons.most, neurons.unused)
    lengths = token.vectors, window.steps
    fire_stored_sums(lengths, sums, index, step_stride, numbers, channel, limits, target, local * padded + channel)


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
    sums, scale, levels = scratch.sums, weights.scale, planes.levels
    size = planes.rows * layout.row_bytes + PLANE_GAP
    padded = rows.padded
    width = len(token.vectors) * LANES
    step_stride = GROUP * width
    # Two groups are added up together: neighbours of one step, or two steps (there is an even number of them) of one.
    steps = len(window.steps)
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
                        stored = token, window, sums, index, step_stride
                        put_out_stored(stored, scale, constant, neurons, pixel, channel, target, local, padded)
    if len(token.kind) == 3:
        release_tiles()

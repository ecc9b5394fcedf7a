"""Spike-driven convolution, transposed convolution and full connection in integers, for layers in which many fire.

Levels are spread out over planes of bytes, silent neurons as zeros; `dot` sums up their products with 8-bit weights for
groups of output pixels; then the neurons fire, as in gather.py. What a neuron's input current is does not depend on
which of the two computed it (see engine/build/integer_plan.py).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compilation import compiled_bare
from .dot import GROUP, LANES, add_groups, load_configuration, release_tiles
from .firing import fire
from .spread import PLANE_GAP
from .vector_block import _data, _load_vector, _offset, _vector
from .window_block import _block_of, store_pixel


@intrinsic
def block_of_sums(typing_context, token, sums, index, step_stride, scale, constant, channel, place):
    """Currents of a pixel as a block: constant[place + k] + scale[channel + k] * sums[index + step * step_stride + k].

    Both products and sums are exact, see engine/build/integer_plan.py.
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


@compiled_bare
def dot_band(tokens, tables, weights, scale, spread, constant, constant_stride, neurons, target, rows, sums, tiles):
    """Spikes, or for a layer without neurons the currents, of the output rows rows[0] to rows[1] - 1.

    tokens : `dot_token`; `window_token` of a window of one pixel
    tables : DotTables
    weights : int8, flat, as `IntegerPlan` packs them
    scale : (padded channels,) float32, what a sum is multiplied with
    constant, constant_stride, neurons, target, rows : as in `gather_band`
    sums : int32, GROUP * channels of a block for each step, or of two groups of pixels where there is one step
    tiles : `tile_configuration`
    """
    token, window = tokens
    geometry, segments = tables.geometry, tables.segments
    first_row, spread_height, edge, planes = spread
    size = spread_height * geometry.row_bytes + PLANE_GAP
    padded = rows[2]
    width = len(token[1]) * LANES
    step_stride = GROUP * width
    # Two groups are added up together: neighbours of one step, or two steps (there is an even number of them) of one.
    steps = len(window[0])
    at_once = 2 if steps == 1 else 1
    stride = geometry.input_step_x * geometry.pixel_bytes
    if len(token[0]) == 3:
        load_configuration(tiles)
    step_y, step_x = geometry.output_step_y, geometry.output_step_x
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        ends = (phase.first_segment, phase.end_segment)
        first_y = (max(rows[0] - phase.first_y, 0) + step_y - 1) // step_y
        end_y = (max(rows[1] - phase.first_y, 0) + step_y - 1) // step_y
        pixels = max(geometry.output_width - phase.first_x + step_x - 1, 0) // step_x
        in_row = (pixels + GROUP - 1) // GROUP
        groups = (end_y - first_y) * in_row
        for channel in range(0, padded, width):
            weight_base = phase.weights + channel // width * phase.block_bytes
            for group in range(0, groups, at_once):
                other = min(group + at_once, groups) - 1
                row, x = first_y + group // in_row, group % in_row * GROUP
                other_row, other_x = first_y + other // in_row, other % in_row * GROUP
                begin = (row * geometry.input_step_y - first_row) * geometry.row_bytes + edge + x * stride
                if steps == 1:
                    other_top = (other_row * geometry.input_step_y - first_row) * geometry.row_bytes
                    other_begin = other_top + edge + other_x * stride
                    add_groups(
                        token, segments, ends, planes, (begin, other_begin), stride, weights, weight_base, sums, 0
                    )
                for step in range(0, steps - 1, 2):
                    begins = (begin + step * size, begin + (step + 1) * size)
                    add_groups(
                        token, segments, ends, planes, begins, stride, weights, weight_base, sums, step * step_stride
                    )
                for each in range(other - group + 1):
                    if each == 1:
                        row, x = other_row, other_x
                    y = phase.first_y + row * step_y
                    for k in range(min(pixels - x, GROUP)):
                        pixel = y * geometry.output_width + phase.first_x + (x + k) * step_x
                        local = pixel - rows[0] * geometry.output_width
                        index = (each * GROUP + k) * width
                        place = pixel * constant_stride + channel
                        block = block_of_sums(window, sums, index, step_stride, scale, constant, channel, place)
                        if neurons is None:
                            store_pixel(block, target, local * steps * padded + channel, padded)
                        else:
                            neuron, before, before_stride, after, after_stride = neurons
                            source = pixel * before_stride + channel
                            kept = pixel * after_stride + channel
                            fire(block, before, source, after, kept, neuron, target, local * padded + channel)
    if len(token[0]) == 3:
        release_tiles()

"""Spike-driven convolution, transposed convolution and full connection: one kernel.

For each output pixel and block of output channels, the events of the input pixels under the kernel are walked and their
weight rows added up in registers, for up to eight steps at once; then the neurons fire, still in registers, and only
packed levels reach memory. A weight row is thus read once for all steps in which its neuron fires.

The events of neighbouring pixels in a row are contiguous, and so are the weights of neighbouring kernel columns: with
the key (pixel * channels + channel) * block width, an entry's weight row lies at a distance from its key that is
constant along a run of columns, so that each kernel row (without dilation) is a single loop.

The order of additions (kernel row, pixel, channel) is the same in every specialisation, and an event that is absent at
a step adds an exact zero. So the spikes do not depend on how steps are grouped, nor on threads.
"""

from __future__ import annotations

import numba

from .vector_block import compiled, fire, load_constant, multiply_add, store_steps

# Arguments that travel together, here and in `GatherPlan` (engine/build/plan.py), which makes them:
#   plan = (geometry, phases, row_taps, column_runs)
#     geometry : (8,) int64: output step y, x; input step y, x; input height, width; output width; input channels
#     phases : (P, 8) int64: first output y, x; first and last + 1 row tap; first and last + 1 column run; kernel
#         columns; where the phase's weights begin
#     row_taps : (R,) int64, offset of each kernel row from the input row under the kernel's origin
#     column_runs : (S, 3) int64: offset of the first column; number of columns; index of the first kernel column
#   decoded = (first_row, row_start, keys, values) as decode_rows leaves them


@numba.njit(inline="always")
def _gather_pixel(token, plan, phase, weights, weight_base, column_keys, decoded, block, top, left):
    """`block` plus the current that one output pixel and block of channels receives."""
    geometry, phases, row_taps, column_runs = plan
    first_row, row_start, keys, values = decoded
    steps = len(token[0])
    row_keys = phases[phase, 6] * column_keys
    for tap in range(phases[phase, 2], phases[phase, 3]):
        row = top + row_taps[tap]
        if row >= 0 and row < geometry[4]:
            tap_base = weight_base + (tap - phases[phase, 2]) * row_keys
            for run in range(phases[phase, 4], phases[phase, 5]):
                begin = left + column_runs[run, 0]
                end = min(begin + column_runs[run, 1], geometry[5])
                shift = tap_base + (column_runs[run, 2] - begin) * column_keys
                begin = max(begin, 0)
                if begin < end:
                    for entry in range(row_start[row - first_row, begin], row_start[row - first_row, end]):
                        block = multiply_add(block, weights, shift + keys[entry], values, entry * steps)
    return block


@compiled
def gather_band(token, plan, weights, decoded, constant, constant_stride, neurons, target, rows):
    """Spikes, or for a layer without neurons the currents, of the output rows rows[0] to rows[1] - 1.

    weights : float32, flat: phase, block of output channels, kernel row, kernel column, input channel, channel in block
    constant : float32, the bias (constant_stride 0) or what an analog input adds for each pixel (stride: its channels)
    neurons : None, or (neuron, before, before_stride, after, after_stride): vector_block.neuron_array and the membrane
        potentials before and after these steps, float32, with stride 0 where there is one value for each channel
    target : uint64, (rows, width, padded channels) of the band, receives the packed levels; without neurons float32,
        (rows, width, steps, padded channels), receives the currents
    rows : first row, last row + 1, padded channels, channels
    """
    geometry, phases, row_taps, column_runs = plan
    block_width = len(token[1]) * len(token[2])
    column_keys = geometry[7] * block_width
    padded = rows[2]
    for phase in range(phases.shape[0]):
        tap_rows = phases[phase, 3] - phases[phase, 2]
        block_weights = tap_rows * phases[phase, 6] * column_keys
        step_y = geometry[0]
        first_y = phases[phase, 0] + (max(rows[0] - phases[phase, 0], 0) + step_y - 1) // step_y * step_y
        for channel in range(0, padded, block_width):
            weight_base = phases[phase, 7] + channel // block_width * block_weights
            for y in range(first_y, rows[1], step_y):
                top = (y - phases[phase, 0]) // step_y * geometry[2]
                for x in range(phases[phase, 1], geometry[6], geometry[1]):
                    left = (x - phases[phase, 1]) // geometry[1] * geometry[3]
                    pixel = y * geometry[6] + x
                    local = (y - rows[0]) * geometry[6] + x
                    block = load_constant(token, constant, pixel * constant_stride + channel)
                    block = _gather_pixel(
                        token, plan, phase, weights, weight_base, column_keys, decoded, block, top, left
                    )
                    # Numba compiles only the branch that the type of `neurons` calls for.
                    if neurons is None:
                        store_steps(block, target, local * len(token[0]) * padded + channel, padded)
                    else:
                        neuron, before, before_stride, after, after_stride = neurons
                        source = pixel * before_stride + channel
                        kept = pixel * after_stride + channel
                        fire(block, before, source, after, kept, neuron, target, local * padded + channel)

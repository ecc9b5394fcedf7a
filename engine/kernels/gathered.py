"""What all gathering has in common, and what it has of its own in float32 and in integers, of spikes and of changes.

The latter is chosen by the types of the token, the block and the entries.

The functions without a body are names that kernels call; Numba puts in what their overloads return.
"""

from __future__ import annotations

from numba import types
from numba.extending import overload

from .arguments import IntegerLadder, QuantaEntries
from .compilation import IN_PLACE, inlined
from .firing import fire_pixel
from .four_arguments import FourEntries
from .increment_arguments import ChangeEntries
from .integer_firing import fire_stored_sums, fire_sums
from .quads import (
    SumsBlock,
    add_four,
    add_quad,
    currents_of_sums,
    empty_sums,
    less_each,
    next_sums,
    weights_of,
)
from .stored_sums import block_of_sums
from .window_block import Token, empty_block, multiply_add, next_pixel, store_pixel

__all__ = ["add_column", "add_events", "begin_block", "enter_pixel", "finished_pixel", "put_out"]

OFFSET = 128
"""By how much the weights of changes are larger than they are, so that they are unsigned bytes."""

_ALL = 0xFFFFFFFF
"""Four events are there."""


def begin_block(token):
    """Block of zeros, of a `window_token` or a `sums_token`."""


@overload(begin_block, jit_options=IN_PLACE)
def _begin_block(token):
    if token.instance_class is Token:
        return lambda token: empty_block(token)  # noqa: PLW0108 - Numba takes no intrinsic here.
    return lambda token: empty_sums(token)  # noqa: PLW0108


def enter_pixel(block, constant, index):
    """Drop the block's first pixel and let the new last one begin, in float32 from constant[index], ..."""


@overload(enter_pixel, jit_options=IN_PLACE)
def _enter_pixel(block, constant, index):
    if isinstance(block, SumsBlock):
        return lambda block, constant, index: next_sums(block)
    return lambda block, constant, index: next_pixel(block, constant, index, 0)


def add_events(block, weights, shift, scale, entries, begin, end):
    """`block` plus what the entries begins[begin], ..., begins[end] - 1 bring.

    The weights of a key are at shift + key * scale.
    """


@overload(add_events, jit_options=IN_PLACE)
def _add_events(block, weights, shift, scale, entries, begin, end):
    if entries.instance_class is ChangeEntries:
        return _add_changes
    if entries.instance_class is FourEntries:
        return _add_fours
    return _add_four_at_a_time if isinstance(block, SumsBlock) else _add_one_by_one


def _add_changes(block, weights, shift, scale, entries, begin, end):
    events = QuantaEntries(entries.begins, entries.keys, entries.quanta, entries.stride)
    block = add_events(block, weights, shift, scale, events, begin, end)
    return less_each(block, OFFSET * (entries.totals[end] - entries.totals[begin]))


def _add_fours(block, weights, shift, scale, entries, begin, end):
    integers, keys, fours, stride = weights.integers, entries.keys, entries.fours, entries.stride
    for entry in range(entries.begins[begin], entries.begins[end]):
        block = add_four(block, integers, shift, scale, keys, fours, entry, stride)
    return block


def _add_one_by_one(block, weights, shift, scale, entries, begin, end):
    for entry in range(entries.begins[begin], entries.begins[end]):
        block = multiply_add(block, weights, shift, entries.keys, scale, entries.values, entry)
    return block


def _add_four_at_a_time(block, weights, shift, scale, entries, begin, end):
    integers, keys, quanta, stride = weights.integers, entries.keys, entries.quanta, entries.stride
    entry, last = entries.begins[begin], entries.begins[end]
    while entry + 4 <= last:
        rows = (
            weights_of(shift, keys, entry, scale),
            weights_of(shift, keys, entry + 1, scale),
            weights_of(shift, keys, entry + 2, scale),
            weights_of(shift, keys, entry + 3, scale),
        )
        block = add_quad(block, integers, rows, quanta, entry, stride, _ALL)
        entry += 4
    if entry < last:
        # Any weights do for events that are not there.
        rows = (
            weights_of(shift, keys, entry, scale),
            weights_of(shift, keys, min(entry + 1, last - 1), scale),
            weights_of(shift, keys, min(entry + 2, last - 1), scale),
            weights_of(shift, keys, entry, scale),
        )
        block = add_quad(block, integers, rows, quanta, entry, stride, (1 << (8 * (last - entry))) - 1)
    return block


@inlined
def add_column(tables, phase, weights, weight_base, scale, decoded, block, top, column):
    """`block` plus the current from the events of one column of input pixels."""
    geometry = tables.geometry
    first_row = decoded.first_row
    for number in range(phase.first_run, phase.end_run):
        run = tables.row_runs[number]
        begin = top + run.offset
        end = min(begin + run.rows, geometry.height)
        shift = weight_base + ((run.kernel_row - begin + first_row) * geometry.channels) * scale
        begin = max(begin, 0)
        if begin < end:
            place = column * (decoded.rows + 1) - first_row
            block = add_events(block, weights, shift, scale, decoded.entries, place + begin, place + end)
    return block


def finished_pixel(block, weights, constant, channel, place):
    """Currents of the first pixel as a `WindowBlock`: in float32 they are in the block; see `currents_of_sums`."""


@overload(finished_pixel, jit_options=IN_PLACE)
def _finished_pixel(block, weights, constant, channel, place):
    if isinstance(block, types.BaseNamedTuple):
        return _finished_sums
    if isinstance(block, SumsBlock):
        return lambda block, weights, constant, channel, place: currents_of_sums(
            block, weights.scale, constant, channel, place
        )
    return lambda block, weights, constant, channel, place: block


def _finished_sums(block, weights, constant, channel, place):
    _, token, sums, index, step_stride = block
    return block_of_sums(token, sums, index, step_stride, weights.scale, constant, channel, place)


def put_out(block, weights, constant, neurons, pixel, channel, target, local, shape):
    """Levels of the first pixel's neurons, or without neurons its currents, to where those of `local` pixels end.

    block : of accumulators in registers, or StoredSums
    pixel, local : the pixel's number in the layer, and in the target
    channel : first one of the block
    constant, neurons, target : as in `gather_band`
    shape : steps, and channels of the target
    """


@overload(put_out, jit_options=IN_PLACE)
def _put_out(block, weights, constant, neurons, pixel, channel, target, local, shape):
    if isinstance(neurons, types.NoneType):
        return _put_out_currents
    if neurons.instance_class is not IntegerLadder:
        return _put_out_levels
    return _put_out_stored if isinstance(block, types.BaseNamedTuple) else _put_out_of_integers


def _put_out_currents(block, weights, constant, neurons, pixel, channel, target, local, shape):
    place = pixel * constant.stride + channel
    currents = finished_pixel(block, weights, constant.values, channel, place)
    steps, padded = shape
    store_pixel(currents, target, local * steps * padded + channel, padded)


def _put_out_levels(block, weights, constant, neurons, pixel, channel, target, local, shape):
    place = pixel * constant.stride + channel
    currents = finished_pixel(block, weights, constant.values, channel, place)
    fire_pixel(currents, neurons, pixel, channel, target, local * shape[1] + channel)


def _put_out_of_integers(block, weights, constant, neurons, pixel, channel, target, local, shape):
    numbers, limits = (neurons.addends, neurons.biases, neurons.shifts), (neurons.most, neurons.unused)
    fire_sums(block, numbers, channel, limits, target, local * shape[1] + channel)


def _put_out_stored(block, weights, constant, neurons, pixel, channel, target, local, shape):
    vectors, token, sums, index, step_stride = block
    numbers, limits = (neurons.addends, neurons.biases, neurons.shifts), (neurons.most, neurons.unused)
    lengths, word = (vectors, token.steps), local * shape[1] + channel
    fire_stored_sums(lengths, sums, index, step_stride, numbers, channel, limits, target, word)

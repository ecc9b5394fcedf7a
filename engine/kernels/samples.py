"""Many samples side by side through full connections: all steps of one population, spikes as bytes, no events.

A sample is a pixel that meets no other one. Spikes of a population are rows of bytes, (1 + steps) x samples: first a
row of each sample of what was fired before, which a delay reads, then those of each step. A row's current is computed
from its events, in the order of additions that holds everywhere, or as products with all bytes where sums are of
integers.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

from .byte_rows import active_channels, add_up_row
from .compilation import INNER, compiled_bare, inlined
from .dot import CHUNK_BYTES, CHUNK_LEVELS, HALF, LANES, finish_sums, multiply_quad, zero_sums
from .quad_tables import add_up_quads

ROWS_AT_ONCE = HALF
"""Rows whose products are added up at the same time: as many have to lie in memory behind the first one."""

_MOST_IN_BYTE = 255
"""Rows whose events a byte of a channel can count."""


@compiled_bare
def take_array(values, first, samples, rows):
    """Rows of bytes out of an array of zeros and ones; returns whether there is nothing else in it.

    values : (steps, all samples, channels) of any kind of numbers; `samples` of them are taken, from `first` on
    rows : uint8, ((1 + steps) * samples or more, bytes), of which the first `samples` ones are left alone
    """
    steps, _, channels = values.shape
    wrong = False
    for step in range(steps):
        for sample in range(samples):
            row, line = rows[(1 + step) * samples + sample], values[step, first + sample]
            for channel in range(channels):
                value = line[channel]
                row[channel] = np.uint8(value != 0)
                wrong |= (value != 0) & (value != 1)
    return not wrong


@compiled_bare
def take_events(begins, sites, pixels, samples, rows):
    """Rows of bytes out of events.

    begins : int64, (steps + 1,), where each step's events begin in `sites`
    sites : int64, places in an array (pixels, channels), ascending within a step
    pixels : number of the first pixel, of the first sample that it is, and how many there are
    samples : in a step's rows
    rows : uint8, zeros, as in `take_array`
    """
    first, sample, count, channels = pixels
    low, high = first * channels, (first + count) * channels
    for step in range(begins.size - 1):
        place, end = begins[step], begins[step + 1]
        while place < end:  # the first event that is not before `low`
            middle = (place + end) // 2
            if sites[middle] < low:
                place = middle + 1
            else:
                end = middle
        while place < begins[step + 1] and sites[place] < high:
            site = sites[place] - low
            rows[(1 + step) * samples + sample + site // channels, site % channels] = 1
            place += 1


@compiled_bare
def count_rows(rows, samples, weights, scratch, fired, met):
    """Count the events of each step; returns how many there are in all.

    rows : as in `take_array`
    weights : int64, (K, channels), numbers to add up, K times, for each event of a channel
    scratch : uint8 and int32, (channels,), overwritten
    fired : int64, (steps,), to which the events are added
    met : int64, (K, steps), to which the sums are added
    """
    (of_few, of_channel), total = scratch, np.int64(0)
    for step in range(fired.size):
        of_channel[:] = 0
        for first in range(0, samples, _MOST_IN_BYTE):
            of_few[:] = 0
            for sample in range(first, min(first + _MOST_IN_BYTE, samples)):
                row = rows[(1 + step) * samples + sample]
                for channel in range(of_few.size):
                    of_few[channel] += row[channel]
            for channel in range(of_channel.size):
                of_channel[channel] += np.int32(of_few[channel])
        events = np.int64(0)
        for channel in range(of_channel.size):
            events += of_channel[channel]
        fired[step] += events
        total += events
        for number in range(weights.shape[0]):
            found, line = np.int64(0), weights[number]
            for channel in range(of_channel.size):
                found += line[channel] * of_channel[channel]
            met[number, step] += found
    return total


@numba.njit(inline="always")
def put(current, target, adds):
    """Write a row, or add it to what is there."""
    if adds:
        for channel in range(current.size):
            target[channel] += current[channel]
    else:
        for channel in range(current.size):
            target[channel] = current[channel]


@numba.njit(inline="always")
def events_in(words):
    """How many bytes of rows of words are 1, where none is anything but 0 or 1."""
    count = np.int64(0)
    for number in range(words.shape[0]):
        # Each byte adds up to eight times 1 at most before the sum is spread out.
        for first in range(0, words.shape[1], 8):
            word = np.uint64(0)
            for place in range(first, first + 8):
                word += words[number, place]
            count += np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return count


@numba.njit(inline="always")
def walk_row(words, weights, bias, active, current):
    """Current of a row: the bias and the weights that its events meet, in the order of the channels."""
    for target in range(current.size):
        current[target] = bias[target]
    count = active_channels(words, active)
    for place in range(0, count // 4 * 4, 4):
        first, second = weights[active[place]], weights[active[place + 1]]
        third, fourth = weights[active[place + 2]], weights[active[place + 3]]
        for target in range(current.size):
            current[target] = current[target] + first[target] + second[target] + third[target] + fourth[target]
    for place in range(count // 4 * 4, count):
        line = weights[active[place]]
        for target in range(current.size):
            current[target] += line[target]


@inlined
def walk_integers(words, weights, bias, scale, scratch, adds, target):
    """The same where weights are integers, int8, times a power of two of each output: a quarter of the memory is read.

    scale : float32, (padded outputs,)
    scratch : int32, of `walk_row`, overwritten; int32, (padded outputs,), and a tuple, see `add_up_row`
    adds : whether the current is added to what is in `target`
    """
    active, sums, vectors = scratch
    count = active_channels(words, active)
    add_up_row(vectors, (active, count), weights, sums, scale, bias, target, adds)


@compiled_bare
def walk_rows(words, first, weights, bias, adds, scratch, currents):
    """Currents of rows, from event to event.

    words : uint64, (rows, words), from the row `first` on
    weights : float32, (channels, padded outputs)
    bias : float32, (padded outputs,)
    adds : whether currents are added to what is there
    scratch : int32, (8 * words + 1,), and float32, (padded outputs,), overwritten
    currents : float32, (rows, padded outputs)
    """
    active, current = scratch
    for number in range(currents.shape[0]):
        walk_row(words[first + number], weights, bias, active, current)
        put(current, currents[number], adds)


@compiled_bare
def walk_rows_of_integers(words, first, weights, scale, bias, adds, scratch, currents):
    """The same where weights are integers, see `walk_integers`.

    scratch : of `walk_integers`
    """
    for number in range(currents.shape[0]):
        walk_integers(words[first + number], weights, bias, scale, scratch, adds, currents[number])


@compiled_bare
def multiply_rows(rows, first, token, chunks, weights, factors, adds, currents):
    """The same in integers, silent channels included.

    rows : uint8, flat; `first` is the first byte of the first row
    token : `dot_token`
    chunks : of 64 bytes in a row
    weights : int8, flat, as `pack_integers` leaves them for one tap
    factors : scale, what sums are multiplied with, and bias, float32, (padded outputs,)
    currents : float32, (rows, padded outputs)
    """
    vectors = len(token.vectors)
    width, count = vectors * LANES, currents.shape[0]
    for block in range(currents.shape[1] // width):
        base = block * chunks * CHUNK_BYTES * vectors
        for number in range(0, count, ROWS_AT_ONCE):
            found = zero_sums(token)
            for chunk in range(chunks):
                place = first + (number * chunks + chunk) * CHUNK_LEVELS
                weight = base + chunk * CHUNK_BYTES * vectors
                for quad in range(CHUNK_LEVELS // 4):
                    found = multiply_quad(
                        found, rows, place + 4 * quad, chunks * CHUNK_LEVELS, weights, weight + 64 * quad
                    )
            finish_sums(found, factors, block * width, currents, number, count - number, adds)


def add_products(products, rows, first, factors, adds, currents):
    """Currents of rows of bytes from the row `first` on, silent channels included, by one of two kinds of kernels.

    products : token and weights as `multiply_rows` takes them; or vectors, weights and scratch as `add_up_quads` does
    rows : uint8, flat, and the same memory as words, uint64, (rows, words)
    """
    raise NotImplementedError


@overload(add_products, inline="always", jit_options=INNER)
def _add_products(products, rows, first, factors, adds, currents):
    if len(products) == 2:

        def multiply(products, rows, first, factors, adds, currents):
            token, weights = products
            flat, words = rows
            chunks = words.shape[1] * 8 // CHUNK_LEVELS
            multiply_rows(flat, first * chunks * CHUNK_LEVELS, token, chunks, weights, factors, adds, currents)

        return multiply

    def look_up(products, rows, first, factors, adds, currents):
        vectors, weights, scratch = products
        add_up_quads(vectors, (rows[1], first), weights, factors, adds, scratch, currents)

    return look_up


@compiled_bare
def add_products_of_rows(products, rows, first, factors, adds, currents):
    """`add_products`, called from Python."""
    add_products(products, rows, first, factors, adds, currents)


@compiled_bare
def add_steps(currents, samples, readout):
    """Add the currents of each step, (steps * samples, padded), to the readout, (samples, padded), and leave it there.

    What stands in `currents` afterwards is the running sum after each step.
    """
    for number in range(currents.shape[0]):
        line, total = currents[number], readout[number % samples]
        for channel in range(line.size):
            total[channel] += line[channel]
            line[channel] = total[channel]

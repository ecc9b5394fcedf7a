"""Neurons that are a function from one step to the next; see engine/neurons/stepped.py.

`STEP` stands for a model's step in these templates, from which `engine.kernels.bound` makes the model's own kernels. A
state variable is an array of float32 numbers, all of them together a tuple of arrays, so that the innermost loops run
over neighbouring neurons and become vector instructions where the step allows it.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .compilation import INNER
from .samples import add_products, events_in, put, walk_integers, walk_row
from .step_inputs import of_neuron, of_pixel, of_step
from .touched import RESTLESS

_BITS_OF_INFINITY = np.uint32(0x7F800000)
"""Of float32; those of NaN are a larger number, those of finite numbers a smaller one."""

_SMALLEST = 2.0**-126
"""The smallest float32 number that is not subnormal, see engine/float32.py."""

# --- Tuples of arrays, one for each state variable: recursion that the compiler unrolls -------------------------------

_INLINED = {"jit_options": {**INNER, "forceinline": True, "error_model": "numpy", "_nrt": False}}
"""LLVM puts functions in place that are compiled once for all kernels with as many state variables; Numba would go
through them again for each kernel. Not `cut`: it returns arrays, whose references a kernel may count or not."""


def cut(arrays, first, last):
    """The elements first ... last - 1 of each array."""
    return tuple(array[first:last] for array in arrays)


def loaded(arrays, index):
    """Element `index` of each array, as float64."""
    return tuple(np.float64(array[index]) for array in arrays)


@numba.njit(error_model="numpy")
def held(value):
    """A number to keep between two steps, as float64: 0 where it would be subnormal in float32."""
    number = np.float64(value)
    return 0.0 if abs(number) < _SMALLEST else number


@intrinsic
def size_bits(typing_context, value):
    """The bits of a float32 number but for its sign, uint32, as large as the number is.

    The largest of many is found with one instruction a vector; whether one is infinite takes several times as many.
    """

    def generate(context, builder, signature, arguments):
        number = ir.IntType(32)
        return builder.and_(builder.bitcast(arguments[0], number), number(0x7FFFFFFF))

    return types.uint32(types.float32), generate


def largest_bits(values):
    """Likewise the largest of what is kept of several numbers."""
    return max(np.abs(np.float32(held(value))).view(np.uint32) for value in values)


def store(arrays, index, values):
    """Write a value to element `index` of each array; zeros for what would be subnormal in float32."""
    for array, value in zip(arrays, values, strict=True):
        array[index] = held(value)


@overload(cut, inline="always", jit_options=INNER)
def _cut(arrays, first, last):
    if len(arrays) == 1:
        return lambda arrays, first, last: (arrays[0][first:last],)
    return lambda arrays, first, last: (arrays[0][first:last], *cut(arrays[1:], first, last))


@overload(loaded, **_INLINED)
def _loaded(arrays, index):
    if len(arrays) == 1:
        return lambda arrays, index: (np.float64(arrays[0][index]),)
    return lambda arrays, index: (np.float64(arrays[0][index]), *loaded(arrays[1:], index))


@numba.njit(error_model="numpy")
def changed(before, after):
    """Whether a number that is kept is another one than before, the sign of zero included."""
    number = np.float64(np.float32(held(after)))
    return number != before or np.signbit(number) != np.signbit(before)


def any_changed(before, after):
    """Whether one of several numbers is, likewise."""
    return any(changed(*pair) for pair in zip(before, after, strict=True))


@overload(any_changed, **_INLINED)
def _any_changed(before, after):
    if len(before) == 1:
        return lambda before, after: changed(before[0], after[0])
    return lambda before, after: changed(before[0], after[0]) or any_changed(before[1:], after[1:])


@overload(largest_bits, **_INLINED)
def _largest_bits(values):
    if len(values) == 1:
        return lambda values: size_bits(np.float32(held(values[0])))
    return lambda values: max(size_bits(np.float32(held(values[0]))), largest_bits(values[1:]))


@overload(store, **_INLINED)
def _store(arrays, index, values):
    if len(arrays) == 1:

        def last(arrays, index, values):
            arrays[0][index] = held(values[0])

        return last

    def one(arrays, index, values):
        arrays[0][index] = held(values[0])
        store(arrays[1:], index, values[1:])

    return one


# --- Templates -------------------------------------------------------------------------------------------------------


def STEP(current, *state_and_parameters):
    """Level, and the new value of each state variable."""
    raise NotImplementedError


def step_band(currents, words, shape, states, place, initial, parameters, marks):
    """Run the neurons of a band through some steps; pack each neuron's levels into a word.

    currents : float32, (pixels, steps, padded channels) of the band
    words : unsigned, (pixels, padded channels), with a byte for each step at least; receives the levels
    shape : pixels, steps, padded channels, channels
    states : tuple of float32 arrays, before and after these steps
    place : where the band's state begins; distance between neighbouring pixels there, 0 where a pixel's state is not
        kept; whether the neurons begin from `initial`; number of the band's first pixel in the whole layer; number of
        the first step
    initial : tuple of each state variable before the first step: float64, or (1 or pixels, padded channels) float32
    parameters : tuple, the last arguments of STEP, see kernels/step_inputs.py
    marks : (pixels or 0,) uint16, 0 of pixels that are left out, see touched.py

    Returns the highest level, as an unsigned number: a level below zero is beyond all; and whether all currents and all
    that is kept are finite float32 numbers.
    """
    pixels, steps, padded, channels = shape
    begin, stride, fresh, first_pixel, first_step = place
    highest, largest = np.uint64(0), np.uint32(0)
    for pixel in range(pixels):
        if marks.size > 0 and marks[pixel] == 0:
            continue
        word = words[pixel * padded : (pixel + 1) * padded]
        first = begin + pixel * stride
        state = cut(states, first, first + channels)
        for channel in range(padded):
            word[channel] = 0
        given = of_pixel(parameters, first_pixel + pixel)
        if fresh:
            start = of_pixel(initial, first_pixel + pixel)
            for channel in range(channels):
                store(state, channel, of_neuron(start, channel))
        for step in range(steps):
            inputs = of_step(given, first_step + step, (first_pixel + pixel) * channels)
            row = currents[(pixel * steps + step) * padded : (pixel * steps + step + 1) * padded]
            shift = np.uint64(8 * step)
            for channel in range(channels):
                after = STEP(np.float64(row[channel]), *loaded(state, channel), *of_neuron(inputs, channel))
                store(state, channel, after[1:])
                largest = max(largest, size_bits(row[channel]), largest_bits(after[1:]))
                level = np.uint64(np.int64(after[0]))
                highest = max(highest, level)
                word[channel] |= (level & np.uint64(255)) << shift
    return highest, largest < _BITS_OF_INFINITY


def find_restless(states, channels, place, parameters, marks):
    """Mark the pixels of a band, of those that are marked, of which a neuron fires or changes without a current.

    states : tuple of float32 arrays
    channels : int
    place : where the band's state begins, distance between neighbouring pixels there, number of the first pixel
    parameters : as in `step_band`
    marks : (pixels,) uint16
    """
    begin, stride, first_pixel = place
    for pixel in range(marks.size):
        if marks[pixel] == 0:
            continue
        state = cut(states, begin + pixel * stride, begin + pixel * stride + channels)
        inputs = of_step(of_pixel(parameters, first_pixel + pixel), 0, 0)
        for channel in range(channels):
            before = loaded(state, channel)
            after = STEP(0.0, *before, *of_neuron(inputs, channel))
            if after[0] != 0 or any_changed(before, after[1:]):
                marks[pixel] |= np.uint16(RESTLESS)
                break


def step_samples(currents, forward, back, scale, products, rows, shape, states, place, parameters):
    """Run a population of which all neurons are alike through some steps, for many samples side by side.

    currents : float32, (steps * samples, padded channels), or for as many steps as are at once; changed
    forward : None where the currents are there, or what `add_products` takes to compute them: products, rows, number of
        the first one, factors; and for how many steps at once, so that they stay in a core's cache, 0 where they are
        there
    back : of a connection of the population to itself that takes a step, weights, float32, (channels, padded), bias,
        (padded,), and scratch memory: of `walk_integers`, and that of `walk_rows`; no weights where there is none
    scale : None, or float32, (padded,), what weights that are int8 are multiplied with
    products : None, or of such weights what `add_products` takes, and the share of bytes from which on that is faster
    rows : uint8, ((1 + steps) * samples and more, bytes), the first `samples` ones what was fired before; receives the
        levels; the same memory as words, uint64, and flat
    shape : steps, samples, padded channels, channels
    states : tuple of float32 arrays, (samples, padded channels) flat, before and after these steps
    place : whether the neurons begin from the tuple of numbers that follows
    parameters : tuple of numbers, the last arguments of STEP

    Returns what `step_band` does, and at how many steps what came back was multiplied.
    """
    steps, samples, padded, channels = shape
    weights, bias, (scratch, returned) = back
    rows, words, flat = rows
    fresh, initial = place
    highest, wide, largest, multiplied = np.uint8(0), np.uint64(0), np.uint32(0), 0
    if fresh:
        for neuron in range(samples * padded):
            store(states, neuron, initial)
    hears_itself = weights.shape[0] > 0
    walks = hears_itself
    before, at_once = 0, steps
    for turn in range(steps * samples):
        # Numba compiles only the branches that the types of `forward`, `scale` and `products` call for.
        if forward is not None:
            multiplied_with, sources, first_row, factors, some = forward
            if some > 0 and turn % (some * samples) == 0:
                before, at_once = turn // samples, min(some, steps - turn // samples)
                there = currents[: at_once * samples]
                add_products(multiplied_with, sources, first_row + turn, factors, False, there)
        # All steps of a sample while its state is at hand, or all samples of a step, which the next one hears.
        of_these = turn - before * samples
        if hears_itself:
            step, sample = of_these // samples, of_these % samples
        else:
            step, sample = of_these % at_once, of_these // at_once
        number = step * samples + sample
        if products is not None:
            taken, share = products
            first, last = step * samples, (step + 1) * samples
            if sample == 0:
                walks = events_in(words[first:last]) < share * (samples * rows.shape[1])
                if not walks:
                    add_products(taken, (flat, words), first, (scale, bias), True, currents[first:last])
                    multiplied += 1
        row, level = currents[number], rows[number + (1 + before) * samples]
        if walks:
            if scale is None:
                walk_row(words[number], weights, bias, scratch[0], returned)
                put(returned, row, True)
            else:
                walk_integers(words[number], weights, bias, scale, scratch, True, row)
        state = cut(states, sample * padded, sample * padded + channels)
        for channel in range(channels):
            after = STEP(np.float64(row[channel]), *loaded(state, channel), *parameters)
            store(state, channel, after[1:])
            largest = max(largest, size_bits(row[channel]), largest_bits(after[1:]))
            found = np.uint64(np.int64(after[0]))
            # Of levels that are known to be bytes this leaves nothing; a level below zero is beyond all.
            wide |= found if found > 255 else np.uint64(0)
            highest = max(highest, np.uint8(found))
            level[channel] = np.uint8(found)
    return max(wide, np.uint64(highest)), largest < _BITS_OF_INFINITY, multiplied

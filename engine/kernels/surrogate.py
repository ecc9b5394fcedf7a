"""Neurons through time: firing that keeps what a backward pass needs, and that backward pass with surrogate slopes.

The rule and its constants are those of engine/neurons/firing.py. x is the distance v - compare[k] of the potential
from a threshold, in units of the surrogate's width there. Neurons are independent of one another, so a call takes a
range of them, and threads take ranges. The innermost loops run over a block of neurons, for the compiler to turn into
vector instructions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .compilation import compiled

TRIANGLE, FAST_SIGMOID, ARCTAN, RECTANGLE = range(4)
"""Codes of the surrogates; engine/learning/finetune/surrogates.py has their equations."""

_BLOCK = 64

COMPARE, SUBTRACT, EMITTED, WIDTH, INVERSE = range(5)
"""Columns of a ladder's table, (K, 5), or (K, 3) of the first ones: what a threshold compares with and subtracts; the
value emitted; width of the surrogate, and its inverse."""


class LadderThroughTime(NamedTuple):
    """A neuron.

    Parameters
    ----------
    decay, keep : numbers
        What is left of a potential after a step, and of one that crossed.
    table : (K, 5)
    """

    decay: Any
    keep: Any
    table: NDArray[Any]


class SurrogateOptions(NamedTuple):
    """How thresholds are crossed.

    Parameters
    ----------
    code : int
        Of the surrogate.
    smooth : bool
        By degrees, which are the antiderivative of the slope.
    detached : bool
        Whether the backward pass takes the reset for a constant.
    """

    code: int
    smooth: bool
    detached: bool


@numba.njit(inline="always")
def _slope(code, x, one, half):
    """Derivative of a crossing by x."""
    if code == TRIANGLE:
        return max(one - abs(x), one - one)
    if code == FAST_SIGMOID:
        return half / ((one + abs(x)) * (one + abs(x)))
    if code == ARCTAN:
        angle = x * (half * 3.141592653589793)
        return half / (one + angle * angle)
    return half if abs(x) < one else one - one


@numba.njit(inline="always")
def _degree(code, x, one, half):
    """Antiderivative of `_slope`, from 0 to 1."""
    if code == TRIANGLE:
        rest = max(one - abs(x), one - one)
        return half * rest * rest if x < 0 else one - half * rest * rest
    if code == FAST_SIGMOID:
        return half + half * x / (one + abs(x))
    if code == ARCTAN:
        return half + math.atan(half * 3.141592653589793 * x) / 3.141592653589793
    return min(max(half + half * x, one - one), one)


@compiled
def fire_through_time(currents, initial, neuron, options, before, emitted, first, last):
    """Fire the neurons first ... last - 1 at every step.

    currents : (T or 1, E), input current of each neuron; a single row is injected at every step
    initial : number, potential before the first step
    neuron : LadderThroughTime
    options : SurrogateOptions
    before, emitted : (T, E), receive the potential before firing and the value emitted at each step
    """
    decay, keep, table = neuron.decay, neuron.keep, neuron.table
    code, smooth = options.code, options.smooth
    number = before.dtype.type
    one, half = number(1), number(0.5)
    potential = np.empty(_BLOCK, before.dtype)
    value = np.empty(_BLOCK, before.dtype)
    for base in range(first, last, _BLOCK):
        size = min(_BLOCK, last - base)
        potential[:] = initial
        for step in range(before.shape[0]):
            source = step if currents.shape[0] > 1 else 0
            for lane in range(size):
                potential[lane] = decay * potential[lane] + currents[source, base + lane]
                before[step, base + lane] = potential[lane]
                value[lane] = 0
            for k in range(table.shape[0]):
                compare, subtract = table[k, COMPARE], table[k, SUBTRACT]
                weight, inverse = table[k, EMITTED], table[k, INVERSE]
                for lane in range(size):
                    held = potential[lane]
                    if smooth:
                        degree = number(_degree(code, (held - compare) * inverse, one, half))
                        potential[lane] = held - degree * ((one - keep) * held + subtract)
                        value[lane] += degree * weight
                    else:
                        crossed = held > compare
                        potential[lane] = keep * held - subtract if crossed else held
                        value[lane] += weight if crossed else one - one
            for lane in range(size):
                emitted[step, base + lane] = value[lane]


@compiled
def fire_once(currents, start, keep, ladder, emitted, charged):
    """Fire neurons at a single step.

    currents : (E,) float32
    start, keep : float32, what is left of the initial potential, and of a potential that crossed
    ladder : (K, 3) float32, of which the columns are COMPARE, SUBTRACT and EMITTED
    emitted : (E,) float32, charged : (E,) bool; receive the value emitted, and whether the current is positive
    """
    zero = np.float32(0)
    potentials = np.empty(4 * _BLOCK, np.float32)
    for base in range(0, currents.size, potentials.size):
        current, total = currents[base : base + potentials.size], emitted[base : base + potentials.size]
        marks, potential = charged[base : base + potentials.size], potentials[: current.size]
        for lane in range(potential.size):
            potential[lane] = start + current[lane]
            marks[lane] = current[lane] > zero
            total[lane] = zero
        for k in range(ladder.shape[0]):
            compare, subtract, value = ladder[k, COMPARE], ladder[k, SUBTRACT], ladder[k, EMITTED]
            for lane in range(potential.size):
                held = potential[lane]
                crossed = held > compare
                potential[lane] = keep * held - subtract if crossed else held
                total[lane] += value if crossed else zero


@compiled
def backward_through_time(before, gradient, constant, neuron, options, currents, first, last):
    """Gradient of the currents and of the initial potential, for the neurons first ... last - 1.

    before : (T, E), as fire_through_time left it
    gradient : (T or 1, E), gradient of the value emitted at each step; a single row is that of every step
    constant : (E or 1,), further gradient of the value emitted, the same at every step
    neuron, options : as in fire_through_time
    currents : (T, E), receives the gradient of the current at each step

    Returns the sum over the neurons of the gradient of the initial potential.
    """
    decay, keep, table = neuron.decay, neuron.keep, neuron.table
    code, smooth, detached = options.code, options.smooth, options.detached
    number = before.dtype.type
    one, half = number(1), number(0.5)
    thresholds = table.shape[0]
    held = np.empty((thresholds + 1, _BLOCK), before.dtype)
    degree = np.empty((thresholds, _BLOCK), before.dtype)
    flow = np.empty(_BLOCK, before.dtype)
    total = 0.0
    for base in range(first, last, _BLOCK):
        size = min(_BLOCK, last - base)
        flow[:] = 0
        for step in range(before.shape[0] - 1, -1, -1):
            source = step if gradient.shape[0] > 1 else 0
            for lane in range(size):
                held[0, lane] = before[step, base + lane]
            for k in range(thresholds):
                compare, subtract, inverse = table[k, COMPARE], table[k, SUBTRACT], table[k, INVERSE]
                for lane in range(size):
                    potential = held[k, lane]
                    if smooth:
                        by = number(_degree(code, (potential - compare) * inverse, one, half))
                    else:
                        by = one if potential > compare else one - one
                    degree[k, lane] = by
                    held[k + 1, lane] = potential - by * ((one - keep) * potential + subtract)
            for k in range(thresholds - 1, -1, -1):
                compare, subtract = table[k, COMPARE], table[k, SUBTRACT]
                weight, inverse = table[k, EMITTED], table[k, INVERSE]
                for lane in range(size):
                    potential = held[k, lane]
                    extra = constant[base + lane] if constant.size > 1 else constant[0]
                    crossing = (gradient[source, base + lane] + extra) * weight
                    if not detached:
                        crossing -= flow[lane] * ((one - keep) * potential + subtract)
                    slope = number(_slope(code, (potential - compare) * inverse, one, half)) * inverse
                    flow[lane] = flow[lane] * (one - degree[k, lane] * (one - keep)) + crossing * slope
            for lane in range(size):
                currents[step, base + lane] = flow[lane]
                flow[lane] *= decay
        for lane in range(size):
            total += flow[lane]
    return total


@compiled
def accumulate_rows(start, channels, levels, emit, steps, output, first, last):
    """Add what the entries of the rows first ... last - 1 emit over all steps to `output`, (H, W, C).

    start : (H, W + 1) int64, channels, levels : unsigned; the queue
    emit : (256,) float32, value of each level
    """
    for row in range(first, last):
        for x in range(start.shape[1] - 1):
            for entry in range(start[row, x], start[row, x + 1]):
                word = levels[entry]
                total = emit[0]
                for _ in range(steps):
                    total += emit[word & 255]
                    word >>= 8
                output[row, x, channels[entry]] += total


@compiled
def mark_charged(membrane, padded, initial, output, charged, first, last):
    """Mark the neurons of the rows first ... last - 1 whose input summed over all steps is positive.

    Without leak, and with reset by subtraction, that sum is the potential left, minus the initial one, plus what was
    emitted (charge balance).

    membrane : (H * W * padded channels,), after the last step
    output : (H, W, C), sum of what was emitted
    charged : (H, W, C) bool
    """
    for row in range(first, last):
        for x in range(output.shape[1]):
            place = (row * output.shape[1] + x) * padded
            for channel in range(output.shape[2]):
                charged[row, x, channel] = membrane[place + channel] - initial + output[row, x, channel] > 0

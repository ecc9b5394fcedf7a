"""Backpropagation through time for neurons that are a function from one step to the next; see kernels/stepped.py.

`STEP` stands for a model's step, `SURROGATE` for the derivatives that the model itself gives, and `ROWS` for one of the
two ways to fill the matrix of derivatives of a step: a row for the value emitted and one for each state variable, a
column for the current and one for each state variable.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from .compilation import INNER
from .stepped import STEP, loaded, store

_LITTLE = 1e-3
"""Distance, in widths, over which a step is differentiated where its level stays the same."""


class StepModel(NamedTuple):
    """A model.

    Parameters
    ----------
    initial : tuple of float64
        Each state variable before the first step.
    parameters : tuple
        The last arguments of STEP.
    emit : (256,) float32
        Value of each level.
    """

    initial: tuple[float, ...]
    parameters: tuple[Any, ...]
    emit: NDArray[np.float32]


class StepOptions(NamedTuple):
    """How a step is differentiated.

    Parameters
    ----------
    width : float
    radii : float64
        Over which steps are averaged, in units of the width.
    detached : bool
        Whether what a change of level does to the state is left out.
    """

    width: float
    radii: NDArray[np.float64]
    detached: bool


# --- Tuples and arrays -----------------------------------------------------------------------------------------------


def rows_of(arrays, index):
    """Row `index` of each array."""
    return tuple(array[index] for array in arrays)


def taken(array, first, like):
    """As many elements of an array as `like` has, from `first` on, as a tuple."""
    return tuple(array[first : first + len(like)].tolist())


def spread(array, first, values):
    """Write a tuple to an array, from `first` on."""
    for offset, value in enumerate(values):
        array[first + offset] = value


def fill_planes(matrix, first, rows):
    """Write a tuple of tuples to a matrix, from row `first` on."""
    for offset, row in enumerate(rows):
        spread(matrix[first + offset], 0, row)


@overload(rows_of, inline="always", jit_options=INNER)
def _rows_of(arrays, index):
    if len(arrays) == 1:
        return lambda arrays, index: (arrays[0][index],)
    return lambda arrays, index: (arrays[0][index], *rows_of(arrays[1:], index))


@overload(taken, jit_options=INNER)
def _taken(array, first, like):
    if len(like) == 1:
        return lambda array, first, like: (array[first],)
    return lambda array, first, like: (array[first], *taken(array, first + 1, like[1:]))


@overload(spread, jit_options=INNER)
def _spread(array, first, values):
    if len(values) == 1:

        def last(array, first, values):
            array[first] = values[0]

        return last

    def one(array, first, values):
        array[first] = values[0]
        spread(array, first + 1, values[1:])

    return one


@overload(fill_planes, jit_options=INNER)
def _spread_rows(matrix, first, rows):
    if len(rows) == 1:

        def last(matrix, first, rows):
            spread(matrix[first], 0, rows[0])

        return last

    def one(matrix, first, rows):
        spread(matrix[first], 0, rows[0])
        fill_planes(matrix, first + 1, rows[1:])

    return one


# --- Forward ---------------------------------------------------------------------------------------------------------


def fire_steps(currents, model, before, emitted, first, last):
    """Run the neurons first ... last - 1 through all steps.

    currents : (T or 1, E), input current of each neuron; a single row is injected at every step
    model : StepModel
    before : tuple of (T, E), receive each state variable before each step
    emitted : (T, E), receives the value emitted at each step

    Returns the highest level, as an unsigned number.
    """
    parameters, emit = model.parameters, model.emit
    highest = np.uint64(0)
    now = rows_of(before, 0)
    for neuron in range(first, last):
        store(now, neuron, model.initial)
    for step in range(emitted.shape[0]):
        now = rows_of(before, step)
        then = rows_of(before, min(step + 1, emitted.shape[0] - 1))
        kept = step + 1 < emitted.shape[0]
        source = step if currents.shape[0] > 1 else 0
        for neuron in range(first, last):
            after = STEP(np.float64(currents[source, neuron]), *loaded(now, neuron), *parameters)
            if kept:
                store(then, neuron, after[1:])
            level = np.uint64(np.int64(after[0]))
            highest = max(highest, level)
            emitted[step, neuron] = emit[level & np.uint64(255)]
    return highest


# --- Derivatives of one step -----------------------------------------------------------------------------------------


def SURROGATE(current, *state_parameters_and_width):
    """Rows of derivatives."""
    raise NotImplementedError


def rows_given(point, like, model, options, matrix):
    """The derivatives that the model itself gives.

    point : (1 + S,) float64, current and state variables
    like : tuple of so many float64
    model : StepModel; options : StepOptions
    matrix : (1 + S, 1 + S) float64, receives the derivatives
    """
    fill_planes(matrix, 0, SURROGATE(*taken(point, 0, like), *model.parameters, options.width))


def rows_by_differences(point, like, model, options, matrix):
    """Derivatives of the step smoothed along each variable, over each radius in turn; as in `rows_given`.

    The derivative of a function that is averaged over x - r ... x + r is its rise between these two, divided by 2 r.
    """
    width, radii = options.width, options.radii
    high, low = np.empty(point.size), np.empty(point.size)
    matrix[:] = 0
    for column in range(point.size):
        held = point[column]
        for radius in radii:
            point[column] = held + radius * width
            evaluated(point, like, model, high)
            point[column] = held - radius * width
            evaluated(point, like, model, low)
            for row in range(point.size):
                matrix[row, column] += (high[row] - low[row]) / (2 * radius * width * radii.size)
        point[column] = held


def state_rows_held(point, like, model, options, matrix):
    """Derivatives of the new state for a level that stays as it is; the row of the value emitted is left alone."""
    high, low, here = np.empty(point.size), np.empty(point.size), np.empty(point.size)
    level = evaluated(point, like, model, here)
    for column in range(point.size):
        held, little = point[column], _LITTLE * options.width
        point[column] = held + little
        above = evaluated(point, like, model, high) == level
        point[column] = held - little
        below = evaluated(point, like, model, low) == level
        point[column] = held
        for row in range(1, point.size):
            upper = high[row] if above else here[row]
            lower = low[row] if below else here[row]
            matrix[row, column] = (upper - lower) / (little * max(1, above + below))


def evaluated(point, like, model, values):
    """Write the value emitted and the new state to `values`; returns the level."""
    after = STEP(*taken(point, 0, like), *model.parameters)
    level = np.int64(after[0])
    values[0] = model.emit[level & 255]
    spread(values, 1, after[1:])
    return level


# --- Backward --------------------------------------------------------------------------------------------------------


def ROWS(point, like, model, options, matrix):
    """One of `rows_given` and `rows_by_differences`."""
    raise NotImplementedError


def HELD(point, like, model, options, matrix):
    """`state_rows_held`, bound to the model."""
    raise NotImplementedError


def backward_steps(currents, before, gradient, constant, model, options, into, first, last):
    """Gradient of the currents and of the initial potential, for the neurons first ... last - 1.

    currents, before : as in `fire_steps`
    gradient : (T or 1, E), gradient of the value emitted at each step; a single row is that of every step
    constant : (E or 1,), further gradient of the value emitted, the same at every step
    model : StepModel; options : StepOptions
    into : (T, E), receives the gradient of the current at each step

    Returns the sum over the neurons of the gradient of the initial potential.
    """
    like = (0.0, *model.initial)
    size = len(like)
    point, flow, passed = np.empty(size), np.empty(size), np.empty(size)
    matrix = np.empty((size, size))
    total = 0.0
    for neuron in range(first, last):
        extra = constant[neuron] if constant.size > 1 else constant[0]
        flow[:] = 0
        for step in range(into.shape[0] - 1, -1, -1):
            flow[0] = gradient[step if gradient.shape[0] > 1 else 0, neuron] + extra
            point[0] = currents[step if currents.shape[0] > 1 else 0, neuron]
            spread(point, 1, loaded(rows_of(before, step), neuron))
            ROWS(point, like, model, options, matrix)
            if options.detached:
                HELD(point, like, model, options, matrix)
            for column in range(size):
                passed[column] = 0
                for row in range(size):
                    passed[column] += flow[row] * matrix[row, column]
            into[step, neuron] = passed[0]
            # Not a slice at once: Numba would compile the message for slices that do not match, for seconds.
            for column in range(size):
                flow[column] = passed[column]
        total += flow[1]
    return total

"""What a neuron's step is given beside its current and its state: parameters, the number of the step, random numbers.

The last arguments of a step are a tuple, and each part of it says by its type what the neuron gets:

- a number, or a tuple of numbers: the same for all neurons;
- a two-dimensional array, (1, padded channels) or (pixels, padded channels): each neuron its own number;
- `StepIndex`: the index of the step, from 0 on;
- `RandomNumbers`: a number from 0 up to 1, 1 not included, another one for each neuron and step.

A random number is a hash of what it is for (the layer's key, the step, the neuron), not the next one of a sequence: so
it does not depend on which thread asks for it, or when. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood,
Fast splittable pseudorandom number generators, OOPSLA 2014), once for the step and once for the neuron.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import overload

from .compilation import INNER

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BITS = np.uint64(11)
"""Bits of a hash that a float64 number from 0 to 1 has no room for."""


class StepIndex(NamedTuple):
    """Stands for the index of the step, counted from `first`."""

    first: np.int64


class RandomNumbers(NamedTuple):
    """Stands for random numbers of a layer."""

    key: np.uint64


class RandomRow(NamedTuple):
    """Stands for random numbers of neighbouring neurons at one step."""

    begin: np.uint64


@numba.njit(error_model="numpy")
def mixed(number):
    """Hash of 64 bits."""
    number = (number ^ (number >> np.uint64(30))) * _FIRST
    number = (number ^ (number >> np.uint64(27))) * _SECOND
    return number ^ (number >> np.uint64(31))


@numba.njit(error_model="numpy")
def drawn(begin, neuron):
    """Random number of a neuron, from 0 up to 1."""
    number = mixed(begin + np.uint64(neuron) * _GOLDEN)
    return np.float64(number >> _BITS) * 2.0**-53


# --- One part, by its type ------------------------------------------------------------------------------------------


def for_pixel(part, pixel):
    """A part for the neurons of one pixel: of an array its row."""
    return part[pixel if part.shape[0] > 1 else 0] if isinstance(part, np.ndarray) else part


def for_step(part, step, first):
    """A part for one step of neurons, of which the first one has the number `first`."""
    if isinstance(part, StepIndex):
        return part.first + step
    if isinstance(part, RandomNumbers):
        begin = mixed(part.key + np.uint64(step) * _GOLDEN) + np.uint64(first) * _GOLDEN
        return RandomRow(begin)
    return part


def for_neuron(part, neuron):
    """A part for one neuron of a row."""
    if isinstance(part, RandomRow):
        return drawn(part.begin, neuron)
    return part[neuron] if isinstance(part, np.ndarray) else part


def _is(part, kind):
    return isinstance(part, types.BaseNamedTuple) and part.instance_class is kind


@overload(for_pixel, jit_options=INNER)
def _for_pixel(part, pixel):
    if isinstance(part, types.Array):
        return lambda part, pixel: part[pixel if part.shape[0] > 1 else 0]
    return lambda part, pixel: part


@overload(for_step, jit_options=INNER)
def _for_step(part, step, first):
    if _is(part, StepIndex):
        return lambda part, step, first: part.first + step
    if _is(part, RandomNumbers):
        return lambda part, step, first: RandomRow(
            mixed(part.key + np.uint64(step) * _GOLDEN) + np.uint64(first) * _GOLDEN
        )
    return lambda part, step, first: part


@overload(for_neuron, jit_options=INNER)
def _for_neuron(part, neuron):
    if _is(part, RandomRow):
        return lambda part, neuron: drawn(part.begin, neuron)
    if isinstance(part, types.Array):
        return lambda part, neuron: part[neuron]
    return lambda part, neuron: part


# --- All parts, in one expression: a function that calls itself would be compiled once for each part -----------------


def of_pixel(parts, pixel):
    """`for_pixel` of each part."""
    return tuple(for_pixel(part, pixel) for part in parts)


def of_step(parts, step, first):
    """`for_step` of each part."""
    return tuple(for_step(part, step, first) for part in parts)


def of_neuron(parts, neuron):
    """`for_neuron` of each part."""
    return tuple(for_neuron(part, neuron) for part in parts)


@overload(of_pixel, jit_options=INNER)
def _of_pixel(parts, pixel):
    return _of_each(for_pixel, parts, types.Array, "pixel")


@overload(of_step, jit_options=INNER)
def _of_step(parts, step, first):
    return _of_each(for_step, parts, types.BaseNamedTuple, "step, first")


@overload(of_neuron, jit_options=INNER)
def _of_neuron(parts, neuron):
    return _of_each(for_neuron, parts, (types.Array, types.BaseNamedTuple), "neuron")


def _of_each(function, parts, kinds, arguments):
    """A function that gives parts of some kinds to another one; the others, numbers mostly, stay as they are."""
    if not any(isinstance(part, kinds) for part in parts):
        body = "parts"
    else:
        each = ("function(parts[{0}], {1})" if isinstance(part, kinds) else "parts[{0}]" for part in parts)
        body = f"({', '.join(text.format(number, arguments) for number, text in enumerate(each))},)"
    return eval(f"lambda parts, {arguments}: {body}", {"function": function})  # noqa: S307 - no text of anybody else's

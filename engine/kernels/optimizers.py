"""One step of an optimiser, fused: each number is read and written once. Flat arrays of one length.

Threads take parts of the arrays as views: a loop over a whole array is turned into vector instructions, one between two
indices is not.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .compilation import compiled


class AdamConstants(NamedTuple):
    """Numbers of the parameters' type.

    Parameters
    ----------
    rate : number
        With the bias corrections in it.
    mean_decay, square_decay : numbers
        Of the mean of gradients, and of their squares.
    epsilon : number
        With the bias correction in it.
    scale : number
        Factor for the gradient.
    """

    rate: Any
    mean_decay: Any
    square_decay: Any
    epsilon: Any
    scale: Any


@compiled
def momentum_step(parameters, gradients, means, rate, momentum, scale):
    """Mean = momentum * mean + scale * gradient; parameter -= rate * mean."""
    for index in range(parameters.size):
        mean = momentum * means[index] + scale * gradients[index]
        means[index] = mean
        parameters[index] -= rate * mean


@compiled
def adam_step(parameters, gradients, means, squares, constants):
    """Exponential means of gradient and squared gradient; parameter -= rate * mean / (sqrt(square) + epsilon).

    constants : AdamConstants
    """
    mean_decay, square_decay = constants.mean_decay, constants.square_decay
    one = parameters.dtype.type(1)
    for index in range(parameters.size):
        gradient = constants.scale * gradients[index]
        mean = mean_decay * means[index] + (one - mean_decay) * gradient
        square = square_decay * squares[index] + (one - square_decay) * gradient * gradient
        means[index] = mean
        squares[index] = square
        parameters[index] -= constants.rate * mean / (math.sqrt(square) + constants.epsilon)


@compiled
def average_step(averages, parameters, share):
    """Average += share * (parameter - average)."""
    for index in range(averages.size):
        averages[index] += share * (parameters[index] - averages[index])


@compiled
def add_squares(values, sums):
    """Add the square of each number of values, (N, B), to the sum of its column, (B,) float64."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = float(values[row, column])
            sums[column] += value * value

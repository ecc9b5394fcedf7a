"""One step of an optimiser, fused: each number is read and written once. Flat arrays of one length.

Threads take parts of the arrays as views: a loop over a whole array is turned into vector instructions, one between two
indices is not.
"""

from __future__ import annotations

import math

from .compilation import compiled


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

    constants : rate and epsilon with the bias corrections in them, both decays, and a factor for the gradient: (rate,
        first, second, epsilon, scale)
    """
    rate, first_decay, second_decay, epsilon, scale = constants
    one = parameters.dtype.type(1)
    for index in range(parameters.size):
        gradient = scale * gradients[index]
        mean = first_decay * means[index] + (one - first_decay) * gradient
        square = second_decay * squares[index] + (one - second_decay) * gradient * gradient
        means[index] = mean
        squares[index] = square
        parameters[index] -= rate * mean / (math.sqrt(square) + epsilon)


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

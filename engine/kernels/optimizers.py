"""One step of an optimiser, fused: each number is read and written once. Elements first ... last - 1 of flat arrays."""

from __future__ import annotations

import math

from .vector_block import compiled


@compiled
def momentum_step(parameters, gradients, means, rate, momentum, first, last):
    """Mean = momentum * mean + gradient; parameter -= rate * mean."""
    for index in range(first, last):
        mean = momentum * means[index] + gradients[index]
        means[index] = mean
        parameters[index] -= rate * mean


@compiled
def adam_step(parameters, gradients, means, squares, constants, first, last):
    """Exponential means of gradient and squared gradient; parameter -= rate * mean / (sqrt(square) + epsilon).

    constants : rate and epsilon with the bias corrections in them, and both decays: (rate, first, second, epsilon)
    """
    rate, first_decay, second_decay, epsilon = constants
    one = parameters.dtype.type(1)
    for index in range(first, last):
        gradient = gradients[index]
        mean = first_decay * means[index] + (one - first_decay) * gradient
        square = second_decay * squares[index] + (one - second_decay) * gradient * gradient
        means[index] = mean
        squares[index] = square
        parameters[index] -= rate * mean / (math.sqrt(square) + epsilon)


@compiled
def sum_of_squares(values):
    """Sum in double precision, always in the same order."""
    total = 0.0
    for index in range(values.size):
        total += float(values[index]) * float(values[index])
    return total

"""Losses: a number, and its gradient by the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]
Loss = Callable[[Array, Array], tuple[float, Array]]

_SMALLEST_ERROR = 1e-12


def mean_absolute(output: Array, target: Array) -> tuple[float, Array]:
    """Mean of |output - target|, both (N, H, W, O); the gradient is 0 where they are equal."""
    error = output - target
    return float(np.abs(error).mean(dtype=np.float64)), np.sign(error) / error.dtype.type(error.size)


def mean_squared(output: Array, target: Array) -> tuple[float, Array]:
    """Mean of (output - target)^2, both (N, H, W, O)."""
    error = output - target
    return float(np.square(error).mean(dtype=np.float64)), error * error.dtype.type(2 / error.size)


def log_mean_squared(output: Array, target: Array) -> tuple[float, Array]:
    """Mean over the pictures of log(mean squared error), both (N, H, W, O): pictures of any noise weigh the same."""
    error = output - target
    means = np.square(error).mean((1, 2, 3), dtype=np.float64) + _SMALLEST_ERROR
    share = 2 / (means * error.size)
    return float(np.log(means).mean()), error * share[:, None, None, None].astype(error.dtype)


def cross_entropy(output: Array, target: Array) -> tuple[float, Array]:
    """Mean over the pixels of -log softmax(output)[label].

    Parameters
    ----------
    output : (N, H, W, O)
        Scores of the O classes.
    target : (N, H, W) integer
        Labels from 0 to O - 1; pixels with a negative label do not count.
    """
    labels = target.reshape(output.shape[:3])
    counted = labels >= 0
    shifted = output - output.max(axis=3, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=3, keepdims=True))
    chosen = np.where(counted, labels, 0)[..., None]
    number = max(1, int(counted.sum()))
    value = -float((np.take_along_axis(logarithms, chosen, axis=3)[..., 0] * counted).sum(dtype=np.float64)) / number
    gradient = np.exp(logarithms)
    np.put_along_axis(gradient, chosen, np.take_along_axis(gradient, chosen, axis=3) - 1, axis=3)
    return value, gradient * (counted[..., None] / output.dtype.type(number)).astype(output.dtype)


LOSSES: dict[str, Loss] = {
    "l1": mean_absolute,
    "mse": mean_squared,
    "log-mse": log_mean_squared,
    "cross-entropy": cross_entropy,
}
"""Losses by name."""


def loss_named(name: str) -> Loss:
    """The loss called `name`; InputError where there is none."""
    if name not in LOSSES:
        raise InputError(f"loss must be one of {', '.join(LOSSES)} (got {name!r})")
    return LOSSES[name]

"""Losses: a number, and its gradient by the network's output."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .structural_loss import structural_dissimilarity

Array = NDArray[Any]
Loss = Callable[[Array, Array], tuple[float, Array]]

_SMALLEST_ERROR = 1e-12

SHARE_OF_STRUCTURE = 0.2
"""Of the dissimilarity beside the absolute error, as in examples/train_derainer.py."""


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


def cross_entropy(output: Array, target: Array, weights: Array | None = None) -> tuple[float, Array]:
    """Mean over the pixels of -log softmax(output)[label], weighted by class where there are weights.

    Parameters
    ----------
    output : (N, H, W, O)
        Scores of the O classes.
    target : (N, H, W) integer
        Labels from 0 to O - 1; pixels with a negative label do not count.
    weights : (O,) or None
        A pixel counts as much as its label's weight, in the sum and in what it is divided by. None: all alike.

    Raises
    ------
    InputError
        If there is not one weight for each class.
    """
    if weights is not None and len(weights) != output.shape[3]:
        raise InputError(f"{output.shape[3]} classes need as many class weights (got {len(weights)})")
    labels = target.reshape(output.shape[:3])
    counted = labels >= 0
    shifted = output - output.max(axis=3, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=3, keepdims=True))
    chosen = np.where(counted, labels, 0)
    share = counted.astype(np.float64) if weights is None else counted * weights.astype(np.float64)[chosen]
    share /= share.sum() or 1.0
    places = chosen[..., None]
    value = -float((np.take_along_axis(logarithms, places, axis=3)[..., 0] * share).sum())
    gradient = np.exp(logarithms)
    np.put_along_axis(gradient, places, np.take_along_axis(gradient, places, axis=3) - 1, axis=3)
    return value, gradient * share[..., None].astype(output.dtype)


def mean_absolute_and_structural(output: Array, target: Array) -> tuple[float, Array]:
    """`mean_absolute` plus a fifth of `structural_dissimilarity`, both (N, H, W, O)."""
    absolute, structural = mean_absolute(output, target), structural_dissimilarity(output, target)
    weight = absolute[1].dtype.type(SHARE_OF_STRUCTURE)
    return absolute[0] + SHARE_OF_STRUCTURE * structural[0], absolute[1] + weight * structural[1]


LOSSES: dict[str, Loss] = {
    "l1": mean_absolute,
    "mse": mean_squared,
    "log-mse": log_mean_squared,
    "ssim": structural_dissimilarity,
    "l1-ssim": mean_absolute_and_structural,
    "cross-entropy": cross_entropy,
}
"""Losses by name."""

OF_PICTURES = frozenset({"ssim", "l1-ssim"})
"""Those that compare pictures: of a network that puts out the noise, what it leaves of its input."""


def loss_named(name: str, class_weights: tuple[float, ...] = ()) -> Loss:
    """The loss called `name`, of classes that weigh so much.

    Raises
    ------
    InputError
        If there is none of that name, or it has no classes to weigh, or a weight is no number of at least 0.
    """
    if name not in LOSSES:
        raise InputError(f"loss must be one of {', '.join(LOSSES)} (got {name!r})")
    if not class_weights:
        return LOSSES[name]
    weights = np.array(class_weights, np.float64)
    if name != "cross-entropy":
        raise InputError(f"class weights are for cross-entropy; leave them out (got {name!r})")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise InputError(f"class weights must not be negative, nor all zero (got {list(class_weights)})")
    return partial(cross_entropy, weights=weights)

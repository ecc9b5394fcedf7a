"""Additive white Gaussian noise, the way denoisers are measured."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .samples import as_unit

MAXIMUM_SIGMA = 255.0


def add_noise(picture: ArrayLike, sigma: float, seed: int) -> NDArray[np.float32]:
    """`picture` plus Gaussian noise from `numpy.random.default_rng(seed)`; not clipped.

    Parameters
    ----------
    picture : array of float, uint8 or uint16
        Any shape, drawn for in C order; float samples in [0, 1], to which the others are taken.
    sigma : float
        Standard deviation on the 0-255 scale, from 0 to 255.
    seed : int
        Not negative.

    Returns
    -------
    array of float32, same shape; samples can lie outside [0, 1]

    Raises
    ------
    InputError
        If the picture is no array of such samples, or sigma or the seed is out of range.
    """
    check_sigma(sigma)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"the noise seed must be an integer of at least 0 (got {seed!r})")
    clean = as_unit(picture, "the picture")
    noise = np.random.default_rng(seed).standard_normal(clean.shape) * (sigma / 255.0)
    return (clean + noise).astype(np.float32)


def check_sigma(sigma: float) -> float:
    """`sigma` where it is a number from 0 to 255; InputError otherwise."""
    if not (math.isfinite(sigma) and 0 <= sigma <= MAXIMUM_SIGMA):
        raise InputError(f"sigma must lie between 0 and {MAXIMUM_SIGMA:g}, on the 0-255 scale (got {sigma})")
    return sigma

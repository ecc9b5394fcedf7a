"""SoftLIF: a smooth form of the rate at which leaky integrate-and-fire neurons fire, and its slope.

E. Hunsberger and C. Eliasmith, Spiking deep networks with LIF neurons, arXiv 1510.08829.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...neurons import InterpolatedLeakyIntegrateAndFire

Array = NDArray[Any]

_FAR_BELOW = -30.0
"""Where softplus(x) is e^x but for its last bits."""


def softlif(model: InterpolatedLeakyIntegrateAndFire, current: Array, sigma: float) -> tuple[Array, Array]:
    """Rate r of a constant current J, times the amplitude, and dr/dJ.

        r = A / (tau_ref + tau_mem L),  L = ln(1 + 1 / rho),  rho = sigma * softplus((J - 1) / sigma)

    In place of softplus the rate itself has the larger of J - 1 and 0, and a slope that is infinite at J = 1.

    Parameters
    ----------
    model : InterpolatedLeakyIntegrateAndFire
    current : array of float
    sigma : float
        How far around the threshold the rate is smoothed, positive.

    Returns
    -------
    rate, slope : arrays of the shape and the type of `current`
    """
    x = (current - 1) / sigma
    below = x < _FAR_BELOW
    near = np.where(below, 0.0, x).astype(current.dtype)
    rho = sigma * np.logaddexp(0, near).astype(current.dtype)
    # Far below, rho = sigma e^x, which leaves the range of numbers before its logarithm does.
    logarithm = np.where(below, -x - np.log(sigma), np.log1p(1 / rho))
    period = model.tau_ref + model.tau_mem * logarithm
    # -dL/dJ = sigmoid(x) / (rho (1 + rho)), which far below is 1 / sigma.
    steepness = np.where(below, 1 / sigma, 1 / ((1 + np.exp(-near)) * rho * (1 + rho)))
    rate = model.amplitude / period
    slope = rate * model.tau_mem * steepness / period
    return rate.astype(current.dtype), slope.astype(current.dtype)


def lif_rate(model: InterpolatedLeakyIntegrateAndFire, current: Array) -> Array:
    """The rate itself, times the amplitude: 0 up to the threshold."""
    above = np.maximum(current - 1, np.finfo(current.dtype).tiny)
    period = model.tau_ref + model.tau_mem * np.log1p(1 / above)
    return np.where(current > 1, model.amplitude / period, 0).astype(current.dtype)

"""SoftLIF: a smooth form of the rate at which leaky integrate-and-fire neurons fire, and its slope.

E. Hunsberger and C. Eliasmith, Spiking deep networks with LIF neurons, arXiv 1510.08829.
"""

from __future__ import annotations

import math
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
    # Numbers of Python's, so that nothing becomes float64.
    width, inverse, amplitude = float(sigma), float(1 / sigma), float(model.amplitude)
    tau_ref, tau_mem = float(model.tau_ref), float(model.tau_mem)
    x = (current - 1) * inverse
    below = x < _FAR_BELOW
    near = np.where(below, current.dtype.type(0), x)
    # e^-|x| is what both softplus and sigmoid need: max(x, 0) + ln(1 + e^-|x|), and 1 or e^-|x| over 1 + e^-|x|.
    small = np.exp(-np.abs(near))
    rho = width * (np.maximum(near, 0) + np.log1p(small))
    # Far below, rho = sigma e^x, which leaves the range of numbers before its logarithm does.
    logarithm = np.where(below, -x - math.log(width), np.log1p(1 / rho))
    period = tau_ref + tau_mem * logarithm
    # -dL/dJ = sigmoid(x) / (rho (1 + rho)), which far below is 1 / sigma.
    sigmoid = np.where(near < 0, small, 1) / (1 + small)
    steepness = np.where(below, inverse, sigmoid / (rho * (1 + rho)))
    rate = amplitude / period
    return rate, rate * tau_mem * steepness / period


def lif_rate(model: InterpolatedLeakyIntegrateAndFire, current: Array) -> Array:
    """The rate itself, times the amplitude: 0 up to the threshold."""
    above = np.maximum(current - 1, np.finfo(current.dtype).tiny)
    period = model.tau_ref + model.tau_mem * np.log1p(1 / above)
    return np.where(current > 1, model.amplitude / period, 0).astype(current.dtype)

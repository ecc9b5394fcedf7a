"""Noise that grows with the signal, made alike everywhere: the generalised Anscombe transform and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stabiliser:
    """A transform after which noise of variance slope * sample + intercept has a variance of about 1.

    F. Murtagh, J.-L. Starck and A. Bijaoui, "Image restoration with noise suppression using a multiresolution support",
    Astronomy and Astrophysics Supplement 112 (1995); the inverse is the closed form of the exact unbiased one by
    M. Makitalo and A. Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise",
    IEEE Transactions on Image Processing 22 (2013).

    Parameters
    ----------
    slope : float
        Positive: the samples that one photon makes.
    intercept : float
        Variance where the sample is 0; negative where the samples have an offset.
    """

    slope: float
    intercept: float

    def forward(self, samples: NDArray[Any]) -> NDArray[np.float64]:
        """Samples on the scale on which their noise has a standard deviation of about 1."""
        scaled = self.slope * np.asarray(samples, np.float64) + 0.375 * self.slope**2 + self.intercept
        root: NDArray[np.float64] = 2 / self.slope * np.sqrt(np.maximum(scaled, 0))
        return root

    def inverse(self, stabilised: NDArray[Any]) -> NDArray[np.float64]:
        """The samples whose noisy versions have this mean after `forward`."""
        # Below the transform of no photon the closed form turns back.
        root = np.maximum(np.asarray(stabilised, np.float64), 2 * np.sqrt(0.375))
        photons = (
            root**2 / 4 + np.sqrt(1.5) / (4 * root) - 11 / (8 * root**2) + 5 * np.sqrt(1.5) / (8 * root**3) - 0.125
        )
        samples: NDArray[np.float64] = self.slope * np.maximum(photons, 0) - self.intercept / self.slope
        return samples

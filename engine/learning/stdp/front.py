"""Before the neurons: differences of Gaussians with an on and an off channel, and latencies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...memory import worked_out_once

Times = NDArray[np.float64]
_SIDE = 7


@worked_out_once()
def _kernel(centre: float, surround: float) -> NDArray[np.float64]:
    """Two Gaussians, each with the sum 1, the wide one taken off the narrow one."""
    offsets = np.arange(_SIDE) - _SIDE // 2
    squares = np.add.outer(offsets**2, offsets**2)
    narrow, wide = (np.exp(-squares / (2 * sigma**2)) for sigma in (centre, surround))
    return np.asarray(narrow / narrow.sum() - wide / wide.sum())


def difference_of_gaussians(pictures: NDArray[Any], centre: float = 1.0, surround: float = 4.0) -> NDArray[np.float64]:
    """Where pictures are brighter (on) and darker (off) than what surrounds them.

    Parameters
    ----------
    pictures : (N, C, H, W)
    centre, surround : float
        Deviations of the Gaussians, of 7x7 pixels.

    Returns
    -------
    contrasts : (N, 2 C, H, W) float64
        For each channel on and off, from 0 to 1, the largest of each picture being 1 (0 in an even one).

    Raises
    ------
    InputError
        If the surround is not wider than the centre.
    """
    from scipy.ndimage import correlate

    if not 0 < centre < surround:
        raise InputError(f"the surround must be wider than the centre (got {centre!r} and {surround!r})")
    kernel = _kernel(float(centre), float(surround))[None, None]
    signed = correlate(np.asarray(pictures, np.float64), kernel, mode="nearest")
    # What even areas leave is rounding alone.
    signed[np.abs(signed) < 1e-9] = 0
    return scaled(split_by_sign(signed))


def split_by_sign(signed: NDArray[Any]) -> NDArray[Any]:
    """(N, 2 C, H, W), for each channel what is positive and what is negative, both as positive numbers."""
    parts = np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=2)
    return parts.reshape(len(signed), -1, *signed.shape[2:])


def scaled(values: NDArray[Any]) -> NDArray[np.float64]:
    """Each picture over its largest value."""
    largest = values.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(values / np.where(largest > 0, largest, 1), np.float64)


def latencies(values: NDArray[Any], least: float = 0.0) -> Times:
    """Times 1 - x of values from 0 to 1; what is not above `least` never spikes."""
    array = np.asarray(values, np.float64)
    return np.where(array > least, 1 - array, np.inf)

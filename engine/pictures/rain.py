"""Rain over a clean picture, the way derainers are trained and measured here.

A drop that falls while the shutter is open leaves a streak: a line as long as the drop's way, blurred across by its
width, that lets light of the sky through in place of what lies behind. Near drops are few, long, wide and bright, far
ones many, short, thin and faint; all fall along one slant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .samples import as_unit

INTENSITIES: Mapping[str, float] = MappingProxyType({"light": 1.0, "medium": 2.5, "heavy": 6.0})
"""How many times as many streaks as in light rain."""

MARGIN = 32
"""Pixels around the picture in which streaks begin, too."""

SLANT, JITTER = 35.0, 3.0
"""Degrees from the vertical, at most: of all streaks, and of those of one depth from these."""

_THICKEST = 0.9
"""Share of the light that streaks can take the place of, one over the other."""


class Depth(NamedTuple):
    """Streaks of drops about as far away.

    Parameters
    ----------
    lengths, widths : (low, high)
        In pixels; those of a picture lie between.
    opacity : float
        Share of the light that the brightest of them let through from the sky.
    density : float
        Streaks that begin in a pixel, of light rain.
    """

    lengths: tuple[float, float]
    widths: tuple[float, float]
    opacity: float
    density: float


DEPTHS = (
    Depth((24.0, 40.0), (1.0, 1.6), 0.75, 1.2e-4),
    Depth((14.0, 26.0), (0.7, 1.1), 0.55, 5e-4),
    Depth((7.0, 15.0), (0.5, 0.8), 0.40, 2e-3),
)


def add_rain(picture: ArrayLike, intensity: str, seed: int) -> NDArray[np.float32]:
    """`picture` with rain from `numpy.random.default_rng(seed)`.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) array of float, uint8 or uint16
        Float samples in [0, 1], to which the others are taken.
    intensity : "light", "medium" or "heavy"
    seed : int
        Not negative.

    Returns
    -------
    array of float32, same shape, within [0, 1], not rounded

    Raises
    ------
    InputError
        If the picture is no array of such samples, there is no such intensity, or the seed is out of range.
    """
    check_intensity(intensity)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"the seed of the rain must be an integer of at least 0 (got {seed!r})")
    clean = as_unit(picture, "the picture").astype(np.float64)
    if clean.ndim not in (2, 3):
        raise InputError(f"the picture must be (H, W) or (H, W, C) to rain on (got the shape {clean.shape})")
    generator = np.random.default_rng(seed)
    covered = _covered(generator, clean.shape[0], clean.shape[1], INTENSITIES[intensity])
    covered = covered if clean.ndim == 2 else covered[..., None]
    light = generator.uniform(0.8, 1)
    # Light of the sky takes the place of the picture's, or is added to it, as where the shutter was open for long.
    veils = generator.random() < 0.5
    return np.clip(clean + covered * (light - clean if veils else 0.8 * light), 0, 1).astype(np.float32)


def check_intensity(intensity: str) -> str:
    """`intensity` where there is such rain; InputError otherwise."""
    if intensity not in INTENSITIES:
        raise InputError(f"rain is {', '.join(INTENSITIES)} (got {intensity!r:.80})")
    return intensity


def _covered(generator: np.random.Generator, height: int, width: int, times: float) -> NDArray[np.float64]:
    """(H, W): share of the light that streaks take the place of."""
    height, width = height + 2 * MARGIN, width + 2 * MARGIN
    slant, total = generator.uniform(-SLANT, SLANT), np.zeros((height, width))
    for depth in DEPTHS:
        angle = np.deg2rad(slant + generator.uniform(-JITTER, JITTER))
        length, blur = generator.uniform(*depth.lengths), generator.uniform(*depth.widths) / 2
        share = depth.density * times * generator.uniform(0.7, 1.3)
        streak = _streak(height, width, angle, length, blur)
        begins = generator.random((height, width)) < share
        drops = begins * generator.uniform(0.4, 1, (height, width)) * depth.opacity
        total += np.fft.irfft2(np.fft.rfft2(streak) * np.fft.rfft2(drops), (height, width))
    return np.clip(total, 0, _THICKEST)[MARGIN:-MARGIN, MARGIN:-MARGIN]


def _streak(height: int, width: int, angle: float, length: float, blur: float) -> NDArray[Any]:
    """(height, width): one streak about the first pixel, wrapped around, 1 at its brightest."""
    down, right = np.fft.fftfreq(height, 1 / height)[:, None], np.fft.fftfreq(width, 1 / width)[None]
    along = down * np.cos(angle) + right * np.sin(angle)
    across = right * np.cos(angle) - down * np.sin(angle)
    return np.asarray(np.exp(-0.5 * (across / blur) ** 2) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1))

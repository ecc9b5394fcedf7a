"""The pictures that speed is measured on: the example pictures with noise of sigma 25, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeunet.engine import add_noise, read_picture

SIGMA = 25.0


NAMES = {1: "camera.png", 3: "chelsea.png"}
"""By channels."""


def clean_picture(size: int, channels: int = 1) -> np.ndarray:
    """(size, size) or (size, size, 3) float64 in [0, 1]: a crop of the picture, or copies of it side by side."""
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / NAMES[channels]) / 255.0
    copies = -(-size // min(clean.shape[:2]))
    return np.tile(clean, (copies, copies, *[1] * (clean.ndim - 2)))[:size, :size]


def noisy_picture(size: int, channels: int = 1) -> np.ndarray:
    """(channels, size, size) float32: the clean picture with noise."""
    noisy = add_noise(clean_picture(size, channels), SIGMA, 0)
    return np.ascontiguousarray(np.atleast_3d(noisy).transpose(2, 0, 1), np.float32)

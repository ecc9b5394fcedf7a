"""The picture that speed is measured on: the example picture with noise of sigma 25, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeunet.engine import add_noise, read_picture

SIGMA = 25.0


def clean_picture(size: int) -> np.ndarray:
    """(size, size) float64 in [0, 1]: a crop of the picture, or copies of it side by side where it is too small."""
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png") / 255.0
    copies = -(-size // min(clean.shape))
    return np.tile(clean, (copies, copies))[:size, :size]


def noisy_picture(size: int) -> np.ndarray:
    """(1, size, size) float32: the clean picture with noise."""
    return np.ascontiguousarray(add_noise(clean_picture(size), SIGMA, 0)[None], np.float32)

"""The picture that speed is measured on: the example picture with noise of sigma 25, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeunet.engine import add_noise, read_picture


def noisy_picture(size: int) -> np.ndarray:
    """(1, size, size) float32: a crop of the picture, or copies of it side by side where it is too small."""
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png") / 255.0
    copies = -(-size // min(clean.shape))
    clean = np.tile(clean, (copies, copies))[:size, :size]
    return np.ascontiguousarray(add_noise(clean, 25, 0)[None], np.float32)

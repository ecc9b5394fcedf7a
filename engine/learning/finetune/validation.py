"""How well a denoiser does on whole pictures, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...graph import Network
from ...pictures.fitting import fitted
from ...pictures.metrics import psnr
from ...pictures.noise import add_noise
from ...pictures.padding import crop
from ...simulation import simulate
from ...tasks.restorers import prediction_in, restore


@dataclass(frozen=True)
class Validation:
    """Mean PSNR in dB over the pictures, and accumulates for each of their pixels, all steps together."""

    psnr: float
    accumulates_per_pixel: float


def validate_denoiser(
    network: Network,
    pictures: Sequence[NDArray[np.float32]],
    sigma: float,
    steps: int,
    threads: int | None = None,
) -> Validation:
    """Denoise clean pictures, (H, W, C) float32 in [0, 1], to which noise is added; the seed is the picture's index."""
    # Noise is drawn in the order of a picture file's samples.
    noisy = (
        add_noise(clean[..., 0] if clean.shape[2] == 1 else clean, sigma, seed).reshape(clean.shape)
        for seed, clean in enumerate(pictures)
    )
    return validate_pairs(network, zip(noisy, pictures, strict=True), steps, threads)


def validate_pairs(
    network: Network,
    pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
    steps: int,
    threads: int | None = None,
) -> Validation:
    """Denoise noisy pictures, (H, W, C) float32 with black 0 and white 1, each of which stands before its clean one."""
    scores, accumulates, pixels = [], 0, 0
    for noisy, clean in pairs:
        padded, origin = fitted(network, noisy.transpose(2, 0, 1), pads=True)
        result = simulate(network, np.ascontiguousarray(padded), steps=steps, threads=threads)
        output = crop(result.output, origin, (clean.shape[0], clean.shape[1]))
        scores.append(psnr(clean, restore(noisy, output[None], prediction_in(network.metadata))))
        accumulates += result.total_accumulates
        pixels += clean.shape[0] * clean.shape[1]
    return Validation(float(np.mean(scores)), accumulates / pixels)

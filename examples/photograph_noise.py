"""Noise like that of photographs, for `make_noisy_pairs.py`: what cameras left, made stronger, and noise of all sizes.

A camera smooths its noise before it writes it, colour more than brightness, and so differently from maker to maker that
what two of them leave does not teach what a third one leaves. So each picture's brightness and colour get other
strengths, at other sizes and in other places, and further noise is drawn octave by octave. Pictures are (H, W, 3) on
the scale from 0 to 255.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import camera_noise
import numpy as np
from numpy.typing import NDArray
from picture_crops import Samples
from PIL import Image
from scipy import ndimage

Picture = NDArray[np.float64]
Generator = np.random.Generator
Pair = tuple[Samples, Samples]

LUMA, FROM_LUMA = np.array(camera_noise.LUMA), np.array(camera_noise.FROM_LUMA)

DRIFT = 16.0
"""Standard deviation in pixels of the Gaussian that says what is no noise, but another exposure than the mean's."""
ORIGINALS, STRONGER, DRAWN = 2, 6, 3
"""Pairs of each photograph: as it is, with its or another one's noise made stronger, with noise that is drawn."""
STRENGTH = (0.7, 3.0)
"""Of the camera's noise, for brightness and for colour."""
BRIGHTNESS, COLOUR = (1.6, 1.7, 1.2, 0.85, 0.8, 0.7), (0.4, 0.6, 0.95, 1.0, 0.9, 0.8)
"""Noise of each octave, from single pixels to 32: about that of the two cameras that are learnt from."""
QUALITY, SUBSAMPLINGS = (85, 100), 3
"""Of JPEG: from, and up to; and ways to store colour."""


def photographed_pairs(noisy: Sequence[Samples], mean: Sequence[Samples], generator: Generator) -> Iterator[Pair]:
    """Noisy and clean pictures of photographs beside the means of many shots."""
    shots = [_without_drift(*shot) for shot in zip(noisy, mean, strict=True)]
    for samples, (clean, noise) in zip(noisy, shots, strict=True):
        target = _rounded(clean)
        for _ in range(ORIGINALS):
            yield samples, target
        for number in range(STRONGER):
            # The last two have the noise of another photograph, where their edges leave no trace in it.
            own = number < STRONGER - 2
            chosen = noise if own else _mirrored(shots[generator.integers(len(shots))][1], generator)
            pair = _perhaps_compressed(_rounded(clean + stronger(chosen, generator)), generator), target
            yield _smaller(pair, generator.uniform(0.55, 0.95)) if number % 2 else pair
        for number in range(DRAWN):
            _, seen = _smaller((target, target), generator.uniform(0.4, 0.8)) if number == 2 else (target, target)
            yield compressed(_rounded(seen + drawn(seen.astype(np.float64), generator)), generator), seen


def _without_drift(noisy: Samples, mean: Samples) -> tuple[Picture, Picture]:
    """What is to be learnt of a shot, and its noise: no network can know how bright the other shots were."""
    difference = noisy.astype(np.float64) - mean
    drift = ndimage.gaussian_filter(difference, (DRIFT, DRIFT, 0))
    return mean + drift, difference - drift


def stronger(noise: Picture, generator: Generator) -> Picture:
    """Brightness and colour of noise, each times a number of its own."""
    brightness, colour = (_log_uniform(generator, *STRENGTH) for _ in range(2))
    return noise @ LUMA.T * (brightness, colour, colour) @ FROM_LUMA.T


def drawn(clean: Picture, generator: Generator) -> Picture:
    """Noise of octaves, with other shares of them and another dependence on brightness each time."""
    strength = _log_uniform(generator, 0.4, 4.0)
    colour = strength * _log_uniform(generator, 0.4, 2.5)
    tilt, colour_tilt = generator.normal(0, 0.25), generator.normal(-0.1, 0.3)
    shape = clean.shape[:2]
    parts = (
        _octaves(shape, BRIGHTNESS, strength, tilt, generator),
        _octaves(shape, COLOUR, colour, colour_tilt, generator),
        _octaves(shape, COLOUR, colour * _log_uniform(generator, 0.6, 1.6), colour_tilt, generator),
    )
    brightness = ndimage.gaussian_filter(clean @ LUMA[0] / 255, 1.0)
    local = (brightness + 0.08) ** generator.uniform(-0.5, 0.5)
    return np.stack(parts, axis=-1) @ FROM_LUMA.T * (local / np.sqrt(np.mean(local**2)))[..., None]


def _octaves(
    shape: tuple[int, int], shares: Sequence[float], strength: float, tilt: float, generator: Generator
) -> Picture:
    """The sum of white noise at several sizes; a positive tilt makes fine noise stronger, and coarse noise weaker."""
    number = np.arange(len(shares))
    sizes = strength * np.array(shares) * np.exp(tilt * (2 - number) + generator.normal(0, 0.3, len(shares)))
    return sum((size * _octave(shape, octave, generator) for octave, size in enumerate(sizes)), np.zeros(shape))


def _octave(shape: tuple[int, int], octave: int, generator: Generator) -> Picture:
    """Noise of variance 1 whose grains are 2^octave pixels wide."""
    if octave == 0:
        return generator.standard_normal(shape)
    grain = 2**octave
    coarse = generator.standard_normal([size // grain + 5 for size in shape])
    fine = ndimage.zoom(coarse, grain, order=3, mode="grid-wrap", grid_mode=True)
    row, column = (grain + int(corner) for corner in generator.integers(0, 2 * grain, 2))
    found = fine[row : row + shape[0], column : column + shape[1]]
    return found / found.std()


def compressed(picture: Samples, generator: Generator) -> Samples:
    """What JPEG leaves of a picture."""
    quality, subsampling = int(generator.integers(*QUALITY)), int(generator.integers(SUBSAMPLINGS))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def _perhaps_compressed(picture: Samples, generator: Generator) -> Samples:
    return compressed(picture, generator) if generator.random() < 0.3 else picture


def _mirrored(noise: Picture, generator: Generator) -> Picture:
    rows, columns = (slice(None, None, -1 if generator.random() < 0.5 else 1) for _ in range(2))
    return noise[rows, columns]


def _smaller(pair: Pair, factor: float) -> Pair:
    """Both pictures at another size, in multiples of 8."""
    height, width = (int(side * factor) // 8 * 8 for side in pair[0].shape[:2])
    noisy, clean = (
        np.asarray(Image.fromarray(side).resize((width, height), Image.Resampling.BICUBIC)) for side in pair
    )
    return noisy, clean


def _rounded(picture: Picture) -> Samples:
    return np.rint(picture.clip(0, 255)).astype(np.uint8)


def _log_uniform(generator: Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))

"""Noise as detectors and cameras make it, on batches of clean pictures, for `train_denoiser.py`.

All functions take clean pictures, (N, C, H, W) float32 from 0 to 1, and return noisy ones (and clean ones, where the
scale changes); random numbers are PyTorch's, on the pictures' device.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as functional
from torch import Tensor

Range = tuple[float, float]
Table = tuple[tuple[float, ...], ...]


def uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number for each picture, (N, 1, 1, 1)."""
    return torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(low, high)


def log_uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number for each picture, (N, 1, 1, 1), its logarithm uniform."""
    return uniform(x, math.log(low), math.log(high)).exp()


def white(clean: Tensor, sigma: Range) -> Tensor:
    """White Gaussian noise of a level between two, on the 0-255 scale."""
    return clean + torch.randn_like(clean) * uniform(clean, *sigma) / 255


def chance(x: Tensor, probability: float) -> Tensor:
    """1 for a share of the pictures, 0 for the others, (N, 1, 1, 1)."""
    return (uniform(x, 0, 1) < probability).to(x.dtype)


# Cameras: shot and read noise in linear light, a mosaic of colours, white balance, gamma, smoothing, JPEG.


def camera(clean: Tensor) -> Tensor:
    """Colour pictures as a camera writes them; the levels of noise are those of Brooks et al., CVPR 2019, section 3.1.

    The noise is what the mosaic's noise becomes when it is interpolated; the pictures themselves stay as sharp as they
    are.
    """
    gains = torch.cat(
        [log_uniform(clean, 1.2, 2.4), torch.ones_like(clean[:, :1, :1, :1]), log_uniform(clean, 1.2, 2.4)], 1
    )
    raw = to_linear(clean) / gains
    shot = log_uniform(clean, 1e-4, 1.2e-2)
    read = (2.18 * shot.log() + 1.2 + 0.26 * torch.randn_like(shot)).exp()
    noise = demosaic(torch.randn_like(raw) * (shot * raw + read).sqrt())
    noisy = to_gamma(((raw + noise) * gains).clamp(0, 1))
    return smoothed(noisy - clean, clean)


def to_linear(x: Tensor) -> Tensor:
    """Linear light of sRGB values."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def to_gamma(x: Tensor) -> Tensor:
    """sRGB values of linear light."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def demosaic(x: Tensor) -> Tensor:
    """What is left of red, green and blue under a Bayer filter, interpolated between neighbours."""
    mask = torch.zeros_like(x[:1])
    mask[:, 0, 0::2, 0::2] = 1
    mask[:, 1, 0::2, 1::2] = 1
    mask[:, 1, 1::2, 0::2] = 1
    mask[:, 2, 1::2, 1::2] = 1
    kernel = constant(((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25)), x.device).expand(3, 1, 3, 3)
    known = functional.conv2d(mask, kernel, padding=1, groups=3)
    return functional.conv2d(x * mask, kernel, padding=1, groups=3) / known


def smoothed(noise: Tensor, clean: Tensor) -> Tensor:
    """Pictures with noise that a camera has smoothed, colour more than brightness, and stored as JPEG in most cases."""
    luma, blue, red = to_luma(noise).unbind(1)
    soft = log_uniform(noise, 0.2, 1.2), log_uniform(noise, 0.4, 4.0)
    parts = [blurred(luma[:, None], soft[0]), blurred(blue[:, None], soft[1]), blurred(red[:, None], soft[1])]
    strength = log_uniform(noise, 0.3, 2.0)
    noisy = clean + strength * from_luma(torch.cat(parts, 1))
    return torch.where(chance(clean, 0.85) > 0, jpeg(noisy), (noisy * 255).round() / 255).clamp(0, 1)


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Each picture under a Gaussian of its own width, (N, 1, H, W)."""
    reach = torch.arange(-6, 7, device=x.device)
    kernel = (-(reach**2) / (2 * sigma.reshape(-1, 1) ** 2)).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    rows = functional.conv2d(x.transpose(0, 1), kernel[:, None, :, None], padding=(6, 0), groups=len(x))
    return functional.conv2d(rows, kernel[:, None, None, :], padding=(0, 6), groups=len(x)).transpose(0, 1)


def to_luma(x: Tensor) -> Tensor:
    """Y, Cb and Cr of JPEG, without the offset."""
    return torch.einsum("oc,nchw->nohw", constant(LUMA, x.device), x)


def from_luma(x: Tensor) -> Tensor:
    return torch.einsum("oc,nchw->nohw", constant(FROM_LUMA, x.device), x)


@functools.cache
def constant(values: Table, device: torch.device) -> Tensor:
    """A table on a device, brought there once: a graph of CUDA cannot copy it."""
    return torch.tensor(values, device=device, dtype=torch.float32)


LUMA = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
FROM_LUMA = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *(((99,) * 8,) * 4),
)  # fmt: skip
"""Annex K of the JPEG standard."""


def jpeg(x: Tensor, quality: Range = (60, 98)) -> Tensor:
    """What JPEG leaves of colour pictures: blocks of 8x8, half of them with colour at half the size."""
    level = uniform(x, *quality)
    scale = torch.where(level < 50, 50 / level, 2 - level / 50)
    luma, blue, red = (255 * to_luma(x)).unbind(1)
    colour = torch.stack([blue, red], 1)
    small = functional.avg_pool2d(colour, 2)
    coarse = functional.interpolate(_blocks(small, CHROMA_TABLE, scale), scale_factor=2.0, mode="bilinear")
    colour = torch.where(chance(x, 0.5) > 0, coarse, _blocks(colour, CHROMA_TABLE, scale))
    return from_luma(torch.cat([_blocks(luma[:, None], LUMA_TABLE, scale), colour], 1) / 255)


def _blocks(x: Tensor, table: Table, scale: Tensor) -> Tensor:
    """Blocks of 8x8 with rounded cosine coefficients."""
    number, channels, height, width = x.shape
    blocks = x.reshape(number, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    cosine = _cosine(x.device)
    steps = (constant(table, x.device) * scale.reshape(-1, 1, 1)).clamp(min=1)
    steps = steps[:, None, None, None]
    found = (cosine @ blocks @ cosine.T / steps).round() * steps
    return (cosine.T @ found @ cosine).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)


@functools.cache
def _cosine(device: torch.device) -> Tensor:
    index = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos((2 * index + 1) * index[:, None] * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.to(device, torch.float32)


# Microscopes: photons and read noise in a part of the range.


def micrograph(clean: Tensor, photons: Range = (2.0, 1000.0)) -> tuple[Tensor, Tensor]:
    """Noisy and clean gray pictures as a detector of so many photons at the brightest point counts them.

    Brightness is distributed as micrographs have it: mostly dark, or mostly bright, with a black level.
    """
    low, high = clean.amin((2, 3), keepdim=True), clean.amax((2, 3), keepdim=True)
    scene = ((clean - low) / (high - low).clamp(min=0.05)).clamp(0, 1)
    scene = torch.where(chance(scene, 0.2) > 0, 1 - scene, scene) ** log_uniform(scene, 0.5, 3.0)
    dark = uniform(scene, 0, 0.3) * chance(scene, 0.7)
    scene = dark + (1 - dark) * scene
    most = log_uniform(scene, *photons)
    read = uniform(scene, 0, 1.5)
    counted = torch.poisson(most * scene) + read * torch.randn_like(scene)
    # The range is that of nearly all noisy samples: wider than the scene's, the fewer photons there are.
    room = uniform(scene, 0.0, 2.0) * (scene.mean((2, 3), keepdim=True) / most + read**2 / most**2).sqrt()
    span = 1 + 2 * room
    return (counted / most + room) / span, (scene + room) / span

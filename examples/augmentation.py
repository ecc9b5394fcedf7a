"""Random distortions of a picture and its labels for training, as crops: Ronneberger et al., arXiv 1505.04597, 3.1.

A crop is sampled once, through the composition of a turn, a scale, a mirror and a smooth random displacement, so that
nothing is blurred twice and nothing outside a crop is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

GRID = 4
"""Random displacements stand at so many points of each side of a crop, with a cubic interpolation between them."""


@dataclass(frozen=True)
class Distortions:
    """How far pictures are distorted.

    Parameters
    ----------
    turns : bool
        Whether up and down mean nothing: any angle, and mirrored both ways. Otherwise mirrored left to right only.
    angle : float
        Largest turn either way in degrees where `turns` is off.
    scale : (float, float)
        Range of sizes, drawn evenly in the logarithm.
    elastic : float
        Standard deviation of the displacements in pixels.
    contrast, brightness : float
        Largest relative and absolute change, for samples in [0, 1].
    color : float
        Largest relative change of one channel against the others.
    """

    turns: bool = True
    angle: float = 0.0
    scale: tuple[float, float] = (0.8, 1.25)
    elastic: float = 0.0
    contrast: float = 0.2
    brightness: float = 0.1
    color: float = 0.0


def sampling_grid(
    distortions: Distortions,
    crop: int,
    centre: tuple[float, float],
    size: tuple[int, int],
    generator: np.random.Generator,
) -> Tensor:
    """Where each pixel of a crop comes from, (1, crop, crop, 2) in `grid_sample`'s coordinates.

    Parameters
    ----------
    distortions : Distortions
    crop : int
        Height and width.
    centre : (row, column)
        Of the crop in the picture, in pixels.
    size : (H, W)
        Of the picture.
    generator : numpy Generator
    """
    largest = 180.0 if distortions.turns else distortions.angle
    angle = math.radians(generator.uniform(-largest, largest))
    low, high = distortions.scale
    zoom = math.exp(generator.uniform(math.log(low), math.log(high)))
    mirror = -1.0 if generator.integers(2) else 1.0
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    offsets = torch.arange(crop, dtype=torch.float32) - (crop - 1) / 2
    rows, columns = offsets[:, None], offsets[None, :] * mirror
    places = torch.stack([cosine * columns - sine * rows, sine * columns + cosine * rows], dim=-1)
    if distortions.elastic:
        coarse = generator.normal(0.0, distortions.elastic, (1, 2, GRID, GRID)).astype(np.float32)
        smooth = functional.interpolate(torch.from_numpy(coarse), size=(crop, crop), mode="bicubic", align_corners=True)
        places = places + smooth[0].permute(1, 2, 0)
    places = places + torch.tensor([centre[1], centre[0]], dtype=torch.float32)
    scale = torch.tensor([2 / size[1], 2 / size[0]], dtype=torch.float32)
    return ((places + 0.5) * scale - 1)[None]


def distort(
    picture: Tensor,
    labels: Tensor,
    distortions: Distortions,
    crop: int,
    generator: np.random.Generator,
    centre: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """A distorted crop.

    Parameters
    ----------
    picture : (C, H, W) float32
    labels : (H, W) float32
        Classes; what lies outside of the picture is reflected into it.

    Returns
    -------
    (C, crop, crop) float32 in [0, 1] and (crop, crop) int64
    """
    grid = sampling_grid(distortions, crop, centre, tuple(labels.shape), generator)
    sampled = functional.grid_sample(picture[None], grid, "bilinear", "reflection", align_corners=False)[0]
    classes = functional.grid_sample(labels[None, None], grid, "nearest", "reflection", align_corners=False)[0, 0]
    return shade(sampled, distortions, generator), classes.round().long()


def shade(picture: Tensor, distortions: Distortions, generator: np.random.Generator) -> Tensor:
    """The picture, (C, H, W) in [0, 1], with its contrast about its mean, its brightness and its colours changed."""
    colors = 1 + generator.uniform(-distortions.color, distortions.color, (len(picture), 1, 1))
    contrast = 1 + generator.uniform(-distortions.contrast, distortions.contrast)
    brightness = generator.uniform(-distortions.brightness, distortions.brightness)
    mean = picture.mean()
    changed = (picture * torch.from_numpy(colors.astype(np.float32)) - mean) * contrast + mean + brightness
    return changed.clamp_(0, 1)

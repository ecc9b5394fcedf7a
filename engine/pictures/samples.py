"""What may be a picture's samples, and their transparency apart from their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .picture_files import check_range

_PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")

FLOAT_LIMITS = (-8.0, 9.0)
"""Noise of any sensible strength keeps a picture in [0, 1] within these; samples from 0 to 255 are outside."""


def check_picture(samples: NDArray[Any]) -> None:
    """PictureError where an array is no picture: its shape, sample type or range."""
    shape = samples.shape
    if len(shape) not in (2, 3) or not samples.size or (len(shape) == 3 and shape[2] > 4):
        raise PictureError(f"a picture must have the shape (H, W) or (H, W, 1 to 4), none of them 0 (got {shape})")
    if samples.dtype.name not in _PICTURE_TYPES:
        raise PictureError(f"picture samples must be uint8, uint16 or float (got {samples.dtype})")
    if samples.dtype.kind == "f":
        check_range(samples, *FLOAT_LIMITS)


def split_transparency(samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Gray or colour samples, and the transparency (H, W) where the picture has 2 or 4 channels.

    Gray with transparency gives (H, W), so that noise is drawn for it as for any gray picture.
    """
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        colors = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
        return colors, samples[..., -1]
    return samples, None


def join_transparency(samples: NDArray[Any], transparency: NDArray[Any] | None) -> NDArray[Any]:
    """The inverse of `split_transparency`, both of the same sample type."""
    return samples if transparency is None else np.dstack([samples, transparency])

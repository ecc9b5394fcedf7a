"""What may be a picture's samples, and their transparency apart from their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import as_array
from ..errors import InputError, PictureError
from .ranges import SampleRange, check_near, check_range, convert_samples

_PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")


def as_picture(picture: object, sample_range: SampleRange = (0.0, 1.0)) -> NDArray[Any]:
    """What a caller gives for a picture, as an array; float samples must lie somewhere near black and white.

    Raises
    ------
    PictureError
        If it is no picture: its shape, sample type or samples, or some are masked.
    """
    samples = as_array(picture, "the picture", PictureError)
    check_shape(samples)
    if samples.dtype.kind == "f":
        colors, transparency = split_transparency(samples)
        check_near(colors, sample_range)
        if transparency is not None:
            check_range(transparency)
    return samples


def check_shape(samples: NDArray[Any]) -> None:
    """PictureError where an array has not the shape or the sample type of a picture."""
    shape = samples.shape
    if len(shape) not in (2, 3) or not samples.size or (len(shape) == 3 and shape[2] > 4):
        raise PictureError(f"a picture must have the shape (H, W) or (H, W, 1 to 4), none of them 0 (got {shape})")
    if samples.dtype.name not in _PICTURE_TYPES:
        raise PictureError(f"picture samples must be uint8, uint16 or float (got {samples.dtype})")


def as_unit(picture: object, what: str) -> NDArray[np.float64]:
    """What a caller gives for samples from 0 to 1 of any shape; uint8 and uint16 are taken to that scale.

    Raises
    ------
    InputError
        If it is no array, or of another type.
    """
    samples = as_array(picture, what)
    if samples.dtype.name in ("uint8", "uint16"):
        return convert_samples(samples, np.dtype(np.float64))
    if samples.dtype.kind not in "fb":
        raise InputError(f"{what} must be float from 0 to 1, uint8 or uint16 (got {samples.dtype}); convert it")
    return samples.astype(np.float64)


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


def without_equal_channels(samples: NDArray[Any]) -> NDArray[Any]:
    """Gray, with its transparency if any, where the three colour channels of (H, W, 3 or 4) are equal."""
    if samples.ndim != 3 or samples.shape[2] < 3:
        return samples
    red, green, blue = samples[..., 0], samples[..., 1], samples[..., 2]
    if not ((red == green).all() and (green == blue).all()):
        return samples
    return red if samples.shape[2] == 3 else np.delete(samples, (1, 2), axis=2)

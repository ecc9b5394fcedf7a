"""Pictures of another size, for networks that take one size alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MOST_SIDE = 4096
"""Pixels of a side that a picture may be resized to."""

MOST_PIXELS = 1 << 24
"""Pixels that a picture may be resized to, which a shorter side alone does not say."""

Picture = NDArray[np.float32]


def resize(picture: Picture, height: int, width: int) -> Picture:
    """(height, width, C) float32: bilinear; where it shrinks, over all the pixels that become one, as Pillow does it.

    PyTorch's `torchvision.transforms.Resize` is that, too, but for rounding to 8 bits.

    Raises
    ------
    InputError
        If that are more pixels than anything needs.
    """
    from PIL import Image

    if height * width > MOST_PIXELS:
        raise InputError(f"a picture would be resized to {height}x{width}, more than {MOST_PIXELS} pixels; crop it")
    if picture.shape[:2] == (height, width):
        return picture
    planes = [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(picture, 2, 0)]
    resized: list[NDArray[Any]] = [
        np.asarray(each.resize((width, height), Image.Resampling.BILINEAR)) for each in planes
    ]
    return np.stack(resized, axis=2)


def resize_shorter(picture: Picture, side: int) -> Picture:
    """As `resize`, so that the shorter side becomes `side` and the other one, rounded down, keeps the proportions."""
    height, width = picture.shape[:2]
    if height <= width:
        return resize(picture, side, side * width // height)
    return resize(picture, side * height // width, side)


def center_crop(picture: Picture, height: int, width: int) -> Picture:
    """The middle of a picture, (height, width, C); InputError where it is smaller."""
    top, left = (picture.shape[0] - height) / 2, (picture.shape[1] - width) / 2
    if top < 0 or left < 0:
        raise InputError(
            f"the picture is {picture.shape[0]}x{picture.shape[1]}, too small to take {height}x{width} out of its "
            "middle; resize it first"
        )
    # Halves to the nearest even number, as torchvision.transforms.CenterCrop has it.
    return picture[round(top) :, round(left) :][:height, :width]


def shrunk(picture: Picture, halvings: int) -> Picture:
    """Means of squares of 2^halvings pixels a side, of (H, W) or (H, W, C); squares over the edge repeat its pixels."""
    if not halvings:
        return picture
    side = 2**halvings
    fill = [(0, -picture.shape[0] % side), (0, -picture.shape[1] % side), *[(0, 0)] * (picture.ndim - 2)]
    whole = np.pad(picture, fill, mode="edge")
    rows, columns = whole.shape[0] // side, whole.shape[1] // side
    means: Picture = whole.reshape(rows, side, columns, side, *whole.shape[2:]).mean(axis=(1, 3), dtype=np.float64)
    return means.astype(np.float32)


def enlarged(small: Picture, shape: tuple[int, ...], halvings: int) -> Picture:
    """A picture of a shape that looks like what `shrunk` made of it, bilinear."""
    from PIL import Image

    side = 2**halvings
    size = (small.shape[1] * side, small.shape[0] * side)
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(size, Image.Resampling.BILINEAR))
        for plane in np.moveaxis(np.atleast_3d(small), 2, 0)
    ]
    large: Picture = np.stack(planes, axis=2)[: shape[0], : shape[1]].reshape(shape)
    return large

"""Pad a picture by reflection to a size that a network takes, and crop what comes out of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pad_to_multiple(picture: NDArray[np.float32], multiple: int) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Pad the last two axes by reflection to multiples of `multiple`, half on each side.

    A picture that is smaller than the padding is reflected as often as it takes; an axis of one pixel is repeated.

    Parameters
    ----------
    picture : (..., H, W) float32
    multiple : int
        At least 1.

    Returns
    -------
    padded : (..., H', W') float32
    origin : (top, left)
        Position of the picture's first pixel in `padded`.
    """
    height, width = (size + -size % multiple for size in picture.shape[-2:])
    return pad_to(picture, (height, width))


def pad_to(picture: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """`pad_to_multiple`, to a height and a width that are no smaller than the picture's."""
    missing = [wanted - side for wanted, side in zip(size, picture.shape[-2:], strict=True)]
    if not any(missing):
        return picture, (0, 0)
    widths = [(0, 0)] * (picture.ndim - 2) + [(extra // 2, extra - extra // 2) for extra in missing]
    return np.pad(picture, widths, mode="reflect"), (missing[0] // 2, missing[1] // 2)


def crop(picture: NDArray[np.float32], origin: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """The window of `size` (H, W) at `origin` (top, left) of the last two axes; a view."""
    (top, left), (height, width) = origin, size
    return picture[..., top : top + height, left : left + width]

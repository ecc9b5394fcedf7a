"""The labels of an example: read, checked against its picture and the model's classes, void and mask taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PictureError, SpikeunetError
from ..pictures.label_files import mask_samples, starts_with_white
from ..pictures.labels import class_indices, read_labels
from .dataset import Example

VOID = -1
"""Label of the pixels that do not count."""


def read_example_labels(
    example: Example, size: tuple[int, int], classes: int, void: int | None = None
) -> NDArray[np.int64]:
    """Class of each pixel, and -1 where it is void or outside the mask.

    Parameters
    ----------
    example : Example
        With a reference.
    size : (H, W)
        Of its picture.
    classes : int
    void : int or None

    Returns
    -------
    (H, W) int64

    Raises
    ------
    InputError, PictureError, OSError
        If a file cannot be read, differs from the picture in size, has labels that are no class, or none that counts.
    """
    if example.reference is None:
        raise InputError(f"{example.picture}: has no labels; give a folder of label pictures")
    labels = read_labels(example.reference)
    _check_size(example.reference, labels, example.picture, size)
    _check_palette(example.reference, classes)
    try:
        indices = class_indices(labels, classes, void)
    except SpikeunetError as error:
        raise InputError(f"{example.reference}: {error}") from None
    if example.mask is not None:
        indices[~_read_mask(example.mask, example.picture, size)] = VOID
    if (indices == VOID).all():
        raise InputError(f"{example.reference}: no pixel counts, all are void or outside the mask; leave it out")
    return indices


def _read_mask(path: Path, picture: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    inside = mask_samples(path)
    _check_size(path, inside, picture, size)
    return inside


def _check_palette(path: Path, classes: int) -> None:
    if classes == 2 and starts_with_white(path):
        raise InputError(
            f"{path}: its palette shows class 0 white and class 1 black, which is mostly a mistake; save it as gray, 0 "
            "and 255"
        )


def _check_size(path: Path, samples: NDArray[Any], picture: Path, size: tuple[int, int]) -> None:
    if samples.shape[:2] != size:
        found, wanted = ("x".join(map(str, shape)) for shape in (samples.shape[:2], size))
        raise PictureError(f"{path}: is {found}, but {picture} is {wanted}; they must agree")

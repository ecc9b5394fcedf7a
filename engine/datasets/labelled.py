"""The labels of an example: read, checked against its picture and the model's classes, void and mask taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PictureError, SpikeunetError
from ..pictures.labels import class_indices, read_labels
from ..pictures.picture_files import read_picture
from ..pictures.samples import split_transparency
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
    samples, _ = split_transparency(read_picture(path))
    _check_size(path, samples, picture, size)
    return np.asarray(samples.reshape(*size, -1).any(axis=2))


def _check_size(path: Path, samples: NDArray[Any], picture: Path, size: tuple[int, int]) -> None:
    if samples.shape[:2] != size:
        found, wanted = ("x".join(map(str, shape)) for shape in (samples.shape[:2], size))
        raise PictureError(f"{path}: is {found}, but {picture} is {wanted}; they must agree")

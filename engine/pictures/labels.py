"""Label pictures: one class index for each pixel, as indexed PNG with a palette; overlays; classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, PictureError
from .beyond_imageio import indexed_png
from .label_files import label_samples
from .picture_files import convert_samples
from .streams import Place, is_path, name_of, written

MAXIMUM_CLASSES = 256
"""An indexed PNG has no more entries in its palette."""

OVERLAY_OPACITY = 0.5

_WHITES = (255, 65535)

Labels = NDArray[np.uint8]


def read_labels(path: Place) -> NDArray[np.int64]:
    """Read a label picture: a palette's indices, or gray samples as they are.

    Parameters
    ----------
    path : path or binary file object
        PNG, TIFF, BMP or PGM of one channel: indexed, gray of 8 or 16 bits, or black and white, which is 0 and 255. Or
        a GIF whose palette is gray.

    Returns
    -------
    (H, W) int64

    Raises
    ------
    PictureError
        If the file is no such picture, or leaves open which number a pixel has.
    OSError
        If the file is missing or may not be read.
    """
    samples = label_samples(path)
    if samples.ndim != 2 or samples.dtype.kind != "u":
        found = "x".join(map(str, samples.shape))
        raise PictureError(
            f"{name_of(path)}: a label picture has one channel of whole numbers (got {found} {samples.dtype}); "
            "save it as gray or indexed PNG"
        )
    return samples.astype(np.int64)


def class_indices(labels: NDArray[np.int64], classes: int, void: int | None = None) -> NDArray[np.int64]:
    """Labels as classes 0 ... classes - 1, and -1 where the label is `void`.

    For two classes, white (255, or 65535 of 16 bits) stands for class 1, as black-and-white label pictures have it.

    Raises
    ------
    InputError
        If a label is neither a class nor void, or two different ones would be class 1.
    """
    indices = labels.copy()
    if classes == 2:
        _whiten(indices, void)
    if void is not None:
        indices[labels == void] = -1
    strange = np.unique(indices[(indices < -1) | (indices >= classes)])
    if strange.size:
        raise InputError(
            f"label {strange[0]} is not one of the classes 0 to {classes - 1}"
            + ("" if void is None else f" nor void ({void})")
            + "; name the void label, or use label pictures of this model's classes"
        )
    return indices


def _whiten(indices: NDArray[np.int64], void: int | None) -> None:
    """Make white class 1, in place; a 1 beside it is refused, for white often means void then."""
    ones = [label for label in (1, *_WHITES) if label != void and (indices == label).any()]
    if len(ones) > 1:
        raise InputError(f"labels {ones[0]} and {ones[1]} could both be class 1; name the void label")
    for label in ones:
        indices[indices == label] = 1


def write_labels(path: Place, labels: ArrayLike, palette: Sequence[Sequence[int]]) -> None:
    """Write class indices as an indexed PNG, completely or not at all.

    Parameters
    ----------
    path : path or binary file object
    labels : (H, W) integer
        From 0 to len(palette) - 1.
    palette : sequence of (red, green, blue), 0 to 255

    Raises
    ------
    PictureError
        If the suffix is not .png or the labels are not of the palette.
    OSError
        If the file cannot be written; whatever was there is kept.
    """
    check_label_suffix(path)
    indices = np.asarray(labels)
    fits = indices.ndim == 2 and indices.size and indices.dtype.kind in "iu"
    if not fits or indices.min() < 0 or indices.max() >= len(palette):
        raise PictureError(
            f"{name_of(path)}: labels must be (H, W) class indices from 0 to {len(palette) - 1} "
            f"(got {indices.dtype} {indices.shape})"
        )
    content = indexed_png(indices.astype(np.uint8), palette)
    with written(path) as stream:
        stream.write(content)


def check_label_suffix(path: Place) -> None:
    """PictureError where `path` is not a PNG by its suffix, the format that holds indices and a palette."""
    if is_path(path) and PurePath(name_of(path)).suffix.lower() != ".png":
        raise PictureError(f"{name_of(path)}: label pictures are indexed PNG files; choose a name that ends in .png")


def overlay(
    picture: NDArray[Any], labels: Labels, palette: Sequence[Sequence[int]], opacity: float = OVERLAY_OPACITY
) -> NDArray[np.uint8]:
    """The picture with its classes' colours laid over it.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16 or float in [0, 1]
        Without transparency.
    labels : (H, W) integer
    palette : sequence of (red, green, blue)
    opacity : float
        Of the colours, 0 to 1.

    Returns
    -------
    (H, W, 3) uint8
    """
    gray = convert_samples(picture, np.dtype(np.uint8)).reshape(*picture.shape[:2], -1)
    colors = np.asarray(palette, np.float64)[labels]
    return np.rint((1 - opacity) * gray + opacity * colors).astype(np.uint8)


def classes_of(metadata: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of a model's classes, from its metadata or by number; InputError where they do not fit its outputs."""
    names = metadata.get("classes")
    if names is None:
        return tuple(f"class {index}" for index in range(count))
    texts = isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(name, str) for name in names)
    if not texts or len(names) != count or len(set(names)) != count or not all(names):
        raise InputError(
            f"the model's metadata must have {count} different names of classes, one an output (got {names!r:.80})"
        )
    return tuple(names)


def palette_of(metadata: Mapping[str, Any], count: int) -> tuple[tuple[int, int, int], ...]:
    """Colours of a model's classes, from its metadata or `default_palette`; InputError where they do not fit."""
    colors = metadata.get("palette")
    if colors is None:
        return default_palette(count)
    if not isinstance(colors, Sequence) or len(colors) != count or not all(map(_is_color, colors)):
        raise InputError(
            f"the model's metadata must have a palette of {count} colours, each [red, green, blue] from 0 to 255 "
            f"(got {colors!r:.80})"
        )
    return tuple((red, green, blue) for red, green, blue in colors)


def _is_color(color: object) -> bool:
    if not isinstance(color, Sequence) or len(color) != 3:
        return False
    return all(type(sample) is int and 0 <= sample <= 255 for sample in color)


def default_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Black and white for two classes, else the colours of the PASCAL VOC challenge: black, maroon, green, ..."""
    if count == 2:
        return ((0, 0, 0), (255, 255, 255))
    return tuple(map(_voc_color, range(count)))


def _voc_color(index: int) -> tuple[int, int, int]:
    """The index's bits 0, 3, 6 are red's highest bits, 1, 4, 7 green's, 2, 5 blue's."""
    samples = [sum((index >> (3 * place + color) & 1) << (7 - place) for place in range(3)) for color in range(3)]
    return samples[0], samples[1], samples[2]

"""Read the samples of label pictures and masks, where a number counts and not the shade that a viewer shows.

What a file leaves open is refused: a palette in an order that means nothing, white stored as 0, masks that compression
has blurred.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from ..quiet import without_warnings
from .beyond_imageio import opened_tiff
from .decoding import TIFF_STARTS, opened_picture
from .opening import opened_by
from .picture_files import load_picture, named_errors, read_picture
from .samples import split_transparency
from .streams import Place, name_of, opened

LABEL_SUFFIXES = (".gif",)
"""What label pictures and masks may end with besides the suffixes of pictures: DRIVE has them as GIF."""

_GIF_STARTS = (b"GIF87a", b"GIF89a")
_LONGEST_START = 8
_JPEG_START = b"\xff\xd8"

_WHITE_IS_ZERO = 0
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Samples = NDArray[Any]


def label_samples(source: Place) -> Samples:
    """Numbers of a label picture: a palette's indices, gray samples as they are, the grays of a GIF.

    `source` is a path or a binary file object, of which all is read.

    Raises
    ------
    PictureError
        If the file is no such picture, or leaves open which number a pixel has.
    OSError
        If the file is missing or may not be read.
    """
    with opened(source) as stream:
        if _is_gif(stream):
            return _gif_grays(stream, name_of(source))
        stream.seek(0)
        start = stream.read(_LONGEST_START)
        stream.seek(0)
        samples = load_picture(stream, indices=True).samples
        return _as_stored(stream, name_of(source), samples) if start.startswith(TIFF_STARTS) else samples


def mask_samples(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """(H, W): where a mask is not black, transparency left out.

    Raises
    ------
    PictureError
        If the file is no picture, or leaves open where that is.
    OSError
        If the file is missing or may not be read.
    """
    with open(path, "rb") as stream:
        start = stream.read(_LONGEST_START)
        if start.startswith(_GIF_STARTS):
            return _gif_grays(stream, os.fspath(path)) > 0
        samples, _ = split_transparency(read_picture(path))
        if start.startswith(TIFF_STARTS):
            samples = _as_stored(stream, os.fspath(path), samples)
    if start.startswith(_JPEG_START) and len(np.unique(samples)) > 2:
        raise PictureError(f"{path}: a mask is black where nothing is scored, and JPEG blurs that; save it as PNG")
    return np.asarray(samples.reshape(*samples.shape[:2], -1).any(axis=2))


def starts_with_white(path: str | os.PathLike[str]) -> bool:
    """Whether a label picture has a palette that shows index 0 white and index 1 black."""
    try:
        with without_warnings(), open(path, "rb") as stream, opened_by("pillow", stream) as image:
            colors = image.read(index=0)  # the palette is known only then
            palette = image.metadata(index=0, exclude_applied=False).get("palette", ())
            if tuple(map(tuple, palette[:2])) != (_WHITE, _BLACK) or _is_gif(stream):
                return False
            # A colour that stands in a palette twice is named once.
            return not colors[image.read(index=0, mode="P") == 1].any()
    except Exception:  # noqa: BLE001 - whether it is a picture is checked by who reads it
        return False


def _is_gif(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(_LONGEST_START).startswith(_GIF_STARTS)


def _gif_grays(stream: BinaryIO, name: str) -> Samples:
    """(H, W) uint8 grays that a GIF's palette stands for; the order of its entries is the encoder's affair."""
    with named_errors(name), opened_picture(stream) as (image, _, (frames, _, _)):
        samples = image.read(index=0, mode="RGB")
    if frames > 1:
        raise PictureError(f"{name}: holds {frames} pictures; save the one to use as a file of its own")
    if (samples != samples[..., :1]).any():
        raise PictureError(f"{name}: a GIF with colours does not say which is which class; save it as indexed PNG")
    return np.ascontiguousarray(samples[..., 0])


def _as_stored(stream: BinaryIO, name: str, samples: Samples) -> Samples:
    """Samples of a TIFF, which must not say that white is 0: its numbers and its shades run against each other.

    tifffile writes arrays of bool that way, and means their numbers.
    """
    with opened_tiff(stream) as tiff:
        page: Any = tiff.pages[0]
        if page.photometric != _WHITE_IS_ZERO:
            return samples
        if page.bitspersample == 1 and str(page.software).startswith("tifffile"):
            return np.asarray(page.asarray(), np.uint8) * np.uint8(255)
    raise PictureError(
        f"{name}: a TIFF whose white is 0 leaves open whether the stored numbers count or the shades that are shown; "
        "save it as PNG"
    )

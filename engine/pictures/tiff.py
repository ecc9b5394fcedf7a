"""Read a TIFF of gray, colour, palette or one-bit samples.

tifffile and imagecodecs raise what they have to say about damage; libtiff, which Pillow would decode with, writes lines
of its own to stderr.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from ..quiet import quiet_logger

_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_PALETTE, _YCBCR = 3, 6
_MOST_PAGES = 100
_MOST_BYTES = {1: 1, 5: 1400, 8: 1040, 32946: 1040, 32773: 64}
"""Bytes that one byte of a compression (none, LZW, deflate, PackBits) can stand for at most; others have no bound."""


@dataclass(frozen=True, eq=False)
class TiffPicture:
    """The samples (H, W, C) of a TIFF as they are stored, and how to show them.

    `colors` is the palette that samples (H, W, 1) point into, (entries, 3) uint8, or None.
    """

    samples: NDArray[Any]
    colors: NDArray[np.uint8] | None
    orientation: int
    icc_profile: bytes | None


def read_tiff(stream: BinaryIO, check_size: Callable[[int, int], None]) -> TiffPicture:
    """The only picture of a TIFF.

    Parameters
    ----------
    check_size : function
        Called with width and height before any sample is decoded; raises PictureError where they are too large.

    Raises
    ------
    PictureError
        If the file holds several pictures, or samples that are not supported. Damage raises nearly anything.
    """
    import tifffile

    # Its remarks on odd files would otherwise reach stderr; a logger that the user sets up still gets them.
    quiet_logger("tifffile")
    with tifffile.TiffFile(stream) as tiff:
        page: Any = tiff.pages[0]
        check_size(page.imagewidth, page.imagelength)
        _check_single(page, tiff.pages)
        if page.samplesperpixel > 4:
            raise PictureError(f"has {page.samplesperpixel} channels; 1 to 4 are supported")
        _check_kind(page)
        _check_bytes(page, stream)
        samples = _samples(page)
        profile, orientation = page.tags.get("InterColorProfile"), page.tags.get("Orientation")
        return TiffPicture(
            samples=samples,
            colors=_palette(page) if page.photometric == _PALETTE else None,
            orientation=int(orientation.value) if orientation else 1,
            icc_profile=profile.value if profile else None,
        )


def _check_single(page: Any, pages: Iterable[Any]) -> None:
    """PictureError where there is more than one picture, smaller versions of it left out."""
    # A damaged file's pages may follow each other without an end.
    first = list(islice(pages, _MOST_PAGES))
    count = max(sum(not getattr(other, "is_reduced", False) for other in first), page.imagedepth)
    if count > 1 or page.axes not in ("YX", "YXS", "SYX"):
        more = " or more" if len(first) == _MOST_PAGES else ""
        raise PictureError(f"holds {count}{more} pictures; save the one to use as a file of its own")


def _check_kind(page: Any) -> None:
    """PictureError where the samples are not gray, colour or a palette's, or of another type."""
    bits, photometric, single = page.bitspersample, page.photometric, page.samplesperpixel == 1
    whole = page.dtype is not None and page.dtype.name in _DTYPES and page.dtype.itemsize * 8 == bits
    packed = bits in (1, 2, 4) and single and page.dtype is not None and page.dtype.kind in "bu"
    gray_or_color = photometric in (0, 1, 2) or (photometric == _YCBCR and page.compression == 7)
    palette = photometric == _PALETTE and single and bits <= 8
    premultiplied = 1 in page.extrasamples and not (bits == 8 and page.samplesperpixel in (2, 4))
    if not (whole or packed) or not (gray_or_color or palette) or premultiplied:
        raise PictureError(
            f"TIFF samples of the kind {page.dtype}, {bits} bits, {getattr(photometric, 'name', photometric)}, are not "
            "supported; convert it to gray or RGB of 8 or 16 bits or float"
        )


def _check_bytes(page: Any, stream: BinaryIO) -> None:
    """PictureError where the file is too short for the samples that it declares: no memory is taken for them."""
    position = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(position)
    declared = math.prod(page.shape) * page.bitspersample // 8
    if declared > size * _MOST_BYTES.get(int(page.compression), math.inf):
        raise PictureError(
            f"cannot be read as a picture (image file is truncated: {size} bytes cannot hold {declared} of samples)"
        )


def _samples(page: Any) -> NDArray[Any]:
    samples: NDArray[Any] = page.asarray()
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    samples = samples.reshape(*samples.shape[:2], -1)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if page.photometric == _PALETTE:
        return samples.astype(np.uint8, copy=False)
    if page.bitspersample in (1, 2, 4):
        samples = samples.astype(np.uint8) * np.uint8(255 // (2**page.bitspersample - 1))
    if page.photometric == 0:
        white = int(np.iinfo(samples.dtype).max) if samples.dtype.kind == "u" else 1
        samples[..., 0] = white - samples[..., 0]
    return _unmultiplied(samples) if 1 in page.extrasamples else samples


def _palette(page: Any) -> NDArray[np.uint8]:
    """(entries, 3) of 8 bits; TIFF has 16."""
    entries: NDArray[Any] = np.asarray(page.colormap)[:, : 2**page.bitspersample].T
    return np.asarray(entries >> 8, np.uint8) if entries.max(initial=0) > 255 else entries.astype(np.uint8)


def _unmultiplied(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Samples whose colours transparency has not darkened."""
    from PIL import Image

    height, width, channels = samples.shape
    stored, shown = {2: ("La", "LA"), 4: ("RGBa", "RGBA")}[channels]
    image = Image.frombytes(stored, (width, height), np.ascontiguousarray(samples).tobytes())
    return np.asarray(image.convert(shown))

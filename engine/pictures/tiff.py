"""Read a TIFF of gray, colour, palette or one-bit samples.

tifffile and imagecodecs, where it is installed, raise what they have to say about damage; libtiff, which Pillow would
decode with, writes lines of its own to stderr.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .beyond_imageio import opened_tiff, unmultiplied
from .codecs import check_decodable
from .picture_metadata import Metadata
from .ranges import SampleRange, sample_maximum
from .tiff_tags import check_single, read_metadata, read_range

_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_FAXES = (2, 3, 4)
_MOST_BYTES = {1: 1, 5: 1400, 8: 1040, 32946: 1040, 32773: 64}
"""Bytes that one byte of a compression (none, LZW, deflate, PackBits) can stand for at most; others have no bound."""


@dataclass(frozen=True, eq=False)
class TiffPicture:
    """The samples (H, W, C) of a TIFF as they are stored, and what it says about them.

    `colors` is the palette that samples (H, W, 1) point into, (entries, 3) uint8, or None. The rest is as in
    `PictureFile`.
    """

    samples: NDArray[Any]
    colors: NDArray[np.uint8] | None
    orientation: int
    sample_range: SampleRange | None
    range_origin: str
    metadata: Metadata
    remarks: tuple[str, ...]


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
    with opened_tiff(stream) as tiff:
        page: Any = tiff.pages[0]
        check_size(page.imagewidth, page.imagelength)
        remarks = check_single(tiff, page, stream)
        picture = read_page(page, stream)
        return replace(picture, remarks=(*remarks, *picture.remarks))


def read_page(page: Any, stream: BinaryIO, plane: NDArray[Any] | None = None) -> TiffPicture:
    """One page of a TIFF, whose size was checked; `plane` are its samples where they lie behind another page's."""
    if page.samplesperpixel > 4:
        raise PictureError(f"has {page.samplesperpixel} channels; 1 to 4 are supported")
    photometric, assumed = _photometric(page)
    _check_kind(page, photometric)
    _check_bytes(page, stream)
    if plane is None:
        check_decodable(page, stream)
    samples = _samples(page, photometric, plane)
    sample_range, origin = read_range(page)
    if sample_range is not None and photometric == _WHITE_IS_ZERO:
        # Read from black 0, as the samples are.
        white = _white(page, samples.dtype)
        sample_range = white - sample_range[1], white - sample_range[0]
    orientation = page.tags.get("Orientation")
    return TiffPicture(
        samples=samples,
        colors=_palette(page) if photometric == _PALETTE else None,
        orientation=int(orientation.value) if orientation else 1,
        sample_range=sample_range,
        range_origin=origin,
        metadata=read_metadata(page, samples),
        remarks=(*assumed, *_unnamed_channel(page)),
    )


def _photometric(page: Any) -> tuple[int, tuple[str, ...]]:
    """What the samples stand for, as libtiff takes it where the file does not say, and then a remark."""
    if "PhotometricInterpretation" in page.tags:
        return int(page.photometric), ()
    missing = "does not say what its samples stand for (TIFF tag PhotometricInterpretation); taken for "
    if page.tags.get("ColorMap") is not None:
        return _PALETTE, (f"{missing}indices of its palette",)
    if page.samplesperpixel > 2:
        return _RGB, (f"{missing}red, green and blue",)
    if page.compression in _FAXES:
        return _WHITE_IS_ZERO, (f"{missing}gray, from white 0",)
    return _BLACK_IS_ZERO, (f"{missing}gray, from black 0",)


def _unnamed_channel(page: Any) -> tuple[str, ...]:
    if page.samplesperpixel not in (2, 4) or set(page.extrasamples) & {1, 2}:
        return ()
    return ("does not say what its last channel is (TIFF tag ExtraSamples); taken for transparency",)


def _check_kind(page: Any, photometric: int) -> None:
    """PictureError where the samples are not gray, colour or a palette's, or of another type."""
    bits, count = page.bitspersample, page.samplesperpixel
    name = page.dtype.name if page.dtype is not None else ""
    whole = name in _DTYPES and (page.dtype.itemsize * 8 == bits or (name == "uint16" and 8 < bits < 16))
    packed = bits in (1, 2, 4) and count == 1 and page.dtype is not None and page.dtype.kind in "bu"
    gray = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and count < 3
    color = count > 2 and (photometric == _RGB or (photometric == _YCBCR and page.compression == 7))
    palette = photometric == _PALETTE and count == 1 and bits <= 8
    premultiplied = 1 in page.extrasamples and not (bits == 8 and count in (2, 4))
    if not (whole or packed) or not (gray or color or palette) or premultiplied:
        kind = f"{page.dtype}, {bits} bits, {getattr(page.photometric, 'name', photometric)}"
        raise PictureError(
            f"TIFF samples of the kind {kind}, {count} in a pixel, are not supported; convert it to gray or RGB of 8 "
            "or 16 bits without a sign, or float"
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


def _samples(page: Any, photometric: int, plane: NDArray[Any] | None) -> NDArray[Any]:
    samples: NDArray[Any] = page.asarray() if plane is None else plane
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    samples = samples.reshape(*samples.shape[:2], -1)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if photometric == _PALETTE:
        return samples.astype(np.uint8, copy=False)
    if page.bitspersample in (1, 2, 4):
        samples = samples.astype(np.uint8) * np.uint8(255 // (2**page.bitspersample - 1))
    if photometric == _WHITE_IS_ZERO:
        samples[..., 0] = _white(page, samples.dtype) - samples[..., 0]
    return unmultiplied(samples) if 1 in page.extrasamples else samples


def _white(page: Any, dtype: np.dtype[Any]) -> int:
    return 2 ** int(page.bitspersample) - 1 if 8 < page.bitspersample < 16 else sample_maximum(dtype)


def _palette(page: Any) -> NDArray[np.uint8]:
    """(entries, 3) of 8 bits; TIFF has 16."""
    entries: NDArray[Any] = np.asarray(page.colormap)[:, : 2**page.bitspersample].T
    return np.asarray(entries >> 8, np.uint8) if entries.max(initial=0) > 255 else entries.astype(np.uint8)

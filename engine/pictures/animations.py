"""The frames of an animated GIF, PNG or WebP, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from ..quiet import without_warnings
from .decoding import PictureFile, check_size, decode, metadata_of
from .frames import Frames

_PNG_END = b"IEND\xaeB`\x82"
_KINDS = {"GIF": "GIF", "PNG": "PNG", "WEBP": "WebP"}


@contextmanager
def animation_frames(stream: BinaryIO, name: str) -> Iterator[Frames]:
    """The frames of an animation as they are shown; of a file that holds one picture, that picture."""
    from PIL import Image

    from .picture_files import named_errors

    try:
        with without_warnings():
            image: Any = Image.open(stream, formats=list(_KINDS))
            count = getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001 - whoever reads the picture says what is wrong with it
        image, count = None, 1
    if image is None or (count == 1 and image.format != "GIF"):
        yield Frames(name, "picture" if image is None else _KINDS[image.format], 1, lambda start: _still(stream, start))
        return
    with image:
        with named_errors(name):
            check_size(*image.size)
            frames = _frames(image, count, name, _ends(image.format, stream))
        yield frames


def _still(stream: BinaryIO, start: int) -> Iterator[PictureFile]:
    stream.seek(0)
    if start == 0:
        yield decode(stream)


def _frames(image: Any, count: int, name: str, complete: bool) -> Frames:
    image.seek(0)
    # Of an animated PNG the picture for viewers that show no animations may be none of its frames.
    apart = int(bool(image.info.get("default_image")))
    remarks = ("its picture for viewers that show no animations is left out",) if apart else ()
    image.seek(apart)
    image.load()  # Of WebP it is known only then how long a frame is shown.
    mode, milliseconds = _mode(image), image.info.get("duration")
    metadata = metadata_of(image)
    late: list[str] = []

    def read(start: int) -> Iterator[PictureFile]:
        for number in range(apart + start, count):
            image.seek(number)
            samples = _samples(image, mode)  # decodes
            if image.info.get("duration") != milliseconds and not late:
                late.append("its frames are shown for different times; the rate of the first is kept")
            yield PictureFile(samples, metadata=replace(metadata, stored=None))
        if not complete:
            raise PictureError("the file breaks off before this page, it is truncated or damaged; --page takes another")

    rate = 1000 / milliseconds if isinstance(milliseconds, (int, float)) and milliseconds > 0 else None
    return Frames(name, _KINDS[image.format], count - apart, read, rate, remarks, late, complete)


def _ends(format_: str, stream: BinaryIO) -> bool:
    """Whether a GIF or PNG has an end; Pillow takes a GIF that breaks off for one of fewer frames."""
    if format_ == "WEBP":
        return True  # Its header says how long it is.
    position = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(position)
    # Some programs fill up with zeros.
    return content.rstrip(b"\0").endswith(b";") if format_ == "GIF" else _PNG_END in content


def _mode(image: Any) -> str:
    """Mode that all frames are read in: gray where the first is stored so, with transparency where it has any."""
    transparent = image.has_transparency_data
    if image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in image.tile):
        raise PictureError("animated PNG of 16 bits a sample is not supported; save its frames as pages of a TIFF")
    if image.mode in ("1", "L", "LA"):
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def _samples(image: Any, mode: str) -> NDArray[np.uint8]:
    colors = np.asarray(image.convert("RGBA"))
    if mode in ("RGB", "L") and (colors[..., 3] != 255).any():
        raise PictureError("has transparency, which page 0 has not; save the frames as pages of a TIFF")
    if mode in ("L", "LA"):
        if (colors[..., :1] != colors[..., 1:3]).any():
            raise PictureError("has colours, which page 0 has not; save the frames as pages of a TIFF")
        return colors[..., 0] if mode == "L" else colors[..., [0, 3]]
    return colors[..., :3] if mode == "RGB" else colors

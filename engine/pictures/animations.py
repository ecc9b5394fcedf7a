"""The frames of an animated GIF, PNG or WebP, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, PictureSizeError
from ..quiet import without_warnings
from .decoding import PictureFile, metadata_of, opened_picture
from .frames import Frames, single
from .png_chunks import read_png_header

_PNG_END = b"IEND\xaeB`\x82"


@contextmanager
def animation_frames(stream: BinaryIO, name: str) -> Iterator[Frames]:
    """The frames of an animation as they are shown; of a file that holds one picture, that picture."""
    from .picture_files import named_errors

    with ExitStack() as stack:
        try:
            with without_warnings():
                image, kind, (count, _, _) = stack.enter_context(opened_picture(stream))
        except PictureSizeError as error:
            raise PictureSizeError(f"{name}: {error}") from None
        except Exception:  # noqa: BLE001 - whoever reads the picture says what is wrong with it
            image, kind, count = None, "picture", 1
        if count == 1 and kind != "GIF":
            yield single(stream, name, kind)
            return
        with named_errors(name):
            frames = _frames(image, kind, count, name, stream)
        yield frames


def _frames(image: Any, kind: str, count: int, name: str, stream: BinaryIO) -> Frames:
    if kind == "PNG" and read_png_header(stream).depth == 16:
        raise PictureError("animated PNG of 16 bits a sample is not supported; save its frames as pages of a TIFF")
    complete = _ends(kind, stream)
    # Of an animated PNG the picture for viewers that show no animations may be none of its frames.
    apart = int(bool(image.metadata(index=0).get("default_image")))
    remarks = ("its picture for viewers that show no animations is left out",) if apart else ()
    image.read(index=apart)  # Of WebP it is known only then how long a frame is shown.
    facts = image.metadata(index=apart, exclude_applied=False)
    mode, milliseconds, metadata = _mode(facts), facts.get("duration"), metadata_of(facts)
    late: list[str] = []

    def read(start: int) -> Iterator[PictureFile]:
        for number in range(apart + start, count):
            samples = _samples(image.read(index=number, mode="RGBA", writeable_output=False), mode)
            if image.metadata(index=number).get("duration") != milliseconds and not late:
                late.append("its frames are shown for different times; the rate of the first is kept")
            yield PictureFile(samples, metadata=replace(metadata, stored=None))
        if not complete:
            raise PictureError("the file breaks off before this page, it is truncated or damaged; --page takes another")

    if kind == "WebP" and mode == "RGBA" and _is_opaque(image, range(apart, count)):
        mode = "RGB"
    rate = 1000 / milliseconds if isinstance(milliseconds, (int, float)) and milliseconds > 0 else None
    return Frames(name, kind, count - apart, read, rate, remarks, late, complete)


def _is_opaque(image: Any, numbers: Iterable[int]) -> bool:
    """Whether no frame has transparency, which encoders of WebP use for what is as on the frame before.

    A frame that cannot be read says nothing here; whoever reads it names it.
    """
    try:
        frames = (image.read(index=number, mode="RGBA", writeable_output=False) for number in numbers)
        return all((frame[..., 3] == 255).all() for frame in frames)
    except Exception:  # noqa: BLE001 - damage raises nearly anything
        return False


def _ends(kind: str, stream: BinaryIO) -> bool:
    """Whether a GIF or PNG has an end; Pillow takes a GIF that breaks off for one of fewer frames."""
    if kind == "WebP":
        return True  # Its header says how long it is.
    position = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(position)
    # Some programs fill up with zeros.
    return content.rstrip(b"\0").endswith(b";") if kind == "GIF" else _PNG_END in content


def _mode(facts: dict[str, Any]) -> str:
    """Mode that all frames are read in: gray where the first is stored so, with transparency where it has any."""
    transparent = "transparency" in facts or facts["mode"] in ("LA", "PA", "RGBA")
    if facts["mode"] in ("1", "L", "LA"):
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def _samples(colors: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    if mode in ("RGB", "L") and (colors[..., 3] != 255).any():
        raise PictureError("has transparency, which page 0 has not; save the frames as pages of a TIFF")
    if mode in ("L", "LA"):
        if (colors[..., :1] != colors[..., 1:3]).any():
            raise PictureError("has colours, which page 0 has not; save the frames as pages of a TIFF")
        return colors[..., 0] if mode == "L" else colors[..., [0, 3]]
    return colors[..., :3] if mode == "RGB" else colors

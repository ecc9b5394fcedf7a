"""Picture series: the pages of a TIFF, the frames of an animation or of a video, one after the other.

A page is read when it is asked for and not kept, so that a series takes the memory of one page. Pages count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .decoding import TIFF_STARTS, PictureFile, decode
from .picture_files import completed, named_errors
from .ranges import SampleRange
from .streams import Place, name_of, opened

ASSUMED_RATE = 25.0
"""Frames a second of a video where nothing says how many."""

_START = 64
_ANIMATION_STARTS = (b"GIF87a", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF")
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


@dataclass(frozen=True, eq=False)
class Frames:
    """A series that is open.

    Parameters
    ----------
    name : str
        How messages name the file.
    kind : str
        "TIFF", "GIF", "PNG", "WebP", "video", or "picture" for a file of any other format, which holds one.
    count : int or None
        Number of pages; None for a video whose header does not say.
    read : function of a page's number
        Pictures as they are decoded, from that page on.
    rate : float or None
        Frames a second, where the file says so.
    remarks : tuple of str
        What is left out of the whole series.
    late_remarks : list of str
        What turns out on the way.
    complete : bool
        Whether all pages are there; a file that breaks off is no single picture, whatever is left of it.
    estimate : int or None
        Number of pages by a video's length, where `count` is None.
    """

    name: str
    kind: str
    count: int | None
    read: Callable[[int], Iterator[PictureFile]]
    rate: float | None = None
    remarks: tuple[str, ...] = ()
    late_remarks: list[str] = field(default_factory=list)
    complete: bool = True
    estimate: int | None = None

    @property
    def is_series(self) -> bool:
        """Whether there may be more than one page."""
        return self.count != 1 or not self.complete

    @property
    def expected(self) -> int | None:
        """Number of pages, or about so many; None where nothing tells."""
        return self.estimate if self.count is None else self.count

    def pictures(self, sample_range: SampleRange | None = None) -> Iterator[PictureFile]:
        """All pages, checked as `load_picture` checks a picture, and to be of one size, type and range.

        Raises
        ------
        PictureError
            That names the page.
        """
        first = None
        for number, picture in enumerate(self._decoded(0, sample_range)):
            if first is None:
                # What is compared, and not the samples.
                first, kind = replace(picture, samples=picture.samples[:0]), _kind(picture.samples)
            elif _kind(picture.samples) != kind:
                raise PictureError(
                    f"{self.name}: page {number} is {_kind(picture.samples)}, but page 0 is {kind}; a series "
                    "needs pages of one size and type"
                )
            elif picture.sample_range != first.sample_range:
                raise PictureError(
                    f"{self.name}: page {number} has {_range(picture)}, but page 0 has {_range(first)}; name one range "
                    "for all pages (--range LOW:HIGH, sample_range)"
                )
            yield picture
        if first is None:
            raise PictureError(f"{self.name}: holds no pictures")

    def page(self, number: int, sample_range: SampleRange | None = None) -> PictureFile:
        """One page; PictureError where there is none of that number."""
        known = "" if self.count is None or self.kind == "video" else f"; it holds pages 0 to {self.count - 1}"
        if number < 0 or (known and self.count is not None and number >= self.count):
            raise PictureError(f"{self.name}: has no page {number}{known}")
        picture = next(self._decoded(number, sample_range), None)
        if picture is None:
            raise PictureError(f"{self.name}: has no page {number}")
        # A description for programs speaks of all pages.
        stored = picture.metadata.stored if self.count == 1 else None
        return replace(picture, metadata=replace(picture.metadata, stored=stored))

    def _decoded(self, start: int, sample_range: SampleRange | None) -> Iterator[PictureFile]:
        read, number = self.read(start), start
        while True:
            with named_errors(f"{self.name}: page {number}" if self.is_series else self.name, "cannot be read"):
                picture = next(read, None)
                if picture is None:
                    return
                picture = completed(picture, sample_range)
            yield picture
            number += 1


@contextmanager
def open_frames(source: Place) -> Iterator[Frames]:
    """The pages of a picture file or a video, which is open as long as the block lasts.

    Raises
    ------
    PictureError
        If the file is none of a known format, or a damaged one.
    InputError
        If it is a video and PyAV is missing.
    OSError
        If the file is missing or may not be read.
    """
    with opened(source) as stream:
        start = stream.read(_START)
        stream.seek(0)
        opener = _opener(start)
        with named_errors(source):
            context = nullcontext(None) if opener is None else opener(stream, name_of(source))
        # What the caller does within the block raises errors of its own.
        with context as frames:
            yield single(stream, name_of(source)) if frames is None else frames


def read_frames(source: Place, sample_range: SampleRange | None = None) -> Iterator[NDArray[Any]]:
    """The pages of a TIFF, or the frames of an animated GIF, PNG or WebP or of a video, one after the other.

    A file of another format yields its one picture. Only one page is in memory at a time.

    Parameters
    ----------
    source : path or binary file object
        A file object is read to its end at once.
    sample_range : (low, high), optional
        Samples of black and white, which float samples must lie near; by default what the file says.

    Yields
    ------
    (H, W) or (H, W, C) uint8, uint16, float16, float32 or float64
        As `read_picture` gives it; all of one shape and type.

    Raises
    ------
    PictureError
        If a page cannot be read, or is of another size, type or range than page 0; the message names it.
    InputError
        If it is a video and PyAV is missing (extra `video`).
    OSError
        If the file is missing or may not be read.
    """
    with open_frames(source) as frames:
        for picture in frames.pictures(sample_range):
            yield picture.samples


def _opener(start: bytes) -> Callable[[BinaryIO, str], Any] | None:
    """What opens a file that begins so; None for formats of one picture."""
    if start.startswith(TIFF_STARTS):
        from .tiff_frames import tiff_frames

        return tiff_frames
    if is_video(start):
        from .video import video_frames

        return video_frames
    if start.startswith(_ANIMATION_STARTS):
        from .animations import animation_frames

        return animation_frames
    return None


def is_video(start: bytes) -> bool:
    """Whether a file that begins so is MP4, QuickTime, AVI or Matroska."""
    if start[4:8] == b"ftyp":
        return start[8:12] not in _STILL_BRANDS
    return (start[:4] == b"RIFF" and start[8:12] == b"AVI ") or start[:4] == b"\x1aE\xdf\xa3"


def single(stream: BinaryIO, name: str, kind: str = "picture") -> Frames:
    """The one picture of a file as a series."""

    def read(start: int) -> Iterator[PictureFile]:
        stream.seek(0)
        if start == 0:
            yield decode(stream)

    return Frames(name, kind, 1, read)


def _kind(samples: NDArray[Any]) -> str:
    """Size, channels and type of samples in words."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    colours = {1: "gray", 2: "gray with transparency", 3: "colour", 4: "colour with transparency"}[channels]
    return f"{samples.shape[0]}x{samples.shape[1]} {colours} {np.dtype(samples.dtype).name}"


def _range(picture: PictureFile) -> str:
    if picture.sample_range is None:
        return "the black and white of its sample type"
    low, high = picture.sample_range
    return f"black {low:g} and white {high:g}"

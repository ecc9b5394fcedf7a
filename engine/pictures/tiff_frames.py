"""The pages of a TIFF one after the other, and the planes that some programs store behind its single page."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .beyond_imageio import opened_tiff
from .decoding import PictureFile, as_decoded, check_size
from .frames import Frames
from .picture_metadata import DESCRIPTION_TAG
from .tiff import read_page
from .tiff_tags import declared_pictures, has_room

_UNCOMPRESSED = 1
_FILE_NAME = re.compile(r'\bFileName="([^"]*)"')


@contextmanager
def tiff_frames(stream: BinaryIO, name: str) -> Iterator[Frames]:
    """The pages of a TIFF, smaller versions left out, in the order of the file."""
    from .picture_files import named_errors

    with ExitStack() as stack:
        with named_errors(name):
            frames = _frames(stack.enter_context(opened_tiff(stream)), stream, name)
        yield frames


def _frames(tiff: Any, stream: BinaryIO, name: str) -> Frames:
    numbers, readable = _numbers(tiff)
    if not numbers:
        raise PictureError("holds no pictures, or is damaged before the first")
    whole = len(numbers) == len(tiff.pages)
    complete = readable and _is_complete(tiff, stream)
    first = tiff.pages[numbers[0]]
    planes = declared_pictures(tiff, first) if len(numbers) == 1 and first.axes in ("YX", "YXS", "SYX") else 1
    if planes > 1 and (not tiff.is_ome or has_room(first, planes, stream)):
        return Frames(name, "TIFF", planes, lambda start: _planes(first, planes, stream, start), _rate(tiff))
    remarks = _missing(tiff, len(numbers))

    def read(start: int) -> Iterator[PictureFile]:
        for number in numbers[start:]:
            picture = _page(tiff.pages[number], stream)
            # The first page's description is that of the series; it numbers pages, smaller versions included.
            yield picture if whole and not remarks and number == numbers[0] else _without_stored(picture)
        if not complete:
            raise PictureError("the file breaks off before this page, it is truncated or damaged; --page takes another")

    return Frames(name, "TIFF", len(numbers), read, _rate(tiff), remarks, complete=complete)


def _missing(tiff: Any, count: int) -> tuple[str, ...]:
    """A remark where the description speaks of more pages than there are, or of other files."""
    declared = (tiff.imagej_metadata or {}).get("images", 0) if tiff.is_imagej else 0
    if isinstance(declared, int) and declared > count:
        return (f"holds {count} of {declared} pictures that its ImageJ description speaks of",)
    files = set(_FILE_NAME.findall(tiff.ome_metadata or "")) if tiff.is_ome else ()
    return (f"is one of {len(files)} files that its OME description speaks of",) if len(files) > 1 else ()


def _numbers(tiff: Any) -> tuple[list[int], bool]:
    """Which pages are no smaller versions of others, and whether the tags of all pages can be read."""
    numbers: list[int] = []
    for number in range(len(tiff.pages)):
        try:
            reduced = tiff.pages[number].is_reduced
        except Exception:  # noqa: BLE001 - tags that are cut off or damaged raise nearly anything
            return numbers, False
        numbers += [] if reduced else [number]
    return numbers, True


def _page(page: Any, stream: BinaryIO) -> PictureFile:
    check_size(page.imagewidth, page.imagelength)
    if page.imagedepth > 1 or page.axes not in ("YX", "YXS", "SYX"):
        raise PictureError(f"is a volume ({page.axes}) and no picture; save its planes as pages of their own")
    return as_decoded(read_page(page, stream))


def _without_stored(picture: PictureFile) -> PictureFile:
    """Without a description that tells programs of samples."""
    return replace(picture, metadata=replace(picture.metadata, stored=None))


def _planes(page: Any, count: int, stream: BinaryIO, start: int) -> Iterator[PictureFile]:
    """Planes that lie uncompressed one behind the other."""
    check_size(page.imagewidth, page.imagelength)
    if page.compression != _UNCOMPRESSED or not page.is_contiguous:
        raise PictureError(f"declares {count} pictures and stores one; save them as pages of their own")
    for number in range(start, count):
        plane = _plane(page, number, stream)
        picture = as_decoded(read_page(page, stream, plane))
        # tifffile's "truncated" says that there is one page for all planes, which is not so where they are written.
        kept = number == 0 and '"truncated"' not in picture.metadata.texts.get(DESCRIPTION_TAG, "")
        yield picture if kept else _without_stored(picture)


def _plane(page: Any, number: int, stream: BinaryIO) -> NDArray[Any]:
    stream.seek(page.dataoffsets[0] + number * page.nbytes)
    content = stream.read(page.nbytes)
    if len(content) < page.nbytes:
        raise PictureError(f"the file is truncated: {len(content)} bytes of {page.nbytes} are there")
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    return np.frombuffer(content, dtype).reshape(page.shape).copy()


def _is_complete(tiff: Any, stream: BinaryIO) -> bool:
    """Whether the last page that tifffile found is the last; else a link leads out of the file, or in a circle."""
    last, layout = tiff.pages[len(tiff.pages) - 1], tiff.tiff
    stream.seek(last.offset)
    (entries,) = struct.unpack(layout.tagnoformat, stream.read(layout.tagnosize))
    stream.seek(last.offset + layout.tagnosize + entries * layout.tagsize)
    link = stream.read(layout.offsetsize)
    return len(link) == layout.offsetsize and not any(link)


def _rate(tiff: Any) -> float | None:
    """Frames a second that ImageJ's description gives."""
    found = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    rate, interval = found.get("fps"), found.get("finterval")
    if isinstance(rate, (int, float)) and rate > 0:
        return float(rate)
    return 1 / interval if isinstance(interval, (int, float)) and interval > 0 else None

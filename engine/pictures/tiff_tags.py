"""What the tags of a TIFF say: how many pictures it holds, which samples are black and white, texts and resolution."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .picture_metadata import Metadata, Resolution, texts_of
from .ranges import SampleRange, type_range

_MOST_PAGES = 100
_SEPARATE = 2
"""TIFF's planar configuration of channels one after the other."""
_UNITS = {1: "", 2: "inch", 3: "centimetre"}
_RANGE_TAGS = (("MinSampleValue", "MaxSampleValue"), ("SMinSampleValue", "SMaxSampleValue"))


def check_single(tiff: Any, page: Any, stream: BinaryIO) -> tuple[str, ...]:
    """PictureError where there is more than one picture, smaller versions of it left out; remarks on odd cases.

    Programs for microscopes declare several pictures in texts, and store them behind the one that has tags.
    """
    # A damaged file's pages may follow each other without an end.
    first = list(islice(_pages(tiff), _MOST_PAGES))
    count = max(sum(not getattr(other, "is_reduced", False) for other in first), page.imagedepth)
    more = " or more" if len(first) == _MOST_PAGES else ""
    if count == 0 or getattr(page, "is_reduced", False):
        raise PictureError("begins with a smaller version of a picture; save the one to use as a file of its own")
    if count == 1 and page.axes in ("YX", "YXS", "SYX"):
        count = declared_pictures(tiff, page)
        if count > 1 and tiff.is_ome and not has_room(page, count, stream):
            return (f"is one of {count} pictures that its OME description speaks of",)
    elif count == 1:
        count = max(2, math.prod(page.shape) // max(1, page.imagewidth * page.imagelength * page.samplesperpixel))
    if count > 1:
        raise PictureError(f"holds {count}{more} pictures; save the one to use as a file of its own")
    return ()


def _pages(tiff: Any) -> Iterable[Any]:
    return tiff.pages  # type: ignore[no-any-return]


def declared_pictures(tiff: Any, page: Any) -> int:
    """How many pictures of the page's size there are by what the file's texts say."""
    samples = max(1, math.prod(page.shape))
    found = sum(math.prod(series.shape) for series in tiff.series) // samples
    stack = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    return int(max(found, stack if isinstance(stack, int) else 1, 1))


def has_room(page: Any, count: int, stream: BinaryIO) -> bool:
    """Whether the file could hold so many pictures, one behind the other."""
    position = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(position)
    return int(page.compression) == 1 and size - min(page.dataoffsets, default=0) >= count * page.nbytes


def read_range(page: Any) -> tuple[SampleRange | None, str]:
    """Samples of black and white, and what says so; None where nothing does, or the type's own.

    Channels that have tags of their own get the widest range, because they share one scale.
    """
    declared = type_range(page.dtype) if page.bitspersample not in (1, 2, 4) else None
    if declared is None or page.dtype.kind not in "uf":
        return None, ""
    whole, origin = declared, ""
    if 8 < page.bitspersample < page.dtype.itemsize * 8:
        declared, origin = (0.0, 2.0**page.bitspersample - 1), f"{page.bitspersample} bits a sample"
    for names in _RANGE_TAGS:
        low, high = (_numbers(page, name) for name in names)
        if high:
            declared, origin = (min(low, default=declared[0]), max(high)), names[1]
    return (declared, origin) if declared != whole else (None, "")


def _numbers(page: Any, name: str) -> list[float]:
    """A tag's numbers, those of transparency left out."""
    tag = page.tags.get(name)
    if tag is None:
        return []
    numbers = np.atleast_1d(np.asarray(tag.value, np.float64))
    colors = {2: 1, 4: 3}.get(page.samplesperpixel, page.samplesperpixel)
    return [float(number) for number in numbers[:colors]]


def read_metadata(page: Any, samples: NDArray[Any]) -> Metadata:
    """Profile, resolution and texts."""
    profile = page.tags.get("InterColorProfile")
    texts = texts_of((tag.code, tag.value) for tag in page.tags)
    # Such samples are not written as they were: packed ones as bytes, channels apart beside each other.
    other = page.bitspersample in (1, 2, 4) or (page.planarconfig == _SEPARATE and samples.shape[2] > 1)
    shape = samples.shape[: 2 if samples.shape[2] == 1 else 3]
    return Metadata(
        icc_profile=profile.value if profile else None,
        resolution=_resolution(page),
        texts=texts,
        stored=None if other else (shape, samples.dtype.name),
    )


def _resolution(page: Any) -> Resolution | None:
    """None where the tags are missing, make no sense, or say 1 without a unit, which is nothing."""
    values = [page.tags.get(name) for name in ("XResolution", "YResolution")]
    unit = page.tags.get("ResolutionUnit")
    try:
        x, y = (tag.value[0] / tag.value[1] for tag in values)
        name = _UNITS[int(unit.value) if unit else 2]
    except (AttributeError, TypeError, IndexError, KeyError, ValueError, ZeroDivisionError):
        return None
    sensible = x > 0 and y > 0 and not (name == "" and x == y == 1)
    return Resolution(x, y, name) if sensible else None

"""The range of samples that is found in a picture, what is said of it, and what is written with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureWarning
from ..pictures.frame_writer import dtype_in, suffix_of
from .jobs import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures.frames import Frames
    from ..pictures.picture_files import PictureFile
    from ..pictures.ranges import SampleRange
    from ..pictures.spread import Spread

FAINT = 1 / 16
"""A page that uses less of the range from black to white is as good as even."""

_FAR = 0.5

_LESS = 32
"""Of each of several pages so much less is looked at than of one alone: eight take a quarter of its memory."""


def with_found_range(job: Job, picture: PictureFile, frames: Frames | None = None) -> PictureFile:
    """The picture with the range that its samples use, where nothing names one and that is little of their type's.

    That is said as a warning, and so is where it is doubtful whether a float picture is on the scale from 0 to 1. With
    `frames` it is the first page of a series, whose pages get one range: of a TIFF, which can be read in any order, the
    first pages, the last ones and some between are looked at.
    """
    from ..pictures.ranges import range_in, told_range

    if picture.sample_range is not None or picture.samples.dtype == np.uint8:
        return picture
    spreads = _spreads(picture, frames)
    found = range_in(list(spreads.values()))
    if frames is None and found is None:
        _warn(job, beyond_its_range(picture))
    _warn(job, _told_faint(spreads, found or picture.limits))
    if found is None:
        return picture
    place = f" on pages {_and(spreads)}" if len(spreads) > 1 else ""
    clipped_in = "" if _is_held(job, picture) else suffix_of(job.output)
    _warn(job, told_range(list(spreads.values()), found, place=place, clipped_in=clipped_in))
    origin = f"as found{place or (' on the first page' if frames else '')}"
    return replace(picture, sample_range=found, range_origin=origin, range_found=True)


def _warn(job: Job, remark: str | None) -> None:
    if remark is not None:
        warnings.warn(f"{job.source}: {remark}", PictureWarning, stacklevel=3)


def _spreads(first: PictureFile, frames: Frames | None) -> dict[int, Spread]:
    """By number the spreads of the pages that are looked at; few samples of each, so that they take no more memory."""
    from ..pictures.samples import split_transparency
    from ..pictures.spread import LOOKED_AT, spread_of

    count = frames.count if frames is not None and frames.kind == "TIFF" else None
    numbers = _looked_at(count or 1)
    samples = LOOKED_AT if len(numbers) == 1 else LOOKED_AT // _LESS
    spreads: dict[int, Spread] = {}
    for number in numbers:
        page = first if number == 0 or frames is None else frames.page(number)
        # A page of another type or with a range is refused when its turn comes.
        if page.samples.dtype == first.samples.dtype and page.sample_range is None:
            spreads[number] = spread_of(split_transparency(page.samples)[0], samples)
    return spreads


def _looked_at(count: int) -> list[int]:
    """Eight pages at most: neighbours, as they may be of several channels, and from the first one to the last."""
    wanted = {0, 1, 2, count // 4, count // 2, 3 * count // 4, count - 2, count - 1}
    return sorted(number for number in wanted if 0 <= number < count)


def _told_faint(spreads: Mapping[int, Spread], limits: SampleRange) -> str | None:
    """What to say where a page uses next to nothing of the range that all have; even ones have nothing to lose."""
    from ..pictures.spread import without_tails

    used = {number: without_tails(each.values) for number, each in spreads.items() if each.least < each.most}
    number = min(used, key=lambda each: used[each][1] - used[each][0], default=None)
    if len(used) < 2 or number is None or used[number][1] - used[number][0] >= FAINT * (limits[1] - limits[0]):
        return None
    (low, high), (black, white) = used[number], limits
    return (
        f"page {number} goes from {low:g} to {high:g}, next to nothing of the range from {black:g} to {white:g} that "
        "all pages have: what it shows may be taken for noise, or its noise for none; denoise pages of different "
        "ranges, such as those of other channels, by themselves, with --page N"
    )


def beyond_its_range(page: PictureFile) -> str | None:
    """What to say of a page that lies far outside the range that was found for the series, or is clipped to its type's.

    None where neither is so.
    """
    from ..pictures.ranges import doubtful_range
    from ..pictures.samples import split_transparency
    from ..pictures.spread import spread_of, without_tails

    colors, _ = split_transparency(page.samples)
    if not page.range_found:
        return None if page.sample_range else doubtful_range(colors)
    (black, white), (low, high) = page.limits, without_tails(spread_of(colors).values)
    if black - _FAR * (white - black) <= low <= high <= white + _FAR * (white - black):
        return None
    return (
        f"its samples go from {low:g} to {high:g}, far outside the range from black {black:g} to white {white:g} that "
        "was found for all pages, and may keep their noise: name a wider one, --range LOW:HIGH, or take the page by "
        "itself, --page N"
    )


def unit_of(page: PictureFile) -> NDArray[np.float32]:
    """A page's colours from black 0 to white 1, equal channels as they are."""
    from ..pictures.ranges import to_unit
    from ..pictures.samples import split_transparency

    return to_unit(split_transparency(page.samples)[0], page.limits, anywhere=page.range_found)


def as_written(job: Job, picture: PictureFile, samples: NDArray[Any]) -> tuple[NDArray[Any], SampleRange | None]:
    """The samples to write for a picture, and their black and white, None for those of their type.

    These are the picture's own, but not those that were found, which are nothing that the file says. In a format that
    does not hold the samples' type, which gets its own whole range, they are, and what lies beyond them is clipped.
    Float samples need a range where they lie beyond 0 and 1: all that there are.
    """
    from ..pictures.samples import join_transparency, split_transparency

    if not picture.range_found:
        return samples, picture.sample_range
    if not _is_held(job, picture):
        colors, transparency = split_transparency(samples)
        clipped = np.clip(colors, *np.asarray(picture.limits, colors.dtype))
        return join_transparency(clipped, transparency), picture.sample_range
    if samples.dtype.kind == "u":
        return samples, None
    low, high = float(samples.min()), float(samples.max())
    return samples, (low, high) if low < high and (low < 0 or high > 1) else None


def _is_held(job: Job, picture: PictureFile) -> bool:
    """Whether the output's format holds the type of the picture's samples."""
    dtype = picture.samples.dtype.name
    return dtype_in(job.output, dtype, picture.channels) == dtype


def _and(numbers: Iterable[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}"

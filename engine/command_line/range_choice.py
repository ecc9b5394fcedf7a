"""The range of samples that is found in a picture, what is said of it, and what is written with it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PictureWarning
from ..pictures.frame_writer import dtype_in, suffix_of
from .jobs import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures.picture_files import PictureFile
    from ..pictures.ranges import SampleRange


def with_found_range(job: Job, picture: PictureFile) -> PictureFile:
    """The picture with the range that its samples use, where nothing names one and that is little of their type's.

    That is said as a warning, and so is where it is doubtful whether a float picture is on the scale from 0 to 1.
    """
    from ..pictures.ranges import doubtful_range, found_range, told_range
    from ..pictures.samples import split_transparency

    if picture.sample_range is not None:
        return picture
    colors, _ = split_transparency(picture.samples)
    found = found_range(colors)
    if found is None:
        doubt = doubtful_range(colors)
        if doubt is not None:
            warnings.warn(f"{job.source}: {doubt}", PictureWarning, stacklevel=2)
        return picture
    told = told_range(colors, found, "" if _is_held(job, picture) else suffix_of(job.output))
    warnings.warn(f"{job.source}: {told}", PictureWarning, stacklevel=2)
    return replace(picture, sample_range=found, range_origin="as found", range_found=True)


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

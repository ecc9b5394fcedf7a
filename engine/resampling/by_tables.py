"""Enlarge a picture by LeRF's tables alone: nothing spikes, and there is nothing to count."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..pictures.ranges import SampleRange
from ..tasks.inference import check_threads, checked_picture
from ..threads import using_threads
from .enlargement import enlargement_of
from .lookups import prefiltered, shapes_of
from .tables import Tables


def resample_by_tables(
    picture: ArrayLike,
    tables: Tables,
    scale: float | None = None,
    threads: int | None = None,
    sample_range: SampleRange | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Enlarge a picture by tables that others trained, each channel by itself; transparency linearly.

    Parameters
    ----------
    picture, scale, threads, size
        See `resample`. uint8 samples are looked up as they are, all others rounded to 16 bits from black to white.
    tables : Tables
        What `read_tables` gives.
    sample_range : (low, high), optional
        Samples of black and white; by default those of the sample type.

    Returns
    -------
    (height, width) or (height, width, C), dtype of the picture

    Raises
    ------
    InputError
        If they are no tables, not one of scale and size is named, or the size is below the picture's or too large.
    PictureError
        If it is no picture, or samples are beyond black and white.

    Notes
    -----
    Li et al., Learning Steerable Function for Efficient Image Resampling, CVPR 2023, and arXiv 2407.09935. Unlike the
    published code, which takes pixels beyond the border for black, the last pixel goes on there.
    """
    if not isinstance(tables, Tables):
        raise InputError(f"the tables must be Tables as read_tables(folder) gives them (got {tables!r:.60})")
    samples, limits = checked_picture(picture, sample_range)
    enlargement = enlargement_of(samples, limits, scale, size, fine=False)
    with using_threads(check_threads(threads)):
        filtered = [prefiltered(plane, enlargement.unit, tables) for plane in enlargement.planes]
        return enlargement.picture((each, shapes_of(each, enlargement.unit, tables)) for each in filtered)

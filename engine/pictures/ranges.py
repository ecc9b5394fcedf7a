"""Which samples stand for black and white: those of the sample type, of the file, or those that the user names.

A camera of 12 bits fills a sixteenth of 16 bits, a micrograph less: taken for a picture from 0 to 65535, such a
picture is black, and a network that removes noise removes the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PictureError
from .spread import FLOAT_LIMITS, Spread, has_outliers, spread_of, without_tails

SampleRange: TypeAlias = tuple[float, float]
"""Samples of black and of white."""

_LEAST_USE = 0.5
_REACH = (np.float32(-1), np.float32(2))
_NEARLY_ALL = 0.99

NAME_RANGE = "say what is black and white, or the result will be poor: --range LOW:HIGH, sample_range=(low, high)"
SCALE_FIRST = "scale the pictures first, or the result will be poor"
"""What to do about samples that use little of their type's range, where it can be named and where it cannot."""


def sample_maximum(dtype: np.dtype[Any]) -> int:
    """The sample that stands for white: 255, 65535, or 1 for float."""
    return int(np.iinfo(dtype).max) if dtype.kind == "u" else 1


def type_range(dtype: np.dtype[Any]) -> SampleRange:
    """Black and white where nothing else is said: 0 and 255, 65535, or 1 for float."""
    return 0.0, float(sample_maximum(dtype))


def check_sample_range(sample_range: object, dtype: np.dtype[Any] | None = None) -> SampleRange:
    """Black and white as numbers, where they are two, the lower one first and, with `dtype`, of that type.

    Raises
    ------
    InputError
    """
    ends = tuple(sample_range) if isinstance(sample_range, (Sequence, np.ndarray)) else ()
    numbers = all(isinstance(end, (int, float, np.number)) and math.isfinite(end) for end in ends)
    if not (len(ends) == 2 and numbers and ends[0] < ends[1]):
        raise InputError(
            "the range of samples must be two numbers, black and then white, the lower one first "
            f"(got {sample_range!r:.80})"
        )
    low, high = float(ends[0]), float(ends[1])
    if dtype is not None and dtype.kind == "u" and not 0 <= low < high <= sample_maximum(dtype):
        raise InputError(
            f"the range of samples must lie within that of {dtype}, 0 to {sample_maximum(dtype)} "
            f"(got {low:g} to {high:g})"
        )
    return low, high


def to_unit(
    samples: NDArray[Any], sample_range: SampleRange, dtype: np.dtype[Any] | None = None, *, anywhere: bool = False
) -> NDArray[Any]:
    """Samples on the scale from black 0 to white 1, not clipped; float32 where no `dtype` is given.

    `anywhere` says that they may lie as far outside the range as they like, as they may of one that was found.

    Raises
    ------
    PictureError
        If samples are NaN or far outside the range.
    """
    if not anywhere:
        check_near(samples, sample_range)
    wanted = np.dtype(np.float32) if dtype is None else dtype
    low, high = sample_range
    if samples.dtype.kind == "f" and sample_range == (0.0, 1.0):
        return samples.astype(wanted, copy=False)
    return ((samples.astype(np.float64) - low) / (high - low)).astype(wanted, copy=False)


def check_near(samples: NDArray[Any], sample_range: SampleRange) -> None:
    """PictureError where samples are NaN or farther beyond black and white than noise takes them."""
    if samples.dtype.kind != "f" and sample_range == type_range(samples.dtype):
        return
    (low, high), (least, most) = sample_range, FLOAT_LIMITS
    check_range(samples, low + least * (high - low), low + most * (high - low), sample_range)


def from_unit(
    unit: NDArray[Any], sample_range: SampleRange, dtype: np.dtype[Any], *, anywhere: bool = False
) -> NDArray[Any]:
    """The inverse of `to_unit` for samples of `dtype`: whole numbers are rounded and kept inside the range.

    With `anywhere` inside that of their type.
    """
    low, high = sample_range
    if dtype.kind == "f":
        plain = sample_range == (0.0, 1.0)
        return (unit if plain else low + unit.astype(np.float64) * (high - low)).astype(dtype, copy=False)
    least, most = type_range(dtype) if anywhere else sample_range
    return np.rint(np.clip(low + unit.astype(np.float64) * (high - low), least, most)).astype(dtype)


def within_reach(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is looked at of a picture from 0 to 1 whose range was found, in which a hot pixel may lie anywhere."""
    return np.clip(unit, *_REACH)


def convert_samples(samples: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Samples on the scale of another type: 0-255 for uint8, 0-65535 for uint16, 0-1 for float; rounded, clipped."""
    if samples.dtype == dtype:
        return samples
    scaled = samples.astype(np.float64) / sample_maximum(samples.dtype) * sample_maximum(dtype)
    if dtype.kind == "u":
        return np.rint(np.clip(scaled, 0, sample_maximum(dtype))).astype(dtype)
    return scaled.astype(dtype)


def check_range(
    samples: NDArray[Any], low: float = 0.0, high: float = 1.0, sample_range: SampleRange = (0.0, 1.0)
) -> None:
    """PictureError where samples are NaN, infinite or outside [low, high]; `sample_range` is black and white."""
    bad = samples.size - int(np.isfinite(samples).sum())
    if bad:
        raise PictureError(f"{bad} of its {samples.size} samples are NaN or infinite")
    least, most = float(samples.min()), float(samples.max())
    if low <= least and most <= high:
        return
    if samples.dtype.kind != "f" or sample_range != (0.0, 1.0):
        black, white = sample_range
        raise PictureError(
            f"its samples go from {least:g} to {most:g}, beyond the range from black {black:g} to white {white:g}; "
            "name a wider one"
        )
    raise PictureError(
        f"float samples must lie in [{low:g}, {high:g}] (got {least:g} to {most:g}); scale the picture to [0, 1], or "
        "name the samples of black and white (--range, sample_range)"
    )


def found_range(samples: NDArray[Any]) -> SampleRange | None:
    """`range_in` of the samples of one picture, transparency left out."""
    return None if samples.dtype == np.uint8 else range_in([spread_of(samples)])


def range_in(spreads: Sequence[Spread]) -> SampleRange | None:
    """Black and white as the samples themselves have them, where they are of 16 bits or float and use little of it.

    All but a thousandth of the samples at either end lie between the two, and what is saturated far from all others:
    hot pixels and stars decide nothing. None where the type's range is used, all samples are equal, or some are NaN.
    Float samples that cannot be on the scale from 0 to 1, however noisy, have a range of their own, too.

    Parameters
    ----------
    spreads : sequence of Spread
        Of pictures of one sample type, which get one range; those of even pictures have no say in it.
    """
    dtype = spreads[0].dtype
    telling = [each for each in spreads if each.least < each.most and math.isfinite(each.least - each.most)]
    if dtype == np.uint8 or not telling:
        return None
    low, high = without_tails(np.concatenate([each.values for each in telling]))
    if not any(each.foreign for each in telling) and high - low >= _LEAST_USE * sample_maximum(dtype):
        return None
    return (low, high) if low < high else _ends(telling)


def _ends(spreads: Sequence[Spread]) -> SampleRange:
    """The least and the largest of all samples."""
    return min(each.least for each in spreads), max(each.most for each in spreads)


def told_range(spreads: Sequence[Spread], found: SampleRange, *, place: str = "", clipped_in: str = "") -> str:
    """What to say of a range that was found.

    `place` says on which pages, and `clipped_in` is the suffix of a file that holds nothing beyond it.
    """
    (least, most), dtype = _ends(spreads), spreads[0].dtype
    scale = "float" if dtype.kind == "f" else f"{dtype}, white {sample_maximum(dtype)}"
    kept = f"{clipped_in} takes them for its own and clips what lies beyond" if clipped_in else "nothing is clipped"
    return (
        f"its samples go from {least:g} to {most:g} ({scale}); black is taken for {found[0]:g} and "
        f"white for {found[1]:g}, between which {_share_between(spreads, found)} lie{place}, and {kept}: if they are "
        "others, name them: --range LOW:HIGH, sample_range=(low, high)"
    )


def _share_between(spreads: Sequence[Spread], found: SampleRange) -> str:
    """How many samples lie in a range, in words."""
    values = np.concatenate([each.values for each in spreads])
    share = float(((values >= found[0]) & (values <= found[1])).mean())
    return "nearly all" if share > _NEARLY_ALL else f"{100 * share:.0f} %"


def doubtful_range(samples: NDArray[Any]) -> str | None:
    """What to say of float samples on the scale from 0 to 1 that reach farther beyond it than noise takes them.

    They would be clipped in silence. None where there are none, and of other types.
    """
    if samples.dtype.kind != "f" or not has_outliers(samples):
        return None
    return (
        f"its samples go from {samples.min():g} to {samples.max():g}, farther beyond black 0 and white 1 in places "
        "than noise takes them, and are clipped to these; if black and white are others, name them: --range LOW:HIGH, "
        "sample_range=(low, high)"
    )


def unused_range(samples: NDArray[Any], remedy: str = NAME_RANGE, whose: str = "its") -> str | None:
    """What to say of samples that use less than half of their type's range; None where they use more, or are even."""
    low, high = samples.min(), samples.max()
    white = sample_maximum(samples.dtype)
    used = (float(high) - float(low)) / white
    if not 0 < used < _LEAST_USE:
        return None
    return (
        f"{whose} samples go from {low:g} to {high:g}, but white is taken for {white} ({samples.dtype}); if it is not, "
        f"{remedy}"
    )

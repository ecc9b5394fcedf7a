"""Learned resampling of a picture (LeRF): a prefilter, weights, both by tables or by a network, and their mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, PictureError
from ..pictures.decoding import MAXIMUM_PIXELS
from ..pictures.ranges import SampleRange, check_range, from_unit, to_unit, type_range
from ..pictures.samples import join_transparency, split_transparency
from ..tasks.inference import checked_picture
from ..threads import on_threads, using_threads
from .networks import DEFAULT_MODEL, Plane, Spiking, as_shapes, by_network, network_output
from .tables import PATTERNS, Tables

MOST_SCALE = 64.0
"""What nobody enlarges a picture by."""

_BAND = 16
"""Rows that a thread takes at a time."""

_WIDEST = 10.0
"""Inverse width, in pixels, that the largest level of a width stands for."""

Axis = tuple[NDArray[np.int64], NDArray[np.float64]]


def resample(
    picture: ArrayLike,
    scale: float | None = None,
    tables: Tables | None = None,
    *,
    size: tuple[int, int] | None = None,
    spiking: Spiking | None = None,
    sample_range: SampleRange | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Enlarge a picture, each channel by itself; transparency linearly.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency. uint8 samples are looked up as they
        are, all others rounded to 16 bits from black to white; without tables what a network adds has 16 bits, too.
    scale : float, optional
        From 1 to 64, not necessarily whole; the size is that of the picture times it, rounded up.
    tables : Tables, optional
        See `read_tables`. Needed unless `spiking` takes the place of both stages.
    size : (height, width), optional
        In place of `scale`; the two directions may differ.
    spiking : Spiking, optional
        In place of the tables' second stage, or of both; see `resampler`.
    sample_range : (low, high), optional
        Samples of black and white; by default those of the sample type.
    threads : int, optional
        Worker threads, by default all processors; the result does not depend on them.

    Returns
    -------
    (height, width) or (height, width, C), dtype of the picture

    Raises
    ------
    InputError
        If there are no tables and they are needed, or there are and they are not, `spiking` is no `Spiking`, not one of
        scale and size is named, or the size is smaller than the picture or too large.
    PictureError
        If it is no picture, or samples are beyond black and white.

    Notes
    -----
    Li et al., Learning Steerable Function for Efficient Image Resampling, CVPR 2023, and arXiv 2407.09935. Unlike the
    published code, which takes pixels beyond the border for black, the last pixel goes on there.
    """
    check_method(tables, spiking)
    samples, limits = checked_picture(picture, sample_range)
    height, width = checked_size(samples.shape[:2], scale, size)
    factors = (scale, scale) if scale is not None else (height / samples.shape[0], width / samples.shape[1])
    axes = [_axis(*each) for each in zip(samples.shape[:2], (height, width), factors, strict=True)]
    colors, transparency = split_transparency(samples)
    levels, unit = _levels(colors, limits, fine=tables is None)
    planes = levels.reshape(*levels.shape[:2], -1)
    with _threads(threads):
        found = [_resampled(planes[..., each], unit, tables, axes, spiking) for each in range(planes.shape[2])]
        flat = None if transparency is None else _linear(transparency, axes)
    enlarged = np.stack(found, axis=-1).reshape(height, width, *levels.shape[2:])
    return join_transparency(_as_it_came(enlarged, unit, limits, samples.dtype), flat)


def check_method(tables: object, spiking: object) -> None:
    """InputError unless there are tables, or a network in place of both their stages, but not both."""
    if spiking is not None and not isinstance(spiking, Spiking):
        raise InputError(
            "the network must be one as resampler(name, path or network) and Spiking(network, steps) give it "
            f"(got {spiking!r:.60})"
        )
    whole = spiking is not None and spiking.is_whole
    if whole and tables is not None:
        raise InputError("the network takes the place of both stages of the tables; leave the tables out")
    if not whole and not isinstance(tables, Tables):
        given = (
            "a network in place of the second stage alone" if spiking is not None else "resampling without a network"
        )
        raise InputError(
            f"{given} needs tables, as --tables and read_tables(folder) give them (got {tables!r:.60}); "
            f"{DEFAULT_MODEL} needs none"
        )


def checked_size(shape: tuple[int, ...], scale: object, size: object) -> tuple[int, int]:
    """Height and width of the result; InputError where they make no sense."""
    if (scale is None) == (size is None):
        raise InputError(f"name either a scale or a size (got scale {scale!r}, size {size!r})")
    height, width = shape[:2]
    if size is None:
        factor = check_scale(scale)
        found = math.ceil(factor * height), math.ceil(factor * width)
    else:
        found = _two_numbers(size)
    if found[0] < height or found[1] < width or max(found[0] / height, found[1] / width) > MOST_SCALE:
        raise InputError(
            f"{width}x{height} pixels can become at least as many and at most {MOST_SCALE:g} times as many in each "
            f"direction (got {found[1]}x{found[0]}); resampling is made to enlarge"
        )
    if found[0] * found[1] > MAXIMUM_PIXELS:
        raise InputError(f"{found[1]}x{found[0]} pixels are more than the limit of {MAXIMUM_PIXELS}; cut it into parts")
    return found


def check_scale(scale: object) -> float:
    """The scale as a float; InputError where it is no number or one that nobody enlarges by."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)) or not 1 <= scale <= MOST_SCALE:
        raise InputError(
            f"the scale must be a number from 1 to {MOST_SCALE:g} (got {scale!r}); resampling is made to enlarge, take "
            "another program to shrink"
        )
    return float(scale)


def _two_numbers(size: object) -> tuple[int, int]:
    numbers = list(size) if isinstance(size, (tuple, list)) else []
    if len(numbers) != 2 or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers):
        raise InputError(f"the size must be two whole numbers, height and width (got {size!r:.60})")
    return int(numbers[0]), int(numbers[1])


def _levels(colors: NDArray[Any], limits: SampleRange, *, fine: bool) -> tuple[Plane, int]:
    """Samples as whole numbers from 0 to 255 * unit; a unit of 257 is 16 bits, to which `fine` makes 8 bits, too."""
    if colors.dtype == np.uint8 and limits == type_range(colors.dtype):
        scale = 257 if fine else 1
        return colors.astype(np.int32) * scale, scale
    if colors.dtype == np.uint16 and limits == type_range(colors.dtype):
        return colors.astype(np.int32), 257
    unit = to_unit(colors, limits, np.dtype(np.float64))
    try:
        check_range(unit)
    except PictureError:
        raise PictureError(
            f"its samples go from {colors.min():g} to {colors.max():g}, beyond black {limits[0]:g} or white "
            f"{limits[1]:g}, which resampling does not go beyond; name a wider range"
        ) from None
    return np.rint(unit * 65535).astype(np.int32), 257


def _as_it_came(enlarged: NDArray[np.float64], unit: int, limits: SampleRange, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The result on the scale and of the type of the samples that were given."""
    if dtype.kind == "u" and limits == type_range(dtype):
        return np.rint(enlarged / (255 * unit / limits[1])).astype(dtype)
    return from_unit(enlarged / (255 * unit), limits, dtype)


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    if threads is None:
        yield
        return
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise InputError(f"threads must be a whole number of at least 1 (got {threads!r})")
    with using_threads(int(threads)):
        yield


def _axis(pixels: int, wanted: int, factor: float) -> Axis:
    """First of the two pixels that a place of the result lies between, and how far behind it, for all along a side.

    The middles of both pictures lie on each other. LeRF-L's tent ends abruptly one pixel away, and where a place is a
    pixel's but for rounding, rounding decides: it is the published code's, to the bit, and so are the figures.
    """
    places = np.arange(wanted) / factor + (pixels - 1) / 2 - (wanted - 1) / (2 * factor)
    first = np.ceil(places - 1 - np.finfo(np.float32).eps)
    return first.astype(np.int64), places - first


def _resampled(
    plane: Plane, unit: int, tables: Tables | None, axes: list[Axis], spiking: Spiking | None
) -> NDArray[Any]:
    filtered, shapes = described(np.ascontiguousarray(plane), unit, tables, spiking)
    return weighted(filtered, shapes, axes)


def described(
    plane: Plane, unit: int, tables: Tables | None, spiking: Spiking | None
) -> tuple[Plane, NDArray[np.uint8]]:
    """The picture to take the mean of, and the shapes of its weights, by what `check_method` let through."""
    if tables is None:
        assert spiking is not None
        return by_network(plane, unit, spiking)
    filtered = prefiltered(plane, unit, tables)
    if spiking is None:
        return filtered, shapes_of(filtered, unit, tables)
    output, _ = network_output(filtered, unit, spiking)
    return filtered, as_shapes(output)


def prefiltered(plane: Plane, unit: int, tables: Tables) -> Plane:
    """Stage 1: (H, W) int32 from 0 to 255 * unit."""
    sums = np.zeros((*plane.shape, 1), np.int32)
    for pattern, table in tables.prefilter.items():
        _look_up(plane, unit, table, turned(pattern, (0, 1, 2, 3)), sums)
    # A sum in sixteenths of a level over three patterns, whose four turns add up.
    return np.clip(halves_to_even(sums[..., 0], 16 * len(PATTERNS)), 0, 255 * unit)


def shapes_of(filtered: Plane, unit: int, tables: Tables) -> NDArray[np.uint8]:
    """Stage 2: what the tables say of each pixel's weights, (H, W, 3 or 1) uint8; 127 is half way."""
    sums = np.zeros((*filtered.shape, tables.outputs), np.int32)
    for (pattern, turn), table in tables.shape.items():
        _look_up(filtered, unit, table, turned(pattern, (turn, turn + 2)), sums)
    divisor = 16 * unit * len(PATTERNS) * 4
    return np.clip(halves_to_even(sums + 127 * divisor, divisor), 0, 255).astype(np.uint8)


def weighted(filtered: Plane, shapes: NDArray[np.uint8], axes: list[Axis]) -> NDArray[np.float64]:
    """The weighted means at all places of the result, on the scale of `filtered`."""
    from ..kernels.resample import weigh

    table = _parameters(shapes.shape[2])
    shapes = np.ascontiguousarray(shapes)
    resampled = np.empty((len(axes[0][0]), len(axes[1][0])))
    on_threads(
        lambda rows: weigh(filtered, shapes, table, axes[0], axes[1], rows, resampled), _bands(resampled.shape[0])
    )
    return resampled


def _parameters(count: int) -> NDArray[np.float64]:
    """What the levels 0 to 255 stand for: correlation from -1 to 1 and inverse widths from 0 to 10, or the slope."""
    share = np.arange(256, dtype=np.float32) / np.float32(255)
    signed = share * np.float32(2) - np.float32(1)
    rows = [signed] if count == 1 else [signed, share * np.float32(_WIDEST), share * np.float32(_WIDEST)]
    return np.stack(rows).astype(np.float64)


def _linear(transparency: NDArray[Any], axes: list[Axis]) -> NDArray[Any]:
    """Linear interpolation, which keeps what is opaque everywhere opaque."""
    (tops, downs), (lefts, rights) = axes
    height, width = transparency.shape
    above, below = np.clip(tops, 0, height - 1), np.clip(tops + 1, 0, height - 1)
    left, right = np.clip(lefts, 0, width - 1), np.clip(lefts + 1, 0, width - 1)
    values = transparency.astype(np.float64)
    lines = values[above] + (values[below] - values[above]) * downs[:, None]
    found = lines[:, left] + (lines[:, right] - lines[:, left]) * rights
    return (np.rint(found) if transparency.dtype.kind == "u" else found).astype(transparency.dtype)


def turned(pattern: str, turns: tuple[int, ...]) -> NDArray[np.int64]:
    """Where a pattern's samples lie, (turns, 4, 2), when the picture is turned counter-clockwise by quarters.

    A step right in the turned picture is one down in the picture itself, and a step down is one to the left.
    """
    found = []
    for turn in turns:
        offsets = PATTERNS[pattern]
        for _ in range(turn):
            offsets = tuple((right, -down) for down, right in offsets)
        found.append(offsets)
    return np.array(found, np.int64)


def halves_to_even(sums: NDArray[np.int32], divisor: int) -> NDArray[np.int32]:
    """The quotient rounded to the nearest whole number, halves to an even one, without leaving whole numbers."""
    quotient, rest = np.divmod(sums, np.int32(divisor))
    up = (2 * rest > divisor) | ((2 * rest == divisor) & (quotient % 2 == 1))
    found: NDArray[np.int32] = quotient + up
    return found


def _look_up(plane: Plane, unit: int, table: NDArray[np.int8], offsets: NDArray[np.int64], sums: Plane) -> None:
    from ..kernels.resample import look_up

    on_threads(lambda rows: look_up(plane, unit, table, offsets, rows, sums), _bands(plane.shape[0]))


def _bands(rows: int) -> list[tuple[int, int]]:
    return [(first, min(first + _BAND, rows)) for first in range(0, rows, _BAND)]

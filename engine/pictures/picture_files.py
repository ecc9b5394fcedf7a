"""Read and write picture files: gray or colour, with or without transparency, 8 or 16 bits a sample or float.

Transparency is the last of 2 or 4 channels. A palette becomes gray or colour, one bit becomes 8 bits, and the EXIF
orientation is applied, so that the array shows the picture the way up that a viewer shows it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import PictureError, PictureWarning, SpikeunetError
from ..quiet import without_warnings
from .decoding import MAXIMUM_PIXELS, PictureFile, decode
from .encoding import encode
from .formats import FORMATS, SUFFIXES, PictureFormat, check_channels, format_of
from .picture_metadata import Metadata, suits
from .ranges import (
    NAME_RANGE,
    SCALE_FIRST,
    SampleRange,
    check_near,
    check_range,
    check_sample_range,
    convert_samples,
    found_range,
    from_unit,
    sample_maximum,
    to_unit,
    type_range,
    unused_range,
)
from .samples import check_shape, split_transparency
from .streams import Place, name_of, opened, written

__all__ = [
    "FORMATS",
    "MAXIMUM_PIXELS",
    "SUFFIXES",
    "PictureFile",
    "PictureFormat",
    "check_channels",
    "check_range",
    "convert_samples",
    "format_of",
    "load_picture",
    "read_colors",
    "read_pair",
    "read_picture",
    "sample_maximum",
    "warn_of",
    "with_range_of",
    "write_picture",
]


def read_picture(source: Place) -> NDArray[Any]:
    """Read a PNG, JPEG, TIFF, BMP, WebP, PBM, PGM, PPM or PNM picture.

    Parameters
    ----------
    source : path or binary file object
        The content decides the format, not the suffix. A file object is read from its position to its end.

    Returns
    -------
    (H, W) or (H, W, C) uint8, uint16, float16, float32 or float64
        Samples as they are stored. C is 3 for colour, 2 for gray and 4 for colour with transparency.

    Raises
    ------
    PictureError
        If the file is not a picture, is truncated, holds several pictures or more than MAXIMUM_PIXELS, or its samples
        are of another kind, NaN, or float and far outside [0, 1].
    OSError
        If the file is missing or may not be read.

    Warns
    -----
    PictureWarning
        If something that the file leaves open had to be assumed, or it says that black and white are others than those
        of the sample type: `denoise` and `segment` take these as `sample_range`.
    """
    picture = load_picture(source)
    for remark in picture.remarks:
        warnings.warn(f"{name_of(source)}: {remark}", PictureWarning, stacklevel=2)
    if picture.sample_range is not None:
        low, high = picture.sample_range
        warnings.warn(
            f"{name_of(source)}: black is {low:g} and white {high:g} ({picture.range_origin}), and samples are given "
            f"as they are stored; say sample_range=({low:g}, {high:g}) to what uses them",
            PictureWarning,
            stacklevel=2,
        )
    return picture.samples


def load_picture(
    source: Place, indices: bool = False, sample_range: object = None, *, anywhere: bool = False
) -> PictureFile:
    """As `read_picture`, with all that is known of the picture, and without warnings.

    Parameters
    ----------
    source : path or binary file object
    indices : bool
        Whether to read a palette's indices instead of its colours.
    sample_range : (low, high), optional
        Samples of black and white, in place of what the file says.
    anywhere : bool
        Whether float samples may lie anywhere where no range is known, as their range is to be found.
    """
    with opened(source) as stream, named_errors(source):
        return completed(decode(stream, indices), sample_range, anywhere=anywhere)


def completed(picture: PictureFile, sample_range: object = None, *, anywhere: bool = False) -> PictureFile:
    """A decoded picture with the range that is named or makes sense, checked; PictureError without the file's name."""
    samples = np.ascontiguousarray(picture.samples)
    picture = _with_suitable_profile(_with_range(replace(picture, samples=samples), sample_range))
    colors, _ = split_transparency(samples)
    if not anywhere or picture.sample_range is not None or found_range(colors) is None:
        _check_floats(samples, picture.limits)
    return picture


def read_colors(source: Place, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Gray or colour samples of a picture from black 0 to white 1, without its transparency.

    Returns
    -------
    (H, W) or (H, W, C) float32, or `dtype`

    Warns
    -----
    PictureWarning
        If something had to be assumed, or the samples use little of their type's range.
    """
    return _unit_colors(source, load_picture(source), dtype)


def read_pair(source: Place, reference: Place, dtype: np.dtype[Any] | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """A picture and its clean reference, each as `read_colors` gives it, on one scale from black to white."""
    picture = load_picture(source)
    clean = with_range_of(load_picture(reference), picture)
    return _unit_colors(source, picture, dtype), _unit_colors(reference, clean, dtype)


def with_range_of(reference: PictureFile, picture: PictureFile) -> PictureFile:
    """`reference` with the black and white of `picture`, where their samples are of one type and it has none itself."""
    if reference.samples.dtype != picture.samples.dtype or reference.sample_range is not None:
        return reference
    return replace(reference, sample_range=picture.sample_range)


def _unit_colors(source: Place, picture: PictureFile, dtype: np.dtype[Any] | None) -> NDArray[Any]:
    warn_of(source, picture, remedy=SCALE_FIRST)
    colors, _ = split_transparency(picture.samples)
    with named_errors(source):
        return to_unit(colors, picture.limits, dtype)


def warn_of(source: Place, picture: PictureFile, *, stretched: bool = False, remedy: str = NAME_RANGE) -> None:
    """Warn of what was assumed of a picture, and of samples that use little of the range that they are taken for.

    `stretched` says that they are brought to the whole range anyway, `remedy` what to do where it is another one.
    """
    unused = None
    if picture.sample_range is None and not stretched:
        unused = unused_range(split_transparency(picture.samples)[0], remedy)
    for remark in (*picture.remarks, *([unused] if unused else [])):
        warnings.warn(f"{name_of(source)}: {remark}", PictureWarning, stacklevel=3)


def write_picture(
    target: Place,
    picture: ArrayLike,
    icc_profile: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002 - what Pillow's and tifffile's users know it as
    sample_range: SampleRange | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write a picture in the format that the suffix names, completely or not at all.

    Samples are kept where the format can hold them: PNG and PGM hold 8 and 16 bits, TIFF also float, the others 8
    bits. Others are rounded to the widest that it holds. JPEG is written at quality 95 without chroma subsampling.

    Parameters
    ----------
    target : path or binary file object
        A file object gets all bytes at once, after everything else went well.
    picture : (H, W) or (H, W, C) uint8, uint16, or float in [0, 1]
        C from 1 to 4; the last of 2 or 4 channels is transparency. A TIFF takes float that noise took beyond [0, 1].
    icc_profile : bytes or None
        Colour profile, RGB or gray as the picture is; BMP and the PNM formats hold none.
    format : str, optional
        A suffix such as ".png", in place of the path's or of the file object's name.
    sample_range : (low, high), optional
        Samples of black and white where they are others than the type's; a TIFF notes them.
    metadata : Metadata, optional
        What is known of a picture that was read; what the format can hold of it is written.

    Raises
    ------
    PictureError
        If the suffix is unknown, or the format cannot hold such a picture.
    OSError
        If the file cannot be written; whatever was there is kept.
    """
    chosen = format_of(target, format)
    samples = as_array(picture, "the picture", PictureError)
    check_shape(samples)
    samples = samples.reshape(*samples.shape[:2], -1)
    channels = samples.shape[2]
    check_channels(target, channels, format)
    samples, limits = as_held(samples, sample_range, chosen)
    known = metadata or Metadata()
    known = known if icc_profile is None else replace(known, icc_profile=icc_profile)
    if not suits(known.icc_profile, channels):
        raise PictureError(f"{name_of(target)}: the colour profile is not one of this picture's colours; leave it out")
    with written(target) as stream, named_errors(target, "cannot be written"):
        encode(stream, chosen, samples, known, limits)


def as_held(
    samples: NDArray[Any], sample_range: SampleRange | None, chosen: PictureFormat
) -> tuple[NDArray[Any], SampleRange]:
    """Samples (H, W, C) of a type that a format holds, the widest where it does not hold their own, and their range.

    Raises
    ------
    PictureError, InputError
        If float samples are far outside the range, or it is none.
    """
    limits = type_range(samples.dtype) if sample_range is None else check_sample_range(sample_range, samples.dtype)
    _check_floats(samples, limits, clipped=chosen.name != "TIFF")
    dtype = chosen.dtype_for(samples.dtype.name, samples.shape[2])
    return (samples, limits) if samples.dtype.name == dtype else _converted(samples, limits, np.dtype(dtype))


def _converted(
    samples: NDArray[Any], sample_range: SampleRange, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], SampleRange]:
    """Samples (H, W, C) of another type, on its whole range, transparency as it is."""
    if sample_range == type_range(samples.dtype):
        return convert_samples(samples, dtype), type_range(dtype)
    colors, transparency = split_transparency(samples)
    scaled = from_unit(to_unit(colors, sample_range, np.dtype(np.float64)), type_range(dtype), dtype)
    if transparency is None:
        return scaled, type_range(dtype)
    return np.dstack([scaled, convert_samples(transparency, dtype)]), type_range(dtype)


def _with_range(picture: PictureFile, sample_range: object) -> PictureFile:
    """The picture with the range given, or with its own where that makes sense."""
    if sample_range is not None:
        named = check_sample_range(sample_range, picture.samples.dtype)
        return replace(picture, sample_range=named, range_origin="as named")
    if picture.sample_range is None:
        return picture
    (low, high), origin = picture.sample_range, picture.range_origin
    colors, _ = split_transparency(picture.samples)
    least, most = float(colors.min()), float(colors.max())
    if low < high and (picture.samples.dtype.kind == "f" or (low <= least and most <= high)):
        return picture
    remark = (
        f"its samples go from {least:g} to {most:g}, but its black is {low:g} and its white {high:g} ({origin}), which "
        "cannot be and is not used"
    )
    return replace(picture, sample_range=None, range_origin="", remarks=(*picture.remarks, remark))


def _with_suitable_profile(picture: PictureFile) -> PictureFile:
    if suits(picture.icc_profile, picture.channels):
        return picture
    kind = "colours" if picture.channels > 2 else "grays"
    remark = f"its colour profile is not one of {kind}, as the picture is; left out"
    metadata = replace(picture.metadata, icc_profile=None)
    return replace(picture, metadata=metadata, remarks=(*picture.remarks, remark))


def _check_floats(samples: NDArray[Any], sample_range: SampleRange, *, clipped: bool = False) -> None:
    """PictureError where float colours are far outside their range, or at all if they are to be clipped to it.

    Transparency has to lie in [0, 1].
    """
    if samples.dtype.kind != "f":
        return
    colors, transparency = split_transparency(samples)
    if clipped:
        check_range(colors, *sample_range, sample_range)
    else:
        check_near(colors, sample_range)
    if transparency is not None:
        check_range(transparency)


@contextmanager
def named_errors(place: Place, problem: str = "cannot be read as a picture") -> Iterator[None]:
    """Turn whatever a decoder or encoder raises into a PictureError that names the file.

    Decoders raise nearly anything on hostile files (struct.error, KeyError, ZeroDivisionError, ...). Errors of the
    system, which carry an errno, pass through.
    """
    try:
        with without_warnings():
            yield
    except SpikeunetError as error:
        raise type(error)(f"{name_of(place)}: {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name_of(place)}: {problem} ({reason[:200]})") from error

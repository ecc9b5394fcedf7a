"""Read and write picture files: gray or colour, with or without transparency, 8 or 16 bits a sample or float.

Transparency is the last of 2 or 4 channels. A palette becomes gray or colour, one bit becomes 8 bits, and the EXIF
orientation is applied, so that the array shows the picture the way up that a viewer shows it.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .png_check import check_png_samples
from .streams import Place, check_place, is_path, name_of, opened, written

MAXIMUM_PIXELS = 100_000_000
"""Larger pictures are refused from their header, before anything is decoded."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_PLUGINS = ("Png", "Jpeg", "Bmp", "Ppm", "WebP")
_ORIENTATION_TAG = 0x0112
_PNG_HEADER = 33  # bytes of the signature and the IHDR chunk, behind which the colour profile stands


@dataclass(frozen=True)
class PictureFormat:
    """What a file format can hold: numbers of channels, and the sample types, widest first."""

    name: str
    channels: tuple[int, ...]
    dtypes: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()


_JPEG = PictureFormat("JPEG", (1, 3), ("uint8",), (("quality", 95), ("subsampling", 0)))
_TIFF = PictureFormat("TIFF", (1, 2, 3, 4), ("float64", "float32", "float16", "uint16", "uint8"))
FORMATS = {
    ".png": PictureFormat("PNG", (1, 2, 3, 4), ("uint16", "uint8")),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": PictureFormat("WebP", (1, 2, 3, 4), ("uint8",), (("lossless", True),)),
    ".bmp": PictureFormat("BMP", (1, 3), ("uint8",)),
    ".pgm": PictureFormat("PPM", (1,), ("uint16", "uint8")),
    ".ppm": PictureFormat("PPM", (3,), ("uint8",)),
}
"""Formats by file suffix, for reading and for writing."""


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A picture as it was read: samples, (H, W) or (H, W, C) uint8, uint16 or float, and its ICC colour profile."""

    samples: NDArray[Any]
    icc_profile: bytes | None = None


def read_picture(source: Place) -> NDArray[Any]:
    """Read a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture.

    Parameters
    ----------
    source : path or binary file object
        The content decides the format, not the suffix. A file object is read from its position to its end.

    Returns
    -------
    (H, W) or (H, W, C) uint8, uint16, float16, float32 or float64
        C is 3 for colour, 2 for gray and 4 for colour with transparency. Float samples lie in [0, 1].

    Raises
    ------
    PictureError
        If the file is not a picture, is truncated, holds several pictures or more than MAXIMUM_PIXELS, or its samples
        are of another kind, NaN or outside [0, 1].
    OSError
        If the file is missing or may not be read.
    """
    return load_picture(source).samples


def load_picture(source: Place, indices: bool = False) -> PictureFile:
    """As `read_picture`, with the ICC colour profile; with `indices`, a palette's indices instead of its colours."""
    with opened(source) as stream, _named_errors(source):
        picture = _decode(stream, indices)
        samples = np.ascontiguousarray(picture.samples)
        if samples.dtype.kind == "f":
            check_range(samples)
    return PictureFile(samples, picture.icc_profile)


def write_picture(
    target: Place,
    picture: NDArray[Any],
    icc_profile: bytes | None = None,
    *,
    format: str | None = None,  # noqa: A002 - what Pillow's and tifffile's users know it as
) -> None:
    """Write a picture in the format that the suffix names, completely or not at all.

    Samples are kept where the format can hold them: PNG and PGM hold 8 and 16 bits, TIFF also float, the others 8
    bits. Others are rounded to the widest that it holds. JPEG is written at quality 95 without chroma subsampling.

    Parameters
    ----------
    target : path or binary file object
        A file object gets all bytes at once, after everything else went well.
    picture : (H, W) or (H, W, C) uint8, uint16, or float in [0, 1]
        C from 1 to 4; the last of 2 or 4 channels is transparency.
    icc_profile : bytes or None
    format : str, optional
        A suffix such as ".png", in place of the path's or of the file object's name.

    Raises
    ------
    PictureError
        If the suffix is unknown, or the format cannot hold such a picture.
    OSError
        If the file cannot be written; whatever was there is kept.
    """
    chosen = format_of(target, format)
    samples = _checked_samples(picture)
    check_channels(target, samples.shape[2], format)
    if samples.dtype.name not in chosen.dtypes:
        samples = convert_samples(samples, np.dtype(chosen.dtypes[0]))
    with written(target) as stream, _named_errors(target, "cannot be written"):
        _encode(stream, chosen, samples, icc_profile)


def format_of(target: Place, suffix: str | None = None) -> PictureFormat:
    """The format that a suffix names, the one given or that of the target's name; PictureError where there is none."""
    check_place(target)
    found, known = _suffix(target, suffix), ", ".join(FORMATS)
    if found in FORMATS:
        return FORMATS[found]
    if suffix is not None:
        raise PictureError(f"{name_of(target)}: unknown picture format {suffix!r}; use one of {known}")
    if not found and not is_path(target):
        raise PictureError(f"{name_of(target)}: name the format of a file object, one of {known}: format='.png'")
    raise PictureError(f"{name_of(target)}: unknown picture suffix {found!r}; use one of {known}")


def check_channels(target: Place, channels: int, suffix: str | None = None) -> None:
    """PictureError where the format of `target` cannot hold pictures of so many channels."""
    if channels in format_of(target, suffix).channels:
        return
    kind = "transparency" if channels in (2, 4) else "colour" if channels == 3 else "gray pictures"
    able = [name for name, other in FORMATS.items() if channels in other.channels]
    found = _suffix(target, suffix)
    raise PictureError(f"{name_of(target)}: {found} cannot hold {kind}; use one of {', '.join(able)}")


def _suffix(target: Place, suffix: str | None) -> str:
    """Lower case and with its dot; nothing where there is none."""
    if suffix is not None:
        return f".{str(suffix).lower().removeprefix('.')}"
    return PurePath(name_of(target)).suffix.lower()


def convert_samples(samples: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Samples on the scale of another type: 0-255 for uint8, 0-65535 for uint16, 0-1 for float; rounded, clipped."""
    if samples.dtype == dtype:
        return samples
    scaled = samples.astype(np.float64) / sample_maximum(samples.dtype) * sample_maximum(dtype)
    if dtype.kind == "u":
        return np.rint(np.clip(scaled, 0, sample_maximum(dtype))).astype(dtype)
    return scaled.astype(dtype)


def sample_maximum(dtype: np.dtype[Any]) -> int:
    """The sample that stands for white: 255, 65535, or 1 for float."""
    return int(np.iinfo(dtype).max) if dtype.kind == "u" else 1


def check_range(samples: NDArray[Any], low: float = 0.0, high: float = 1.0) -> None:
    """PictureError where float samples are NaN, infinite or outside [low, high]."""
    bad = samples.size - int(np.isfinite(samples).sum())
    if bad:
        raise PictureError(f"{bad} of its {samples.size} samples are NaN or infinite")
    least, most = float(samples.min()), float(samples.max())
    if least < low or most > high:
        raise PictureError(
            f"float samples must lie in [{low:g}, {high:g}] (got {least:g} to {most:g}); scale the picture to [0, 1]"
        )


@contextmanager
def _named_errors(place: Place, problem: str = "cannot be read as a picture") -> Iterator[None]:
    """Turn whatever a decoder or encoder raises into a PictureError that names the file.

    Decoders raise nearly anything on hostile files (struct.error, KeyError, ZeroDivisionError, ...). Errors of the
    system, which carry an errno, pass through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PictureError as error:
        raise PictureError(f"{name_of(place)}: {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name_of(place)}: {problem} ({reason[:200]})") from error


def _decode(stream: BinaryIO, indices: bool = False) -> PictureFile:
    start = stream.read(32)
    stream.seek(0)
    if not start:
        raise PictureError("the file is empty")
    if start.startswith(_TIFF_STARTS):
        return _decode_tiff(stream, indices)
    return _decode_with_pillow(stream, indices)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise PictureError(f"the picture has no pixels ({width}x{height})")
    if width * height > MAXIMUM_PIXELS:
        raise PictureError(f"{width}x{height} pixels are more than the limit of {MAXIMUM_PIXELS}; cut it into parts")


def _decode_with_pillow(stream: BinaryIO, indices: bool = False) -> PictureFile:
    from PIL import Image, ImageOps, UnidentifiedImageError

    for name in _PILLOW_PLUGINS:
        importlib.import_module(f"PIL.{name}ImagePlugin")
    try:
        image: Any = Image.open(stream, formats=[name.upper() for name in _PILLOW_PLUGINS])
    except Image.DecompressionBombError:
        raise PictureError(f"its pixels are more than the limit of {MAXIMUM_PIXELS}; cut it into parts") from None
    except UnidentifiedImageError:
        raise PictureError("not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture, or its header is damaged") from None
    with image:
        _check_size(*image.size)
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise PictureError(f"holds {image.n_frames} pictures; save the one to use as a file of its own")
        if image.format == "PNG":
            check_png_samples(stream)
        if image.format == "PPM" and image.mode == "RGB" and image.tile[0][3][-1] in range(256, 65536):
            raise PictureError("a PPM of 16 bits a sample is not supported; save it as PNG or TIFF")
        icc_profile = image.info.get("icc_profile")
        if image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in image.tile):
            return PictureFile(_deep_png_samples(stream, image), icc_profile)
        if indices and image.mode == "P":
            return PictureFile(np.asarray(ImageOps.exif_transpose(image)))
        return PictureFile(_pillow_samples(ImageOps.exif_transpose(image), image.format), icc_profile)


def _deep_png_samples(stream: BinaryIO, image: Any) -> NDArray[np.uint16]:
    """Samples of a PNG of 16 bits a sample, of which Pillow keeps only 8 where it is colour.

    Pillow decodes it all the same, for it refuses a file without an end and finds an orientation behind the samples.
    """
    import imagecodecs

    image.load()
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    # libpng's remarks on odd files would otherwise reach stderr; a logger that the user sets up still gets them.
    logging.getLogger("imagecodecs").addHandler(logging.NullHandler())
    stream.seek(0)
    samples: NDArray[np.uint16] = imagecodecs.png_decode(stream.read())
    return _squeezed(_oriented(samples.reshape(*samples.shape[:2], -1), orientation))


def _pillow_samples(image: Any, file_format: str) -> NDArray[Any]:
    mode = image.mode
    if mode in ("P", "PA"):
        return _palette_samples(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))
    if mode in ("L", "RGB") and "transparency" in image.info:
        return np.asarray(image.convert("LA" if mode == "L" else "RGBA"))
    if mode in ("1", "La", "RGBa"):
        return np.asarray(image.convert({"1": "L", "La": "LA", "RGBa": "RGBA"}[mode]))
    if mode in ("L", "LA", "RGB", "RGBA"):
        return np.asarray(image)
    if mode.startswith("I;16") or (mode == "I" and file_format == "PPM"):
        return np.asarray(image).astype(np.uint16)
    raise PictureError(f"samples of the kind {mode!r} are not supported; convert it to 8 or 16 bit gray or RGB")


def _palette_samples(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Drop two of the three colour channels where a palette holds only grays."""
    red, green, blue = samples[..., 0], samples[..., 1], samples[..., 2]
    if (red == green).all() and (green == blue).all():
        return _squeezed(np.delete(samples, (1, 2), axis=2))
    return samples


def _decode_tiff(stream: BinaryIO, indices: bool = False) -> PictureFile:
    from .tiff import read_tiff

    tiff = read_tiff(stream, _check_size)
    samples = _oriented(tiff.samples, tiff.orientation)
    if tiff.colors is not None and not indices:
        return PictureFile(_palette_samples(tiff.colors[samples[..., 0]]), tiff.icc_profile)
    return PictureFile(_squeezed(samples), tiff.icc_profile)


def _oriented(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Samples (H, W, C) turned as EXIF orientation 1 to 8 asks for."""
    if orientation in (5, 6, 7, 8):
        samples = np.swapaxes(samples, 0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def _squeezed(samples: NDArray[Any]) -> NDArray[Any]:
    """(H, W) where there is one channel."""
    return samples[..., 0] if samples.shape[2] == 1 else samples


def _checked_samples(picture: NDArray[Any]) -> NDArray[Any]:
    """`picture` as (H, W, C); PictureError where it is no picture that a file could hold."""
    samples = np.asarray(picture)
    if samples.dtype.name not in _TIFF.dtypes:
        raise PictureError(f"picture samples must be uint8, uint16 or float (got {samples.dtype})")
    if samples.ndim not in (2, 3) or not samples.size or (samples.ndim == 3 and samples.shape[2] > 4):
        raise PictureError(f"a picture must have the shape (H, W) or (H, W, 1 to 4) (got {samples.shape})")
    if samples.dtype.kind == "f":
        check_range(samples)
    return samples.reshape(*samples.shape[:2], -1)


def _encode(stream: BinaryIO, target: PictureFormat, samples: NDArray[Any], icc_profile: bytes | None) -> None:
    """Write samples (H, W, C) of a type that the format holds."""
    if target.name == "PNG" and samples.dtype == np.uint16:
        _encode_deep_png(stream, samples, icc_profile)
    elif target.name == "TIFF":
        _encode_tiff(stream, samples, icc_profile)
    else:
        from PIL import Image

        options = dict(target.options)
        if icc_profile and target.name in ("PNG", "JPEG", "WebP"):
            options["icc_profile"] = icc_profile
        # Into memory first: Pillow writes to a file behind Python's back, and would not tell a full disk from a bug.
        buffer = io.BytesIO()
        Image.fromarray(_squeezed(samples)).save(buffer, target.name, **options)
        stream.write(buffer.getbuffer())


def _encode_deep_png(stream: BinaryIO, samples: NDArray[np.uint16], icc_profile: bytes | None) -> None:
    import imagecodecs
    from PIL.PngImagePlugin import putchunk

    encoded = imagecodecs.png_encode(np.ascontiguousarray(samples))
    stream.write(encoded[:_PNG_HEADER])
    if icc_profile:
        putchunk(stream, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    stream.write(encoded[_PNG_HEADER:])


def _encode_tiff(stream: BinaryIO, samples: NDArray[Any], icc_profile: bytes | None) -> None:
    import tifffile

    channels = samples.shape[2]
    tifffile.imwrite(
        stream,
        _squeezed(samples),
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        iccprofile=icc_profile,
        metadata=None,
        software=False,
    )

"""Decode a picture: samples, and what its file says about them."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, PictureSizeError
from ..quiet import quiet_logger
from .codecs import image_codecs
from .picture_metadata import ORIENTATION_TAG, Metadata, Resolution, is_of_colour, read_exif
from .png_chunks import PngHeader, check_png_samples, read_png_header
from .ranges import SampleRange
from .samples import without_equal_channels

if TYPE_CHECKING:
    from .tiff import TiffPicture

MAXIMUM_PIXELS = 100_000_000
"""Larger pictures are refused from their header, before anything is decoded."""
_most_pixels = MAXIMUM_PIXELS

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_PLUGINS = ("Png", "Jpeg", "Bmp", "Ppm", "WebP")
_ANOTHER_PPM = re.compile(rb"\s*P[1-6]\s")


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A picture as it was read.

    Parameters
    ----------
    samples : (H, W) or (H, W, C) uint8, uint16 or float
        As they are stored.
    sample_range : (low, high)
        Samples of black and white, where the file says what they are, else None.
    range_origin : str
        What says so.
    metadata : Metadata
    remarks : tuple of str
        What the file leaves open and was assumed, and what was left out.
    range_found : bool
        Whether the range comes from the samples themselves, which may then lie beyond it.
    """

    samples: NDArray[Any]
    sample_range: SampleRange | None = None
    range_origin: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    remarks: tuple[str, ...] = ()
    range_found: bool = False

    @property
    def icc_profile(self) -> bytes | None:
        """The colour profile."""
        return self.metadata.icc_profile


def decode(stream: BinaryIO, indices: bool = False) -> PictureFile:
    """The picture in a stream; with `indices`, a palette's indices instead of its colours.

    Raises
    ------
    PictureError
        If it is no picture, or one that is not supported. Damage raises nearly anything.
    """
    start = stream.read(32)
    stream.seek(0)
    if not start:
        raise PictureError("the file is empty")
    if start.startswith(TIFF_STARTS):
        return _decode_tiff(stream, indices)
    return _decode_with_pillow(stream, indices)


def limit_pixels(most: int) -> None:
    """Have this process refuse smaller pictures, too, from so many pixels on."""
    global _most_pixels  # noqa: PLW0603 - of a process that reads pictures of strangers
    _most_pixels = min(most, MAXIMUM_PIXELS)


def check_size(width: int, height: int) -> None:
    """PictureError where a picture has no pixels, PictureSizeError where it has too many."""
    if width < 1 or height < 1:
        raise PictureError(f"the picture has no pixels ({width}x{height})")
    if width * height > _most_pixels:
        raise PictureSizeError(f"{width}x{height} pixels are more than the limit of {_most_pixels}; cut it into parts")


def _decode_with_pillow(stream: BinaryIO, indices: bool) -> PictureFile:
    with _opened_image(stream) as image:
        check_size(*image.size)
        remarks = _check_single(image)
        if image.format == "PPM":
            _check_ppm(image, stream)
        if image.format != "PNG":
            samples = _pillow_samples(image, indices)
            return PictureFile(samples, metadata=metadata_of(image), remarks=remarks)
        check_png_samples(stream)
        header = read_png_header(stream)
        deep = any(str(tile[3]).endswith(";16B") for tile in image.tile)
        samples = _deep_png_samples(stream, image) if deep else _png_samples(image, header, indices)
        metadata = replace(metadata_of(image), png_chunks=header.kept)
        if not header.is_shifted(samples):
            return PictureFile(samples, metadata=metadata)
        return PictureFile(samples, (0.0, 2.0**header.significant_bits - 1), "sBIT", metadata)


def image_size(stream: BinaryIO) -> tuple[int, int]:
    """(width, height) by the header of a file that is no TIFF and no video; PictureError where it is none."""
    with _opened_image(stream) as image:
        return int(image.width), int(image.height)


def _opened_image(stream: BinaryIO) -> Any:
    from PIL import Image, UnidentifiedImageError

    for name in _PILLOW_PLUGINS:
        importlib.import_module(f"PIL.{name}ImagePlugin")
    try:
        return Image.open(stream, formats=[name.upper() for name in _PILLOW_PLUGINS])
    except Image.DecompressionBombError:
        raise PictureSizeError(f"its pixels are more than the limit of {_most_pixels}; cut it into parts") from None
    except UnidentifiedImageError:
        raise PictureError("not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture, or its header is damaged") from None


def _check_single(image: Any) -> tuple[str, ...]:
    """PictureError where there are several pictures; a remark where all but the first are views or previews of it."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "MPO":
        raise PictureError(f"holds {count} pictures; save the one to use as a file of its own")
    return (f"holds {count} pictures (MPO), of which the first is taken",) if count > 1 else ()


def _check_ppm(image: Any, stream: BinaryIO) -> None:
    decoder, _, offset, mode = image.tile[0]
    raw, maximum = mode if isinstance(mode, tuple) and len(mode) == 2 else (mode, 65535 if mode == "I;16B" else 255)
    if image.mode == "RGB" and maximum > 255:
        raise PictureError("a PPM of 16 bits a sample is not supported; save it as PNG or TIFF")
    # Netpbm's files may hold one picture behind the other.
    row = -(-image.width // 8) if raw == "1;I" else image.width * len(image.getbands())
    position = stream.tell()
    stream.seek(offset + row * image.height * (2 if maximum > 255 else 1))
    behind = stream.read(64)
    stream.seek(position)
    if decoder != "ppm_plain" and _ANOTHER_PPM.match(behind):
        raise PictureError("holds 2 or more pictures; save the one to use as a file of its own")


def metadata_of(image: Any) -> Metadata:
    """What a Pillow image says besides its samples, after it was turned upright."""
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    exif, texts = read_exif(image)
    metadata = Metadata(image.info.get("icc_profile"), _resolution(image.info), exif, texts)
    return metadata.turned(orientation if isinstance(orientation, int) else 1)


def _resolution(info: dict[str, Any]) -> Resolution | None:
    unit, pair = ("inch", info["dpi"]) if "dpi" in info else ("", info.get("aspect", ()))
    try:
        x, y = (float(value) for value in pair)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sensible = all(math.isfinite(value) and value > 0 for value in (x, y))
    return Resolution(x, y, unit) if sensible else None


def _deep_png_samples(stream: BinaryIO, image: Any) -> NDArray[np.uint16]:
    """Samples of a PNG of 16 bits a sample, of which Pillow keeps only 8 where it is colour or has transparency.

    Pillow decodes it all the same, for it refuses a file without an end and finds an orientation behind the samples.
    """
    image.load()
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    if image.mode.startswith("I;16") and "transparency" not in image.info:
        return np.ascontiguousarray(_squeezed(_oriented(np.asarray(image, np.uint16)[..., None], orientation)))
    codecs = image_codecs("a PNG of 16 bits a sample in colour or with transparency")
    # libpng's remarks on odd files would otherwise reach stderr; a logger that the user sets up still gets them.
    quiet_logger("imagecodecs")
    stream.seek(0)
    samples: NDArray[np.uint16] = codecs.png_decode(stream.read())
    return _squeezed(_oriented(samples.reshape(*samples.shape[:2], -1), orientation))


def _png_samples(image: Any, header: PngHeader, indices: bool) -> NDArray[Any]:
    """Samples of a PNG of up to 8 bits a sample; Pillow leaves the key of transparent gray on the scale of its bits."""
    key = header.transparent_gray
    if key is not None:
        image.info.pop("transparency", None)
    samples = _pillow_samples(image, indices)
    if key is None:
        return samples
    alpha = np.where(samples == key, 0, 255).astype(np.uint8)
    return np.dstack([samples, alpha])


def _pillow_samples(image: Any, indices: bool) -> NDArray[Any]:
    """Samples of a Pillow image, turned upright."""
    from PIL import ImageOps

    colour_profile = is_of_colour(image.info.get("icc_profile"))
    file_format, upright = image.format, ImageOps.exif_transpose(image)
    if indices and upright.mode == "P":
        return np.asarray(upright)
    if upright.mode in ("P", "PA"):
        colors = np.asarray(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
        return colors if colour_profile else without_equal_channels(colors)
    # WebP has no gray: what was gray comes back as gray.
    if file_format == "WEBP" and not colour_profile:
        return without_equal_channels(_direct_samples(upright, file_format))
    return _direct_samples(upright, file_format)


def _direct_samples(image: Any, file_format: str) -> NDArray[Any]:
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" in image.info:
        return np.asarray(image.convert("LA" if mode == "L" else "RGBA"))
    if mode in ("1", "La", "RGBa"):
        return np.asarray(image.convert({"1": "L", "La": "LA", "RGBa": "RGBA"}[mode]))
    if mode in ("L", "LA", "RGB", "RGBA"):
        return np.asarray(image)
    if mode.startswith("I;16") or (mode == "I" and file_format == "PPM"):
        return np.asarray(image).astype(np.uint16)
    raise PictureError(f"samples of the kind {mode!r} are not supported; convert it to 8 or 16 bit gray or RGB")


def _decode_tiff(stream: BinaryIO, indices: bool) -> PictureFile:
    from .tiff import read_tiff

    return as_decoded(read_tiff(stream, check_size), indices)


def as_decoded(tiff: TiffPicture, indices: bool = False) -> PictureFile:
    """A TIFF's picture the way up that it is shown, in the colours of its palette if it has one."""
    samples = _oriented(tiff.samples, tiff.orientation)
    if tiff.colors is not None and not indices:
        colors = tiff.colors[samples[..., 0]]
        samples = colors if is_of_colour(tiff.metadata.icc_profile) else without_equal_channels(colors)
    metadata = tiff.metadata.turned(tiff.orientation)
    return PictureFile(_squeezed(samples), tiff.sample_range, tiff.range_origin, metadata, tiff.remarks)


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
    return samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples

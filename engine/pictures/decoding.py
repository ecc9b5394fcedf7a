"""Decode a picture: samples, and what its file says about them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, PictureSizeError
from ..quiet import quiet_logger
from .codecs import image_codecs
from .opening import opened_by
from .picture_metadata import Metadata, Resolution, is_of_colour, read_exif
from .png_chunks import PngHeader, check_png_samples, read_png_header
from .ranges import SampleRange, type_range
from .samples import without_equal_channels

if TYPE_CHECKING:
    from .tiff import TiffPicture

MAXIMUM_PIXELS = 100_000_000
"""Larger pictures are refused from their header, before anything is decoded."""
_most_pixels = MAXIMUM_PIXELS

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STARTS = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<BMP>BM)|(?P<PNM>P[0-6f])|(?P<WebP>RIFF....WEBP)|(?P<GIF>GIF8[79]a)",
    re.DOTALL,
)
_NO_PICTURE = "not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture, or its header is damaged"
_GIF = (
    "not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture but a GIF, of which only animations are read, page by page; "
    "save the picture as PNG"
)
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM_HEADER = re.compile(rb"P(?:[14]%b\d+%b\d+|[2356]%b\d+%b\d+%b(\d+))\s" % (5 * (_SPACE,)))
_LONGEST_HEADER = 1 << 16
_ANOTHER_PNM = re.compile(rb"\s*P[1-6]\s")
_READ_AS = {
    "1": ("L", "L"), "L": ("L", "LA"), "LA": ("LA", "LA"), "RGB": ("RGB", "RGBA"), "RGBA": ("RGBA", "RGBA"),
    "P": ("RGB", "RGBA"), "PA": ("RGBA", "RGBA"),
}  # fmt: skip
"""By Pillow's mode: what samples are read in, without and with a level or colour that stands for transparency."""


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
    whole_file : str
        The format of the file, as a `PictureFormat` names it, where nothing in it is another picture and nothing of it
        was applied to this one, as an orientation is; else nothing.
    """

    samples: NDArray[Any]
    sample_range: SampleRange | None = None
    range_origin: str = ""
    metadata: Metadata = field(default_factory=Metadata)
    remarks: tuple[str, ...] = ()
    range_found: bool = False
    whole_file: str = ""

    @property
    def icc_profile(self) -> bytes | None:
        """The colour profile."""
        return self.metadata.icc_profile

    @property
    def channels(self) -> int:
        """How many there are, transparency included."""
        return 1 if self.samples.ndim == 2 else int(self.samples.shape[2])

    @property
    def limits(self) -> SampleRange:
        """Samples of black and white: `sample_range`, or where there is none those of the sample type."""
        return self.sample_range or type_range(self.samples.dtype)


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
    if start.startswith(b"GIF8"):
        raise PictureError(_GIF)
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
    with opened_picture(stream) as (image, kind, (count, height, width)):
        remarks = _check_single(count, kind)
        if kind == "PNM":
            _check_pnm(stream, height, width, image.metadata(index=0)["mode"])
        if kind != "PNG":
            return _turned(_samples(image, kind, indices), image, kind, remarks)
        check_png_samples(stream)
        header = read_png_header(stream)
        samples = _deep_png_samples(stream, image) if header.depth == 16 else _png_samples(image, header, indices)
        picture = _turned(samples, image, kind)
        picture = replace(picture, metadata=replace(picture.metadata, png_chunks=header.kept))
        if not header.is_shifted(samples):
            return picture
        return replace(picture, sample_range=(0.0, 2.0**header.significant_bits - 1), range_origin="sBIT")


def image_size(stream: BinaryIO) -> tuple[int, int]:
    """(width, height) by the header of a file that is no TIFF and no video; PictureError where it is none."""
    with opened_picture(stream) as (_, _, (_, height, width)):
        return width, height


@contextmanager
def opened_picture(stream: BinaryIO) -> Iterator[tuple[Any, str, tuple[int, int, int]]]:
    """A picture or animation as imageio opens it by Pillow, its format, and (number of pictures, height, width).

    Nothing is decoded yet; PictureError where it is none, or has too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    stream.seek(0)
    start = _STARTS.match(stream.read(32))
    if start is None:
        raise PictureError(_NO_PICTURE)
    with ExitStack() as stack:
        try:
            image = stack.enter_context(opened_by("pillow", stream))
        except Image.DecompressionBombError:
            raise PictureSizeError(f"its pixels are more than the limit of {_most_pixels}; cut it into parts") from None
        except UnidentifiedImageError:
            damaged = "cannot be read as a picture (its header is damaged)"
            raise PictureError(damaged if start.lastgroup == "GIF" else _NO_PICTURE) from None
        count, height, width = image.properties(index=...).shape[:3]
        check_size(width, height)
        yield image, str(start.lastgroup), (count, height, width)


def _check_single(count: int, kind: str) -> tuple[str, ...]:
    """PictureError where there are several pictures; a remark where all but the first are views or previews of it."""
    if count > 1 and kind != "JPEG":
        raise PictureError(f"holds {count} pictures; save the one to use as a file of its own")
    return (f"holds {count} pictures (MPO), of which the first is taken",) if count > 1 else ()


def _check_pnm(stream: BinaryIO, height: int, width: int, mode: str) -> None:
    stream.seek(0)
    start = stream.read(_LONGEST_HEADER)
    header = _PNM_HEADER.match(start)
    if header is None and start[1] in b"123456":
        raise PictureError("its header is damaged, or longer than is supported; save it as PNG or TIFF")
    if header is None:  # a kind of Pillow's own
        return
    deep = int(header[1] or 1) > 255
    if mode == "RGB" and deep:
        raise PictureError("a PPM of 16 bits a sample is not supported; save it as PNG or TIFF")
    # Netpbm's files may hold one picture behind the other.
    row = -(-width // 8) if mode == "1" else width * (3 if mode == "RGB" else 1) * (1 + deep)
    stream.seek(header.end() + row * height)
    if start[1] in b"456" and _ANOTHER_PNM.match(stream.read(64)):
        raise PictureError("holds 2 or more pictures; save the one to use as a file of its own")


def _turned(samples: NDArray[Any], image: Any, kind: str, remarks: tuple[str, ...] = ()) -> PictureFile:
    """Samples as they are stored, turned upright, with what the file says of them, which may stand behind them."""
    facts = image.metadata(index=0, exclude_applied=False)
    orientation = _orientation(facts)
    upright, whole = _oriented(samples, orientation), kind if orientation == 1 and not remarks else ""
    return PictureFile(upright, metadata=metadata_of(facts), remarks=remarks, whole_file=whole)


def metadata_of(facts: dict[str, Any]) -> Metadata:
    """What imageio says of a picture besides its samples, after it was turned upright."""
    exif, texts = read_exif(facts)
    return Metadata(facts.get("icc_profile"), _resolution(facts), exif, texts).turned(_orientation(facts))


def _orientation(facts: dict[str, Any]) -> int:
    orientation = facts.get("Orientation", 1)
    return orientation if isinstance(orientation, int) else 1


def _resolution(facts: dict[str, Any]) -> Resolution | None:
    unit, pair = ("inch", facts["dpi"]) if "dpi" in facts else ("", facts.get("aspect", ()))
    try:
        x, y = (float(value) for value in pair)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sensible = all(math.isfinite(value) and value > 0 for value in (x, y))
    return Resolution(x, y, unit) if sensible else None


def _deep_png_samples(stream: BinaryIO, image: Any) -> NDArray[np.uint16]:
    """Samples of a PNG of 16 bits a sample, of which Pillow keeps only 8 where it is colour or has transparency.

    Pillow decodes it all the same, for it refuses a file without an end.
    """
    decoded = image.read(index=0, writeable_output=False)
    facts = image.metadata(index=0)
    if facts["mode"].startswith("I;16") and "transparency" not in facts:
        return np.asarray(decoded, np.uint16)
    codecs = image_codecs("a PNG of 16 bits a sample in colour or with transparency")
    # libpng's remarks on odd files would otherwise reach stderr; a logger that the user sets up still gets them.
    quiet_logger("imagecodecs")
    stream.seek(0)
    samples: NDArray[np.uint16] = codecs.png_decode(stream.read())
    return _squeezed(samples)


def _png_samples(image: Any, header: PngHeader, indices: bool) -> NDArray[Any]:
    """Samples of a PNG of up to 8 bits a sample; Pillow leaves the key of transparent gray on the scale of its bits."""
    key = header.transparent_gray
    if key is None:
        return _samples(image, "PNG", indices)
    samples = image.read(index=0, mode="L", writeable_output=False)
    return np.dstack([samples, np.where(samples == key, 0, 255).astype(np.uint8)])


def _samples(image: Any, kind: str, indices: bool) -> NDArray[Any]:
    """Samples of up to 8 bits, or of a PGM up to 16, as they are stored."""
    facts = image.metadata(index=0)
    mode, transparent = facts["mode"], "transparency" in facts
    if mode.startswith("I;16") or (mode == "I" and kind == "PNM"):
        return np.asarray(image.read(index=0, writeable_output=False), np.uint16)
    if mode not in _READ_AS:
        raise PictureError(f"samples of the kind {mode!r} are not supported; convert it to 8 or 16 bit gray or RGB")
    palette = mode in ("P", "PA")
    wanted = "P" if indices and mode == "P" else _READ_AS[mode][transparent]
    # Nothing is converted, and so copied, without need; a palette is applied unless its indices are asked for.
    samples: NDArray[Any] = image.read(index=0, mode=None if wanted == mode != "P" else wanted, writeable_output=False)
    # WebP has no gray: what was gray comes back as gray. So do palettes of grays.
    if (palette and wanted != "P") or kind == "WebP":
        return samples if is_of_colour(facts.get("icc_profile")) else without_equal_channels(samples)
    return samples


def _decode_tiff(stream: BinaryIO, indices: bool) -> PictureFile:
    from .tiff import read_tiff

    return as_decoded(read_tiff(stream, check_size), indices)


def as_decoded(tiff: TiffPicture, indices: bool = False) -> PictureFile:
    """A TIFF's picture the way up that it is shown, in the colours of its palette if it has one."""
    samples = _oriented(tiff.samples, tiff.orientation)
    if tiff.colors is not None and not indices:
        colors = tiff.colors[samples[..., 0]]
        samples = colors if is_of_colour(tiff.metadata.icc_profile) else without_equal_channels(colors)
    metadata, whole = tiff.metadata.turned(tiff.orientation), "TIFF" if tiff.orientation == 1 else ""
    picture = PictureFile(_squeezed(samples), tiff.sample_range, tiff.range_origin, metadata, tiff.remarks)
    return replace(picture, whole_file=whole)


def _oriented(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Samples (H, W) or (H, W, C) turned as EXIF orientation 1 to 8 asks for."""
    if orientation not in range(2, 9):
        return samples
    # A pixel as one item, which NumPy moves at once.
    samples = np.ascontiguousarray(samples)
    size = samples.itemsize * math.prod(samples.shape[2:])
    pixels: NDArray[Any] = samples.reshape(samples.shape[0], -1).view(np.dtype((np.void, size)))
    if orientation > 4:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels).view(samples.dtype).reshape(*pixels.shape, *samples.shape[2:])


def _squeezed(samples: NDArray[Any]) -> NDArray[Any]:
    """(H, W) where there is one channel."""
    return samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples

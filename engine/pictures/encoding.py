"""Encode a picture: samples, and what else is known of it, as far as the format can hold it."""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .codecs import image_codecs
from .formats import PictureFormat
from .opening import encoded, opened_by
from .picture_metadata import DESCRIPTION_TAG, Metadata
from .png_chunks import join_chunks
from .ranges import SampleRange, type_range

_MOST_JPEG_EXIF = 65_000
_MOST_PIXELS_A_METRE = 2**31 - 1
_RESOLUTION_UNITS = {"": 1, "inch": 2, "centimetre": 3}


def encode(
    stream: BinaryIO, target: PictureFormat, samples: NDArray[Any], metadata: Metadata, sample_range: SampleRange
) -> None:
    """Write samples (H, W, C) of a type that the format holds, at once."""
    if target.name == "TIFF":
        _encode_tiff(stream, samples, metadata, sample_range)
    elif target.name == "PNG":
        stream.write(_png(samples, metadata))
    else:
        options = {**dict(target.options), **_pillow_options(target.name, metadata)}
        stream.write(encoded(_squeezed(samples), target.name, **options))


def _pillow_options(name: str, metadata: Metadata) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if name in ("JPEG", "WebP"):
        exif = metadata.exif_bytes()
        if exif is not None and not (name == "JPEG" and len(exif) > _MOST_JPEG_EXIF):
            options["exif"] = exif
        if metadata.icc_profile:
            options["icc_profile"] = metadata.icc_profile
    resolution = metadata.resolution and metadata.resolution.per("inch")
    if name in ("JPEG", "BMP") and resolution and max(resolution) < _MOST_JPEG_EXIF and round(min(resolution)) > 0:
        options["dpi"] = resolution
    return options


def _png(samples: NDArray[Any], metadata: Metadata) -> bytes:
    if samples.dtype == np.uint16 and samples.shape[2] > 1:
        codecs = image_codecs("a PNG of 16 bits a sample in colour or with transparency")
        content = bytes(codecs.png_encode(np.ascontiguousarray(samples)))
    else:
        content = bytes(encoded(_squeezed(samples), "PNG"))
    return join_chunks(content, _png_chunks(metadata))


def _png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    chunks = list(metadata.png_chunks)
    if metadata.icc_profile:
        chunks = [(name, data) for name, data in chunks if name != b"sRGB"]
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.resolution is not None:
        chunks += _physical_size(metadata)
    exif = metadata.exif_bytes()
    if exif is not None:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return chunks


def _physical_size(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """The chunk pHYs: pixels a metre, or without a unit what tells the pixels' shape."""
    resolution = metadata.resolution
    if resolution is None:
        return []
    sizes = [round(size) for size in resolution.per("metre") or (resolution.x, resolution.y)]
    if not all(0 < size <= _MOST_PIXELS_A_METRE for size in sizes):
        return []
    content = b"".join(size.to_bytes(4, "big") for size in sizes)
    return [(b"pHYs", content + bytes([resolution.unit != ""]))]


def _encode_tiff(stream: BinaryIO, samples: NDArray[Any], metadata: Metadata, sample_range: SampleRange) -> None:
    with opened_by("tifffile", stream, "w", extension=".tif") as tiff:
        write_page(tiff, samples, metadata, sample_range)


def write_page(
    tiff: Any, samples: NDArray[Any], metadata: Metadata, sample_range: SampleRange, palette: Any = None
) -> None:
    """Write samples (H, W, C) as the next page of a TIFF that imageio has open.

    With `palette`, (3, 256) uint16, the samples are indices into it.
    """
    channels, resolution = samples.shape[2], metadata.resolution
    picture = _squeezed(samples)
    texts = metadata.texts_for(picture.shape, picture.dtype.name)
    description = texts.pop(DESCRIPTION_TAG, None)
    gray = "minisblack" if palette is None else "palette"
    tiff.write(
        picture,
        photometric="rgb" if channels > 2 else gray,
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        colormap=palette,
        compression="zlib",
        iccprofile=metadata.icc_profile,
        description=None if description is None else description.encode(),
        resolution=None if resolution is None else (resolution.x, resolution.y),
        resolutionunit=None if resolution is None else _RESOLUTION_UNITS[resolution.unit],
        extratags=[*_text_tags(texts), *_range_tags(picture.dtype, channels, sample_range)],
        contiguous=False,
        metadata=None,
        software=False,
    )


def _text_tags(texts: dict[int, str]) -> list[tuple[Any, ...]]:
    return [(tag, 2, 0, text.encode(), True) for tag, text in sorted(texts.items())]


def _range_tags(dtype: np.dtype[Any], channels: int, sample_range: SampleRange) -> list[tuple[Any, ...]]:
    """Which samples are black and white, where they are others than the type's."""
    whole = type_range(dtype)
    if sample_range == whole:
        return []
    opaque = channels - (channels in (2, 4))
    lows, highs = ([sample_range[end]] * opaque + [whole[end]] * (channels - opaque) for end in (0, 1))
    if dtype.kind == "u":
        if any(end != int(end) for end in sample_range):
            return []
        return [(tag, 3, channels, tuple(map(int, ends)), True) for tag, ends in ((280, lows), (281, highs))]
    return [(tag, 12, channels, tuple(ends), True) for tag, ends in ((340, lows), (341, highs))]


def _squeezed(samples: NDArray[Any]) -> NDArray[Any]:
    return samples[..., 0] if samples.shape[2] == 1 else samples

"""What a picture's file says besides the samples, as far as it stays true of a picture of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .beyond_imageio import exif_of

_PROFILE_CHANNELS = {b"GRAY": (1, 2), b"RGB ": (3, 4)}

ORIENTATION_TAG = 0x0112
_EXIF_IFD, _PIXEL_SIZES = 0x8769, (0xA002, 0xA003)

DESCRIPTION_TAG = 270
TEXT_TAGS = (269, DESCRIPTION_TAG, 271, 272, 285, 306, 315, 316, 33432)
"""TIFF's document name, description, make, model, page name, date, artist, host computer and copyright."""

_ABOUT_SAMPLES = ("{", "ImageJ=", "<?xml", "<OME")
"""How descriptions begin that tell programs the size and the type of the samples, rather than people something."""


@dataclass(frozen=True)
class Resolution:
    """Pixels for a length; the unit is "inch", "centimetre" or nothing."""

    x: float
    y: float
    unit: str = "inch"

    def per(self, unit: str) -> tuple[float, float] | None:
        """Pixels for another unit of length, "inch", "centimetre" or "metre"; None where this one has none."""
        lengths = {"inch": 0.0254, "centimetre": 0.01, "metre": 1.0}
        if self.unit not in lengths:
            return None
        factor = 1.0 if unit == self.unit else lengths[unit] / lengths[self.unit]
        return self.x * factor, self.y * factor


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file: profile, resolution, EXIF without orientation, texts by TIFF tag, chunks of a PNG.

    `stored` is the shape and type that descriptions for programs speak of, None where they are not to be kept.
    """

    icc_profile: bytes | None = None
    resolution: Resolution | None = None
    exif: bytes | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    stored: tuple[tuple[int, ...], str] | None = None

    def turned(self, orientation: int) -> Metadata:
        """For a picture that was turned as the EXIF orientation asks for: what tells of its width goes, or turns."""
        if orientation < 5:
            return self
        swapped = self.resolution and Resolution(self.resolution.y, self.resolution.x, self.resolution.unit)
        return replace(self, resolution=swapped, stored=None)

    def for_channels(self, channels: int) -> Metadata:
        """For another picture of the same size, of so many channels."""
        profile = self.icc_profile if suits(self.icc_profile, channels) else None
        return replace(self, icc_profile=profile, stored=None)

    def for_labels(self) -> Metadata:
        """For a picture of class numbers: what tells of colours goes."""
        return replace(self, icc_profile=None, exif=None, png_chunks=())

    def texts_for(self, shape: tuple[int, ...], dtype: str) -> dict[int, str]:
        """The texts, without a description that tells programs of samples of another shape or type than these."""
        description = self.texts.get(DESCRIPTION_TAG, "")
        programs = description.lstrip().startswith(_ABOUT_SAMPLES)
        if not programs or ((shape, dtype) == self.stored and "FileName=" not in description):
            return dict(self.texts)
        return {tag: text for tag, text in self.texts.items() if tag != DESCRIPTION_TAG}

    def exif_bytes(self) -> bytes | None:
        """EXIF, made of the texts where the file had none; None where there is nothing to say."""
        if self.exif is not None:
            return self.exif
        texts = self.texts_for((), "")
        if not texts:
            return None
        exif = exif_of()
        exif.update(texts)
        content: bytes = exif.tobytes()
        return content


def suits(icc_profile: bytes | None, channels: int) -> bool:
    """Whether a colour profile is of the kind of a picture of so many channels; none always is."""
    return icc_profile is None or channels in _PROFILE_CHANNELS.get(icc_profile[16:20], ())


def is_of_colour(icc_profile: bytes | None) -> bool:
    """Whether a colour profile says that the picture is RGB."""
    return icc_profile is not None and icc_profile[16:20] == b"RGB "


def read_exif(facts: Mapping[str, Any]) -> tuple[bytes | None, dict[int, str]]:
    """EXIF of what imageio says of a picture, without orientation and thumbnail, and its texts by tag."""
    hidden = facts.get("Raw profile type exif", "")  # the text of a PNG, in hexadecimal behind three lines
    orientation = facts.get("Orientation", 1)
    try:
        exif = exif_of(facts.get("exif") or bytes.fromhex("".join(hidden.split("\n")[3:])))
        exif.pop(ORIENTATION_TAG, None)
        if isinstance(orientation, int) and orientation >= 5:
            inner = exif.get_ifd(_EXIF_IFD)
            for tag in _PIXEL_SIZES:
                inner.pop(tag, None)
        content: bytes | None = exif.tobytes() if exif else None
    except Exception:  # noqa: BLE001 - nearly anything where it is damaged, which makes the picture no worse
        return None, {}
    return content, texts_of(exif.items())


def texts_of(tags: Iterable[tuple[int, Any]]) -> dict[int, str]:
    """The texts among a file's tags."""
    texts = {tag: value.rstrip("\0") for tag, value in tags if tag in TEXT_TAGS and isinstance(value, str)}
    return {tag: text for tag, text in texts.items() if text.strip()}

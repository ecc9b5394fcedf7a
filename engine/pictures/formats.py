"""Formats of picture files: by which suffix they go, and what they can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..errors import PictureError
from .streams import Place, check_place, is_path, name_of


@dataclass(frozen=True)
class PictureFormat:
    """What a file format can hold: numbers of channels, and the sample types, widest first.

    `colour_dtypes` are those of colour where they are others.
    """

    name: str
    channels: tuple[int, ...]
    dtypes: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()
    colour_dtypes: tuple[str, ...] = ()

    def dtypes_for(self, channels: int) -> tuple[str, ...]:
        """Sample types of pictures of so many channels, widest first."""
        return self.colour_dtypes if self.colour_dtypes and channels > 2 else self.dtypes

    def dtype_for(self, dtype: str, channels: int) -> str:
        """Sample type that a picture of `dtype` has in a file: its own, or the widest where that cannot be held."""
        held = self.dtypes_for(channels)
        return dtype if dtype in held else held[0]


_JPEG = PictureFormat("JPEG", (1, 3), ("uint8",), (("quality", 95), ("subsampling", 0)))
_TIFF = PictureFormat("TIFF", (1, 2, 3, 4), ("float64", "float32", "float16", "uint16", "uint8"))
FORMATS = {
    ".png": PictureFormat("PNG", (1, 2, 3, 4), ("uint16", "uint8")),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": PictureFormat("WebP", (1, 2, 3, 4), ("uint8",), (("lossless", True), ("exact", True))),
    ".bmp": PictureFormat("BMP", (1, 3), ("uint8",)),
    ".pgm": PictureFormat("PPM", (1,), ("uint16", "uint8")),
    ".ppm": PictureFormat("PPM", (3,), ("uint8",)),
    ".pnm": PictureFormat("PPM", (1, 3), ("uint16", "uint8"), colour_dtypes=("uint8",)),
}
"""Formats by file suffix, for writing."""

_ONLY_READ = {".pbm": ".pgm", ".mpo": ".jpg"}
"""Formats that hold too little for what comes out, or that nobody writes, and what is written in their place."""

SUFFIXES = (*FORMATS, *_ONLY_READ)
"""What the names of pictures end with that are looked for in folders; all of these are read."""


def written_suffix(suffix: str) -> str:
    """What the output for a picture of a suffix ends with where nobody says otherwise."""
    return _ONLY_READ.get(suffix.lower(), suffix)


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

"""What a file begins with, and which kinds of files begin so."""

from __future__ import annotations

import os
from pathlib import Path

from .safetensors_file import is_safetensors

TAR_PLACE = 257
LENGTH = TAR_PLACE + 5
"""Bytes that tell every kind."""

PICKLES = tuple(b"\x80" + bytes([version]) for version in range(256))
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK"
TAR = b"ustar"

_MODEL_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42\x72"
"""Tags of what follows the version in an ONNX model: producer, its version, domain, ... graph, opsets, properties."""


def beginning(path: str | os.PathLike[str]) -> bytes:
    """The first bytes of a file; none of what cannot be read, which whoever reads it then says."""
    try:
        with open(path, "rb") as stream:
            return stream.read(LENGTH)
    except OSError:
        return b""


def stand_in(begin: bytes) -> str | None:
    """What a file is that stands where another should, and what to do; None of any other."""
    if begin.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch that (git lfs pull)"
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() in (b"<!doc", b"<html"):
        return (
            "is a web page, not the file itself; download that (of GitHub and Hugging Face by the link to the raw file)"
        )
    return None


def is_onnx_content(path: Path, begin: bytes) -> bool:
    """Whether a file begins as ONNX's do: a small version as its first field, then one of a few others.

    A file of that name is one, too, unless it begins as other files do.
    """
    if begin[:2] in PICKLES or begin.startswith((HDF5, ZIP)) or begin[TAR_PLACE:] == TAR:
        return False
    version = begin[:1] == b"\x08" and 0 < begin[1:2].ljust(1, b"\0")[0] < 128
    looks = version and len(begin) > 2 and begin[2] in _MODEL_FIELDS
    return path.suffix.lower() == ".onnx" or (looks and not is_safetensors(path, begin))

"""Archives that lie about what they hold, or unpack to far more than they are."""

from __future__ import annotations

import bz2
import functools
import io
import lzma
import warnings
import zipfile
import zlib

import numpy as np

METHODS = {zipfile.ZIP_DEFLATED: "deflate", zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}

_FIELDS = {"flags": (8, 6, 2), "method": (10, 8, 2), "crc": (16, 14, 4), "packed": (20, 18, 4), "size": (24, 22, 4)}
"""Of a member: place in the directory's entry, in its own header, and length."""


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def with_member(content: bytes, name: str | zipfile.ZipInfo, data: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with one more member."""
    stream = io.BytesIO(content)
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a", method) as archive:
        warnings.simplefilter("ignore")  # of doubled names
        archive.writestr(name, data)
    return stream.getvalue()


def with_fields(content: bytes, name: str, **values: int) -> bytes:
    """The archive with fields of a member rewritten, in the directory and in the member's own header."""
    changed = bytearray(content)
    directory, header = content.rindex(name.encode()) - 46, content.index(name.encode()) - 30
    for field, value in values.items():
        length = _FIELDS[field][2]
        for start, place in ((directory, _FIELDS[field][0]), (header, _FIELDS[field][1])):
            changed[start + place : start + place + length] = (value % 256**length).to_bytes(length, "little")
    return bytes(changed)


def with_bomb(content: bytes, method: int, size: int, name: str = "bomb.npy") -> bytes:
    """The archive with a member that declares 136 bytes and unpacks to `size` more.

    Its checksum is that of one byte more than it declares, which is what a careful reader looks at.
    """
    begin = npy_header((2,)) + bytes(8)
    whole = with_member(content, name, _packed(begin, method, size))
    return with_fields(whole, name, method=method, size=len(begin), crc=zlib.crc32(begin + bytes(1)))


@functools.lru_cache(maxsize=8)
def _packed(begin: bytes, method: int, size: int) -> bytes:
    if method == zipfile.ZIP_BZIP2:
        return bz2.compress(begin + bytes(size))
    if method == zipfile.ZIP_LZMA:
        filters = [{"id": lzma.FILTER_LZMA1, "preset": 0}]
        properties = b"\x09\x04\x05\x00" + b"\x5d\x00\x00\x04\x00"
        return properties + lzma.compress(begin + bytes(size), lzma.FORMAT_RAW, filters=filters)
    # A block after a full flush stands for itself and may be repeated.
    packer, piece = zlib.compressobj(9, zlib.DEFLATED, -15), min(size, 2**24)
    first = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(piece)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * (size // piece) + packer.flush()

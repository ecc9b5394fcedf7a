"""What is decoded by imagecodecs, which is 80 MB and an extra: the refusal where it is missing names what brings it.

Without it Pillow and tifffile decode all but PNG of 16 bits a sample in colour or with transparency, and of TIFF what
is not compressed, deflated or in PackBits.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Any, BinaryIO

from ..errors import PictureError

_NONE, _DEFLATE, _PACKBITS = 1, (8, 32946), 32773
_OF_FLOATS = 3
_PIECE = 2**20


@functools.cache
def _found() -> Any:
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs


def image_codecs(what: str) -> Any:
    """The package imagecodecs; PictureError where it is missing, which says what it is needed for."""
    if _found() is None:
        raise PictureError(
            f"{what} needs the package imagecodecs, which is missing; pip install 'spikeunet[codecs]', or save it as "
            "TIFF with deflate or without compression"
        )
    return _found()


def check_decodable(page: Any, stream: BinaryIO) -> None:
    """PictureError where a page of a TIFF needs imagecodecs and it is missing, or would unpack to more than it says.

    imagecodecs never unpacks more than the size that is declared; what tifffile has in its place does.
    """
    if _found() is not None:
        return
    compression, bits = int(page.compression), int(page.bitspersample)
    if compression not in (_NONE, *_DEFLATE, _PACKBITS):
        image_codecs(f"a TIFF that is compressed by {getattr(page.compression, 'name', compression)}")
    if int(page.predictor) == _OF_FLOATS or bits not in (1, 8, 16, 32, 64):
        image_codecs(f"a TIFF of {bits} bits a sample{' with a predictor' if bits > 15 else ''}")
    if compression in _DEFLATE:
        position = stream.tell()
        most = -(-math.prod(page.chunks) * bits // 8)
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            stream.seek(offset)
            _check_deflated(stream.read(count), most)
        stream.seek(position)


def _check_deflated(content: bytes, most: int) -> None:
    """Unpack piece by piece, as much as is allowed; what is damaged is told by whoever decodes it."""
    unpacked, unpacker = 0, zlib.decompressobj()
    try:
        while content and unpacked <= most:
            unpacked += len(unpacker.decompress(content, _PIECE))
            content = unpacker.unconsumed_tail
    except zlib.error:
        return
    if unpacked > most:
        raise PictureError("cannot be read as a picture (a part holds more than the size that it declares)")

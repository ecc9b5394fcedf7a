"""Whether a PNG holds all the samples that its header declares; Pillow fills up with black what is not there."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import PictureError

_SAMPLES_A_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type: gray, RGB, palette, gray and alpha, RGB and alpha."""

_INTERLACED = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, row step and column step of each of Adam7's passes."""

_PIECE = 1 << 16


def check_png_samples(stream: BinaryIO) -> None:
    """Unpack a PNG's samples, a piece at a time, and count them; the position in the stream stays as it is.

    Raises
    ------
    PictureError
        If there are fewer than its header declares. Other damage is left to the decoder.
    """
    position = stream.tell()
    try:
        _check(stream)
    except zlib.error:
        pass  # the decoder says what is wrong
    finally:
        stream.seek(position)


def _check(stream: BinaryIO) -> None:
    stream.seek(8)
    unpacker, found, needed = zlib.decompressobj(), 0, 0
    for name, data in _chunks(stream):
        if name == b"IHDR" and len(data) == 13:
            needed = _declared_bytes(data)
        elif name == b"IDAT":
            waiting = data
            while found < needed and (piece := unpacker.decompress(waiting, _PIECE)):
                found += len(piece)
                waiting = unpacker.unconsumed_tail
    if found < needed:
        raise PictureError(
            f"cannot be read as a picture (image file is truncated: {found} of {needed} bytes of samples)"
        )


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        yield head[4:], stream.read(int.from_bytes(head[:4], "big"))
        stream.read(4)


def _declared_bytes(header: bytes) -> int:
    """Bytes of all rows, each with the byte that names its filter."""
    width, height = (int.from_bytes(header[place : place + 4], "big") for place in (0, 4))
    bits = header[8] * _SAMPLES_A_PIXEL.get(header[9], 0)
    total = 0
    for row, column, row_step, column_step in _INTERLACED if header[12] else ((0, 0, 1, 1),):
        rows, columns = -(-(height - row) // row_step), -(-(width - column) // column_step)
        if rows > 0 and columns > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total

"""A PNG's chunks: whether they hold all samples that the header declares, and what they say that Pillow does not."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from numpy.typing import NDArray

from ..errors import PictureError

_SAMPLES_A_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type: gray, RGB, palette, gray and alpha, RGB and alpha."""

_HEADER = 33  # bytes of the signature and the chunk IHDR

_INTERLACED = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, row step and column step of each of Adam7's passes."""

_PIECE = 1 << 16

_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt")
"""Chunks that stay true of a picture of the same size: colours and texts."""

_TURNING = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Texts that may hold an orientation, which was applied."""

_MOST_KEPT = 1 << 20


@dataclass(frozen=True)
class PngHeader:
    """What stands before a PNG's samples.

    Parameters
    ----------
    transparent_gray : int or None
        The level, on the scale of 8 bits, that is transparent in a gray picture of up to 8 bits a sample.
    depth : int
        Bits a sample.
    significant_bits : int
        As the chunk sBIT has them, else as many as there are.
    kept : tuple of (name, content)
        Chunks to hand on.
    """

    transparent_gray: int | None
    depth: int
    significant_bits: int
    kept: tuple[tuple[bytes, bytes], ...]

    def is_shifted(self, samples: NDArray[Any]) -> bool:
        """Whether the significant bits of 16 are the lowest, where the format wants the highest."""
        return self.depth == 16 and self.significant_bits < 16 and 0 < int(samples.max()) < 2**self.significant_bits


def read_png_header(stream: BinaryIO) -> PngHeader:
    """What the chunks say; the position in the stream stays as it is."""
    position = stream.tell()
    stream.seek(8)
    kept: list[tuple[bytes, bytes]] = []
    depth, kind, key, bits = 8, 0, None, None
    for name, data in _chunks(stream):
        if name == b"IHDR" and len(data) == 13:
            depth, kind = data[8], data[9]
        elif name == b"tRNS" and kind == 0 and len(data) >= 2 and depth <= 8:
            key = int.from_bytes(data[:2], "big") % 2**depth * (255 // (2**depth - 1))
        elif name == b"sBIT" and data and kind != 3:
            bits = max(data[: 3 if kind & 2 else 1])
        elif name in _KEPT and len(data) <= _MOST_KEPT and not data.startswith(_TURNING):
            kept.append((name, data))
    stream.seek(position)
    return PngHeader(key, depth, min(bits or depth, depth), tuple(kept))


def join_chunks(encoded: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG with further chunks behind its header, where those stand that tell of colours."""
    parts = [
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    ]
    return encoded[:_HEADER] + b"".join(parts) + encoded[_HEADER:]


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
    unpacker, found, needed, deep = zlib.decompressobj(), 0, 0, False
    for name, data in _chunks(stream):
        if name == b"IHDR" and len(data) == 13:
            needed, deep = _declared_bytes(data), data[8] == 16
        elif name == b"IDAT":
            if deep:
                _check_sum(stream, name, data)
            waiting = data
            while found < needed and (piece := unpacker.decompress(waiting, _PIECE)):
                found += len(piece)
                waiting = unpacker.unconsumed_tail
    if found < needed:
        raise PictureError(
            f"cannot be read as a picture (image file is truncated: {found} of {needed} bytes of samples)"
        )


def _check_sum(stream: BinaryIO, name: bytes, data: bytes) -> None:
    """PictureError where a chunk's checksum, at which the stream stands, is wrong: Pillow does not look at it."""
    position = stream.tell()
    expected = stream.read(4)
    stream.seek(position)
    if len(expected) == 4 and int.from_bytes(expected, "big") != zlib.crc32(name + data):
        raise PictureError(f"cannot be read as a picture ({name.decode()}: CRC error)")


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

"""PNG files that hold fewer samples than they declare are refused before memory is taken; whole ones never are."""

from __future__ import annotations

import io
import struct
import zlib

import pytest

from spikeunet.engine import read_picture
from spikeunet.engine.errors import PictureError
from spikeunet.engine.pictures.png_chunks import check_png_samples


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(header, samples):
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", *header)),
        chunk(b"IDAT", zlib.compress(samples)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


KINDS = {
    "gray": ((9, 5, 8, 0, 0, 0, 0), 5 * 10),
    "one bit": ((9, 5, 1, 0, 0, 0, 0), 5 * 3),
    "RGB": ((9, 5, 8, 2, 0, 0, 0), 5 * 28),
    "RGBA of 16 bits": ((9, 5, 16, 6, 0, 0, 0), 5 * 73),
    # Adam7 on 9 x 5: passes of 2x1, 1x1, 3x1, 2x2, 5x1, 4x3 and 9x2 pixels, each row with a byte for its filter.
    "interlaced": ((9, 5, 8, 0, 0, 0, 1), 3 + 2 + 4 + 6 + 6 + 15 + 20),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_too_few_is_refused(kind, tmp_path):
    header, size = KINDS[kind]
    path = tmp_path / "picture.png"
    path.write_bytes(png(header, bytes(size)))
    assert read_picture(path).shape[:2] == (5, 9)
    path.write_bytes(png(header, bytes(size - 1)))
    with pytest.raises(PictureError, match=f"image file is truncated: {size - 1} of {size} bytes of samples"):
        read_picture(path)


def test_a_huge_size_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    path = tmp_path / "picture.png"
    path.write_bytes(png((9000, 9000, 8, 0, 0, 0, 0), bytes(1000)))
    with pytest.raises(PictureError, match="image file is truncated: 1000 of 81009000 bytes"):
        read_picture(path)


def test_the_position_in_the_stream_stays():
    header, size = KINDS["gray"]
    stream = io.BytesIO(png(header, bytes(size)))
    stream.seek(11)
    check_png_samples(stream)
    assert stream.tell() == 11

"""Files that are no picture: exit status 2, one line that says what is wrong, and nothing left behind."""

from __future__ import annotations

import functools
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import fill_folder, refusal

from spikeunet.engine.errors import PictureError, PictureWarning
from spikeunet.engine.pictures import picture_files as pictures
from spikeunet.engine.pictures.picture_files import read_picture, write_picture


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill_folder()


@pytest.fixture
def refused(capsys):
    return functools.partial(refusal, capsys)


def png(width, height, depth=8, color_type=0, data=b""):
    def chunk(kind, content):
        return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def taken(path):
    """The bytes of a file, which is removed."""
    data = Path(path).read_bytes()
    Path(path).unlink()
    return data


def truncated(suffix, dtype=np.uint8):
    """A valid file of noise, cut off in the middle of its samples."""
    write_picture(f"whole{suffix}", np.random.default_rng(0).integers(0, 256, (40, 40), dtype=dtype))
    data = taken(f"whole{suffix}")
    return data[: len(data) // 2]


def float_tiff(*values):
    import tifffile

    tifffile.imwrite("float.tif", np.array([values], np.float32))
    return taken("float.tif")


def pillow_file(image, **options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def endless_tiff():
    """A TIFF whose two pages follow each other for ever."""
    data = bytearray(several_pages("TIFF"))
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        first, second = (page.offset for page in tiff.pages)
    # The link to the next page stands behind the twelve bytes of each entry.
    place = second + 2 + 12 * struct.unpack("<H", data[second : second + 2])[0]
    data[place : place + 4] = struct.pack("<I", first)
    return bytes(data)


def several_pages(kind, **options):
    images = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    return pillow_file(images[0], format=kind, save_all=True, append_images=images[1:], **options)


def int32_tiff():
    return pillow_file(Image.fromarray(np.zeros((4, 4), np.int32)), format="TIFF")


def wrong_checksum():
    data = bytearray(png(4, 4, 16, 0, bytes(4 * 9)))
    data[-14] ^= 255
    return bytes(data)


def huge_tiff():
    import tifffile

    tifffile.imwrite("huge.tif", np.zeros((2, 2), np.uint16))
    data = bytearray(taken("huge.tif"))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tags = tiff.pages[0].tags
        places = [(tags[name].valueoffset, tags[name].dtype) for name in ("ImageWidth", "ImageLength")]
    for place, dtype in places:
        data[place : place + 4] = struct.pack("<I" if dtype == 4 else "<HH", *([60000] if dtype == 4 else [60000, 0]))
    return bytes(data)


FILES = {
    "empty file": (".png", lambda: b"", "the file is empty"),
    "text file": (".png", lambda: b"this is no picture\n", "not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture"),
    "truncated PNG": (".png", lambda: truncated(".png"), "cannot be read as a picture (image file is truncated"),
    "truncated 16-bit PNG": (
        ".png",
        lambda: truncated(".png", dtype=np.uint16),
        "cannot be read as a picture (image file is truncated",
    ),
    "truncated JPEG": (".jpg", lambda: truncated(".jpg"), "cannot be read as a picture (image file is truncated"),
    "truncated TIFF": (".tif", lambda: truncated(".tif"), "cannot be read as a picture"),
    "truncated PGM": (".pgm", lambda: truncated(".pgm"), "cannot be read as a picture (image file is truncated"),
    "header alone": (".png", lambda: b"\x89PNG\r\n\x1a\n", "or its header is damaged"),
    "half a TIFF header": (".tif", lambda: b"II*\0\x08", "cannot be read as a picture"),
    "no width": (".png", lambda: png(0, 5), "not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture"),
    "no height, 16 bits": (".png", lambda: png(5, 0, 16), "not a PNG, JPEG, TIFF, BMP, WebP, PGM or PPM picture"),
    "huge PNG": (".png", lambda: png(50000, 50000), "than the limit of 100000000"),
    "rather huge PNG": (".png", lambda: png(10001, 10000), "10001x10000 pixels are more than the limit of 100000000"),
    "huge 16-bit PNG": (".png", lambda: png(2**31 - 1, 2**31 - 1, 16, 2), "are more than the limit of 100000000"),
    "huge TIFF": (".tif", huge_tiff, "60000x60000 pixels are more than the limit of 100000000; cut it into parts"),
    "wrong checksum": (".png", wrong_checksum, "cannot be read as a picture (IDAT: CRC error)"),
    "16-bit PNG without samples": (
        ".png",
        lambda: png(5, 5, 16),
        "cannot be read as a picture (image file is truncated",
    ),
    "unknown PNG filter": (
        ".png",
        lambda: png(1, 1, 16, 0, b"\x09\0\0"),
        "cannot be read as a picture (unrecognized data",
    ),
    "unknown PNG kind": (".png", lambda: png(1, 1, 16, 3, b"\0\0\0"), "or its header is damaged"),
    "NaN": (".tif", lambda: float_tiff(0.5, np.nan, np.inf), "2 of its 3 samples are NaN or infinite"),
    "several pages": (
        ".tif",
        lambda: several_pages("TIFF"),
        "holds 2 pictures, and out.png would hold one; name a file that ends in .tif, .tiff, .mp4 or .avi for all, or",
    ),
    "endless pages": (".tif", endless_tiff, "page 2: the file breaks off before this page, it is truncated or damaged"),
    "animation": (".png", lambda: several_pages("PNG"), "holds 2 pictures, and out.png would hold one; name a file"),
    "CMYK": (
        ".jpg",
        lambda: pillow_file(Image.new("CMYK", (4, 4)), format="JPEG"),
        "samples of the kind 'CMYK' are not",
    ),
    "32-bit integers": (
        ".tif",
        int32_tiff,
        "1 in a pixel, are not supported; convert it to gray or RGB of 8 or 16 bits without a sign, or float",
    ),
    "16-bit PPM": (
        ".ppm",
        lambda: b"P6 1 1 65535 " + bytes(6),
        "a PPM of 16 bits a sample is not supported; save it as",
    ),
    "GIF": (".png", lambda: pillow_file(Image.new("L", (4, 4)), format="GIF"), "not a PNG, JPEG, TIFF, BMP, WebP"),
    "GIF by its suffix": (
        ".gif",
        lambda: pillow_file(Image.new("L", (4, 4)), format="GIF"),
        "WebP, PGM or PPM picture but a GIF, of which only animations are read, page by page; save the picture as PNG",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_no_picture(refused, kind):
    suffix, make, message = FILES[kind]
    data = make()
    Path(f"bad{suffix}").write_bytes(data)
    printed = refused("denoise", f"bad{suffix}", "-o", "out.png")
    assert printed.startswith(f"bad{suffix}: ")
    assert message in printed


def test_a_pipe_is_not_waited_for(refused):
    os.mkfifo("pipe.png")
    assert refused("denoise", "pipe.png", "-o", "out.png").startswith("pipe.png: is a pipe or a device; give a file")


@pytest.mark.parametrize("report", ["report.json", "-"])
def test_no_report_where_no_picture_was_processed(refused, report):
    Path("broken.png").write_bytes(b"no picture")
    assert "broken.png: " in refused("denoise", "broken.png", "-o", "out.png", "--report", report)


def readable(path):
    """Whether a picture can be read; any other error than a PictureError goes through."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PictureWarning)
            return read_picture(path).size > 0
    except PictureError as error:
        return "\n" in str(error) and "the message has several lines"


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd", "group4"])
def test_damage_to_a_tiff_is_told_in_one_line(compression, capfd):
    """libtiff writes lines of its own straight to the file descriptor."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (20, 30), dtype=np.uint8)
    image = Image.fromarray(picture > 128 if compression == "group4" else picture)
    whole = pillow_file(image, format="TIFF", compression=compression)
    capfd.readouterr()
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(8, len(data), 4):
            data[place] = random.integers(256)
        if random.integers(2):
            del data[random.integers(8, len(data)) :]
        Path("damaged.tif").write_bytes(data)
        assert readable("damaged.tif") in (True, False)
        assert capfd.readouterr() == ("", "")


def test_a_tiff_that_declares_more_than_it_can_hold():
    """Refused before memory is taken for the samples."""
    import tifffile

    for compression in (None, "zlib", "lzw", "packbits"):
        tifffile.imwrite("bomb.tif", np.zeros((2, 2), np.float64), compression=compression)
        data = bytearray(taken("bomb.tif"))
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            places = [(tiff.pages[0].tags[name].valueoffset, 9000) for name in ("ImageWidth", "ImageLength")]
        for place, value in places:
            data[place : place + 2] = struct.pack("<H", value)
        Path("bomb.tif").write_bytes(data)
        with pytest.raises(PictureError, match=r"bytes cannot hold 648000000 of samples"):
            read_picture("bomb.tif")


def test_random_damage_is_always_refused_in_one_line_or_read():
    random = np.random.default_rng(0)
    for suffix, dtype in ((".png", np.uint16), (".tif", np.float32), (".jpg", np.uint8), (".png", np.uint8)):
        picture = random.random((9, 9, 3))
        write_picture(f"whole{suffix}", pictures.convert_samples(picture, np.dtype(dtype)))
        whole = Path(f"whole{suffix}").read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for place in random.integers(0, min(len(data), 300), 3):
                data[place] = random.integers(256)
            Path("damaged").write_bytes(data)
            assert readable("damaged") in (True, False)

"""Pictures from and to file objects, and what is neither a file nor a file object."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from spikeunet.engine import PictureError, read_picture, write_picture
from spikeunet.engine.pictures.picture_files import FORMATS

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
COLOR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_object_gets_what_a_file_gets(tmp_path, suffix):
    picture = PICTURE if 1 in FORMATS[suffix].channels else COLOR
    stream = io.BytesIO()
    write_picture(stream, picture, format=suffix)
    write_picture(tmp_path / f"a{suffix}", picture)
    assert stream.getvalue() == (tmp_path / f"a{suffix}").read_bytes()
    stream.seek(0)
    np.testing.assert_array_equal(read_picture(stream), read_picture(tmp_path / f"a{suffix}"))


def test_a_format_is_named_with_or_without_its_dot_or_by_the_file_objects_name(tmp_path):
    for name in (".PNG", "png", ".png"):
        stream = io.BytesIO()
        write_picture(stream, PICTURE, format=name)
        assert stream.getvalue().startswith(b"\x89PNG")
    with open(tmp_path / "a.tif", "w+b") as stream:
        write_picture(stream, PICTURE)
    assert (tmp_path / "a.tif").read_bytes().startswith(b"II*\0")
    write_picture(tmp_path / "named.png", PICTURE, format="bmp")
    assert (tmp_path / "named.png").read_bytes().startswith(b"BM")


def test_a_file_object_is_read_from_where_it_stands():
    stream = io.BytesIO()
    stream.write(b"ahead")
    write_picture(stream, PICTURE, format=".tif")
    stream.seek(5)
    np.testing.assert_array_equal(read_picture(stream), PICTURE)


def test_a_pipe_is_read_as_a_file_object_and_refused_as_a_path(tmp_path):
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as stream:
        write_picture(stream, PICTURE, format=".png")
    with open(reading, "rb") as stream:
        np.testing.assert_array_equal(read_picture(stream), PICTURE)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match=r"pipe\.png: is a pipe or a device; give a file, or in Python"):
        read_picture(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match=r"/dev/null: is a pipe or a device"):
        read_picture("/dev/null")


@pytest.mark.parametrize("place", [None, 3, 1.5, ["a.png"], PICTURE], ids=repr)
def test_what_is_neither_a_path_nor_a_file_object(place):
    message = "a picture needs a path or a binary file object \\(got "
    with pytest.raises(PictureError, match=message):
        read_picture(place)
    with pytest.raises(PictureError, match=message):
        write_picture(place, PICTURE)
    with pytest.raises(PictureError, match=message):
        write_picture(place, PICTURE, format=".png")


def test_names_that_no_file_can_have(tmp_path):
    for name in ("a\0b.png", tmp_path / "a\0b.png", b"a\0b.png"):
        for call in (read_picture, lambda path: write_picture(path, PICTURE)):
            with pytest.raises(PictureError, match=r"a\\x00b\.png': a file's name cannot hold NUL; give another path"):
                call(name)
    for call in (read_picture, lambda path: write_picture(path, PICTURE)):
        with pytest.raises(OSError, match="File name too long") as caught:
            call(tmp_path / ("a" * 300 + ".png"))
        assert str(caught.value.filename).endswith("aaa.png")
    with pytest.raises(IsADirectoryError):
        read_picture(tmp_path)


def test_file_objects_that_do_not_suit(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    with pytest.raises(PictureError, match=r"<StringIO>: yields str, not bytes; open it in binary mode"):
        read_picture(io.StringIO("text"))
    with open(tmp_path / "a.png", encoding="utf-8") as stream, pytest.raises(PictureError, match="open it in binary"):
        read_picture(stream)
    with pytest.raises(PictureError, match=r"a\.png: cannot be read from \(I/O operation on closed file"):
        read_picture(stream)
    with pytest.raises(PictureError, match=r"<StringIO>: cannot be written to .*; open it in binary mode"):
        write_picture(io.StringIO(), PICTURE, format=".png")
    with pytest.raises(PictureError, match=r"<BytesIO>: name the format of a file object, one of \.png, .*format='\.p"):
        write_picture(io.BytesIO(), PICTURE)
    with pytest.raises(PictureError, match=r"<BytesIO>: unknown picture format 'gif'; use one of \.png"):
        write_picture(io.BytesIO(), PICTURE, format="gif")
    with pytest.raises(PictureError, match=r"<BytesIO>: \.jpg cannot hold transparency; use one of \.png"):
        write_picture(io.BytesIO(), np.zeros((2, 2, 4), np.uint8), format="jpg")
    with pytest.raises(PictureError, match="<BytesIO>: the file is empty"):
        read_picture(io.BytesIO())


def test_nothing_is_written_where_the_picture_cannot_be():
    stream = io.BytesIO()
    with pytest.raises(PictureError, match="must be uint8"):
        write_picture(stream, np.zeros((2, 2), np.int32), format=".png")
    assert stream.getvalue() == b""


def test_paths_of_every_kind(tmp_path):
    for path in (tmp_path / "a.png", str(tmp_path / "b.png"), os.fsencode(tmp_path / "c.png")):
        write_picture(path, PICTURE)
        np.testing.assert_array_equal(read_picture(path), PICTURE)
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["a.png", "b.png", "c.png"]

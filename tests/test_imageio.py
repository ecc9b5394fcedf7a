"""What imageio makes of files, for which docs/pictures.md gives it as a reason to go by its libraries themselves.

Where one of these fails, imageio can do more than it could: think of it again, and of that page.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from spikeunet.engine import read_frames, read_picture, write_picture

iio = pytest.importorskip("imageio.v3", reason="imageio is not installed (it comes with scikit-image, extra test)")
DEEP = np.random.default_rng(0).integers(0, 65536, (8, 9, 3), dtype=np.uint16)


def written(picture, suffix):
    stream = io.BytesIO()
    write_picture(stream, picture, format=suffix)
    return stream.getvalue()


def test_deep_colour_of_a_png_becomes_8_bits_and_cannot_be_written():
    pytest.importorskip("imagecodecs", reason="16 bits in colour need imagecodecs (extra codecs)")
    content = written(DEEP, ".png")
    assert iio.imread(content).dtype == np.uint8
    np.testing.assert_array_equal(read_picture(io.BytesIO(content)), DEEP)
    with pytest.raises(TypeError, match="Cannot handle this data type"):
        iio.imwrite(io.BytesIO(), DEEP, extension=".png")


def test_what_samples_of_a_tiff_stand_for_is_lost(tmp_path):
    gray = np.arange(24, dtype=np.uint8).reshape(4, 6)
    tifffile.imwrite(tmp_path / "negative.tif", gray, photometric="miniswhite")
    np.testing.assert_array_equal(iio.imread(tmp_path / "negative.tif"), gray)
    np.testing.assert_array_equal(read_picture(tmp_path / "negative.tif"), 255 - gray)
    colours = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", gray, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(iio.imread(tmp_path / "palette.tif"), gray)
    assert read_picture(tmp_path / "palette.tif").shape == (4, 6, 3)


def test_a_stack_comes_as_a_whole(tmp_path):
    stack = np.zeros((5, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    assert [each.shape for each in iio.imiter(tmp_path / "stack.tif")] == [(5, 8, 9)]
    assert [each.shape for each in read_frames(tmp_path / "stack.tif")] == [(8, 9)] * 5


def test_a_picture_lies_on_its_side(tmp_path):
    turned = Image.fromarray(np.zeros((16, 24), np.uint8))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert iio.imread(tmp_path / "turned.jpg").shape == (16, 24)
    assert read_picture(tmp_path / "turned.jpg").shape == (24, 16)


# imageio 2.34 leaves the file open that it could not read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_what_is_no_picture_gets_another_librarys_words(tmp_path):
    (tmp_path / "nothing.png").write_bytes(b"hello" * 20)
    with pytest.raises(ValueError, match="need at least one array to stack"):
        iio.imread(tmp_path / "nothing.png")


def test_deep_samples_of_a_video_become_8_bits(tmp_path):
    av = pytest.importorskip("av", reason="videos need PyAV (extra video)")
    with av.open(tmp_path / "deep.mkv", "w") as container:
        video = container.add_stream("ffv1", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "gray10le"
        for packet in [*video.encode(av.VideoFrame(64, 48, "gray10le")), *video.encode()]:
            container.mux(packet)
    assert iio.imread(tmp_path / "deep.mkv", plugin="pyav").dtype == np.uint8
    assert next(iter(read_frames(tmp_path / "deep.mkv"))).dtype == np.uint16

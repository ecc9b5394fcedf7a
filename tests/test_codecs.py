"""Pictures with and without imagecodecs, an extra: what needs it is refused by its name, all else is read the same."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from spikeunet.engine import read_picture, write_picture
from spikeunet.engine.errors import PictureError
from spikeunet.engine.pictures import codecs

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 65536, (16, 24), dtype=np.uint16)
COLOUR = RANDOM.integers(0, 65536, (16, 24, 3), dtype=np.uint16)

WITHOUT = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from spikeunet.engine import read_picture, write_picture
from spikeunet.engine.errors import PictureError

for name in sys.argv[1:]:
    try:
        print(name, np.asarray(read_picture(name), np.int64).sum(), flush=True)
    except PictureError as error:
        print(error, flush=True)
write_picture("written.png", np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
write_picture("written.tif", np.arange(600, dtype=np.uint16).reshape(20, 10, 3))
try:
    write_picture("refused.png", np.zeros((20, 30, 3), np.uint16))
except PictureError as error:
    print(error)
"""


def bomb(path):
    """A TIFF of 2x2 pixels whose deflated strip unpacks to 64 MB."""
    tifffile.imwrite(path, np.zeros((2, 2), np.uint8), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        place = {name: tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")}
        width = {name: tags[name].dtype.name for name in place}
    data = bytearray(path.read_bytes())
    packed = zlib.compress(bytes(64 * 2**20), 9)
    for name, value in (("StripOffsets", len(data)), ("StripByteCounts", len(packed))):
        size = 2 if width[name] == "SHORT" else 4
        if value >= 256**size:
            pytest.fail(f"{name} does not fit")
        data[place[name] : place[name] + size] = value.to_bytes(size, "little")
    path.write_bytes(bytes(data + packed))


def test_what_needs_imagecodecs_is_refused_by_its_name_and_all_else_is_read(tmp_path):
    for compression in ("none", "zlib", "packbits", "lzw"):
        tifffile.imwrite(tmp_path / f"{compression}.tif", COLOUR, compression=compression, photometric="rgb")
    tifffile.imwrite(tmp_path / "predictor.tif", GRAY, compression="zlib", predictor=True)
    tifffile.imwrite(tmp_path / "floats.tif", GRAY.astype(np.float32) / 65535, compression="zlib", predictor=True)
    write_picture(tmp_path / "gray16.png", GRAY)
    write_picture(tmp_path / "colour16.png", COLOUR)
    write_picture(tmp_path / "colour8.png", (COLOUR >> 8).astype(np.uint8))
    bomb(tmp_path / "bomb.tif")
    fine = ["none.tif", "zlib.tif", "packbits.tif", "predictor.tif", "gray16.png", "colour8.png"]
    refused = ["lzw.tif", "floats.tif", "colour16.png"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT, *fine, *refused, "bomb.tif"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    sums = [np.asarray(read_picture(tmp_path / name), np.int64).sum() for name in fine]
    assert lines[: len(fine)] == [f"{name} {total}" for name, total in zip(fine, sums, strict=True)]
    for name, line in zip(refused, lines[len(fine) :], strict=False):
        assert line.startswith(f"{name}: "), line
        assert "needs the package imagecodecs, which is missing; pip install 'spikeunet[codecs]'" in line
    assert "compressed by LZW" in lines[len(fine)]
    assert lines[-2] == "bomb.tif: cannot be read as a picture (a part holds more than the size that it declares)"
    assert lines[-1].startswith("refused.png: a PNG of 16 bits a sample in colour")
    assert len(lines) == len(fine) + len(refused) + 2
    np.testing.assert_array_equal(read_picture(tmp_path / "written.png").ravel(), np.arange(600) * 100)
    assert not (tmp_path / "refused.png").exists()


@pytest.mark.parametrize("orientation", [1, 6])
def test_gray_png_of_16_bits_is_read_as_imagecodecs_reads_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(GRAY).save(tmp_path / "a.png", exif=exif)
    expected = GRAY if orientation == 1 else np.rot90(GRAY, -1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), expected)


def test_the_refusal_in_this_process(monkeypatch):
    monkeypatch.setattr(codecs, "_found", lambda: None)
    with pytest.raises(PictureError, match="this needs the package imagecodecs, which is missing; pip install"):
        codecs.image_codecs("this")

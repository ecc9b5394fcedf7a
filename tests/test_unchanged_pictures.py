"""Pictures that are left as they are: the same file, or what is said where the output's format loses some of it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data
from small_denoiser import small_denoiser

from spikeunet.engine import read_picture, save_model, write_picture
from spikeunet.engine.command_line import main

CLEAN = data.camera()[100:228, 100:228]
COLOUR = data.astronaut()[100:228, 200:328]
BUT = "is left as it is, but"
LEFT = "no noise to speak of: left as it is"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "model.npz")


@pytest.fixture
def run(capsys):
    """Leave a picture as it is, by its strength; returns the lines on stderr."""

    def invoke(*arguments, options=("--model", "model.npz", "--strength", "0")):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", *map(str, arguments), *options])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return printed.err.splitlines()

    return invoke


def save(name, picture=CLEAN, **options):
    Image.fromarray(picture).save(name, **options)
    return Path(name).read_bytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in.jpg", {"quality": 80}),
        ("in.webp", {"quality": 80}),
        ("in.png", {"compress_level": 1}),
        ("in.tif", {"compression": "tiff_deflate"}),
        ("in.bmp", {}),
    ],
)
@pytest.mark.parametrize("picture", [CLEAN, COLOUR], ids=["gray", "colour"])
def test_the_file_is_the_same_where_the_format_is(run, name, options, picture):
    content = save(name, picture, **options)
    out = Path("out").with_suffix(Path(name).suffix)
    assert run(name, "-o", out) == []
    assert out.read_bytes() == content


def test_a_clean_photograph_is_not_compressed_anew(run):
    content = save("in.jpg", quality=98)
    (line,) = run("in.jpg", "-o", "out.jpeg", options=("--model", "auto"))
    assert line == f"spikeunet: in.jpg: {LEFT}"
    assert Path("out.jpeg").read_bytes() == content


def test_the_content_decides_and_not_the_suffix(run):
    save("in.jpg", COLOUR, format="PNG")
    (line,) = run("in.jpg", "-o", "out.jpg")
    assert line == f"spikeunet: in.jpg: {BUT} .jpg loses a little of any picture; name a .png or .tif to keep it all"
    assert Path("out.jpg").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_formats_that_hold_every_sample_are_not_spoken_of(run, suffix):
    save("in.jpg", quality=90)
    assert run("in.jpg", "-o", f"out{suffix}") == []
    np.testing.assert_array_equal(read_picture(f"out{suffix}"), read_picture("in.jpg"))


def test_rounding_to_8_bits_is_said(run):
    write_picture("in.png", CLEAN.astype(np.uint16) * 257)
    (line,) = run("in.png", "-o", "out.bmp")
    assert line == f"spikeunet: in.png: {BUT} .bmp rounds its samples to uint8; name a .tif to keep it all"


def test_what_is_applied_or_left_out_makes_a_file_of_its_own(run):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = save("in.jpg", COLOUR[:100], exif=exif, quality=95)
    (line,) = run("in.jpg", "-o", "out.jpg")
    assert "loses a little" in line
    assert Path("out.jpg").read_bytes() != content
    with Image.open("out.jpg") as picture:
        assert (picture.size, 0x0112 in picture.getexif()) == ((100, 128), False)


@pytest.mark.parametrize(
    ("source", "options"),
    [("in.tif", ["--range", "0:300"]), ("stack.tif", ["--page", "1"]), ("in.tif", ["--add-noise", "0.01"])],
)
def test_what_was_asked_for_is_done(run, source, options):
    tifffile.imwrite("in.tif", CLEAN.astype(np.uint16))
    tifffile.imwrite("stack.tif", np.stack([CLEAN, CLEAN[::-1]]), photometric="minisblack")
    run(source, "-o", "out.tif", *options)
    assert Path("out.tif").read_bytes() != Path(source).read_bytes()
    assert tifffile.imread("out.tif").shape == CLEAN.shape


def test_a_picture_through_a_pipe_is_the_same_file(run, monkeypatch):
    content = save("in.jpg", quality=90)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    run("-", "-o", "out.jpg")
    assert Path("out.jpg").read_bytes() == content


def test_a_series_to_a_video_that_loses_some_is_said_to(run):
    pytest.importorskip("av")
    tifffile.imwrite("in.tif", np.stack([CLEAN, CLEAN[::-1]]), photometric="minisblack")
    lines = run("in.tif", "-o", "out.mp4")
    assert f"spikeunet: in.tif: {BUT} .mp4 loses a little of any picture; name a .tif or .avi" in lines[-1]
    assert not any("left as it is" in line for line in run("in.tif", "-o", "out.avi"))


def test_quiet_says_nothing_of_what_is_lost(run):
    save("in.png")
    assert run("in.png", "-o", "out.jpg", "--quiet") == []

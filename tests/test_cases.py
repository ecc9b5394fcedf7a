"""Pictures that went wrong once: what is read of each, what the command says of it and makes of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from small_denoiser import small_denoiser

from spikeunet.engine import PictureError, PictureWarning, read_picture, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import load_picture
from spikeunet.engine.tasks.denoising import DEFAULT_MODELS

# The slopes that the cases were made of, and their noise.
ROWS, COLUMNS = np.mgrid[0:48, 0:64]
CLEAN = 0.5 + 0.35 * np.sin(COLUMNS / 7) * np.cos(ROWS / 9) + 0.1 * ((COLUMNS // 8 + ROWS // 8) % 2)
CLEAN = CLEAN.clip(0, 1)
NOISY = (CLEAN + np.random.default_rng(0).normal(0, 25 / 255, CLEAN.shape)).clip(0, 1)
GRAY = np.rint(NOISY * 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def _models(tmp_path, monkeypatch):
    """Models that halve a picture are the default, so that nothing but the picture's file matters."""
    monkeypatch.chdir(tmp_path)
    for channels in (1, 3):
        save_model(small_denoiser(channels), f"{channels}.npz")
        monkeypatch.setitem(DEFAULT_MODELS, channels, f"{channels}.npz")


def read(path):
    """A picture, and what was said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        picture = read_picture(path)
    assert all(each.category is PictureWarning for each in said)
    return picture, [str(each.message) for each in said]


def denoised(capsys, path, output, *options):
    """What the command printed, fields by name, and its lines on stderr."""
    with pytest.raises(SystemExit) as stop:
        main(["denoise", str(path), "-o", output, *options])
    printed = capsys.readouterr()
    assert stop.value.code == 0, printed.err
    fields = dict(line.split("  ", 1) for line in printed.out.splitlines() if "  " in line)
    return {name: value.strip() for name, value in fields.items()}, printed.err.splitlines()


@pytest.mark.parametrize("bits", [10, 12])
def test_a_part_of_16_bits(shared_cases, capsys, bits):
    top = 2**bits - 1
    path = shared_cases / f"noisy_{bits}bit_in_16.tif"
    picture, said = read(path)
    np.testing.assert_array_equal(picture, np.rint(NOISY * top))
    assert len(said) == 1
    assert f"black is 0 and white {top} (MaxSampleValue)" in said[0]
    clean = shared_cases / f"clean_{bits}bit_in_16.tif"
    fields, lines = denoised(capsys, path, "out.tif", "--clean", str(clean))
    assert fields["range"] == f"black 0, white {top} (MaxSampleValue)"
    assert lines == []
    # The reference says nothing of its range, and has that of the noisy picture.
    assert float(fields["PSNR"].split()[0]) == pytest.approx(20.26, abs=0.02)
    assert np.abs(load_picture("out.tif").samples - picture / 2).max() <= 0.5
    assert load_picture("out.tif").sample_range == (0, top)


def test_without_the_tag_the_range_is_found_and_said_and_the_option_overrides(shared_cases, capsys):
    path = shared_cases / "clean_10bit_in_16.tif"
    fields, lines = denoised(capsys, path, "found.tif")
    assert fields["range"].endswith("(as found)")
    assert len(lines) == 1
    assert lines[0].startswith(f"spikeunet: warning: {path}: its samples go from ")
    assert "(uint16, white 65535); black is taken for" in lines[0]
    fields, lines = denoised(capsys, path, "out.tif", "--range", "0:1023")
    assert (fields["range"], lines) == ("black 0, white 1023 (as named)", [])


@pytest.mark.parametrize("name", ["imagej_one_ifd.tif", "tifffile_truncated.tif"])
def test_stacks_behind_a_single_picture(shared_cases, name):
    with pytest.raises(PictureError, match=f"{name}: holds 5 pictures; save the one to use as a file of its own"):
        read_picture(shared_cases / name)


def test_no_word_about_what_samples_stand_for(shared_cases, capsys):
    picture, said = read(shared_cases / "no_photometric_gray.tif")
    np.testing.assert_array_equal(picture, GRAY)
    assert "PhotometricInterpretation); taken for gray, from black 0" in said[0]
    picture, said = read(shared_cases / "no_photometric_rgb.tif")
    np.testing.assert_array_equal(picture[..., 0], GRAY)
    np.testing.assert_array_equal(picture[..., 1:], np.broadcast_to([40, 200], (48, 64, 2)))
    assert "PhotometricInterpretation); taken for red, green and blue" in said[0]
    _, lines = denoised(capsys, shared_cases / "no_photometric_rgb.tif", "out.png")
    assert lines == [f"spikeunet: warning: {said[0]}"]


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 3), (4, 15), (4, 2)])
def test_a_transparent_gray_level_of_few_bits(shared_cases, capsys, depth, key):
    path = shared_cases / f"gray{depth}bit_trns{key}.png"
    levels = np.arange(2**depth, dtype=np.uint8)
    expected = np.stack([levels * (255 // (2**depth - 1)), np.where(levels == key, 0, 255)], axis=1)
    picture, said = read(path)
    np.testing.assert_array_equal(picture, np.broadcast_to(expected, (4, 2**depth, 2)))
    assert picture.dtype == np.uint8
    assert said == []
    denoised(capsys, path, "out.png")
    np.testing.assert_array_equal(read_picture("out.png")[..., 1], picture[..., 1])


def test_float_beyond_black_and_white(shared_cases, capsys):
    noisy, said = read(shared_cases / "float_noisy.tif")
    assert noisy.min() < 0
    assert noisy.max() > 1
    hair, more = read(shared_cases / "float_a_hair_above_1.tif")
    assert said == more == []
    assert hair[0, 0] == np.float32(1.00003)
    for name, picture in (("float_noisy.tif", noisy), ("float_a_hair_above_1.tif", hair)):
        _, lines = denoised(capsys, shared_cases / name, "out.tif")
        assert lines == []
        np.testing.assert_allclose(read_picture("out.tif"), np.clip(picture / 2, 0, 1), atol=1e-6)


def test_black_and_white_pictures_stored_as_colour(shared_cases, capsys):
    fields, _ = denoised(capsys, shared_cases / "gray_stored_as_rgb.png", "out.png")
    assert (fields["model"], fields["size"].split()[0]) == ("1.npz", "48x64x3")
    result = read_picture("out.png")
    assert result.shape == (48, 64, 3)
    assert (result == result[..., :1]).all()
    assert np.abs(result[..., 0] - GRAY / 2).max() <= 0.5
    # Noise that is added to it is gray, too.
    fields, _ = denoised(capsys, shared_cases / "gray_stored_as_rgb.png", "noisy.png", "--add-noise", "25")
    assert fields["model"] == "1.npz"
    assert (read_picture("noisy.png") == read_picture("noisy.png")[..., :1]).all()


def test_a_gray_palette_with_a_profile_of_colours_stays_rgb(shared_cases, capsys):
    path = shared_cases / "gray_palette_rgb_icc.png"
    fields, lines = denoised(capsys, path, "out.png")
    assert lines == []
    assert fields["model"] == "1.npz"
    with Image.open("out.png") as result, Image.open(path) as source:
        assert result.mode == "RGB"
        assert result.info["icc_profile"] == source.info["icc_profile"]


def test_resolution_is_kept(shared_cases, capsys):
    denoised(capsys, shared_cases / "pixel_size_0.2um.tif", "out.tif")
    with tifffile.TiffFile("out.tif") as result:
        tags = result.pages[0].tags
        assert [tags[name].value for name in ("XResolution", "YResolution", "ResolutionUnit")] == [(5, 1), (5, 1), 1]
        assert result.imagej_metadata["unit"] == "um"
    denoised(capsys, shared_cases / "dpi300.png", "out.png")
    with Image.open("out.png") as result, Image.open(shared_cases / "dpi300.png") as source:
        assert result.info["dpi"] == source.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("name", ["mask_0_255.png", "mask_0_65535.png", "mask_bool_by_tifffile.tif"])
def test_masks_are_black_and_white(shared_cases, name):
    picture, said = read(shared_cases / name)
    # tifffile writes True as 1 and says that 0 is white, and so viewers show it.
    white = CLEAN <= 0.5 if name == "mask_bool_by_tifffile.tif" else CLEAN > 0.5
    np.testing.assert_array_equal(picture, white * np.iinfo(picture.dtype).max)
    assert said == []


def test_every_picture_of_the_folder_is_tested_here(shared_cases):
    text = Path(__file__).read_text("utf-8")
    elsewhere = {"mask_as_drive.gif"}  # no picture format of ours: data sets read it
    bits = {"noisy_10bit_in_16.tif", "noisy_12bit_in_16.tif", "clean_12bit_in_16.tif"}
    levels = {f"gray{depth}bit_trns{key}.png" for depth, key in ((1, 1), (2, 3), (4, 15), (4, 2))}
    names = {path.name for path in shared_cases.iterdir() if path.suffix in (".tif", ".png", ".gif")}
    assert [name for name in sorted(names - elsewhere - bits - levels) if name not in text] == []

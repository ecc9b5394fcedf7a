"""Black and white that are others than the sample type's: named, found in files, kept, and warned of."""

from __future__ import annotations

import csv
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from refusals import fill_folder, refusal
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import (
    InputError,
    PictureError,
    PictureWarning,
    denoise,
    read_picture,
    save_model,
    segment,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.learning.finetune import read_pictures
from spikeunet.engine.pictures.picture_files import load_picture, read_colors
from spikeunet.engine.pictures.ranges import convert_samples, from_unit, to_unit, type_range

MICROGRAPH = np.random.default_rng(0).integers(82, 439, (12, 16), endpoint=True, dtype=np.uint16)
MICROGRAPH[0, :2] = 82, 439
UNIT = (MICROGRAPH - 82.0) / (439 - 82)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_the_types_own_range_changes_nothing(dtype):
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    samples = (np.random.default_rng(0).random((9, 9)) * white).astype(dtype)
    unit = to_unit(samples, type_range(np.dtype(dtype)))
    np.testing.assert_array_equal(unit, convert_samples(samples, np.dtype(np.float32)))
    again = from_unit(unit, type_range(np.dtype(dtype)), np.dtype(dtype))
    np.testing.assert_array_equal(again, convert_samples(unit, np.dtype(dtype)))


@pytest.mark.parametrize("sample_range", [(82, 439), (0, 4095), (30000, 45000.5)])
def test_every_sample_comes_back(sample_range):
    samples = np.arange(np.ceil(sample_range[0]), sample_range[1], dtype=np.uint16)
    np.testing.assert_array_equal(from_unit(to_unit(samples, sample_range), sample_range, samples.dtype), samples)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_the_result_is_scaled_back_to_the_range_named(dtype):
    picture = MICROGRAPH.astype(dtype)
    denoised = denoise(picture, small_denoiser(), sample_range=(82, 439))
    assert denoised.picture.dtype == dtype
    np.testing.assert_allclose(denoised.noisy, UNIT, atol=1e-6)
    np.testing.assert_allclose(denoised.picture, 82 + UNIT / 2 * 357, atol=0.5 if dtype == np.uint16 else 1e-4)
    beyond = denoise(MICROGRAPH, small_denoiser(), sample_range=(200, 300)).picture
    assert (beyond.min(), beyond.max()) == (200, 300)  # 439 is 2.39, and half of it is beyond white


def test_transparency_has_a_range_of_its_own():
    picture = np.dstack([MICROGRAPH, np.full_like(MICROGRAPH, 65535)])
    denoised = denoise(picture, small_denoiser(), sample_range=(82, 439))
    assert (denoised.picture[..., 1] == 65535).all()


@pytest.mark.parametrize(
    ("sample_range", "message"),
    [
        ((5, 5), r"black and then white, the lower one first \(got \(5, 5\)\)"),
        ((9, 3), r"lower one first \(got \(9, 3\)\)"),
        ((0, np.nan), r"lower one first \(got \(0, nan\)\)"),
        (7, r"must be two numbers, black and then white, the lower one first \(got 7\)"),
        ("ab", r"must be two numbers.*\(got 'ab'\)"),
        ((0, 1, 2), r"must be two numbers.*\(got \(0, 1, 2\)\)"),
        ((0, 65536), r"must lie within that of uint16, 0 to 65535 \(got 0 to 65536\)"),
    ],
)
def test_ranges_that_are_none(sample_range, message):
    for task, model in ((denoise, small_denoiser()), (segment, small_segmenter(3))):
        with pytest.raises(InputError, match=message):
            task(MICROGRAPH, model, sample_range=sample_range)
    with pytest.raises(InputError, match=message):
        write_picture("never.tif", MICROGRAPH, sample_range=sample_range)


def test_samples_far_beyond_the_range_named():
    message = r"its samples go from 82 to 439, beyond the range from black 0 to white 10; name a wider one"
    with pytest.raises(PictureError, match=message):
        denoise(MICROGRAPH, small_denoiser(), sample_range=(0, 10))


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        pytest.param(MICROGRAPH, (82, 439), id="16 bits"),
        pytest.param((UNIT * 0.4).astype(np.float32), (0, np.float32(0.4)), id="float"),
        pytest.param(MICROGRAPH // 4, (20, 109), id="very dark"),
        pytest.param(MICROGRAPH.astype(np.float64), (82, 439), id="float of 16 bits"),
        pytest.param(-UNIT * 20, (-20, 0), id="negative"),
        pytest.param((UNIT * 0.9).astype(np.float32), None, id="used"),
        pytest.param(MICROGRAPH * 140, None, id="16 bits used"),
        pytest.param(np.full((12, 16), 700, np.uint16), None, id="even"),
    ],
)
def test_denoising_finds_the_range_that_is_used(picture, found):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoised = denoise(picture, small_denoiser())
        named = denoise(picture, small_denoiser(), sample_range=found or type_range(picture.dtype))
    np.testing.assert_array_equal(denoised.noisy, named.noisy)
    np.testing.assert_allclose(denoised.picture, named.picture, atol=1 if picture.dtype.kind == "u" else 1e-5)
    if found is None:
        assert not caught
    else:
        (low, high), message = found, str(caught[0].message)
        assert f"black is taken for {low:g} and white for {high:g}, between which nearly all lie" in message
        assert (len(caught), caught[0].category, caught[0].filename) == (1, PictureWarning, __file__)


def test_a_hot_pixel_decides_no_range_and_is_not_clipped():
    picture = np.tile(MICROGRAPH, (16, 16))
    picture[5, 5] = 65535
    with pytest.warns(PictureWarning, match=r"go from 82 to 65535 \(uint16, white 65535\); black is taken for 82 and"):
        denoised = denoise(picture, small_denoiser())
    assert denoised.picture[5, 5] > 60000
    assert denoised.picture[20:, 20:].max() < 439


def test_float_samples_of_any_range_are_denoised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "model.npz")
    save_model(small_segmenter(3), "segment.npz")
    tifffile.imwrite("in.tif", (UNIT * 300 - 100).astype(np.float32))
    with pytest.raises(SystemExit) as stop:
        main(["denoise", "in.tif", "-o", "out.tif", "--model", "model.npz"])
    assert (stop.value.code, "black is taken for -100 and white for 200" in capsys.readouterr().err) == (0, True)
    restored = tifffile.imread("out.tif")
    np.testing.assert_allclose(restored, UNIT * 150 - 100, atol=0.1)
    assert restored.dtype == np.float32
    assert "or name the samples of black" in refusal(
        capsys, "segment", "in.tif", "-o", "a.png", "--model", "segment.npz"
    )


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (MICROGRAPH, "its samples go from 82 to 439, but white is taken for 65535 (uint16)"),
        ((UNIT * 0.4).astype(np.float32), "its samples go from 0 to 0.4, but white is taken for 1 (float32)"),
        (MICROGRAPH // 4, "its samples go from 20 to 109, but white is taken for 65535 (uint16)"),
        ((UNIT * 100).astype(np.uint8), "its samples go from 0 to 100, but white is taken for 255 (uint8)"),
        ((UNIT * 200).astype(np.uint8), None),
        (np.full((12, 16), 7, np.uint8), None),
    ],
)
@pytest.mark.parametrize("task", ["denoise", "segment"])
def test_little_of_the_range_is_warned_of_where_none_is_named(picture, said, task):
    run, model = (denoise, small_denoiser()) if task == "denoise" else (segment, small_segmenter(3))
    if task == "denoise" and picture.dtype != np.uint8:
        return  # its range is found
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(picture, model)
        run(picture, model, sample_range=type_range(picture.dtype))
    assert [str(each.message).split(";")[0] for each in caught] == ([] if said is None else [f"the picture: {said}"])
    assert all(each.category is PictureWarning and each.filename == __file__ for each in caught)


def test_segmentation_sees_the_range_named_and_its_overlay_shows_it():
    scaled = np.rint(UNIT * 255).astype(np.uint8)
    model = small_segmenter(3)
    found, expected = segment(MICROGRAPH, model, sample_range=(82, 439)), segment(scaled, model)
    assert (found.labels == expected.labels).mean() > 0.98  # rounding to 8 bits moves a sample over a class's edge
    assert np.abs(found.overlay(MICROGRAPH).astype(int) - expected.overlay(scaled)).max() <= 64
    assert found.overlay(MICROGRAPH).max() > 100


def test_preprocessing_that_stretches_the_samples_needs_no_warning():
    model = small_segmenter(3, preprocessing=[{"name": "rescale_intensity"}])
    assert len(np.unique(segment(MICROGRAPH, model).labels)) == 3


def test_a_tiff_notes_the_range_and_gives_it_back(tmp_path):
    for dtype, shape in ((np.uint16, (4, 5)), (np.float32, (4, 5, 3)), (np.float64, (4, 5, 4)), (np.uint8, (4, 5, 2))):
        picture = np.full(shape, 20).astype(dtype)
        if shape[-1] in (2, 4):
            picture[..., -1] = 1 if np.dtype(dtype).kind == "f" else 255
        write_picture(tmp_path / "a.tif", picture, sample_range=(10, 200))
        again = load_picture(tmp_path / "a.tif")
        assert again.sample_range == (10, 200)
        np.testing.assert_array_equal(again.samples, picture)
        write_picture(tmp_path / "b.tif", picture if picture.dtype.kind == "u" else picture / 255)
        assert load_picture(tmp_path / "b.tif").sample_range is None


@pytest.mark.parametrize(("suffix", "white"), [(".jpg", 255), (".png", 65535), (".bmp", 255)])
def test_other_types_get_the_whole_range(tmp_path, suffix, white):
    picture = np.full((16, 16), 260.5, np.float32)
    write_picture(tmp_path / f"a{suffix}", picture, sample_range=(82, 439))
    assert np.abs(read_picture(tmp_path / f"a{suffix}").astype(float) - white / 2).max() <= 1.5
    with pytest.raises(PictureError, match=r"go from 260.5 to 260.5, beyond the range from black 0 to white 200"):
        write_picture(tmp_path / f"a{suffix}", picture, sample_range=(0, 200))


def tiff_file(path, samples, **tags):
    codes = {"low": 280, "high": 281}
    extra = [(codes[name], "H", 1, value, True) for name, value in tags.items() if name in codes]
    options = {name: value for name, value in tags.items() if name not in codes}
    tifffile.imwrite(path, samples, extratags=extra, metadata=None, **{"photometric": "minisblack", **options})


def test_samples_of_12_bits_that_are_packed(tmp_path):
    samples = (np.arange(48 * 64) % 4096).astype(np.uint16).reshape(48, 64)
    for photometric, expected in (("minisblack", samples), ("miniswhite", 4095 - samples)):
        tiff_file(tmp_path / "a.tif", samples, bitspersample=12, photometric=photometric)
        picture = load_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(picture.samples, expected)
        assert (picture.sample_range, picture.range_origin) == ((0, 4095), "12 bits a sample")


def test_a_range_where_zero_is_white(tmp_path):
    tiff_file(tmp_path / "a.tif", MICROGRAPH, low=0, high=1023, photometric="miniswhite")
    picture = load_picture(tmp_path / "a.tif")
    assert picture.sample_range == (65535 - 1023, 65535)
    np.testing.assert_allclose(read_colors(tmp_path / "a.tif"), 1 - MICROGRAPH / 1023, atol=1e-6)


def test_a_range_that_cannot_be_is_said_and_not_used(tmp_path):
    for tags in ({"low": 0, "high": 400}, {"low": 9, "high": 9}, {"high": 0}):
        tiff_file(tmp_path / "a.tif", MICROGRAPH, **tags)
        with pytest.warns(PictureWarning, match=r"go from 82 to 439, but its black is .* cannot be and is not used"):
            read_picture(tmp_path / "a.tif")
        assert load_picture(tmp_path / "a.tif").sample_range is None
        assert load_picture(tmp_path / "a.tif", sample_range=(82, 439)).sample_range == (82, 439)


def deep_png(samples, significant):
    def chunk(kind, content):
        return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = [(b"IHDR", head), (b"sBIT", bytes([significant])), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_significant_bits_of_a_png(tmp_path):
    (tmp_path / "low.png").write_bytes(deep_png(MICROGRAPH, 10))
    picture = load_picture(tmp_path / "low.png")
    assert (picture.sample_range, picture.range_origin) == ((0, 1023), "sBIT")
    # The format wants significant bits to be the highest: then white is 65535.
    (tmp_path / "high.png").write_bytes(deep_png(MICROGRAPH << 6, 10))
    assert load_picture(tmp_path / "high.png").sample_range is None


def test_whoever_reads_pictures_gets_the_files_range(tmp_path):
    tiff_file(tmp_path / "a.tif", MICROGRAPH, high=1023)
    np.testing.assert_allclose(read_pictures(tmp_path, 1)[0][..., 0], MICROGRAPH / 1023, atol=1e-6)
    with pytest.warns(PictureWarning, match=r"white 1023 \(MaxSampleValue\), .* say sample_range=\(0, 1023\)"):
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), MICROGRAPH)
    Image.fromarray(MICROGRAPH).save(tmp_path / "a.tif")
    with pytest.warns(PictureWarning, match="its samples go from 82 to 439"):
        read_colors(tmp_path / "a.tif")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "model.npz")
    Image.fromarray(MICROGRAPH).save("in.tif")
    for options, lines in ((["--range", "82:439"], 0), ([], 1)):
        with pytest.raises(SystemExit) as stop:
            main(["denoise", "in.tif", "-o", "out.png", "--model", "model.npz", *options, "--report", "report.json"])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err.count("\n")) == (0, lines)
        if options:
            assert "range              black 82, white 439 (as named)" in printed.out
            assert '"range": [\n        82.0,\n        439.0\n      ]' in (tmp_path / "report.json").read_text()
            assert np.abs(read_picture("out.png") - (82 + UNIT / 2 * 357)).max() <= 0.5
    assert printed.err.startswith(
        "spikeunet: warning: in.tif: its samples go from 82 to 439 (uint16, white 65535); black is taken for 82 and"
    )


@pytest.mark.parametrize("value", ["5", "9:3", "0:0", "a:b", "1:2:3", "", "nan:1"])
def test_option_values_that_are_no_range(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    fill_folder()
    for command in ("denoise", "segment"):
        printed = refusal(capsys, command, "good.png", "-o", "out.png", "--range", value)
        assert f"{value!r} is not LOW:HIGH, the samples of black and of white, such as 0:4095" in printed


def test_a_range_beyond_the_pictures_type(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fill_folder()
    printed = refusal(capsys, "denoise", "good.png", "-o", "out.png", "--range", "0:1023")
    assert printed.startswith("good.png: the range of samples must lie within that of uint8, 0 to 255 (got 0 to 1023)")


def test_a_refusal_names_its_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "denoise.npz")
    save_model(small_segmenter(3, task="segmentation"), "segment.npz")
    (tmp_path / "folder").mkdir()
    write_picture("folder/wide.png", np.array([[0, 65535]] * 4, np.uint16))
    write_picture("folder/narrow.png", np.array([[0, 200]] * 4, np.uint16))
    for command in ("denoise", "segment"):
        with pytest.raises(SystemExit):
            main([command, "folder", "-o", "out", "--model", f"{command}.npz", "--range", "0:200"])
        assert capsys.readouterr().err == (
            "spikeunet: error: folder/wide.png: its samples go from 0 to 65535, beyond the range from black 0 to white "
            "200; name a wider one\n"
        )


def test_an_evaluation_takes_a_reference_as_denoising_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(small_denoiser(), "gray.npz")
    for folder, sample_range in (("noisy", (82, 439)), ("clean", None)):
        (tmp_path / folder).mkdir()
        write_picture(f"{folder}/a.tif", MICROGRAPH, sample_range=sample_range)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "gray.npz", "noisy:clean", "-o", "out"])
    assert (stop.value.code, capsys.readouterr().err) == (0, "")
    with open("out/pictures.csv", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert float(row["psnr_noisy"]) > 150  # the same samples on the same scale, but for float32's rounding


def test_samples_of_whole_numbers_are_not_called_floats():
    with pytest.raises(PictureError, match="beyond the range from black 0 to white 1; name a wider one"):
        denoise(np.full((32, 32), 200, np.uint8), small_denoiser(), sample_range=(0, 1))

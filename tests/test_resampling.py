"""Learned resampling: beside a slow reference and published figures, kinds of pictures, threads, the command."""

from __future__ import annotations

import numpy as np
import pytest
import reference_resampling as reference
from PIL import Image

from spikeunet.engine import (
    Conv2d,
    Input,
    InputError,
    ModelFileError,
    Network,
    Output,
    PictureError,
    psnr,
    read_picture,
    save_model,
)
from spikeunet.engine.command_line.group import main
from spikeunet.engine.resampling import (
    DEFAULT_MODEL,
    Spiking,
    Tables,
    prefiltered,
    read_tables,
    resample,
    resampler,
    shapes_of,
)

GAUSSIAN, LINEAR = reference.random_tables(3), reference.random_tables(1)
SHAPE = (9, 12)
SHIPPED = {2: 36.47, 3: 32.39, 4: 30.58}
"""PSNR of Set5, dB, of the model that comes with the package."""


def picture(dtype=np.uint8, channels=(), seed=1):
    """Noise, some of it on the tables' own entries and at both ends."""
    white = 255 if dtype == np.uint8 else 65535
    samples = np.random.default_rng(seed).integers(0, white, (*SHAPE, *channels), endpoint=True)
    samples[0, :4], samples[1, :4] = white, 0
    samples[2, :4] = white // 255 * 16 * np.arange(4).reshape(4, *([1] * len(channels)))
    return samples.astype(dtype)


def saved(tables, folder):
    for pattern, table in tables.prefilter.items():
        np.save(folder / f"LUTft_s1_{pattern}r0.npy", table.reshape(-1, 1))
    for (pattern, turn), table in tables.shape.items():
        np.save(folder / f"LUTft_s2_{pattern}r{turn}.npy", table.reshape(-1, tables.outputs))
    return folder


def run(*arguments):
    from click.testing import CliRunner

    return CliRunner().invoke(main, [str(each) for each in arguments])


# --- The method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint8, 1), (np.uint16, 257)])
@pytest.mark.parametrize("tables", [GAUSSIAN, LINEAR], ids=["gaussian", "linear"])
def test_both_stages_are_the_reference_bit_for_bit(tables, dtype, unit):
    plane = picture(dtype).astype(np.int32)
    filtered = prefiltered(plane, unit, tables)
    np.testing.assert_array_equal(filtered, reference.prefiltered(plane, unit, tables))
    assert len(np.unique(filtered)) > 50
    np.testing.assert_array_equal(shapes_of(filtered, unit, tables), reference.shapes(filtered, unit, tables))


@pytest.mark.parametrize("size", [(18, 24), (9, 12), (20, 31), (27, 12)])
@pytest.mark.parametrize("tables", [GAUSSIAN, LINEAR], ids=["gaussian", "linear"])
def test_pictures_of_any_larger_size_are_the_reference_s(tables, size):
    filtered = reference.prefiltered(picture().astype(int), 1, tables)
    expected = reference.resampled(filtered, reference.shapes(filtered, 1, tables), size)
    np.testing.assert_array_equal(resample(picture(), tables=tables, size=size), np.rint(expected))


@pytest.mark.parametrize(
    ("scale", "published"),
    [
        pytest.param(2, (35.71, 34.84), marks=pytest.mark.slow),
        pytest.param(3, (32.02, 30.72), marks=pytest.mark.slow),
        (4, (30.15, 29.13)),
    ],
)
def test_the_published_figures_of_set5(shared_data, scale, published):
    for name, figure in zip(("lerf-g", "lerf-l"), published, strict=True):
        tables = read_tables(shared_data / "lerf" / name)
        scores = [_score(path, scale, tables) for path in (shared_data / "lerf/Set5/HR").iterdir()]
        assert len(scores) == 5
        assert np.mean(scores) == pytest.approx(figure, abs=0.02)


def _score(path, scale, tables, spiking=None):
    """PSNR of luma, without the outermost `scale` pixels, of results that are rounded to 8 bits."""
    small = path.parents[1] / f"LR_bicubic/rrLR_X{scale}.00_{scale}.00" / path.name
    found, large = resample(read_picture(small), scale, tables, spiking=spiking), read_picture(path)
    height, width = np.minimum(found.shape, large.shape)[:2]
    inner = np.s_[scale : height - scale, scale : width - scale]
    luma = [each[inner] @ np.array([65.481, 128.553, 24.966]) / 255**2 for each in (large, found)]
    return psnr(*luma)


# --- Kinds of pictures -----------------------------------------------------------------------------------------------


def test_each_channel_is_a_picture_of_its_own_and_keeps_its_type():
    colour = picture(np.uint16, (3,))
    found = resample(colour, 2, GAUSSIAN)
    assert (found.shape, found.dtype) == ((18, 24, 3), np.uint16)
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], resample(colour[..., channel], 2, GAUSSIAN))


def test_16_bits_that_say_no_more_than_8_give_what_8_bits_give():
    wide = resample(picture().astype(np.uint16) * 257, 2, GAUSSIAN)
    np.testing.assert_allclose(wide / 257, resample(picture(), 2, GAUSSIAN).astype(float), atol=90)
    exact = prefiltered(picture().astype(np.int32) * 257, 257, GAUSSIAN)
    np.testing.assert_array_equal(np.rint(exact / 257), prefiltered(picture().astype(np.int32), 1, GAUSSIAN))


def test_floats_and_named_ranges_are_looked_up_with_16_bits():
    wide = picture(np.uint16)
    expected = resample(wide, 1.5, GAUSSIAN)
    np.testing.assert_allclose(resample(wide / 65535, 1.5, GAUSSIAN), expected / 65535, atol=1e-5)
    narrow = resample((wide >> 4).astype(np.uint16), 1.5, GAUSSIAN, sample_range=(0, 4095))
    assert narrow.dtype == np.uint16
    assert narrow.max() <= 4095
    with pytest.raises(PictureError, match=r"go from -0\.1 to 1, beyond black 0 or white 1, .* name a wider range"):
        resample(np.linspace(-0.1, 1, 108).reshape(SHAPE), 2, GAUSSIAN)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_opaque_stays_opaque_and_colours_do_not_depend_on_it(channels):
    samples = picture(np.uint8, (channels,))
    samples[..., -1] = 255
    found = resample(samples, 2.5, GAUSSIAN)
    assert (found[..., -1] == 255).all()
    gray = resample(samples[..., 0], 2.5, GAUSSIAN)
    np.testing.assert_array_equal(found[..., 0], gray)


def test_one_pixel_can_be_enlarged():
    found = resample(np.full((1, 1), 77, np.uint8), 3, LINEAR)
    assert found.shape == (3, 3)
    assert (found == found[0, 0]).all()


def test_the_number_of_threads_changes_nothing():
    tall = np.tile(picture(), (12, 2))
    np.testing.assert_array_equal(resample(tall, 2, GAUSSIAN, threads=1), resample(tall, 2, GAUSSIAN, threads=3))


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a scale or a size"),
        ({"scale": 2, "size": (18, 24)}, "either a scale or a size"),
        ({"scale": 0.5}, r"from 1 to 64 \(got 0\.5\); resampling is made to enlarge"),
        ({"scale": float("nan")}, r"got nan"),
        ({"scale": "2"}, r"got '2'"),
        ({"scale": True}, r"got True"),
        ({"size": (18, 11)}, r"12x9 pixels can become at least as many .* \(got 11x18\)"),
        ({"size": (9, 12000)}, r"at most 64 times as many"),
        ({"size": (18.0, 24)}, r"two whole numbers"),
        ({"size": 18}, r"two whole numbers"),
        ({"scale": 2, "threads": 0}, r"threads must be a whole number of at least 1 \(got 0\)"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        resample(picture(), tables=GAUSSIAN, **options)


def test_a_result_of_more_pixels_than_a_picture_may_have_is_refused_before_anything_is_computed():
    with pytest.raises(InputError, match=r"128000x1280 pixels are more than the limit of 100000000; cut it"):
        resample(np.zeros((20, 2000), np.uint8), 64, GAUSSIAN)


def test_tables_are_needed():
    with pytest.raises(
        InputError, match=r"without a network needs tables, as .* read_tables\(folder\) give them \(got None\)"
    ):
        resample(picture(), 2)
    with pytest.raises(InputError, match="in place of the second stage alone needs tables"):
        resample(picture(), 2, spiking=Spiking(constant_network((0, 0, 0)), 3))


def test_a_network_that_is_no_resampler_yet_is_refused():
    for given in (DEFAULT_MODEL, 3, constant_network((0, 0, 0, 0))):
        with pytest.raises(InputError, match=r"must be one as resampler\(name, path or network\) .* give it \(got "):
            resample(picture(), 2, spiking=given)


def test_tables_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="stage 1, c: must be an int8 array of 83521 numbers"):
        Tables({**GAUSSIAN.prefilter, "c": np.zeros(5, np.int8)}, GAUSSIAN.shape)
    with pytest.raises(InputError, match="differ in how many numbers they hold"):
        Tables(GAUSSIAN.prefilter, {**GAUSSIAN.shape, ("t", 1): LINEAR.shape["t", 1]})


def test_files_of_tables_are_read_and_named_where_they_are_not_right(tmp_path):
    tables = read_tables(saved(GAUSSIAN, tmp_path))
    assert tables.name == "LeRF-G"
    np.testing.assert_array_equal(tables.shape["t", 1], GAUSSIAN.shape["t", 1])
    spoilt = tmp_path / "LUTft_s2_cr1.npy"
    spoilt.write_bytes(spoilt.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match=r"s2_cr1.npy: cannot be read as an array"):
        read_tables(tmp_path)
    np.save(spoilt, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ModelFileError, match=r"s2_cr1.npy: cannot be read as an array"):
        read_tables(tmp_path)
    with spoilt.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(ModelFileError, match=r"s2_cr1.npy: is an archive"):
        read_tables(tmp_path)
    spoilt.unlink()
    with pytest.raises(InputError, match=r"s2_cr1.npy: is missing; a folder of LeRF's tables holds"):
        read_tables(tmp_path)


# --- A spiking network in place of the second stage, or of both ------------------------------------------------------


def constant_network(values, **metadata):
    """Says the same of every pixel."""
    count = len(values)
    weight, bias = np.zeros((count, 1, 1, 1), np.float32), np.array(values, np.float32)
    return Network([Input("input", 1), Conv2d("last", "input", weight, bias), Output("output", "last")], metadata)


def test_a_network_says_what_the_tables_would_say():
    values = (0.25, -0.5, 1.5)
    plane = reference.prefiltered(picture().astype(int), 1, GAUSSIAN)
    levels = [159, 64, 255]  # 127 + 31.75, and 127 - 63.5, halves to even
    expected = reference.resampled(plane, np.broadcast_to(levels, (*SHAPE, 3)), (18, 24))
    found = resample(picture(), 2, GAUSSIAN, spiking=Spiking(constant_network(values), 3))
    np.testing.assert_array_equal(found, np.rint(expected))
    analog = resample(picture(), 2, GAUSSIAN, spiking=Spiking(constant_network(values), None))
    np.testing.assert_array_equal(found, analog)


def test_a_network_with_other_outputs_is_refused():
    with pytest.raises(InputError, match="takes 1 channels and puts out 2"):
        Spiking(constant_network((0, 0)), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_network_of_four_outputs_needs_no_tables_and_adds_to_the_pixels(dtype):
    given = picture() if dtype == np.uint8 else picture(np.uint16)
    plane = given.astype(np.int64) * (257 if dtype == np.uint8 else 1)
    levels = np.broadcast_to([159, 64, 255], (*SHAPE, 3))
    white = 65535
    expected = reference.resampled(np.clip(plane + white // 8, 0, white), levels, (18, 24))
    spiking = Spiking(constant_network((0.25, -0.5, 1.5, (white // 8) / white)), 2)
    found = resample(given / white if dtype == np.float32 else given, 2, spiking=spiking)
    scale = {np.uint8: 257, np.uint16: 1, np.float32: white}[dtype]
    if dtype == np.float32:
        np.testing.assert_allclose(found, expected / scale, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, np.rint(expected / scale))
    with pytest.raises(InputError, match="takes the place of both stages of the tables; leave the tables out"):
        resample(picture(), 2, GAUSSIAN, spiking=spiking)


def test_a_resampler_is_a_model_of_its_own_steps():
    assert resampler(constant_network((0, 0, 0, 0), task="resample", steps=3)).steps == 3
    assert resampler(constant_network((0, 0, 0, 0), task="resample"), 5).steps == 5
    with pytest.raises(InputError, match=r"steps must be a whole number from 1 to 1000 \(got 0\)"):
        resampler(constant_network((0, 0, 0, 0), task="resample"), 0)


@pytest.mark.parametrize(
    ("scale", "tables", "shipped"),
    [
        pytest.param(2, 35.71, SHIPPED[2], marks=pytest.mark.slow),
        pytest.param(3, 32.02, SHIPPED[3], marks=pytest.mark.slow),
        (4, 30.15, SHIPPED[4]),
    ],
)
def test_the_shipped_model_is_better_than_the_tables_and_within_a_tenth_of_a_decibel_of_its_ann(
    shared_data, scale, tables, shipped
):
    paths = sorted((shared_data / "lerf/Set5/HR").iterdir())
    spiking = resampler(DEFAULT_MODEL)
    assert spiking.steps <= 8
    score, analog = (
        np.mean([_score(path, scale, None, each) for path in paths])
        for each in (spiking, Spiking(spiking.network, None))
    )
    assert score == pytest.approx(shipped, abs=0.01)
    assert score > tables
    assert score > analog - 0.1


# --- The command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_function_gives(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    saved(GAUSSIAN, folder)
    Image.fromarray(picture(channels=(4,))).save(tmp_path / "small.png", dpi=(72, 72))
    save_model(constant_network((0.25, -0.5, 0.5), task="resample", steps=2), tmp_path / "model.npz")
    place = (tmp_path / "small.png", "--tables", folder, "-o", tmp_path / "large.png")
    printed = run("resample", *place, "--size", "30x20")
    assert printed.exit_code == 0
    assert "12x9 -> 30x20" in printed.output
    large = np.asarray(read_picture(tmp_path / "large.png"))
    np.testing.assert_array_equal(large, resample(picture(channels=(4,)), size=(20, 30), tables=GAUSSIAN))
    assert run("resample", *place, "--scale", "2", "--model", tmp_path / "model.npz").exit_code == 0
    assert read_picture(tmp_path / "large.png").shape == (18, 24, 4)


def test_the_command_needs_no_tables(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "small.png")
    place = (tmp_path / "small.png", "--scale", "2", "-o", tmp_path / "large.png")
    assert run("resample", *place).exit_code == 0
    expected = resample(picture(), 2, spiking=resampler(DEFAULT_MODEL))
    np.testing.assert_array_equal(read_picture(tmp_path / "large.png"), expected)
    assert run("resample", *place, "--steps", "2").exit_code == 0
    assert (read_picture(tmp_path / "large.png") != expected).any()
    save_model(constant_network((0, 0, 0), task="resample", steps=2), tmp_path / "second.npz")
    refused = run("resample", *place, "--model", tmp_path / "second.npz")
    assert refused.exit_code == 2
    assert "in place of the second stage alone needs tables, as --tables" in refused.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name either --scale or --size"),
        (("--scale", "2", "--size", "24x18"), "name either --scale or --size"),
        (("--scale", "0.5"), "must be a number from 1 to 64 (got 0.5)"),
        (("--size", "24"), "'24' is not WIDTHxHEIGHT, such as 1024x768"),
        (("--scale", "2", "--steps", "3"), "--steps 3 has no meaning for --tables without --model"),
        (
            ("--scale", "2", "--model", DEFAULT_MODEL),
            "takes the place of both stages of the tables; leave the tables out",
        ),
        (
            ("--scale", "2", "--model", "denoise-gray"),
            "is for 'denoise', not for resampling; choose another, or use `spikeunet denoise`",
        ),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_nothing(tmp_path, options, message):
    saved(LINEAR, tmp_path)
    Image.fromarray(picture()).save(tmp_path / "small.png")
    found = run("resample", tmp_path / "small.png", "--tables", tmp_path, "-o", tmp_path / "large.png", *options)
    assert found.exit_code == 2
    assert message in found.output
    assert len(found.output.splitlines()) == 1
    assert not (tmp_path / "large.png").exists()


def test_the_command_says_what_it_did_and_nothing_of_it_goes_into_a_picture_on_stdout(tmp_path, capfdbinary):
    Image.fromarray(picture()).save(tmp_path / "small.png")
    command = ("resample", str(tmp_path / "small.png"), "--scale", "2", "-o")
    for options in ((), ("--json",), ("--quiet",)):
        assert run(*command, tmp_path / "large.png", *options).exit_code == 0
        with pytest.raises(SystemExit, match="0"):
            main([*command, "-", *options])
        written, told = capfdbinary.readouterr()
        assert written == (tmp_path / "large.png").read_bytes()
        assert (b"12x9 -> 24x18" in told) == (options != ("--quiet",))
        assert (DEFAULT_MODEL.encode() in told) == (options != ("--quiet",))


def test_a_format_that_does_not_hold_the_samples_is_said_and_a_single_picture_has_no_pages(tmp_path):
    Image.fromarray(picture(np.uint16)).save(tmp_path / "deep.png")
    for name, told in (("large.png", "12x9 -> 24x18\n"), ("large.bmp", "12x9 -> 24x18, saved as uint8\n")):
        assert told in run("resample", tmp_path / "deep.png", "--scale", "2", "-o", tmp_path / name).output
    (tmp_path / "bad.png").write_bytes(b"no picture")
    found = run("resample", tmp_path / "bad.png", "--scale", "2", "-o", tmp_path / "new.png").output
    assert f"{tmp_path / 'bad.png'}: not a PNG" in found


def test_what_is_wrong_with_the_options_is_said_once_before_pictures_and_tables_are_read(tmp_path):
    for name in ("one.png", "two.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    for options, message in (
        (("--scale", "0.5"), "must be a number from 1 to 64 (got 0.5); resampling"),
        (("--scale", "2", "--tables", tmp_path, "--model", DEFAULT_MODEL), "leave the tables out"),
    ):
        found = run("resample", tmp_path, "-o", tmp_path / "large/", *options)
        assert (found.exit_code, len(found.output.splitlines())) == (2, 1), found.output
        assert message in found.output
        assert not (tmp_path / "large").exists()


def test_a_series_is_refused_but_for_one_page(tmp_path):
    saved(LINEAR, tmp_path)
    pages = [Image.fromarray(picture(seed=seed)) for seed in (1, 2)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    options = ("resample", tmp_path / "stack.tif", "--tables", tmp_path, "--scale", "2", "-o", tmp_path / "large.png")
    assert "holds 2 pictures; take one with --page N" in run(*options).output
    assert run(*options, "--page", "1").exit_code == 0
    found = read_picture(tmp_path / "large.png")
    np.testing.assert_array_equal(found, resample(picture(seed=2), 2, LINEAR))

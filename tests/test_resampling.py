"""Learned resampling: beside a slow reference and published figures, kinds of pictures, threads, the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import reference_resampling as reference
from PIL import Image

from spikeunet.engine import (
    Conv2d,
    Input,
    InputError,
    IntegrateAndFire,
    ModelFileError,
    Network,
    Neurons,
    Output,
    PictureError,
    forward,
    load_model,
    psnr,
    read_frames,
    read_picture,
    resample,
    save_model,
    simulate,
)
from spikeunet.engine.command_line.group import main
from spikeunet.engine.command_line.model_metadata import check_task
from spikeunet.engine.resampling import MARGIN, Tables, prefiltered, read_tables, resample_by_tables, shapes_of
from spikeunet.engine.resampling.enlargement import enlargement_of
from spikeunet.engine.resampling.networks import question_of
from spikeunet.engine.tasks.resampling import DEFAULT_MODEL, resampler

GAUSSIAN, LINEAR = reference.random_tables(3), reference.random_tables(1)
SHAPE = (9, 12)
REPOSITORY = Path(__file__).resolve().parent.parent
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
    np.testing.assert_array_equal(resample_by_tables(picture(), tables, size=size), np.rint(expected))


def test_the_published_figures_of_set5(shared_data):
    scale, published = 4, (30.15, 29.13)
    for name, figure in zip(("lerf-g", "lerf-l"), published, strict=True):
        tables = read_tables(shared_data / "lerf" / name)
        paths = (shared_data / "lerf/Set5/HR").iterdir()
        scores = [_score(path, scale, lambda small: resample_by_tables(small, tables, scale)) for path in paths]  # noqa: B023
        assert len(scores) == 5
        assert np.mean(scores) == pytest.approx(figure, abs=0.02)


def _score(path, scale, enlarge):
    """PSNR of luma, without the outermost `scale` pixels, of results that are rounded to 8 bits."""
    small = path.parents[1] / f"LR_bicubic/rrLR_X{scale}.00_{scale}.00" / path.name
    found, large = enlarge(read_picture(small)), read_picture(path)
    height, width = np.minimum(found.shape, large.shape)[:2]
    inner = np.s_[scale : height - scale, scale : width - scale]
    luma = [each[inner] @ np.array([65.481, 128.553, 24.966]) / 255**2 for each in (large, found)]
    return psnr(*luma)


# --- Kinds of pictures -----------------------------------------------------------------------------------------------


def test_each_channel_is_a_picture_of_its_own_and_keeps_its_type():
    colour = picture(np.uint16, (3,))
    found = resample_by_tables(colour, GAUSSIAN, 2)
    assert (found.shape, found.dtype) == ((18, 24, 3), np.uint16)
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], resample_by_tables(colour[..., channel], GAUSSIAN, 2))


def test_16_bits_that_say_no_more_than_8_give_what_8_bits_give():
    wide = resample_by_tables(picture().astype(np.uint16) * 257, GAUSSIAN, 2)
    np.testing.assert_allclose(wide / 257, resample_by_tables(picture(), GAUSSIAN, 2).astype(float), atol=90)
    exact = prefiltered(picture().astype(np.int32) * 257, 257, GAUSSIAN)
    np.testing.assert_array_equal(np.rint(exact / 257), prefiltered(picture().astype(np.int32), 1, GAUSSIAN))


def test_floats_and_named_ranges_are_looked_up_with_16_bits():
    wide = picture(np.uint16)
    expected = resample_by_tables(wide, GAUSSIAN, 1.5)
    np.testing.assert_allclose(resample_by_tables(wide / 65535, GAUSSIAN, 1.5), expected / 65535, atol=1e-5)
    narrow = resample_by_tables((wide >> 4).astype(np.uint16), GAUSSIAN, 1.5, sample_range=(0, 4095))
    assert narrow.dtype == np.uint16
    assert narrow.max() <= 4095
    with pytest.raises(PictureError, match=r"go from -0\.1 to 1, beyond black 0 or white 1, .* name a wider range"):
        resample_by_tables(np.linspace(-0.1, 1, 108).reshape(SHAPE), GAUSSIAN, 2)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_opaque_stays_opaque_and_colours_do_not_depend_on_it(channels):
    samples = picture(np.uint8, (channels,))
    samples[..., -1] = 255
    found = resample_by_tables(samples, GAUSSIAN, 2.5)
    assert (found[..., -1] == 255).all()
    gray = resample_by_tables(samples[..., 0], GAUSSIAN, 2.5)
    np.testing.assert_array_equal(found[..., 0], gray)


def test_one_pixel_can_be_enlarged():
    found = resample_by_tables(np.full((1, 1), 77, np.uint8), LINEAR, 3)
    assert found.shape == (3, 3)
    assert (found == found[0, 0]).all()


def test_the_number_of_threads_changes_nothing():
    tall = np.tile(picture(), (12, 2))
    np.testing.assert_array_equal(*(resample_by_tables(tall, GAUSSIAN, 2, threads=number) for number in (1, 3)))


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
        ({"scale": 2, "threads": 0}, r"threads must be a whole number from 1 to 1024 \(got 0\)"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        resample_by_tables(picture(), GAUSSIAN, **options)


def test_a_result_of_more_pixels_than_a_picture_may_have_is_refused_before_anything_is_computed():
    with pytest.raises(InputError, match=r"128000x1280 pixels are more than the limit of 100000000; cut it"):
        resample_by_tables(np.zeros((20, 2000), np.uint8), GAUSSIAN, 64)


def test_tables_are_needed_where_they_are_and_a_model_is_named_beside_them():
    with pytest.raises(InputError, match=r"must be Tables as read_tables\(folder\) gives them \(got 'lerf-g'\)"):
        resample_by_tables(picture(), "lerf-g", 2)
    with pytest.raises(InputError, match=r"none is named; resample_by_tables.* takes them alone, and counts nothing"):
        resample(picture(), 2, tables=GAUSSIAN)
    with pytest.raises(InputError, match=r"in place of the second stage alone needs tables, .* \(got None\)"):
        resample(picture(), 2, constant_network((0, 0, 0)))
    with pytest.raises(InputError, match="takes the place of both stages of the tables; leave the tables out"):
        resample(picture(), 2, DEFAULT_MODEL, tables=GAUSSIAN)


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


def constant_network(values, task="resample", stride=1, **metadata):
    """Says the same of every pixel, or of every so many."""
    count = len(values)
    weight, bias = np.zeros((count, 1, 1, 1), np.float32), np.array(values, np.float32)
    nodes = [Input("input", 1), Conv2d("last", "input", weight, bias, stride=stride), Output("output", "last")]
    return Network(nodes, {"task": task, **metadata})


def spiking_network():
    """Adds to a pixel an eighth where it is at least half white, by an event that meets four weights."""
    first, last = np.ones((1, 1, 1, 1), np.float32), np.zeros((4, 1, 1, 1), np.float32)
    last[3] = 1 / 4
    nodes = [
        Input("input", 1),
        Conv2d("first", "input", first),
        Neurons("neurons", "first", IntegrateAndFire(0.5)),
        Conv2d("last", "neurons", last, np.array([0, 1, 1, 0], np.float32)),
        Output("output", "last"),
    ]
    return Network(nodes, {"task": "resample", "steps": 1})


def counts(resampled):
    return resampled.result.operations.totals


def analog(picture, scale, network):
    """Enlarged by the artificial network."""
    question = question_of(enlargement_of(picture, (0.0, 255.0), scale, None, fine=True), None)
    return question.picture(forward(network, question.batch)[0])


def test_a_network_says_what_the_tables_would_say():
    values = (0.25, -0.5, 1.5)
    plane = reference.prefiltered(picture().astype(int), 1, GAUSSIAN)
    levels = [159, 64, 255]  # 127 + 31.75, and 127 - 63.5, halves to even
    expected = reference.resampled(plane, np.broadcast_to(levels, (*SHAPE, 3)), (18, 24))
    found = resample(picture(), 2, constant_network(values), 3, tables=GAUSSIAN)
    np.testing.assert_array_equal(found.picture, np.rint(expected))


def test_other_networks_are_refused():
    with pytest.raises(InputError, match="takes 1 channels and puts out 2; one that says how to resample takes 1 and"):
        resample(picture(), 2, constant_network((0, 0)))
    with pytest.raises(InputError, match="takes 1 channels and puts out 2"):
        check_task(constant_network((0, 0)))
    with pytest.raises(InputError, match=r"is for 'denoise', not for resampling; .* use `spikeunet denoise`"):
        resample(picture(), 2, constant_network((0,), task="denoise"))
    with pytest.raises(InputError, match="puts out 4x1x1 for a picture of 2x2; resampling needs what it says of each"):
        resample(picture(), 2, constant_network((0, 0, 0, 0), stride=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_network_of_four_outputs_needs_no_tables_and_adds_to_the_pixels(dtype):
    given = picture() if dtype == np.uint8 else picture(np.uint16)
    plane = given.astype(np.int64) * (257 if dtype == np.uint8 else 1)
    levels = np.broadcast_to([159, 64, 255], (*SHAPE, 3))
    white = 65535
    expected = reference.resampled(np.clip(plane + white // 8, 0, white), levels, (18, 24))
    network = constant_network((0.25, -0.5, 1.5, (white // 8) / white))
    found = resample(given / white if dtype == np.float32 else given, 2, network, 2).picture
    scale = {np.uint8: 257, np.uint16: 1, np.float32: white}[dtype]
    if dtype == np.float32:
        np.testing.assert_allclose(found, expected / scale, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, np.rint(expected / scale))


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
def test_every_kind_of_picture_is_enlarged_and_every_operation_of_its_channels_counted(channels):
    samples = picture(channels=channels)
    found = resample(samples, 1.5, spiking_network())
    colors = samples.reshape(*SHAPE, -1)[..., : {1: 1, 2: 1, 3: 3, 4: 3}[(*channels, 1)[0]]]
    wide = np.pad(colors, [(MARGIN, MARGIN)] * 2 + [(0, 0)], mode="edge")
    events = int((wide / 255 >= 0.5).sum())
    assert (found.picture.dtype, found.picture.shape) == (samples.dtype, (14, 18, *channels))
    assert (found.result.total_events, found.result.total_accumulates) == (events, 4 * events)
    assert found.size == SHAPE
    assert found.accumulates_per_pixel == 4 * events / (SHAPE[0] * SHAPE[1])
    each = [resample(colors[..., number], 1.5, spiking_network()) for number in range(colors.shape[2])]
    assert sum((run.result.operations for run in each[1:]), each[0].result.operations).totals == counts(found)
    for number, one in enumerate(each):
        np.testing.assert_array_equal(found.picture.reshape(14, 18, -1)[..., number], one.picture)


def test_three_equal_channels_are_run_as_one():
    gray = picture()
    found, alone = (resample(each, 2, spiking_network()) for each in (np.repeat(gray[..., None], 3, 2), gray))
    np.testing.assert_array_equal(found.picture, np.repeat(alone.picture[..., None], 3, 2))
    assert counts(found) == counts(alone)


def test_a_report_sees_every_step_and_threads_change_nothing():
    network, given = spiking_network(), picture(channels=(2,))
    whole, other = resample(given, 2, network, 3, watch=True), resample(given, 2, network, 3, threads=1)
    np.testing.assert_array_equal(other.picture, whole.picture)
    assert counts(other) == counts(whole)
    assert other.watched is None
    np.testing.assert_array_equal(whole.watched.picture, (given[..., 0] / 255).astype(np.float32))
    assert whole.watched.inputs.shape == (1, 1, SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
    assert whole.watched.by_step.shape == (3, 18, 24)
    for steps, seen in enumerate(whole.watched.by_step, 1):
        np.testing.assert_array_equal(np.rint(255 * seen), resample(given, 2, network, steps).picture[..., 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps must be a whole number from 1 to 1000 \(got 0\)"),
        ({"threads": 0}, r"threads must be a whole number from 1 to 1024 \(got 0\)"),
        ({"order": "space"}, "got 'space'"),
        ({"tile": 0}, r"got 0\)"),
        ({"kernels": "fast"}, "got 'fast'"),
    ],
)
def test_options_of_the_run_are_those_of_every_task(options, message):
    with pytest.raises(InputError, match=message):
        resample(picture(), 2, spiking_network(), **options)


def test_the_default_model_is_the_one_that_comes_with_the_package():
    found = resample(picture(), 2)
    named = resample(picture(), model=load_model(DEFAULT_MODEL), size=(18, 24))
    np.testing.assert_array_equal(found.picture, named.picture)
    wide = np.pad((picture() / 255).astype(np.float32), MARGIN, mode="edge")
    assert counts(found) == simulate(resampler(DEFAULT_MODEL), wide[None], 1).operations.totals
    assert found.result.steps == 1


@pytest.mark.parametrize(
    ("scale", "tables", "shipped"), [pytest.param(2, 35.71, SHIPPED[2], marks=pytest.mark.slow), (4, 30.15, SHIPPED[4])]
)
def test_the_shipped_model_is_better_than_the_tables_and_within_a_tenth_of_a_decibel_of_its_ann(
    shared_data, scale, tables, shipped
):
    paths = sorted((shared_data / "lerf/Set5/HR").iterdir())
    network = resampler(DEFAULT_MODEL)
    assert network.metadata["steps"] <= 8
    score = np.mean([_score(path, scale, lambda small: resample(small, scale).picture) for path in paths])
    of_ann = np.mean([_score(path, scale, lambda small: analog(small, scale, network)) for path in paths])
    assert score == pytest.approx(shipped, abs=0.01)
    assert score > tables
    assert score > of_ann - 0.1


# --- The command -----------------------------------------------------------------------------------------------------


def written(path, channels=(), dtype=np.uint8):
    """A picture's file, and what options of the command follow it."""
    Image.fromarray(picture(dtype, channels)).save(path, dpi=(72, 72))
    return path


def fields_of(printed):
    """By name, which two spaces or more follow."""
    return dict(re.split(" {2,}", line, maxsplit=1) for line in printed.output.splitlines())


def test_the_command_writes_what_the_function_gives_and_prints_what_it_counts(tmp_path):
    source, target = written(tmp_path / "small.png", (4,)), tmp_path / "large.png"
    printed = run("resample", source, "-o", target, "--size", "30x20")
    assert printed.exit_code == 0
    found = resample(picture(channels=(4,)), size=(20, 30))
    np.testing.assert_array_equal(read_picture(target), found.picture)
    fields = fields_of(printed)
    assert fields["operations"] == f"{found.result.total_accumulates:,} ({found.accumulates_per_pixel:,.0f} per pixel)"
    assert fields["events"] == f"{found.result.total_events:,}"
    assert fields["energy"].startswith(f"{1e6 * found.joules():.3g} uJ")
    assert (fields["model"], fields["steps"], fields["enlarged to"]) == (DEFAULT_MODEL, "1", "20x30x4")
    save_model(spiking_network(), tmp_path / "model.npz")
    options = ("--scale", "2", "--model", tmp_path / "model.npz", "--steps", "3")
    assert run("resample", source, "-o", target, *options).exit_code == 0
    np.testing.assert_array_equal(
        read_picture(target), resample(picture(channels=(4,)), 2, spiking_network(), 3).picture
    )


def test_pictures_of_a_folder_with_a_report_and_as_json(tmp_path):
    (tmp_path / "small").mkdir()
    for name, channels in (("a", ()), ("b", (3,))):
        written(tmp_path / "small" / f"{name}.png", channels)
    save_model(spiking_network(), tmp_path / "model.npz")
    command = (
        "resample",
        tmp_path / "small",
        "--scale",
        "2",
        "-o",
        tmp_path / "large",
        "--model",
        tmp_path / "model.npz",
    )
    table = run(*command, "--report", tmp_path / "report.json")
    assert table.exit_code == 0
    found = [resample(picture(channels=each), 2, spiking_network()) for each in ((), (3,))]
    entries = json.loads((tmp_path / "report.json").read_text("utf-8"))["pictures"]
    assert [each["accumulates"] for each in entries] == [each.result.total_accumulates for each in found]
    assert [(each["enlarged_height"], each["enlarged_width"]) for each in entries] == [(18, 24)] * 2
    assert [line.split("\t")[-1] for line in table.output.splitlines()] == ["enlarged to", "18x24x1", "18x24x3", ""]
    counts = json.loads(run(*command, "--json").output)[str(tmp_path / "model.npz")]
    ledger = found[0].result.operations + found[1].result.operations
    assert counts == {"pictures": 2, **ledger.to_neurobench(pictures=2)}


def test_the_page_of_an_enlarged_picture(tmp_path):
    for package in ("jinja2", "matplotlib"):
        pytest.importorskip(package, reason="pages need the extra report")
    save_model(spiking_network(), tmp_path / "model.npz")
    command = ("resample", written(tmp_path / "small.png", (3,)), "--scale", "2", "-o", tmp_path / "large.png")
    assert (
        run(*command, "--model", tmp_path / "model.npz", "--steps", "2", "--report", tmp_path / "page").exit_code == 0
    )
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert 'width="24" height="18" alt="small.png, enlarged"' in page
    assert "Before is the picture that was given, stretched to the size of the result" in page
    assert "enlarged after 2 of 2 time steps" in page
    numbers = json.loads((tmp_path / "page" / "report.json").read_text("utf-8"))["pictures"][0]
    found = resample(picture(channels=(3,)), 2, spiking_network(), 2)
    assert numbers["totals"]["synops"] == found.result.total_accumulates


def test_a_series_is_enlarged_page_by_page_or_one_of_them(tmp_path):
    pages = [Image.fromarray(picture(seed=seed)) for seed in (1, 2)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    save_model(spiking_network(), tmp_path / "model.npz")
    options = ("resample", tmp_path / "stack.tif", "--scale", "2", "--model", tmp_path / "model.npz", "-o")
    printed = run(*options, tmp_path / "large.tif")
    found = [resample(picture(seed=seed), 2, spiking_network()) for seed in (1, 2)]
    for frame, expected in zip(read_frames(tmp_path / "large.tif"), found, strict=True):
        np.testing.assert_array_equal(frame, expected.picture)
    fields = fields_of(printed)
    assert fields["operations"].startswith(f"{sum(each.result.total_accumulates for each in found):,} ")
    assert (fields["pages"][0], fields["enlarged to"]) == ("2", "18x24x1")
    assert "would hold one; name a file that ends in .tif" in run(*options, tmp_path / "large.png").output
    assert run(*options, tmp_path / "large.png", "--page", "1").exit_code == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "large.png"), found[1].picture)


def test_the_documentation_has_what_the_command_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    page = (REPOSITORY / "docs" / "resampling.md").read_text("utf-8")
    command, shown = re.search(
        r"```\nspikeunet (resample examples.*)\n```\n\nprints .*\n\n```\n((?s:.*?))```", page
    ).groups()
    printed = run(*command.replace("large.png", str(tmp_path / "large.png")).split()).output.splitlines()
    assert len(shown.splitlines()) == 4
    assert set(shown.splitlines()) <= set(printed)


@pytest.mark.slow
def test_the_table_of_the_documentation_has_what_the_command_prints_for_set5(shared_data, tmp_path):
    steps = 2
    page = (REPOSITORY / "docs" / "resampling.md").read_text("utf-8")
    pictures = shared_data / "lerf/Set5/LR_bicubic/rrLR_X2.00_2.00"
    printed = run("resample", pictures, "--scale", "2", "-o", tmp_path / "out", "--steps", steps).output.splitlines()
    mean = dict(zip(printed[0].split("\t"), printed[-1].split("\t"), strict=True))
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `resample-small`, T = {steps}")]
    operations, energy = (cell.strip() for cell in row.split("|")[-3:-1])
    assert int(operations.replace(",", "")) == int(mean["per pixel"])
    assert float(energy) == pytest.approx(1e3 * float(mean["45nm MAC J"]), rel=2e-3)


def test_tables_alone_count_nothing_and_say_so(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    saved(GAUSSIAN, folder)
    place = (written(tmp_path / "small.png", (4,)), "--tables", folder, "-o", tmp_path / "large.png")
    printed = run("resample", *place, "--size", "30x20")
    assert printed.exit_code == 0
    assert fields_of(printed) == {
        "input": str(tmp_path / "small.png"),
        "output": str(tmp_path / "large.png"),
        "size": "9x12x4",
        "enlarged to": "20x30x4",
        "tables": "LeRF-G",
    }
    found = resample_by_tables(picture(channels=(4,)), GAUSSIAN, size=(20, 30))
    np.testing.assert_array_equal(read_picture(tmp_path / "large.png"), found)
    save_model(constant_network((0.25, -0.5, 0.5), steps=2), tmp_path / "model.npz")
    beside = run("resample", *place, "--scale", "2", "--model", tmp_path / "model.npz")
    assert "operations" in fields_of(beside)
    found = resample(picture(channels=(4,)), 2, tmp_path / "model.npz", tables=GAUSSIAN).picture
    np.testing.assert_array_equal(read_picture(tmp_path / "large.png"), found)
    refused = run("resample", *place[:1], *place[3:], "--scale", "2", "--model", tmp_path / "model.npz")
    assert refused.exit_code == 2
    assert "in place of the second stage alone needs tables, as --tables" in refused.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name either --scale or --size"),
        (("--scale", "2", "--size", "24x18"), "name either --scale or --size"),
        (("--scale", "0.5"), "must be a number from 1 to 64 (got 0.5)"),
        (("--size", "24"), "'24' is not WIDTHxHEIGHT, such as 1024x768"),
        *(
            (("--scale", "2", *option), f"{' '.join(option)} has no meaning for --tables without --model: tables alone")
            for option in (
                ("--steps", "3"),
                ("--order", "time"),
                ("--tile", "4"),
                ("--kernels", "events"),
                ("--report", "r.json"),
                ("--json",),
            )
        ),
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
    (tmp_path / "tables").mkdir()
    saved(LINEAR, tmp_path / "tables")
    (tmp_path / "small").mkdir()
    written(tmp_path / "small" / "small.png")
    place = (tmp_path / "small", "--tables", tmp_path / "tables", "-o", tmp_path / "large")
    found = run("resample", *place, *options)
    assert found.exit_code == 2
    assert message in found.output
    assert len(found.output.splitlines()) == 1
    assert not (tmp_path / "large").exists()


def test_the_command_says_what_it_did_and_nothing_of_it_goes_into_a_picture_on_stdout(tmp_path, capfdbinary):
    command = ("resample", str(written(tmp_path / "small.png")), "--scale", "2", "-o")
    for options in ((), ("--json",), ("--quiet",)):
        assert run(*command, tmp_path / "large.png", *options).exit_code == 0
        with pytest.raises(SystemExit, match="0"):
            main([*command, "-", *options])
        piped, told = capfdbinary.readouterr()
        assert piped == (tmp_path / "large.png").read_bytes()
        assert (b"18x24x1" in told) == (options == ())
        assert (DEFAULT_MODEL.encode() in told) == (options != ("--quiet",))


def test_a_format_that_does_not_hold_the_samples_is_said_and_a_single_picture_has_no_pages(tmp_path):
    written(tmp_path / "deep.png", dtype=np.uint16)
    for name, told in (("large.png", "uint16"), ("large.bmp", "uint16, saved as uint8")):
        printed = run("resample", tmp_path / "deep.png", "--scale", "2", "-o", tmp_path / name)
        assert fields_of(printed)["size"] == f"9x12x1 (height x width x channels), {told}"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    found = run("resample", tmp_path / "bad.png", "--scale", "2", "-o", tmp_path / "new.png").output
    assert f"{tmp_path / 'bad.png'}: not a PNG" in found


def test_tables_take_one_page_of_a_series(tmp_path):
    saved(LINEAR, tmp_path)
    pages = [Image.fromarray(picture(seed=seed)) for seed in (1, 2)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    options = ("resample", tmp_path / "stack.tif", "--tables", tmp_path, "--scale", "2", "-o", tmp_path / "large.png")
    assert "holds 2 pictures; take one with --page N, or a --model for all" in run(*options).output
    assert run(*options, "--page", "1").exit_code == 0
    found = read_picture(tmp_path / "large.png")
    np.testing.assert_array_equal(found, resample_by_tables(picture(seed=2), LINEAR, 2))

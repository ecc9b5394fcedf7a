"""`spikeunet segment` on real files, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import refusals
from PIL import Image
from small_denoiser import small_denoiser
from small_segmenter import brightness_classes, small_segmenter
from unets import random_state

from spikeunet.converters import convert as library_convert
from spikeunet.engine import load_model, save_model, segment
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.pictures.preprocessing import network_input

NAMES = ["night", "dusk", "day"]
PALETTE = [[0, 0, 9], [90, 60, 60], [255, 255, 200]]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    save_model(small_segmenter(3, classes=NAMES, palette=PALETTE), "three.npz")


@pytest.fixture
def run(capsys):
    """Run the command and return what it printed on stdout; the exit status must be 0 and stderr empty."""

    def invoke(*arguments, model="three.npz"):
        with pytest.raises(SystemExit) as stop:
            main(["segment", *map(str, arguments), "--model", model])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err) == (0, "")
        return printed.out

    return invoke


def labels_in(path):
    """Indices of an indexed PNG, which must have the model's palette."""
    with Image.open(path) as image:
        assert (image.mode, image.format) == ("P", "PNG")
        assert image.getpalette()[:9] == np.ravel(PALETTE).tolist()
        return np.asarray(image)


def test_a_file(run):
    printed = run("good.png", "-o", "labels.png")
    picture = read_picture("good.png")
    np.testing.assert_array_equal(labels_in("labels.png"), brightness_classes(picture, 3))
    segmented = segment(picture, "three.npz")
    fields = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert fields["steps"] == "3"
    assert fields["events"] == f"{segmented.result.total_events:,}"
    assert fields["operations"].startswith(f"{segmented.result.total_accumulates:,} (")
    share = (brightness_classes(picture, 3) == 1).mean()
    assert f"dusk {share:.1%}" in fields["classes"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (13, 17), (9, 8, 3), (9, 8, 2), (9, 8, 4)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_and_kind_of_picture(run, shape, dtype):
    picture = (np.random.default_rng(0).random(shape) * np.iinfo(dtype).max).astype(dtype)
    write_picture("in.png", picture)
    run("in.png", "-o", "out.png", "--overlay", "seen.png", "--probabilities", "out.npz")
    labels = labels_in("out.png")
    np.testing.assert_array_equal(labels, segment(picture, "three.npz").labels)
    assert labels.shape == shape[:2]
    assert read_picture("seen.png").shape == (*shape[:2], 3)


def test_overlay_and_probabilities(run):
    picture = read_picture("rgb.png")
    run("rgb.png", "-o", "labels.png", "--overlay", "seen.ppm", "--probabilities", "maps.npz", "--steps", 2)
    segmented = segment(picture, "three.npz", steps=2)
    np.testing.assert_array_equal(read_picture("seen.ppm"), segmented.overlay(picture))
    expected = np.rint(picture / 2 + np.array(PALETTE)[segmented.labels] / 2)
    np.testing.assert_array_equal(read_picture("seen.ppm"), expected)
    with np.load("maps.npz", allow_pickle=False) as maps:
        assert maps["classes"].tolist() == NAMES
        assert maps["probabilities"].dtype == np.float32
        np.testing.assert_array_equal(maps["probabilities"], segmented.probabilities)


def test_folders_in_and_out(run):
    write_picture("folder/c.jpg", np.full((9, 9), 128, np.uint8))
    printed = run("folder", "-o", "labels", "--overlay", "seen", "--probabilities", "maps", "--report", "report.json")
    assert sorted(path.name for path in Path("labels").iterdir()) == ["a.png", "b.png", "c.png"]
    assert sorted(path.name for path in Path("seen").iterdir()) == ["a.png", "b.png", "c.png"]
    assert sorted(path.name for path in Path("maps").iterdir()) == ["a.npz", "b.npz", "c.npz"]
    np.testing.assert_array_equal(labels_in("labels/b.png"), brightness_classes(read_picture("folder/b.png"), 3))
    header, *rows = (line.split("\t") for line in printed.splitlines())
    assert [row[0] for row in rows] == ["a.png", "b.png", "c.jpg", "mean"]
    assert {len(row) for row in rows} == {len(header)}
    report = json.loads(Path("report.json").read_text())
    assert [picture["overlay"] for picture in report["pictures"]] == ["seen/a.png", "seen/b.png", "seen/c.png"]
    assert report["pictures"][2]["class_shares"] == {"night": 0, "dusk": 1, "day": 0}
    assert report["models"]["three.npz"]["metadata"]["classes"] == NAMES


def test_the_report_counts_what_the_engine_counts(run):
    report = json.loads(run("good.png", "-o", "out.png", "--report", "-", "--order", "time", "--threads", 1))
    result = segment(read_picture("good.png"), "three.npz").result
    (entry,) = report["pictures"]
    assert (entry["events"], entry["accumulates"]) == (result.total_events, result.total_accumulates)
    assert (entry["macs"], report["failures"]) == (result.total_macs, [])
    assert report["mean"]["accumulates_per_pixel"] == result.total_accumulates / (12 * 16)


REFUSED = {
    "missing": (["no.png", "-o", "out.png"], "no.png: No such file or directory"),
    "empty folder": (["empty", "-o", "out"], "empty: no pictures in this folder"),
    "label format": (
        ["good.png", "-o", "out.jpg"],
        "out.jpg: label pictures are indexed PNG files; choose a name that ends in .png or .tif",
    ),
    "overlay format": (["good.png", "-o", "out.png", "--overlay", "seen.pgm"], "seen.pgm: .pgm cannot hold colour"),
    "overlay suffix": (["good.png", "-o", "out.png", "--overlay", "seen.gif"], "unknown picture suffix '.gif'"),
    "maps format": (["good.png", "-o", "out.png", "--probabilities", "maps.png"], "probabilities are NPZ files"),
    "onto the input": (["good.png", "-o", "good.png"], "the output of good.png would overwrite the input"),
    "overlay onto the input": (["good.png", "-o", "o.png", "--overlay", "good.png"], "would overwrite the input"),
    "overlay onto labels": (
        ["good.png", "-o", "out.png", "--overlay", "out.png"],
        "out.png: the overlay of good.png would overwrite the output of good.png",
    ),
    "overlays onto labels": (
        ["folder", "-o", "new", "--overlay", "new"],
        "new/a.png: the overlay of folder/a.png would overwrite the output of folder",
    ),
    "maps onto the model": (["good.png", "-o", "o.png", "--probabilities", "three.npz"], "would overwrite the model"),
    "nowhere": (["good.png", "-o", "no/out.png"], "no: No such file or directory; make the output folder first"),
    "overlay nowhere": (["good.png", "-o", "o.png", "--overlay", "no/o.png"], "make the output folder first"),
    "report onto labels": (["good.png", "-o", "o.png", "--report", "good.png"], "the report would overwrite the input"),
    "steps": (["good.png", "-o", "o.png", "--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line(capsys, kind):
    arguments, message = REFUSED[kind]
    assert message in refusals.refusal(capsys, "segment", *arguments, "--model", "three.npz")


def test_two_pictures_of_one_stem(capsys):
    write_picture("folder/a.jpg", np.zeros((4, 4), np.uint8))
    refused = refusals.refusal(capsys, "segment", "folder", "-o", "new", "--model", "three.npz")
    assert "new/a.png: the output of folder/a.png would overwrite the output of folder/a.jpg" in refused


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gray.npz", "is for 'denoise', not for segmentation; choose another, or use `spikeunet denoise`"),
        ("segment.npz", "segmentation needs a picture of 2 to 256 outputs"),
        ("missing.npz", "missing.npz: no such file; check the path"),
        ("good.png", "good.png: is no model file, which ends in .npz"),
    ],
)
def test_models_that_do_not_fit(capsys, model, message):
    assert message in refusals.refusal(capsys, "segment", "good.png", "-o", "out.png", "--model", model)


def test_a_segmenter_does_not_denoise(capsys):
    refused = refusals.refusal(capsys, "denoise", "good.png", "-o", "out.png", model="three.npz")
    assert "is for 'segment', not for denoising; choose another, or use `spikeunet segment`" in refused


def test_colours_that_do_not_fit(capsys):
    # Two channels are neither gray nor colour.
    save_model(small_segmenter(2, channels=2), "two.npz")
    with pytest.raises(SystemExit) as stop:
        main(["segment", "rgb.png", "-o", "out.png", "--model", "two.npz"])
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err.count("\n")) == (2, 1)
    assert "the picture has 3 colour channels, but the model takes 2" in printed.err
    assert not Path("out.png").exists()


@pytest.mark.parametrize("command", ["segment", "denoise"])
def test_numbers_beyond_float32_are_no_pictures(command, capsys):
    """Neither NaN as a probability or a picture, nor a traceback: the layer is named, and no file is written."""
    network = small_denoiser() if command == "denoise" else small_segmenter(3, classes=NAMES)
    conv2 = network["conv2"]
    huge = dataclasses.replace(conv2, weight=np.full_like(conv2.weight, 3e38))
    save_model(network.replace([huge if node.name == "conv2" else node for node in network.nodes]), "huge.npz")
    options = {
        "segment": ["good.png", "-o", "out.png", "--probabilities", "out.npz"],
        "denoise": ["good.png", "-o", "out.png"],
    }
    with pytest.raises(SystemExit) as stop:
        main([command, *options[command], "--model", "huge.npz"])
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err.count("\n")) == (2, 1), printed.err
    assert "the readout of 'output' leaves the range of float32" in printed.err
    assert not list(Path().glob("out*"))


def test_a_bad_picture_in_a_folder_does_not_stop_the_others(capsys):
    Path("folder/aa.png").write_text("no picture")
    with pytest.raises(SystemExit) as stop:
        main(["segment", "folder", "-o", "out", "--model", "three.npz", "--report", "report.json"])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.err.startswith("spikeunet: error: folder/aa.png: not a PNG, JPEG, TIFF")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]
    assert [failure["input"] for failure in json.loads(Path("report.json").read_text())["failures"]] == [
        "folder/aa.png"
    ]


def convert(*arguments):
    np.savez("state.npz", **random_state(channels=1, outputs=2, width=2))
    with pytest.raises(SystemExit) as stop:
        main(["convert", "state.npz", "-o", "vessels.npz", "--task", "segment", *arguments])
    return stop.value.code


def test_convert_takes_metadata_of_a_known_data_set_and_of_a_file():
    Path("more.json").write_text('{"classes": ["ground", "vessel"], "source": "a test"}')
    Path("large").mkdir()
    write_picture("large/a.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    assert convert("--calibration", "large", "--dataset", "drive", "--metadata", "more.json") == 0
    network = load_model("vessels.npz")
    assert network.metadata["classes"] == ["ground", "vessel"]
    assert network.metadata["source"] == "a test"
    assert network.metadata["palette"] == [[0, 0, 0], [255, 255, 255]]
    assert [step["name"] for step in network.metadata["preprocessing"]] == [
        "rgb2gray",
        "equalize_adapthist",
        "adjust_gamma",
    ]
    # Calibrated on what the network sees: the preprocessed picture.
    seen = [network_input(read_picture("large/a.png"), network)]
    expected = library_convert("state.npz", calibration=seen).normalization
    assert network.normalization == expected
    assert network.normalization != library_convert("state.npz", calibration="large").normalization
    metadata = {"preprocessing": network.metadata["preprocessing"]}
    assert library_convert("state.npz", calibration="large", metadata=metadata).normalization == expected


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["--dataset", "retina"], "{}", "no data set is called 'retina'; there are set12"),
        (["--dataset", "set12"], "{}", "the data set set12 is for the task 'denoise'; name it with --task denoise"),
        (["--dataset", "camseq01"], "{}", "must have 2 different names of classes"),
        (["--metadata", "more.json"], "{", "more.json: is not a JSON file"),
        (["--metadata", "more.json"], "[]", "more.json: must hold a JSON object"),
        (["--metadata", "missing.json"], "{}", "missing.json: No such file or directory"),
        (["--metadata", "more.json"], '{"classes": ["one"]}', "must have 2 different names of classes"),
        (["--metadata", "more.json"], '{"x": NaN}', "more.json: is not a JSON file"),
        (
            ["--metadata", "more.json"],
            '{"task": "foo"}',
            "more.json: there is no task 'foo'; there are denoise",
        ),
        (
            ["--metadata", "more.json"],
            '{"task": "denoise"}',
            "more.json: says the task 'denoise', and --task",
        ),
        (
            ["--task", "foo"],
            "{}",
            "'foo' is not one of 'denoise', 'derain', 'segment', 'classify', 'resample', 'other'",
        ),
        (["--metadata", "more.json"], '{"preprocessing": [{"name": "eval"}]}', "must have one of the names rgb2gray"),
    ],
)
def test_metadata_that_does_not_fit(capsys, arguments, content, message):
    np.savez("state.npz", **random_state(channels=1, outputs=2, width=2))
    Path("more.json").write_text(content)
    command = ("convert", "state.npz", "-o", "vessels.npz", "--task", "segment", "--normalization", "none")
    assert message in refusals.refusal(capsys, *command, *arguments)


def test_a_file_of_metadata_says_the_task():
    np.savez("state.npz", **random_state(channels=1, outputs=2, width=2))
    Path("more.json").write_text('{"task": "segment", "classes": ["ground", "vessel"]}')
    with pytest.raises(SystemExit) as stop:
        main(["convert", "state.npz", "-o", "vessels.npz", "--normalization", "none", "--metadata", "more.json"])
    assert stop.value.code == 0
    assert load_model("vessels.npz").metadata["task"] == "segment"

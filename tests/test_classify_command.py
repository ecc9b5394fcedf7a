"""`spikeunet classify` on real files, what it refuses, and `spikeunet convert` of what a classifier must know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import refusals
from small_classifier import picture_of_class, small_classifier, write_classes

from spikeunet.converters import calibration_pictures
from spikeunet.engine import classify, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError
from spikeunet.engine.pictures.picture_files import read_picture

NAMES = ["night", "dusk", "day"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    save_model(small_classifier(classes=NAMES), "three.npz")
    write_classes("skies", NAMES)


@pytest.fixture
def run(capsys):
    """Run the command and return what it printed on stdout; the exit status must be 0 and stderr empty."""

    def invoke(*arguments, model="three.npz"):
        with pytest.raises(SystemExit) as stop:
            main(["classify", model, *map(str, arguments)])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err) == (0, "")
        return printed.out

    return invoke


def test_a_file(run):
    printed = run("skies/dusk/1.png", "--top", 2)
    found = classify(read_picture("skies/dusk/1.png"), "three.npz")
    (first, probability, score), (second, *_) = found.top(2)
    lines = printed.splitlines()
    fields = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
    assert fields["class"] == f"dusk ({probability:.1%}, score {score:.4g})"
    assert first == "dusk"
    assert lines[-1].split()[0] == second
    assert fields["events"] == f"{found.result.total_events:,}"
    assert fields["seen"].split() == ["as", "8x8"]
    assert "output" not in fields


def test_several_folders_and_files_in_their_order(run):
    printed = run("skies/day", "skies/night/0.png", "skies/dusk")
    header, *rows = (line.split("\t") for line in printed.splitlines())
    assert header[0] == "picture"
    assert [row[0] for row in rows[:2]] == ["skies/day/0.png", "skies/day/1.png"]  # 0.png stands for three
    assert [row[header.index("class")] for row in rows] == ["day"] * 3 + ["night"] + ["dusk"] * 3 + [""]
    assert {len(row) for row in rows} == {len(header)}


def test_json(run):
    report = json.loads(run("skies/day", "--json", "--top", 2))
    assert [each["class"] for each in report["pictures"]] == ["day"] * 3
    (first, *_), found = report["pictures"], classify(read_picture("skies/day/0.png"), "three.npz")
    assert (first["label"], first["score"]) == (2, pytest.approx(float(found.scores[2])))
    assert [each["class"] for each in first["top"]] == [name for name, _, _ in found.top(2)]
    assert (first["output"], first["accumulates"]) == (None, found.result.total_accumulates)
    assert report["mean"]["probability"] == pytest.approx(np.mean([each["probability"] for each in report["pictures"]]))
    run("skies/day", "--report", "report.json", "--top", 2)
    written = json.loads(Path("report.json").read_text())
    assert [each["top"] for each in written["pictures"]] == [each["top"] for each in report["pictures"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [("names.txt", "\ufeffschwarz\n grau \nweiß\n\n"), ("names.json", '["schwarz", "grau", "weiß"]'), ("folders", "")],
)
def test_names_of_classes(run, name, content):
    if content:
        Path(name).write_text(content, encoding="utf-8")
    else:
        write_classes("folders", ["grau", "schwarz", "weiß"], number=1)
    printed = run("skies/day/0.png", "--classes", name)
    assert "weiß (" in printed


REFUSED = {
    "missing": (["no.png"], "no.png: No such file or directory"),
    "empty folder": (["empty"], "empty: no pictures in this folder"),
    "folder of folders": (["skies"], "skies: no pictures in this folder"),
    "two kinds of input": (["-", "good.png"], "- is the picture from stdin and must be the only input"),
    "another size": (["good.png"], "good.png: the picture has 12x16 pixels, which the model does not take;"),
    "colour": (["rgb.png"], "rgb.png: the picture is colour, but the model takes gray"),
    "report onto the input": (["skies/day", "--report", "skies/day/0.png"], "the report would overwrite the input"),
    "report onto the model": (["skies/day", "--report", "three.npz"], "the report would overwrite the model"),
    "two reports": (["skies/day", "--report", "r.json", "--json"], "leave one of --json and --report r.json out"),
    "steps": (["skies/day", "--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
    "top": (["skies/day", "--top", "0"], "'--top'"),
    "too few names": (["skies/day", "--classes", "two.txt"], "2 names of classes are given, but the model has 3"),
    "one name": (["skies/day", "--classes", "one.txt"], "one.txt: has 1 names; give the names of at least two classes"),
    "an empty name": (["skies/day", "--classes", "gap.txt"], "gap.txt: name 2 is empty"),
    "doubled names": (["skies/day", "--classes", "same.txt"], "same.txt: has names of classes twice: a;"),
    "names in bytes": (["skies/day", "--classes", "good.png"], "good.png: is no text in UTF-8"),
    "no names": (["skies/day", "--classes", "no.txt"], "no.txt: No such file or directory"),
    "no list": (["skies/day", "--classes", "names.json"], "names.json: must hold a JSON list of names"),
    "no folders": (["skies/day", "--classes", "empty"], "empty: has no folders; a classifier's pictures lie in"),
    "report onto names": (["skies/day", "--classes", "abc.txt", "--report", "abc.txt"], "the names of the classes abc"),
}
TEXTS = {"two.txt": "a\nb", "one.txt": "a", "gap.txt": "a\n\nb", "same.txt": "a\nb\na", "names.json": '{"a": 1}',
         "abc.txt": "a\nb\nc"}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line(capsys, kind):
    for name, text in TEXTS.items():
        Path(name).write_text(text)
    arguments, message = REFUSED[kind]
    assert message in refusals.refusal(capsys, "classify", "three.npz", *arguments)


def test_a_denoiser_does_not_classify(capsys):
    refused = refusals.refusal(capsys, "classify", "gray.npz", "good.png")
    assert "is for 'denoise', not for classification; choose another, or use `spikeunet denoise`" in refused


def test_a_bad_picture_in_a_folder_does_not_stop_the_others(capsys):
    Path("skies/day/01.png").write_text("no picture")
    with pytest.raises(SystemExit) as stop:
        main(["classify", "three.npz", "skies/day", "--report", "report.json"])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.err.startswith("spikeunet: error: skies/day/01.png: not a PNG, JPEG, TIFF")
    report = json.loads(Path("report.json").read_text())
    assert [each["class"] for each in report["pictures"]] == ["day"] * 3
    assert [each["input"] for each in report["failures"]] == ["skies/day/01.png"]


@pytest.mark.parametrize("size", [[8, 8], [10**9, 10**9]])
def test_kernels_are_compiled_ahead_for_pictures_of_one_size(size):
    from spikeunet.engine.command_line.compile import _run
    from spikeunet.engine.command_line.one_picture import Model

    network = small_classifier(conversion={"input_size": size})
    if size == [8, 8]:
        _run(Model("three", network, 3), "layer", 1)
    else:  # a size that no memory holds is not believed
        with pytest.raises(InputError, match="does not fit the network"):
            _run(Model("three", network, 3), "layer", 1)


# --- Conversion ------------------------------------------------------------------------------------------------------


@pytest.fixture
def convert(capsys):
    """Convert a network of ONNX for pictures of 7x7, whose sides no pooling divides; return what was printed."""
    pytest.importorskip("onnx")
    from onnx_graphs import model, normal, saved

    nodes = [
        ("Conv", ["x", "w"], "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["c"], "r", {}),
        ("MaxPool", ["r"], "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["p"], "f", {}),
        ("Gemm", ["f", "g"], "y", {}),
    ]
    saved(Path("network.onnx"), model(nodes, {"w": normal(4, 1, 3, 3), "g": normal(36, 3)}, ("n", 1, 7, 7)))

    def invoke(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["convert", "network.onnx", "-o", "model.npz", *map(str, arguments)])
        printed = capsys.readouterr()
        assert stop.value.code == 0, printed.err
        return printed

    return invoke


PREPARED = ("--resize", "7x7", "--mean", "0.5", "--std", "0.25")


def test_what_a_classifier_must_know_goes_into_the_model(convert):
    from spikeunet.engine import load_model

    printed = convert("--calibration", "skies", "--task", "classify", "--classes", "skies", *PREPARED)
    assert printed.err == ""
    assert "9 pictures" in printed.out
    network = load_model("model.npz")
    assert network.metadata["classes"] == ["day", "dusk", "night"]
    assert network.metadata["preprocessing"] == [
        {"name": "resize", "height": 7, "width": 7},
        {"name": "normalize", "mean": [0.5], "std": [0.25]},
    ]
    # What does not fit into 8x8, which padding to pairs of pixels would make of it, fits as it is.
    found = classify(picture_of_class(1, 3), "model.npz")
    assert found.size == (7, 7)


def test_the_other_forms_of_the_options(convert):
    from spikeunet.engine import load_model

    convert("--normalization", "none", "--task", "classify", "--resize", "9", "--crop", "7x7", "--std", "2")
    assert load_model("model.npz").metadata["preprocessing"] == [
        {"name": "resize_shorter", "side": 9},
        {"name": "center_crop", "height": 7, "width": 7},
        {"name": "normalize", "mean": [0.0], "std": [2.0]},
    ]


CONVERSIONS = {
    "another task": (["--task", "denoise", "--mean", "0.5"], "--mean is for --task classify and segment (got --task"),
    "no size": (["--task", "classify", "--resize", "7y7"], "--resize must be HEIGHTxWIDTH, for instance 256x256"),
    "another size": (["--task", "classify", "--resize", "9x9"], "has 9x9 pixels, but the model was made for 7x7"),
    "no number": (["--task", "classify", "--mean", "a"], "--mean"),
    "no deviation": (["--task", "classify", "--std", "0"], "std of the preprocessing step normalize must be a list"),
    "names": (["--task", "classify", "--classes", "two.txt"], "must have 3 different names of classes"),
    "twice": (
        ["--task", "classify", "--classes", "abc.txt", "--metadata", "names.json"],
        "classes is in the metadata and in the options (--classes); say it in one place",
    ),
    "onto the names": (["--task", "classify", "--classes", "abc.npz", "-o", "abc.npz"], "would overwrite the names"),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_conversions_that_make_no_sense(convert, capsys, kind):
    for name, text in {**TEXTS, "abc.npz": "a\nb\nc", "names.json": '{"classes": ["a", "b", "c"]}'}.items():
        Path(name).write_text(text)
    arguments, message = CONVERSIONS[kind]
    common = ["network.onnx", "--normalization", "none", *([] if "-o" in arguments else ["-o", "model.npz"])]
    assert message in refusals.refusal(capsys, "convert", *common, *arguments)


def test_calibration_pictures_by_class():
    pictures = calibration_pictures("skies", 1)
    assert len(pictures) == 9
    np.testing.assert_array_equal(pictures[0][0], read_picture("skies/day/0.png") / np.float32(255))
    assert len(calibration_pictures("folder", 1)) == 2

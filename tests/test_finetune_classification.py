"""Fine-tuning of classifiers: batches, validation, learning, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import refusals
from small_classifier import SIDE, picture_of_class, small_classifier, write_classes

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, load_model, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.datasets import Classes, find_dataset
from spikeunet.engine.errors import InputError
from spikeunet.engine.learning.finetune import (
    ClassificationBatches,
    Settings,
    Trainer,
    read_classified,
    validate_classifier,
)
from spikeunet.engine.pictures.picture_files import write_picture


def examples(classes=2, number=6):
    """Pictures (H, W, 1) float32 in [0, 1], and their classes by brightness."""
    return [
        (picture_of_class(label, classes, index)[..., None].astype(np.float32) / 255, label)
        for label in range(classes)
        for index in range(number)
    ]


def test_pictures_and_classes_go_together():
    given = [(np.full((4, 5, 2), label, np.float32), label) for label in range(3)]
    batches = ClassificationBatches(given, batch=50)
    pictures, labels = batches.draw(np.random.default_rng(1))
    assert (pictures.shape, labels.shape, labels.dtype) == ((50, 4, 5, 2), (50, 1, 1), np.int64)
    np.testing.assert_array_equal(pictures[:, 0, 0, 0], labels[:, 0, 0])
    assert set(labels.ravel()) == {0, 1, 2}
    np.testing.assert_array_equal(batches.draw(np.random.default_rng(1))[0], pictures)


def test_moved_and_mirrored():
    picture = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    other = np.full((3, 4, 1), -1, np.float32)
    generator = np.random.default_rng(0)

    def found(**options):
        drawn, labels = ClassificationBatches([(picture, 0), (other, 1)], batch=400, **options).draw(generator)
        return {each.tobytes() for each in drawn[labels.ravel() == 0]}

    assert found() == {picture.tobytes()}
    assert found(mirrored=True) == {picture.tobytes(), picture[:, ::-1].tobytes()}
    moved = found(shift=1)
    assert len(moved) == 9
    assert picture[[1, 2, 2]][:, [0, 0, 1, 2]].tobytes() in moved  # up and to the right, the edge repeated
    assert len(found(shift=1, mirrored=True)) == 18


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, r"at least one picture \(got none\)"),
        (examples()[:6], {}, r"at least two classes \(got 6 of class 0\)"),
        (
            [*examples(), (np.zeros((9, SIDE, 1), np.float32), 0)],
            {},
            "training picture 12 is 9x8x1 .* others are 8x8x1",
        ),
        (examples(), {"batch": 0}, r"the batch must have 1 to 4096 pictures \(got 0\)"),
        (examples(), {"shift": 8}, r"pictures of 8x8 may be moved by 0 to 7 \(got 8\)"),
        (examples(), {"shift": -1}, r"may be moved by 0 to 7 \(got -1\)"),
    ],
)
def test_batches_that_make_no_sense(given, options, message):
    with pytest.raises(InputError, match=message):
        ClassificationBatches(given, **options)


def test_validation_by_hand(monkeypatch):
    monkeypatch.setattr("spikeunet.engine.learning.finetune.classification_data.VALIDATION_BATCH", 4)
    given = examples(3, 2)
    wrong = [(picture, (label + 1) % 3 if index == 1 else label) for index, (picture, label) in enumerate(given)]
    network = small_classifier(3)
    assert validate_classifier(network, given, 3).accuracy == 1
    found = validate_classifier(network, wrong, 3)
    assert found.accuracy == 5 / 6
    alone = [validate_classifier(network, [each], 3).accumulates_per_pixel for each in given]
    assert found.accumulates_per_pixel == pytest.approx(np.mean(alone))


def untrained(classes=2):
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.3, shape).astype(np.float32) for shape in ((8, 1, 3, 3), (classes, 8, SIDE, SIDE))]
    nodes = [
        Input("input"),
        Conv2d("conv1", "input", weights[0], np.full(8, 0.2, np.float32), padding=1),
        Neurons("relu1", "conv1", MultiThreshold((1.0, 0.5, 0.25, 0.125), initial=0.0625)),
        Conv2d("conv2", "relu1", weights[1] / SIDE),
        Output("output", "conv2"),
    ]
    return Network(nodes, {"task": "classify", "classes": ["dark", "bright"][:classes]})


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_training_learns_to_tell_classes(method):
    settings = Settings(steps=4, method=method, iterations=60, loss="cross-entropy", rate=0.01)
    trainer = Trainer(untrained(), ClassificationBatches(examples(), batch=4, shift=1, mirrored=True), settings)
    held_out = examples(number=9)[3:]
    before = validate_classifier(trainer.current_network(), held_out, 4).accuracy
    while not trainer.finished:
        trainer.step()
    assert validate_classifier(trainer.result(), held_out, 4).accuracy > max(0.9, before)


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(untrained(), "two.npz")
    write_classes("train", ["dark", "bright"], number=3)
    write_classes("test", ["dark", "bright"], number=2)


def finetune(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["finetune", "two.npz", "--task", "classify", *map(str, arguments)])
    return stop.value.code


SHORT = ("--iterations", 4, "--interval", 2, "--batch", 4, "--steps", 4)


def test_the_command(working_folder, capsys):
    write_picture("train/loose.png", picture_of_class(0, 2))
    assert finetune("--train", "train", "--validate", "test", "--shift", 1, "--mirror", "--balance", 0.5,
                    *SHORT, "-o", "tuned.npz") == 0  # fmt: skip
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == "spikeunet: skipped 1 pictures of train in no class's folder: loose.png"
    assert "validation" in printed.out
    assert "%" in printed.out
    network = load_model("tuned.npz")
    assert (network.metadata["task"], network.metadata["steps"]) == ("classify", 4)
    assert network.metadata["classes"] == ["dark", "bright"]
    assert network.metadata["fine_tuning"]["loss"] == "cross-entropy"
    assert network.metadata["fine_tuning"]["class_weights"] == [1.0, 1.0]
    with open("tuned.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["iteration"] for row in rows] == ["0", "2", "4"]
    known = Classes(2, ("dark", "bright"))
    held_out = read_classified(find_dataset("test", "classify", classes=known), network)
    assert float(rows[-1]["validation_accuracy"]) == validate_classifier(network, held_out, 4).accuracy


def test_names_of_classes_go_into_the_model(working_folder):
    save_model(untrained().replace(metadata={"task": "classify"}), "two.npz")
    Path("names.txt").write_text("dark\nbright\n")
    assert finetune("--train", "train", "--classes", "names.txt", *SHORT, "-o", "tuned.npz") == 0
    assert load_model("tuned.npz").metadata["classes"] == ["dark", "bright"]


REFUSED = {
    "crop": (["--crop", "4"], "--crop is for --task denoise and segment (got --task classify)"),
    "noise": (["--add-noise", "25"], "--add-noise is for --task denoise (got --task classify)"),
    "labels": (["--labels", "test"], "--labels is for --task segment (got --task classify)"),
    "upright": (["--upright"], "--upright is for --task segment (got --task classify)"),
    "loss": (["--loss", "mse"], "--loss mse is not for --task classify; leave it out"),
    "shift": (["--shift", "8"], "pictures of 8x8 may be moved by 0 to 7 (got 8)"),
    "one class": (["--train", "one"], "training needs pictures of at least two classes (got 1 of class 0)"),
    "other classes": (["--train", "odd"], "odd: grey is no class: the model knows dark, bright"),
    "other sizes": (
        ["--train", "sizes"],
        "sizes/dark/1.png: the model puts out 2x2x1 for a picture of 9x8; classification needs",
    ),
    "onto a picture": (["--curve", "train/dark/0.png"], "the curve would overwrite the picture train/dark/0.png"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line(working_folder, capsys, kind):
    write_classes("one", ["dark"], number=1)
    write_classes("odd", ["dark", "grey"], number=1)
    write_classes("sizes", ["dark", "bright"], number=1)
    write_picture("sizes/dark/1.png", picture_of_class(0, 2, shape=(9, SIDE)))
    options, message = REFUSED[kind]
    arguments = [
        "two.npz",
        "--task",
        "classify",
        "-o",
        "tuned.npz",
        *([] if "--train" in options else ["--train", "train"]),
    ]
    assert message in refusals.refusal(capsys, "finetune", *arguments, *options)


@pytest.mark.parametrize(
    ("task", "option", "message"),
    [
        ("denoise", "--mirror", "--mirror is for --task classify (got --task denoise)"),
        ("denoise", "--balance=0.5", "--balance is for --task segment and classify (got --task denoise)"),
        ("segment", "--add-noise=25", "--add-noise is for --task denoise (got --task segment)"),
        ("segment", "--validate-noise=5", "--validate-noise is for --task denoise (got --task segment)"),
    ],
)
def test_options_of_other_tasks(working_folder, capsys, task, option, message):
    command = ("finetune", "two.npz", "--task", task, "--train", "train", "-o", "tuned.npz", option)
    assert message in refusals.refusal(capsys, *command)

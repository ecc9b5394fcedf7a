"""Fine-tuning of segmentations: batches, validation, learning, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import refusals
from PIL import Image
from small_segmenter import brightness_classes, small_segmenter

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, load_model, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.datasets import find_dataset
from spikeunet.engine.errors import InputError
from spikeunet.engine.learning.finetune import SegmentationBatches, Settings, Trainer, read_labelled, validate_segmenter
from spikeunet.engine.learning.finetune.segmentation_data import class_weights
from spikeunet.engine.pictures.labels import default_palette, write_labels
from spikeunet.engine.pictures.picture_files import write_picture


def examples(number=3, size=(20, 26), channels=1):
    """Pictures whose labels are written into their samples: label = sample, void where the sample is 0."""
    random = np.random.default_rng(0)
    for _ in range(number):
        labels = random.integers(-1, 3, size)
        yield np.repeat(labels[..., None].astype(np.float32) + 1, channels, axis=2), labels


def test_crops_of_pictures_and_labels_go_together():
    batches = SegmentationBatches(list(examples(channels=2)), crop=8, batch=5)
    pictures, labels = batches.draw(np.random.default_rng(1))
    assert (pictures.shape, pictures.dtype) == ((5, 8, 8, 2), np.float32)
    assert labels.shape == (5, 8, 8)
    np.testing.assert_array_equal(pictures[..., 0] - 1, labels)
    assert len({label.tobytes() for label in labels}) == 5
    again, _ = batches.draw(np.random.default_rng(1))
    np.testing.assert_array_equal(again, pictures)


def test_every_turn_and_flip_occurs_and_upright_pictures_are_only_mirrored():
    corner = np.zeros((4, 4), np.int64)
    corner[0, 1] = 1  # tells all eight positions of the square apart
    picture = corner[..., None].astype(np.float32)
    generator = np.random.default_rng(0)
    for turns, positions in ((True, 8), (False, 2)):
        batches = SegmentationBatches([(picture, corner)], crop=4, batch=200, turns=turns)
        found = {label.tobytes() for label in batches.draw(generator)[1]}
        assert len(found) == positions
        assert corner.tobytes() in found
        assert corner[:, ::-1].tobytes() in found


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        ([], {}, r"at least one picture \(got none\)"),
        (list(examples()), {"crop": 21}, r"training picture 0 is 20x26x1 .* crops of 21"),
        (list(examples()), {"crop": 8, "batch": 0}, r"the batch must have 1 to 4096 crops \(got 0\)"),
        (
            [(np.zeros((9, 8, 1), np.float32), np.zeros((8, 9), int))],
            {"crop": 8},
            r"the labels of training picture 0 are 8x9, the picture is 9x8",
        ),
    ],
)
def test_batches_that_make_no_sense(pictures, options, message):
    with pytest.raises(InputError, match=message):
        SegmentationBatches(pictures, **options)


def test_validation_by_hand():
    # Brightness 0.2 and 0.8 are classes 0 and 1; of four pixels that count, three are right.
    picture = np.float32([0.2, 0.2, 0.8, 0.8, 0.8]).reshape(1, 5, 1)
    labels = np.array([[0, 1, 1, 1, -1]])
    found = validate_segmenter(small_segmenter(), [(picture, labels)], steps=2)
    assert found.accuracy == 3 / 4
    assert found.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.accumulates_per_pixel > 0


def test_validation_adds_the_pixels_of_all_pictures():
    bright = (np.full((2, 2, 1), 0.9, np.float32), np.ones((2, 2), np.int64))
    dark = (np.full((2, 6, 1), 0.1, np.float32), np.ones((2, 6), np.int64))
    found = validate_segmenter(small_segmenter(), [bright, dark], steps=1)
    assert found.accuracy == 4 / 16
    assert found.mean_iou == pytest.approx((0 + 4 / 16) / 2)


def untrained(classes=3):
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.5, shape).astype(np.float32) for shape in ((8, 1, 1, 1), (classes, 8, 1, 1))]
    nodes = [
        Input("input"),
        Conv2d("conv1", "input", weights[0], np.full(8, 0.2, np.float32)),
        Neurons("relu1", "conv1", MultiThreshold((1.0, 0.5, 0.25, 0.125), initial=0.0625)),
        Conv2d("conv2", "relu1", weights[1]),
        Output("output", "conv2"),
    ]
    return Network(nodes, {"task": "segment"})


def bright_examples(classes, number=4):
    random = np.random.default_rng(3)
    pictures = [random.integers(0, 256, (24, 24), dtype=np.uint8) for _ in range(number)]
    return [((each / 255).astype(np.float32)[..., None], brightness_classes(each, classes)) for each in pictures]


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_training_learns_to_tell_classes_and_ignores_void(method):
    learnt = bright_examples(2)
    for _, labels in learnt:
        labels[:, :12] = np.where(np.arange(24)[:, None] % 2, -1, labels[:, :12])
    batches = SegmentationBatches(learnt, crop=16, batch=4)
    settings = Settings(steps=4, method=method, iterations=150, loss="cross-entropy", rate=0.03)
    trainer = Trainer(untrained(2), batches, settings)
    before = validate_segmenter(trainer.current_network(), bright_examples(2), 4)
    while not trainer.finished:
        trainer.step()
    after = validate_segmenter(trainer.result(), bright_examples(2), 4)
    assert after.accuracy > max(0.9, before.accuracy + 0.1)


def test_class_weights_balance_frequencies():
    labels = [np.array([[0, 0, 0, 0], [-1, 1, 0, 0]]), np.array([[0, 0, 3, 3]])]  # 8, 1, 0 and 2 of classes 0 to 3
    assert class_weights(labels, 4, 1.0) == pytest.approx((2 / 8, 2.0, 0.0, 1.0))
    assert class_weights(labels, 4, 0.5) == pytest.approx((0.5, 2**0.5, 0.0, 1.0))
    for balance in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match=r"balance of the classes must lie in \[0, 1\]"):
            class_weights(labels, 4, balance)


def test_void_pixels_have_no_say():
    picture, labels = bright_examples(2)[0]
    covered = np.where(np.arange(24)[None] < 12, -1, labels)
    spoilt = np.where(covered < 0, 1, 0) * np.float32(0.5)
    gradients = []
    for change in (0.0, spoilt[..., None]):
        batches = SegmentationBatches([(picture + change, covered)], crop=24, batch=1)
        trainer = Trainer(untrained(2), batches, Settings(steps=2, iterations=1, loss="cross-entropy", optimizer="sgd"))
        trainer.step()
        gradients.append({name: value.copy() for name, value in trainer.parameters.items()})
    # 1x1 convolutions: what lies under void pixels reaches no other pixel.
    for name, value in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], value, rtol=1e-6, atol=1e-9)


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    save_model(small_segmenter(3), "three.npz")
    Path("labels").mkdir()
    for name in ("a", "b"):
        with Image.open(f"folder/{name}.png") as image:
            labels = brightness_classes(np.asarray(image), 3)
        labels[:2] = 7
        write_labels(f"labels/{name}.png", labels, default_palette(8))


ARGUMENTS = (
    "finetune", "three.npz", "--task", "segment", "--train", "folder", "--labels", "labels", "--void", "7",
    "-o", "tuned.npz", "--crop", "8", "--batch", "2", "--iterations", "4", "--interval", "2", "--steps", "2",
)  # fmt: skip


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([*ARGUMENTS, *arguments])
    return stop.value.code


@pytest.mark.usefixtures("working_folder")
def test_the_command_writes_a_model_and_a_log(capsys):
    assert run("--validate", "folder", "--validate-labels", "labels", "--upright", "--average", "0.9") == 0
    assert "mean IoU (before: 1.0000 mean IoU)" in capsys.readouterr().out
    network = load_model("tuned.npz")
    assert (network.metadata["task"], network.metadata["steps"]) == ("segment", 2)
    assert network.metadata["fine_tuning"]["loss"] == "cross-entropy"
    with open("tuned.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["iteration"] for row in rows] == ["0", "2", "4"]
    assert float(rows[0]["validation_accuracy"]) == float(rows[0]["validation_mean_iou"]) == 1.0
    assert {row["validation_psnr"] for row in rows} == {""}


@pytest.mark.usefixtures("working_folder")
def test_the_command_balances_classes():
    assert run("--balance", "0.5") == 0
    weights = load_model("tuned.npz").metadata["fine_tuning"]["class_weights"]
    assert len(weights) == 3
    assert max(weights) > 0


@pytest.mark.usefixtures("working_folder")
def test_an_interrupted_run_goes_on_where_it_stopped(monkeypatch, capsys):
    from spikeunet.engine.command_line import training_run

    assert run() == 0
    expected = load_model("tuned.npz")
    Path("tuned.npz").unlink()
    step = training_run.Trainer.step

    def interrupted(trainer):
        if trainer.iteration == 3:
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(training_run.Trainer, "step", interrupted)
        assert run() == 130
    assert run("--resume") == 0
    np.testing.assert_array_equal(load_model("tuned.npz")["conv2"].weight, expected["conv2"].weight)
    capsys.readouterr()


@pytest.mark.usefixtures("working_folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "missing"), "missing: No such file or directory; give a folder of label pictures"),
        (("--labels", "empty"), "empty: has no label pictures for a.png; one is needed"),
        (("--train", "missing"), "missing: No such file or directory; give a folder of pictures"),
        (("--train", "em=folder"), "em=folder: a data set by name has its own labels; leave out the folder labels"),
        (("--void", "6"), "label 7 is not one of the classes 0 to 2 nor void (6)"),
        (("--validate", "folder"), "segmentation needs label pictures; give PICTURES:LABELS"),
        (("--loss", "mse"), "--loss mse is not for --task segment; leave it out"),
        (("--crop", "6"), "crops must be a multiple of 4 pixels for this model (got 6); take 8"),
        (("--crop", "16"), "crops of 16"),
        (("--task", "denoise"), "--labels is for --task segment (got --task denoise)"),
        (("--balance", "2"), "balance of the classes must lie in [0, 1] (got 2.0)"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert message in refusals.refusal(capsys, *ARGUMENTS, *arguments)


@pytest.mark.usefixtures("working_folder")
def test_other_refusals(capsys):
    rest = ARGUMENTS[2:]
    assert "is for 'denoise', not for segmentation" in refusals.refusal(capsys, "finetune", "gray.npz", *rest)
    write_picture("labels/a.png", np.zeros((12, 17), np.uint8))
    assert "labels/a.png: is 12x17, but folder/a.png is 12x16" in refusals.refusal(capsys, *ARGUMENTS)
    write_picture("labels/a.png", np.full((12, 16), 7, np.uint8))
    assert "labels/a.png: no pixel counts" in refusals.refusal(capsys, *ARGUMENTS)
    lone = [word for word in ARGUMENTS if word not in ("--labels", "labels")]
    assert "segmentation needs label pictures" in refusals.refusal(capsys, *lone)
    plain = ("finetune", "gray.npz", "--train", "folder", "-o", "t.npz", "--loss", "cross-entropy")
    assert "--loss cross-entropy is not for --task denoise" in refusals.refusal(capsys, *plain)


def test_a_known_data_set_is_split(tmp_path):
    for part in ("image", "label"):
        (tmp_path / part).mkdir()
    for number in (0, 3, 23, 24, 29):
        write_picture(tmp_path / "image" / f"{number}.png", np.full((8, 8), number, np.uint8))
        write_picture(tmp_path / "label" / f"{number}.png", np.full((8, 8), 255, np.uint8))
    dataset = find_dataset(f"em={tmp_path}", "segment", split="train")
    found = read_labelled(dataset, small_segmenter())
    assert [round(float(picture[0, 0, 0]) * 255) for picture, _ in found] == [0, 3, 23]
    assert all((labels == 1).all() for _, labels in found)

"""What all training methods share: the trainer, exact resumption, data sets, and `spikeunet train`."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct

import numpy as np
import pytest
import small_learner
from PIL import Image
from small_learner import SoftmaxSettings, SoftmaxTrainer, bright_pictures

from spikeunet.engine import InputError, ModelFileError, classify, load_model
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import METHODS, LabelledPictures, method_named, read_data, train
from spikeunet.engine.pictures.picture_files import write_picture


@pytest.fixture
def softmax(monkeypatch):
    monkeypatch.setitem(METHODS, "softmax", small_learner.METHOD)


def trained(settings, stop=None, path=None):
    trainer = SoftmaxTrainer(bright_pictures(), settings)
    while not trainer.finished and trainer.iteration != stop:
        trainer.step()
    if path is not None:
        trainer.checkpoint(path)
    return trainer


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_gives_the_same_bits(tmp_path, optimizer, stop):
    settings = SoftmaxSettings(batch=16, optimizer=optimizer, seed=3, decay=0.01, warmup=0.2)
    whole = trained(settings)
    trained(settings, stop, tmp_path / "c.npz")
    rest = SoftmaxTrainer(bright_pictures(), settings)
    rest.resume(tmp_path / "c.npz")
    assert rest.iteration == stop
    while not rest.finished:
        rest.step()
    assert rest.iteration == whole.iteration == 9
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(rest.parameters[name], array)
    assert rest.generator.bit_generator.state == whole.generator.bit_generator.state


def test_the_course_of_a_resumed_run_is_that_of_a_whole_one(tmp_path):
    settings, test = SoftmaxSettings(batch=16), bright_pictures(seed=1)
    whole = train(SoftmaxTrainer(bright_pictures(), settings), test, checkpoint=tmp_path / "w.npz")

    class Stopped(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(SoftmaxTrainer(bright_pictures(), settings), test, checkpoint=tmp_path / "c.npz", observe=stop)
    rest = SoftmaxTrainer(bright_pictures(), settings)
    rest.resume(tmp_path / "c.npz")
    course = train(rest, test)
    for left, right in zip(course, whole, strict=True):
        assert {**left, "seconds": 0} == {**right, "seconds": 0}
    assert list(whole[0]) == ["epoch", "seconds", "loss", "accuracy", "validation_accuracy"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    settings = SoftmaxSettings(batch=16)
    trained(settings, 2, tmp_path / "c.npz")
    with pytest.raises(ModelFileError, match="another method or data set"):
        SoftmaxTrainer(bright_pictures(seed=1), settings).resume(tmp_path / "c.npz")
    with pytest.raises(ModelFileError, match=r"other settings \(rate 0.001, now 0.01\)"):
        SoftmaxTrainer(bright_pictures(), SoftmaxSettings(batch=16, rate=0.01)).resume(tmp_path / "c.npz")


def test_a_checkpoint_whose_notes_are_none_is_damaged_and_leaves_the_run_as_it_was(tmp_path):
    trained(SoftmaxSettings(batch=16), 2, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as arrays:
        content = dict(arrays)
    state = json.loads(content["state"].tobytes())
    content["state"] = np.frombuffer(json.dumps({**state, "notes": [1]}).encode(), np.uint8)
    np.savez(tmp_path / "bad.npz", **content)
    trainer = SoftmaxTrainer(bright_pictures(), SoftmaxSettings(batch=16))
    before = trainer.parameters["fc.weight"].copy()
    with pytest.raises(ModelFileError, match="is no checkpoint, or is damaged"):
        trainer.resume(tmp_path / "bad.npz")
    np.testing.assert_array_equal(trainer.parameters["fc.weight"], before)
    del state["notes"]  # as in files of before there were any
    content["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez(tmp_path / "old.npz", **content)
    trainer.resume(tmp_path / "old.npz")
    assert (trainer.iteration, trainer.notes) == (2, {})


def test_an_epoch_has_every_picture_once():
    trainer = SoftmaxTrainer(bright_pictures(), SoftmaxSettings(batch=16))
    orders = []
    for _ in range(2):
        seen = []
        for _ in range(trainer.batches):
            batch = trainer.next_batch()
            seen += [picture.tobytes() for picture in batch.pictures]
            trainer.step(batch)
        assert len(set(seen)) == 40
        orders.append(seen)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"rate": float("nan")}, "rate must be finite"),
        ({"momentum": 1.0}, "momentum must be below 1"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd"),
        ({"parts": [1]}, "parts must be a tuple"),
        ({"parts": (1, 0)}, "parts must be at least 1"),
        ({"flipped": 1}, "flipped must be True or False"),
    ],
)
def test_bad_settings_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        SoftmaxSettings(**bad)


def test_bad_pictures_are_refused():
    good = bright_pictures()
    for pictures, labels, message in [
        (good.pictures[0], good.labels, r"\(N, C, H, W\)"),
        (good.pictures * 255, good.labels, r"\[0, 1\]"),
        (good.pictures * np.float32("nan"), good.labels, r"\[0, 1\]"),
        (good.pictures, good.labels[1:], "40 whole numbers"),
        (good.pictures, good.labels + 1, "0 to 1"),
        (good.pictures, good.labels - 1, "0 to 1"),
    ]:
        with pytest.raises(InputError, match=message):
            LabelledPictures(pictures, labels, good.classes)
    other = LabelledPictures(good.pictures, good.labels, ("above", "under"))
    with pytest.raises(InputError, match="same classes"):
        train(SoftmaxTrainer(good, SoftmaxSettings()), other)
    smaller = LabelledPictures(good.pictures[:, :, 1:], good.labels, good.classes)
    with pytest.raises(InputError, match="1x3x4"):
        train(SoftmaxTrainer(good, SoftmaxSettings()), smaller)


def test_some_pictures_are_of_all_classes_where_data_lie_class_by_class():
    data = bright_pictures()
    sorted_ = data.part(np.argsort(data.labels, kind="stable"))
    few = sorted_.spread(6)
    assert few.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert len({picture.tobytes() for picture in few.pictures}) == 6
    assert sorted_.spread(40) is sorted_.spread(100) is sorted_


def test_a_run_that_diverges_says_so():
    trainer = SoftmaxTrainer(bright_pictures(), SoftmaxSettings(clip=0.0, rate=1e-3))
    trainer.parameters["fc.weight"][:] = np.inf
    with pytest.raises(InputError, match=r"diverged at iteration 1 .*smaller rate"):
        trainer.step()
    with pytest.raises(InputError, match="method must be one of"):
        method_named("magic")


# --- Data sets -------------------------------------------------------------------------------------------------------


def write_idx(path, array, packed=True):
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    (path.with_name(f"{path.name}.gz") if packed else path).write_bytes(gzip.compress(content) if packed else content)


def write_mnist(folder, part, number, packed=True, seed=0):
    random = np.random.default_rng(seed)
    pictures, labels = random.integers(0, 256, (number, 28, 28)), random.integers(0, 10, number)
    write_idx(folder / f"{part}-images-idx3-ubyte", pictures, packed)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels, packed)
    return pictures, labels


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_and_split_where_only_its_test_pictures_are_there(tmp_path, packed):
    pictures, labels = write_mnist(tmp_path, "t10k", 10, packed)
    train_part, test = read_data(f"mnist={tmp_path}")
    assert (len(train_part), len(test)) == (8, 2)
    np.testing.assert_array_equal(train_part.pictures[:, 0], (pictures[:8] / 255).astype(np.float32))
    np.testing.assert_array_equal(test.labels, labels[8:])
    write_mnist(tmp_path, "train", 6, packed, seed=1)
    assert list(map(len, read_data(f"mnist={tmp_path}"))) == [6, 10]


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x08\x01\x00\x00\x00\x09a", b"\x00\x00\x09\x01\x00\x00\x00\x01a"])
def test_a_bad_idx_file_is_named(tmp_path, content):
    write_mnist(tmp_path, "t10k", 10)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte.gz: .*fetch it anew"):
        read_data(f"mnist={tmp_path}")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte.gz: .*fetch it anew"):
        read_data(f"mnist={tmp_path}")


def test_cifar10_is_read_in_both_forms(tmp_path):
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (2, 3073)).astype(np.uint8)
    rows[:, 0] = (3, 9)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        (tmp_path / name).write_bytes(rows.tobytes())
    train_part, test = read_data(f"cifar10={tmp_path}")
    assert (len(train_part), len(test), test.shape) == (10, 2, (3, 32, 32))
    np.testing.assert_array_equal(test.pictures[1].ravel(), (rows[1, 1:] / 255).astype(np.float32))
    files = []
    for color in ((250, 0, 0), (0, 0, 250), (0, 250, 0)):
        stream = io.BytesIO()
        Image.new("RGB", (32, 32), color).save(stream, "JPEG")
        files.append(stream.getvalue())
    offset = np.cumsum([0, *map(len, files)])
    arrays = {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offset": offset, "label": np.array([0, 2, 1])}
    packed = tmp_path / "cifar10_jpeg.npz"
    np.savez(packed, **arrays, is_test=np.array([False, True, False]), classes=np.array(["red", "green", "blue"]))
    train_part, test = read_data(f"cifar10={packed}")
    assert (train_part.labels.tolist(), test.labels.tolist()) == ([0, 1], [2])
    assert np.abs(test.pictures[0, :, 16, 16] - [0, 0, 250 / 255]).max() < 0.02
    np.savez(packed, **{**arrays, "offset": offset[:-1]}, is_test=np.zeros(3, bool), classes=np.array(["a", "b", "c"]))
    with pytest.raises(InputError, match="3 labels for 2 pictures"):
        read_data(f"cifar10={tmp_path}")


def test_digits_are_sixteenths():
    pytest.importorskip("sklearn")
    train_part, test = read_data("digits")
    assert (len(train_part), len(test), test.shape) == (1437, 360, (1, 8, 8))
    assert (train_part.pictures * 16 == np.rint(train_part.pictures * 16)).all()


def write_folder(folder, number=10, seed=0):
    data = bright_pictures(number, seed)
    for index, (picture, label) in enumerate(zip(data.pictures, data.labels, strict=True)):
        place = folder / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        write_picture(place / f"{index}.png", np.rint(picture[0] * 255).astype(np.uint8))


def test_folders_are_read_with_and_without_a_split(tmp_path):
    write_folder(tmp_path / "own")
    train_part, test = read_data(str(tmp_path / "own"))
    assert (len(train_part), len(test), test.classes) == (8, 2, ("above", "below"))
    assert set(train_part.labels) == {0, 1}
    write_folder(tmp_path / "split" / "train")
    write_folder(tmp_path / "split" / "test", 4)
    assert list(map(len, read_data(str(tmp_path / "split")))) == [10, 4]
    write_picture(tmp_path / "own" / "below" / "wide.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(InputError, match=r"differ in channels or size.*wide.png \(1x4x5\)"):
        read_data(str(tmp_path / "own"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mnist", "mnist=FOLDER"),
        ("digits=here", "named as digits"),
        ("nothing", "no data set and no folder"),
        ("", "''"),
    ],
)
def test_a_data_set_that_is_none_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_data(text)


# --- The command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["train", *map(str, arguments)])
    return stop.value.code


@pytest.fixture
def folder(tmp_path, softmax):
    write_folder(tmp_path / "train", 40)
    write_folder(tmp_path / "test", 10, 1)
    return tmp_path


def test_the_command_trains_and_writes_model_and_curves(folder, capsys):
    pytest.importorskip("matplotlib")
    model, curves = folder / "m.npz", [folder / f"c{suffix}" for suffix in (".png", ".json")]
    options = ("--rate", 0.05, "--parts", "3,4", "--flipped", "--threads", 1, "--pictures", 38)
    assert (
        run("softmax", "--data", folder, "-o", model, *options, *(x for path in curves for x in ("--curves", path)))
        == 0
    )
    lines = capsys.readouterr()
    header, *rows = (line.split("\t") for line in lines.out.splitlines() if "\t" in line)
    assert header == ["epoch", "seconds", "loss", "accuracy", "validation accuracy"]
    assert ([row[0] for row in rows], lines.err) == (["1", "2", "3"], "")
    content = json.loads(curves[1].read_text())
    assert [row["epoch"] for row in content["epochs"]] == [1, 2, 3]
    assert content["settings"]["parts"] == [3, 4]
    assert curves[0].read_bytes()[:4] == b"\x89PNG"
    assert not list(folder.glob("*.checkpoint.npz"))
    assert load_model(model).metadata["training"]["flipped"] is True
    right = [
        classify(picture[0], model).label == label
        for picture, label in zip(*arrays(bright_pictures(9, 1)), strict=True)
    ]
    assert np.mean(right) == 1


def arrays(data):
    return data.pictures, data.labels


def test_an_interrupted_command_resumes_to_the_same_model(folder, monkeypatch, capsys):
    base = ("softmax", "--data", folder, "--batch", 16, "-o")
    assert run(*base, folder / "whole.npz") == 0
    step = SoftmaxTrainer.step

    def interrupted(self, batch=None):
        if self.iteration == 5:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(SoftmaxTrainer, "step", interrupted)
    assert run(*base, folder / "m.npz") == 130
    assert "--resume goes on from it" in capsys.readouterr().err
    monkeypatch.setattr(SoftmaxTrainer, "step", step)
    assert run(*base, folder / "m.npz") == 2
    assert "go on with --resume, or remove it" in capsys.readouterr().err
    assert run(*base, folder / "m.npz", "--resume") == 0
    whole, resumed = (load_model(folder / name) for name in ("whole.npz", "m.npz"))
    np.testing.assert_array_equal(resumed["fc"].weight, whole["fc"].weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "{}", "-o", "{}/m.txt"), "ends in .npz"),
        (("--data", "{}", "-o", "{}/no/m.npz"), "make the output folder first"),
        (("--data", "{}/none", "-o", "{}/m.npz"), "no data set and no folder"),
        (("--data", "{}", "-o", "{}/m.npz", "--curves", "{}/c.txt"), "curves end in"),
        (("--data", "{}", "-o", "{}/m.npz", "--curves", "{}/c.json", "--curves", "{}/c.json"), "would overwrite"),
        (("--data", "{}", "-o", "{}/m.npz", "--resume"), "no checkpoint to resume from"),
        (("--data", "{}", "-o", "{}/m.npz", "--rate", "0"), "rate must be above 0"),
        (("--data", "{}", "-o", "{}/m.npz", "--parts", "1.5"), "--parts must be whole numbers"),
        (("--data", "{}", "-o", "{}/m.npz", "--parts", "a"), "--parts must be numbers"),
    ],
)
def test_bad_arguments_end_in_one_line(folder, capsys, options, message):
    assert run("softmax", *(option.format(folder) for option in options)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(folder.glob("*.npz"))


def test_an_unknown_method_ends_in_one_line(capsys):
    assert run("magic") == 2
    assert "No such command 'magic'" in capsys.readouterr().err


def test_help_names_the_methods(softmax, capsys):
    assert run("--help") == 0
    assert re.search(r"softmax +Softmax regression\.", capsys.readouterr().out)
    assert run("softmax", "--help") == 0
    shown = capsys.readouterr().out
    assert "--flipped / --no-flipped" in shown
    assert "[default: 1,2]" in shown

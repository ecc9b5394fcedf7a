"""What all methods of training refuse: data without two classes, broken files, runs that are others; their output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fuzz_learnt import WRITERS
from small_learner import SoftmaxSettings, SoftmaxTrainer, bright_pictures
from test_learning import folder, run, softmax, write_folder, write_mnist  # noqa: F401 - fixtures among them

from spikeunet.engine import InputError, ModelFileError, load_model
from spikeunet.engine.learning import METHODS, LabelledPictures, method_named, read_data, train
from spikeunet.engine.threads import sharing

SMALL = {
    "dsr": {"layers": (3,)},
    "ide": {"units": 3},
    "softlif": {"widths": (2,)},
    "spike-times": {"layers": (3,)},
}


def of_one_class():
    data = bright_pictures(12)
    return LabelledPictures(data.pictures, np.ones(12, np.int64), data.classes)


@pytest.mark.parametrize("name", SMALL)
def test_pictures_of_one_class_are_refused(name):
    method = method_named(name)
    with pytest.raises(InputError, match=r"all of the class 'below'.*two classes or more"):
        method.trainer(of_one_class(), method.settings(**SMALL[name]))


def stdp(pictures, **settings):
    small = {"filters": 2, "side": 3, "cells": 2, "threshold": 2.0, "batch": 4, "epochs": 1}
    return method_named("stdp").trainer(pictures, method_named("stdp").settings(**{**small, **settings}), 1)


def test_filters_learn_from_one_class_but_have_no_readout_of_it():
    pytest.importorskip("sklearn")
    trainer = stdp(of_one_class())
    trainer.step()
    with pytest.raises(InputError, match="a readout tells two classes or more apart"):
        trainer.validate(bright_pictures(4))


def test_a_batch_of_even_pictures_changes_no_filter():
    data = bright_pictures(8)
    trainer = stdp(LabelledPictures(data.pictures * 0, data.labels, data.classes))
    before = trainer.filters.weights.copy()
    assert trainer.step()["spiked"] == 0
    np.testing.assert_array_equal(trainer.filters.weights, before)


def test_thresholds_of_stdp_are_never_below_1():
    with pytest.raises(InputError, match="threshold must be at least 1"):
        stdp(bright_pictures(8), threshold=0.5)
    assert stdp(bright_pictures(8), threshold=1.0, filters=64).filters.thresholds.min() == 1


def test_filters_refuse_pictures_that_they_do_not_fit():
    """Kernels trust the shapes of arrays."""
    filters = stdp(bright_pictures(8)).filters
    for shape, message in [((1, 3, 4, 4), "take 2 channels.*got 3"), ((1, 2, 4, 2), "at least 3x3.*of 4x2")]:
        with pytest.raises(InputError, match=message):
            filters.respond(np.zeros(shape))
    with pytest.raises(InputError, match=r"patches of the shape \(2, 3, 3\)"):
        filters.learn(np.zeros((4, 2, 2, 3)), None, 0.1, 0.1)


def test_a_batch_of_other_pictures_is_refused():
    trainer = SoftmaxTrainer(bright_pictures(), SoftmaxSettings())
    data = bright_pictures(4)
    with pytest.raises(InputError, match="pictures of a batch are 1x3x4"):
        trainer.step(LabelledPictures(data.pictures[:, :, 1:], data.labels, data.classes))


def test_validation_keeps_to_the_threads_that_it_is_given(monkeypatch):
    seen = []

    def validate(_trainer, _pictures):
        seen.append(sharing._threads.get())
        return {"accuracy": 0.0}

    monkeypatch.setattr(SoftmaxTrainer, "validate", validate)
    train(SoftmaxTrainer(bright_pictures(), SoftmaxSettings(epochs=1), threads=3), bright_pictures(4))
    assert seen == [3]


def test_a_checkpoint_of_another_method_is_called_that(tmp_path):
    data = bright_pictures(12)
    SoftmaxTrainer(data, SoftmaxSettings()).checkpoint(tmp_path / "c.npz")
    other = METHODS["ide"].trainer(data, METHODS["ide"].settings(units=3), 1)
    with pytest.raises(ModelFileError, match="is a checkpoint of another method or data set"):
        other.resume(tmp_path / "c.npz")


def test_labels_out_of_range_are_refused_by_the_name_of_their_file(tmp_path):
    write_mnist(tmp_path, "t10k", 10)
    from test_learning import write_idx

    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(10, 11))
    with pytest.raises(InputError, match=r"labels-idx1-ubyte.gz: labels must lie in 0 to 9.*got 11.*fetch it anew"):
        read_data(f"mnist={tmp_path}")
    rows = np.full((1, 3073), 10, np.uint8)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    with pytest.raises(InputError, match=r"data_batch_1.bin: labels must lie in 0 to 9.*got 10"):
        read_data(f"cifar10={tmp_path}")


def test_a_file_of_learnt_weights_is_no_model_file_and_says_what_it_is(tmp_path):
    for name, kind in (("times.npz", "spike times"), ("stdp.npz", "stdp")):
        WRITERS[name](tmp_path / name)
        with pytest.raises(ModelFileError, match=rf"one of the kind 'spikeunet {kind} 1'; docs/learning.md"):
            load_model(tmp_path / name)


# --- What the command prints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["before the method", "behind it"])
def test_json_is_all_that_is_printed(folder, capsys, place):  # noqa: F811
    options = ("--data", folder, "-o", folder / "m.npz", "--seed", "3")
    line = ("--json", "softmax", *options) if place == "before the method" else ("softmax", *options, "--json")
    assert run(*line) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [row["epoch"] for row in found["epochs"]] == [1, 2, 3]
    assert 0 <= found["epochs"][-1]["validation_accuracy"] <= 1
    assert (found["model"], found["method"], found["settings"]["seed"]) == (str(folder / "m.npz"), "softmax", 3)
    assert shown.err == ""


@pytest.mark.parametrize("place", ["before the method", "behind it"])
def test_a_quiet_run_prints_nothing(folder, capsys, place):  # noqa: F811
    options = ("--data", folder, "-o", folder / "m.npz")
    assert run(*(("-q", "softmax", *options) if place == "before the method" else ("softmax", *options, "-q"))) == 0
    assert capsys.readouterr() == ("", "")


def test_too_large_a_network_is_refused_by_what_to_change(folder, monkeypatch, capsys):  # noqa: F811
    def full(*_arguments):
        raise MemoryError

    monkeypatch.setattr(SoftmaxTrainer, "gradients", full)
    assert run("softmax", "--data", folder, "-o", folder / "m.npz") == 2
    assert "take a narrower network, or a smaller batch" in capsys.readouterr().err


def test_a_folder_of_one_class_ends_in_one_line(tmp_path, softmax, capsys):  # noqa: F811
    write_folder(tmp_path / "all", 20)
    (tmp_path / "one").mkdir()
    (tmp_path / "all" / "below").rename(tmp_path / "one" / "below")
    assert run("softmax", "--data", tmp_path / "one", "-o", tmp_path / "m.npz") == 2
    assert "two classes or more" in capsys.readouterr().err

"""`spikeunet finetune` from its command line."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
import refusals

from spikeunet.engine import MultiThreshold, load_model
from spikeunet.engine.command_line import main, training_files, training_run
from spikeunet.engine.files.lock import only_run

ARGUMENTS = (
    "finetune", "gray.npz", "--train", "pictures", "-o", "tuned.npz", "--crop", "8", "--batch", "2",
    "--iterations", "6", "--interval", "2", "--steps", "2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    Path("pictures").mkdir()
    for name in ("good", "other", "large"):
        Path(f"{name}.png").rename(f"pictures/{name}.png")


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([*ARGUMENTS, *arguments])
    return stop.value.code


def log():
    with open("tuned.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_a_run_writes_a_model_a_log_and_a_curve(method, capsys):
    assert run("--validate", "folder", "--method", method, "--description", "a test") == 0
    printed = capsys.readouterr()
    assert "validation" in printed.out
    assert "\r" not in printed.err
    network = load_model("tuned.npz")
    assert network.metadata["steps"] == 2
    assert network.metadata["description"] == "a test"
    assert network.metadata["fine_tuning"]["method"] == method
    assert [row["iteration"] for row in log()] == ["0", "2", "4", "6"]
    assert all(float(row["validation_psnr"]) > 0 for row in log())
    assert not Path("tuned.checkpoint.npz").exists()
    assert Path("tuned.png").exists() == training_files.can_plot()


def test_thresholds_take_the_place_of_the_models_neurons(capsys):
    assert run("--thresholds", "0.5,0.25") == 0
    assert {node.model for node in load_model("tuned.npz").neurons} == {MultiThreshold((0.5, 0.25), initial=0.125)}
    capsys.readouterr()
    for given, named in {"0.25,0.5": "strictly descending", "a,b": "--thresholds must be numbers"}.items():
        assert named in refusals.refusal(capsys, *ARGUMENTS, "-o", "other.npz", "--thresholds", given)


def test_saturating_neurons_are_noted(capsys):
    assert run("--saturating") == 0
    assert load_model("tuned.npz").metadata["fine_tuning"]["saturating"] is True


def needs_plots():
    """Without matplotlib a run says that it draws no curve."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_an_interrupted_run_goes_on_where_it_stopped(monkeypatch, capsys):
    needs_plots()
    assert run() == 0
    expected, network = without_time(log()), load_model("tuned.npz")
    Path("tuned.npz").unlink()

    step = training_run.Trainer.step

    def interrupted(trainer):
        if trainer.iteration == 5:
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(training_run.Trainer, "step", interrupted)
        assert run() == 130
    told = "spikeunet: interrupted; tuned.checkpoint.npz has the run so far, --resume goes on from it\n"
    assert capsys.readouterr().err == told
    assert Path("tuned.checkpoint.npz").exists()
    assert not Path("tuned.npz").exists()
    assert "an interrupted run left this checkpoint; go on with --resume" in refusals.refusal(capsys, *ARGUMENTS)
    assert run("--resume") == 0
    assert without_time(log()) == expected
    np.testing.assert_array_equal(load_model("tuned.npz")["conv1"].weight, network["conv1"].weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--train", "missing"), "missing: no such folder of pictures"),
        (("--train", "empty"), "empty: holds no pictures"),
        (("--validate", "missing"), "missing: no such folder of pictures"),
        (("--steps", "0"), "steps must be a whole number from 1"),
        (("--add-noise", "50:5"), "LOW <= HIGH"),
        (("--add-noise", "x"), "--add-noise must be numbers"),
        (("--validate-noise", "-1"), "sigma must lie between 0 and 255"),
        (("--crop", "6"), "crops must be a multiple of 4 pixels for this model (got 6); take 8"),
        (("--crop", "16"), "crops of 16"),
        (("--batch", "0"), "the batch must have 1 to"),
        (("--iterations", "0"), "iterations must be a whole number of at least 1"),
        (("--rate", "0"), "learning rate must be positive"),
        (("--momentum", "2"), "lie in [0, 1)"),
        (("--warmup", "1"), "warm-up must be a share"),
        (("--average", "1"), "decay of the averages must lie in [0, 1)"),
        (("--width", "0"), "width must be a positive number"),
        (("--method", "bptt", "--saturating"), "saturating neurons are for accumulated flow"),
        (("--interval", "0"), "Invalid value for '--interval'"),
        (("--method", "magic"), "Invalid value for '--method'"),
        (("--resume",), "tuned.checkpoint.npz: no checkpoint to resume from"),
        (("-o", "tuned.txt"), "a model file ends in .npz"),
        (("-o", ""), "the name is empty"),
        (("-o", "gray.npz"), "the model would overwrite the model gray.npz"),
        (("--log", "tuned.npz"), "the log would overwrite the model"),
        (("--curve", "curve.bmp"), "a curve ends in .png, .svg, .pdf"),
        (("-o", "nowhere/tuned.npz"), "make the output folder first"),
        (("-o", "folder.npz"), "folder.npz: Is a directory"),
        (("--log", "folder"), "folder: Is a directory"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    Path("folder.npz").mkdir()
    assert message in refusals.refusal(capsys, *ARGUMENTS, *arguments)


@pytest.mark.parametrize("name", ["tuned.png", "tuned.csv"])
def test_a_file_that_nobody_named_is_not_replaced(name, capsys):
    if name == "tuned.png":
        needs_plots()
    Path(name).write_text("iteration,what somebody kept\n")
    option = {"tuned.png": "--curve", "tuned.csv": "--log"}[name]
    refused = refusals.refusal(capsys, *ARGUMENTS)
    assert (
        refused
        == f"{name}: is there, and not from an earlier run; name another file by {option}, or this one to replace it"
    )
    assert run(option, name, "--iterations", "1") == 0
    assert run("--iterations", "1") == 0  # files of an earlier run are replaced


def test_a_curve_that_cannot_be_drawn_costs_no_model(monkeypatch, capsys):
    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "tuned.png")

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "draw_curve", fails)
        patch.setattr(training_run, "can_plot", lambda: True)
        assert run() == 2
    assert capsys.readouterr().err == "spikeunet: error: tuned.png: No space left on device\n"
    assert load_model("tuned.npz").metadata["fine_tuning"]["iterations"] == 6
    assert run("--resume") == 0
    assert not Path("tuned.checkpoint.npz").exists()


def test_of_two_runs_into_one_model_the_second_is_refused(capsys):
    with only_run(Path("tuned.npz")):
        message = refusals.refusal(capsys, *ARGUMENTS)
    assert message == "tuned.npz: another run writes there; wait for it, or choose another name"
    Path(".tuned.npz.lock").touch()  # as a run leaves it that was killed
    assert run("--iterations", "1") == 0
    assert not Path(".tuned.npz.lock").exists()


def test_a_model_for_another_task_is_refused(capsys):
    refused = refusals.refusal(capsys, "finetune", "segment.npz", *ARGUMENTS[2:])
    assert "is for 'segment', not for denoising" in refused
    assert "no-such" in refusals.refusal(capsys, "finetune", "no-such", *ARGUMENTS[2:])


def test_a_curve_without_matplotlib(monkeypatch, capsys):
    monkeypatch.setattr(training_files, "can_plot", lambda: False)
    monkeypatch.setattr(training_run, "can_plot", lambda: False)
    assert "--curve needs matplotlib" in refusals.refusal(capsys, *ARGUMENTS, "--curve", "curve.png")
    assert run() == 0
    assert "no curve was drawn: matplotlib is missing" in capsys.readouterr().err
    assert not Path("tuned.png").exists()


def test_a_log_of_something_else_is_not_continued(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not the log of a training run"):
        training_files.read_log(path, 10)
    assert training_files.read_log(tmp_path / "missing.csv", 10) == []


def test_the_curve_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    rows = [
        dict.fromkeys(training_files.COLUMNS, None) | {"iteration": 2.0 * n, "loss": 1.0 / (n + 1)} for n in range(4)
    ]
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        training_files.draw_curve(tmp_path / f"curve{suffix}", rows, "title")
        assert (tmp_path / f"curve{suffix}").read_bytes().startswith(start)


def test_files_that_are_no_pictures_are_named(capsys):
    needs_plots()
    Path("pictures/mask.gif").touch()
    assert run("--iterations", "1") == 0
    assert capsys.readouterr().err == "spikeunet: skipped 1 of pictures: mask.gif (no picture by its suffix)\n"

"""Fine-tuning towards a teacher's artificial network, in place of clean pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import refusals
from small_denoiser import small_denoiser
from test_finetune_weight_bits import batches, network

from spikeunet.converters import quantize_weights
from spikeunet.engine import Conv2d, Input, InputError, Network, Output, load_model, save_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.learning.finetune import Settings, TaughtBatches, Trainer, finetune

ARGUMENTS = (
    "finetune", "gray.npz", "--train", "folder", "-o", "tuned.npz", "--crop", "8", "--batch", "2",
    "--iterations", "4", "--interval", "2", "--steps", "2", "--teacher",
)  # fmt: skip


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([*ARGUMENTS, *arguments])
    return stop.value.code


def test_inputs_are_those_of_the_batches_and_targets_the_teachers():
    teacher = network()
    inputs, targets = TaughtBatches(batches(), teacher).draw(np.random.default_rng(5))
    expected, noise = batches().draw(np.random.default_rng(5))
    np.testing.assert_array_equal(inputs, expected)
    for picture, target in zip(inputs, targets, strict=True):
        np.testing.assert_array_equal(target[:, :, 0], forward(teacher, picture[None, :, :, 0])[0][0])
    assert targets.shape == noise.shape
    assert not np.allclose(targets, noise, atol=0.01)


def test_a_rounded_network_comes_closer_to_what_it_was():
    teacher = network()
    rounded = quantize_weights(teacher, 3)
    settings = Settings(steps=1, iterations=60, rate=0.01, weight_bits=3, average=0.9)
    tuned = finetune(rounded, TaughtBatches(batches(), teacher), settings)
    picture = np.random.default_rng(2).random((1, 48, 48), dtype=np.float32)
    wanted = forward(teacher, picture)[0]
    before, after = (np.square(simulate(each, picture, 1).output - wanted).mean() for each in (rounded, tuned))
    assert after < 0.5 * before


def test_several_inputs_are_refused():
    weight = np.ones((1, 1, 1, 1), np.float32)
    nodes = []
    for name in "ab":
        nodes += [Input(f"in {name}", 1), Conv2d(name, f"in {name}", weight), Output(f"out {name}", name)]
    two = Network(nodes)
    with pytest.raises(InputError, match=r"one input and one output \(got 2 and 2\)"):
        TaughtBatches(batches(), two)


def test_a_checkpoint_belongs_to_its_teacher():
    first = Trainer(network(), TaughtBatches(batches(), network()), Settings(iterations=2))
    first.checkpoint("checkpoint.npz")
    again = Trainer(network(), TaughtBatches(batches(), network()), Settings(iterations=2))
    again.resume("checkpoint.npz")
    for other in (batches(), TaughtBatches(batches(), small_denoiser())):
        with pytest.raises(ModelFileError, match="checkpoint of another network"):
            Trainer(network(), other, Settings(iterations=2)).resume("checkpoint.npz")


def test_the_command_needs_no_clean_pictures():
    save_model(network(), "teacher.npz")
    assert run("teacher.npz", "--add-noise", "0") == 0
    done = load_model("tuned.npz").metadata["fine_tuning"]
    assert done["teacher"] == TaughtBatches(batches(), load_model("teacher.npz")).fingerprint
    Path("tuned.npz").unlink()
    assert run("teacher.npz", "--noisy", "folder") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("colour.npz",), "--teacher colour.npz takes 3 channel(s), the model takes 1 channel(s)"),
        (("clean.npz",), "--teacher clean.npz predicts the picture, the model predicts the noise"),
        (("segment.npz",), "is for 'segment', not for denoising"),
        (("nowhere.npz",), "nowhere.npz"),
        (("gray.npz", "--task", "segment"), "--teacher is for --task denoise"),
        (("teacher.npz", "-o", "teacher.npz"), "the model would overwrite the model teacher.npz"),
    ],
)
def test_teachers_that_do_not_fit_are_refused(arguments, message, capsys):
    save_model(small_denoiser(predicts="picture"), "clean.npz")
    save_model(small_denoiser(), "teacher.npz")
    assert message in refusals.refusal(capsys, *ARGUMENTS, *arguments)

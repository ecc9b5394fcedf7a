"""`convert --tune`: the search finds the least error, within the accumulates that are allowed."""

from __future__ import annotations

import numpy as np
import pytest
from small_denoiser import spiking_unet_state

from spikeunet.converters import convert, read_weights, tuning
from spikeunet.converters.tuning import Settings, Tuner
from spikeunet.engine import (
    Conv2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    load_model,
    simulate,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def plain():
    nodes = [Input("input"), Conv2d("conv1", "input", random(4, 1, 3, 3), padding=1), Neurons("relu1", "conv1")]
    nodes += [Conv2d("conv2", "relu1", random(1, 4, 3, 3, seed=1), padding=1), Output("output", "conv2")]
    return Network(nodes)


PICTURES = [np.random.default_rng(seed).random((1, 16, 16), np.float32) for seed in range(2)]


def run(*arguments):
    tuner = Tuner(plain(), PICTURES, *arguments)
    assert len(list(tuner)) == len(tuner.trials) <= tuner.most
    return tuner


def test_the_search_starts_with_the_defaults_and_ends_with_the_least_error():
    tuner = run()
    assert tuner.first.settings == Settings(MultiThreshold.rounding())
    assert tuner.best.error == min(trial.error for trial in tuner.trials)
    assert tuner.best.error < tuner.first.error
    assert len(tuner.best.settings.neuron.thresholds) == 8
    assert len({trial.settings for trial in tuner.trials}) == len(tuner.trials)


def test_a_trial_is_what_such_a_conversion_gives():
    trial = run(2).trials[3]
    converted = convert(plain(), calibration=PICTURES, metadata={"steps": 2}, **trial.settings.options)
    assert trial.settings.steps == 2
    pairs = [(simulate(converted, picture, 2), forward(plain(), picture)[0]) for picture in PICTURES]
    off = sum(np.square(found.output - wanted).sum() for found, wanted in pairs)
    assert trial.error == pytest.approx(np.sqrt(off / sum(np.square(wanted).sum() for _, wanted in pairs)), rel=1e-4)
    assert trial.accumulates == sum(found.total_accumulates for found, _ in pairs) / (2 * 16 * 16)


def test_accumulates_bound_the_search(monkeypatch):
    monkeypatch.setattr(tuning, "RULES", tuning.RULES[:1])
    monkeypatch.setattr(tuning, "LADDERS", (8, 4))
    monkeypatch.setattr(tuning, "INITIAL", (0.5,))
    free = run()
    dearest = max(trial.accumulates for trial in free.trials)
    tuner = run(None, 2.5 * dearest)
    assert {trial.settings.steps for trial in tuner.trials} == set(tuning.STEPS)
    assert tuner.best.settings.steps == 2
    assert tuner.best.accumulates <= 2.5 * dearest
    with pytest.raises(
        InputError, match=r"no settings need as few as 0.5 accumulates.*the least that was found is \d+"
    ):
        run(None, 0.5)
    with pytest.raises(InputError, match=r"must be above 0 \(got -1\)"):
        run(None, -1)


def test_a_network_with_two_outputs_is_refused():
    two = Network([*plain().nodes, Conv2d("conv3", "relu1", random(1, 4, 1, 1)), Output("other", "conv3")])
    with pytest.raises(InputError, match="compares one output"):
        Tuner(two, PICTURES)


def test_ladders_keep_their_initial_potential():
    settings = Settings(MultiThreshold.rounding()).with_initial(0.25).with_thresholds(2)
    assert settings.neuron == MultiThreshold((1.0, 0.5), initial=0.125)


def command(*arguments):
    main([str(each) for each in ("convert", *arguments)], standalone_mode=False)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8))
    np.savez("state.npz", **spiking_unet_state())
    return tmp_path


def test_the_command_says_what_was_tried_and_takes_the_best(files, capsys, monkeypatch):
    monkeypatch.setattr(tuning, "RULES", tuning.RULES[:2])
    monkeypatch.setattr(tuning, "LADDERS", (7, 4))
    monkeypatch.setattr(tuning, "INITIAL", (0.5,))
    command("state.npz", "-o", "model.npz", "--calibration", "pictures", "--tune", "--steps", 2)
    out = capsys.readouterr().out.splitlines()
    rows = [line.split("\t") for line in out[: out.index("")]]
    (taken,) = (row for row in rows if row[-1] == "taken")
    assert float(taken[5]) == min(float(row[5]) for row in rows[1:])
    assert any(line.startswith("gap") and "2 steps: " in line and "with the defaults" in line for line in out)
    network = load_model("model.npz")
    assert network.metadata["steps"] == 2
    assert f"{len(network.neurons[0].model.thresholds)}, 1 to" in taken[2]
    expected = convert(read_weights("state.npz"), calibration="pictures", metadata={"steps": 2})
    if taken[1] == "least-squares" and taken[2].startswith("7"):
        np.testing.assert_array_equal(network["conv1"].weight, expected["conv1"].weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tune",), "--tune needs calibration pictures; name a folder"),
        (("--tune", "--calibration", "pictures", "--thresholds", "1,0.5"), "--thresholds is what --tune chooses"),
        (("--tune", "--calibration", "pictures", "--scales", "iteration"), "--scales is what --tune chooses"),
        (("--calibration", "pictures", "--accumulates", 9), "--accumulates 9 has no meaning without --tune"),
        (("--tune", "--calibration", "pictures", "--accumulates", 0), "accumulates for each pixel must be above 0"),
    ],
)
def test_what_the_command_refuses(files, options, message):
    with pytest.raises(InputError, match=message):
        command("state.npz", "-o", "model.npz", *options)
    assert not (files / "model.npz").exists()

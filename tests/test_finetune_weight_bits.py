"""Fine-tuning for weights of few bits: rounded in the passes and in the result, fine in training and checkpoints."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import refusals
from small_denoiser import small_denoiser

from spikeunet.converters import quantize_weights
from spikeunet.engine import Conv2d, IntegrateAndFire, load_model
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError, ModelFileError
from spikeunet.engine.fixed_point import weight_bits
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainable, Trainer, finetune

SETTINGS = Settings(steps=2, iterations=6, rate=0.01, weight_bits=4)


def network():
    """The small denoiser with a say in the output for its spikes."""
    silent = small_denoiser()
    weight = silent["conv2"].weight + np.random.default_rng(1).normal(0, 0.1, silent["conv2"].weight.shape)
    read_out = Conv2d("conv2", "concat1", weight)
    return silent.replace([read_out if node.name == "conv2" else node for node in silent.nodes])


def batches():
    """Crops of smooth random pictures."""
    steps = np.random.default_rng(0).normal(0, 0.05, (4, 48, 48, 1)).cumsum(1).cumsum(2) / 4
    pictures = [np.clip(0.5 + picture - picture.mean(), 0, 1).astype(np.float32) for picture in steps]
    return DenoisingBatches(pictures, (5, 50), crop=16, batch=4)


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_the_loss_falls(method):
    settings = Settings(method=method, iterations=40, rate=0.01, scales="layer", initial=True, weight_bits=4)
    losses = []
    finetune(network(), batches(), settings, observe=lambda _, report: losses.append(report.loss))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.parametrize("options", [{}, {"scales": "channel"}, {"average": 0.9}, {"steps": 1}], ids=str)
def test_the_result_is_rounded_and_its_numbers_in_training_are_not(options):
    trainer = Trainer(network(), batches(), dataclasses.replace(SETTINGS, **options))
    trainer.step()
    trainer.step()
    result = trainer.result()
    assert weight_bits(result["up1"]) <= 4
    assert weight_bits(result["conv1"]) is None
    assert quantize_weights(result.replace(metadata={}), 4)["up1"].weight.tobytes() == result["up1"].weight.tobytes()
    np.testing.assert_array_equal(trainer.current_network()["up1"].weight, result["up1"].weight)
    assert len(np.unique(trainer.parameters["up1.weight"])) > 100
    assert result.metadata["weight_bits"] == result.metadata["fine_tuning"]["weight_bits"] == 4


def test_gradients_are_those_of_the_rounded_network():
    batch, target = batches().draw(np.random.default_rng(0))
    rounded = quantize_weights(network(), 4)
    loss, straight = Trainer(network(), batches(), SETTINGS).gradients(batch, target)
    expected_loss, expected = Trainer(rounded, batches(), dataclasses.replace(SETTINGS, weight_bits=None)).gradients(
        batch, target
    )
    assert loss == expected_loss
    assert sorted(straight) == sorted(expected)
    for name, gradient in expected.items():
        assert straight[name].tobytes() == gradient.tobytes()


def test_many_small_steps_add_up():
    trainable = Trainable(network(), weight_bits=4)
    parameters = trainable.parameters()
    before = trainable.network(parameters)["up1"].weight
    parameters["up1.weight"] += np.float32(1e-4)
    np.testing.assert_array_less(np.mean(trainable.network(parameters)["up1"].weight != before), 0.1)
    for _ in range(2000):
        parameters["up1.weight"] += np.float32(1e-4)
    assert np.mean(trainable.network(parameters)["up1"].weight - before) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_a_checkpoint_keeps_the_fine_numbers_and_resumes_exactly(method, tmp_path):
    settings = dataclasses.replace(SETTINGS, method=method)
    path = tmp_path / "checkpoint.npz"
    straight, broken, resumed = (Trainer(network(), batches(), settings) for _ in range(3))
    for _ in range(6):
        straight.step()
    for _ in range(3):
        broken.step()
    broken.checkpoint(path)
    resumed.resume(path)
    for name, values in broken.parameters.items():
        assert resumed.parameters[name].tobytes() == values.tobytes()
    while not resumed.finished:
        resumed.step()
    for name, values in straight.parameters.items():
        assert resumed.parameters[name].tobytes() == values.tobytes()
    assert resumed.result()["up1"].weight.tobytes() == straight.result()["up1"].weight.tobytes()


def test_a_checkpoint_of_other_bits_is_refused(tmp_path):
    Trainer(network(), batches(), SETTINGS).checkpoint(tmp_path / "checkpoint.npz")
    other = Trainer(network(), batches(), dataclasses.replace(SETTINGS, weight_bits=None))
    with pytest.raises(ModelFileError, match="weight_bits 4, now None"):
        other.resume(tmp_path / "checkpoint.npz")


def test_what_was_said_of_rounded_weights_goes_when_they_are_trained():
    rounded = quantize_weights(network())
    result = finetune(rounded, batches(), Settings(iterations=1))
    assert not {"weight_bits", "weight_snr_db"} & set(result.metadata)
    assert "weight_bits" not in result.metadata["fine_tuning"]


def test_bits_out_of_range_and_networks_that_cannot_be_rounded():
    with pytest.raises(InputError, match="weights can have 2 to 8 bits"):
        Settings(weight_bits=1)
    with pytest.raises(InputError, match="no layer's weights can be rounded"):
        Trainable(network().with_neurons(IntegrateAndFire(0.3)), weight_bits=8)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    arguments = ["finetune", "gray.npz", "--train", "folder", "-o", "tuned.npz", "--crop", "8", "--batch", "2"]
    assert "weights can have 2 to 8 bits" in refusals.refusal(capsys, *arguments, "--weight-bits", "12")
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--iterations", "2", "--steps", "1", "--weight-bits", "5"])
    assert stop.value.code == 0
    tuned = load_model("tuned.npz")
    assert 4 <= weight_bits(tuned["up1"]) <= 5
    assert tuned.metadata["weight_bits"] == 5
    with np.load("tuned.npz") as arrays:
        assert arrays["weights/up1.weight"].dtype == np.int8

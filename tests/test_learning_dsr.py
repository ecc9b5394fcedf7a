"""Training on the spike representation: gradients, the engine's spikes, thresholds, and the command."""

from __future__ import annotations

import numpy as np
import pytest
from small_learner import bright_pictures

from spikeunet.engine import InputError, load_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import method_named, train
from spikeunet.engine.learning.connected import step_shares
from spikeunet.engine.learning.dsr import (
    DsrSettings,
    DsrTrainer,
    clipped_tape,
    representation_gradients,
    spiking_tape,
)
from spikeunet.engine.learning.gradient_trainer import classification_loss


def wide_parameters(trainer, seed=5):
    """Float64, with some neurons silent, some within their range and some beyond it."""
    random = np.random.default_rng(seed)
    found = {name: array.astype(np.float64) for name, array in trainer.parameters.items()}
    for name, array in found.items():
        found[name] = array + (random.normal(0, 0.3, array.shape) if "threshold" not in name else 0)
    found["neurons1.threshold"][:], found["neurons2.threshold"][:] = 0.6, 0.4
    return found


def small(**settings):
    return DsrTrainer(bright_pictures(12), DsrSettings(**{"layers": (9, 7), "steps": 5, "batch": 6, **settings}), 1)


def clip_loss(parameters, batch):
    return classification_loss(clipped_tape(parameters, batch.pictures).scores, batch.labels)[0]["loss"]


def test_gradients_are_those_of_finite_differences():
    trainer = small()
    parameters, batch = wide_parameters(trainer), trainer.pictures
    tape = clipped_tape(parameters, batch.pictures)
    limits = [parameters[f"neurons{index}.threshold"][0] for index in (1, 2)]
    for driven, limit in zip(tape.driven, limits, strict=True):
        assert (driven < 0).any()
        assert (driven > limit).any()
        assert ((driven > 0) & (driven < limit)).any()
    _, gradient = classification_loss(tape.scores, batch.labels)
    found = representation_gradients(parameters, tape, gradient)
    assert sorted(found) == sorted(parameters)
    for name, array in parameters.items():
        numeric = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept, losses = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                losses.append(clip_loss(parameters, batch))
            array[place] = kept
            numeric[place] = (losses[0] - losses[1]) / 2e-6
        error = np.abs(numeric - found[name]).max() / np.abs(numeric).max()
        assert error < 1e-6, (name, error)


@pytest.mark.parametrize("neuron", ["if", "lif"])
def test_gradients_are_those_of_pytorch(neuron):
    """Forward the representations that were counted, backward the clips, as the authors' straight-through functions."""
    torch = pytest.importorskip("torch")
    trainer = small(neuron=neuron, leak=0.7)
    parameters, batch = wide_parameters(trainer), trainer.pictures
    for name, array in parameters.items():
        trainer.parameters[name][:] = array
    fired = trainer.spikes(batch.pictures)
    tape = spiking_tape(parameters, batch.pictures, fired)
    figures, gradient = classification_loss(tape.scores, batch.labels)
    found = representation_gradients(parameters, tape, gradient)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
    value = torch.tensor(batch.pictures.reshape(12, -1).astype(np.float64))
    for index in (1, 2, 3):
        current = torch.nn.functional.linear(value, tensors[f"fc{index}.weight"], tensors[f"fc{index}.bias"])
        if index < 3:
            clipped = torch.minimum(torch.clamp(current, min=0), tensors[f"neurons{index}.threshold"])
            value = torch.tensor(fired[index - 1].rates.astype(np.float64)) + clipped - clipped.detach()
    loss = torch.nn.functional.cross_entropy(current, torch.tensor(batch.labels))
    loss.backward()
    assert figures["loss"] == pytest.approx(loss.item(), rel=1e-12)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(found[name], tensor.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1.0}, {"neuron": "lif", "leak": 0.8}], ids=str)
def test_the_engine_simulates_exactly_the_spikes_that_training_counted(settings):
    trainer = small(**settings, seed=2)
    for name, array in wide_parameters(trainer).items():
        trainer.parameters[name][:] = array
    fired = trainer.spikes(trainer.pictures.pictures)
    result = simulate(trainer.network(), trainer.pictures.pictures, steps=5, record=("spikes",), threads=1)
    for index, population in enumerate(fired, start=1):
        emitted = result.spikes[f"neurons{index}"][..., 0, 0]
        np.testing.assert_array_equal(emitted, population.spikes * np.float32(population.value))
        assert 0.05 < population.spikes.mean() < 0.95
    scores, _ = trainer._scores(trainer.pictures.pictures)
    np.testing.assert_allclose(result.output[:, :, 0, 0], scores, atol=1e-5)


@pytest.mark.parametrize("neuron", ["if", "lif"])
def test_representations_come_close_to_the_clips_as_steps_are_added(neuron):
    leak = 0.99
    distances = []
    for steps in (4, 64):
        trainer = small(steps=steps, neuron=neuron, leak=leak, layers=(9,))
        pictures = trainer.pictures.pictures
        rates = trainer.represent(pictures).values[1]
        distances.append(np.abs(rates - clipped_tape(trainer.parameters, pictures).values[1]).max())
    # What is left on a membrane is at most about half a threshold.
    assert distances[1] < 1.5 * 0.5 * step_shares(64, leak if neuron == "lif" else 1)[-1]
    assert distances[1] < distances[0] / 4


def test_thresholds_are_trained_above_a_floor_or_left_alone():
    trainer = small(rate=0.5, threshold=0.3, floor=0.25, epochs=3)
    train(trainer)
    thresholds = [float(trainer.parameters[f"neurons{index}.threshold"][0]) for index in (1, 2)]
    assert thresholds != [np.float32(0.3)] * 2
    assert min(thresholds) >= 0.25
    fixed = small(train_thresholds=False)
    fixed.step()
    assert "neurons1.threshold" not in fixed.trained
    assert fixed.parameters["neurons1.threshold"] == 1


def test_a_resumed_run_gives_the_same_bits_whatever_the_threads(tmp_path):
    settings = DsrSettings(layers=(9, 7), steps=5, batch=5, epochs=2, shift=1)
    whole = DsrTrainer(bright_pictures(12), settings, 1)
    train(whole)
    first = DsrTrainer(bright_pictures(12), settings, 2)
    for _ in range(4):
        first.step()
    first.checkpoint(tmp_path / "c.npz")
    rest = DsrTrainer(bright_pictures(12), settings, 2)
    rest.resume(tmp_path / "c.npz")
    train(rest)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(rest.parameters[name], array)


def test_pictures_that_are_shifted_have_their_samples_still():
    data = bright_pictures(6)
    moved = data.shifted(1, np.random.default_rng(0)).pictures
    for picture, other in zip(data.pictures[:, 0], moved[:, 0], strict=True):
        padded = np.pad(picture, 1)
        places = [padded[y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
        assert any((place == other).all() for place in places)
    assert (moved != data.pictures).any()


def test_bad_settings_are_refused():
    for bad, message in [({"layers": ()}, "at least one width"), ({"alpha": 0.0}, "alpha"), ({"leak": 1.0}, "leak")]:
        with pytest.raises(InputError, match=message):
            DsrSettings(**bad)
    assert method_named("dsr").settings is DsrSettings


def test_the_command_learns_the_two_classes(tmp_path):
    from test_learning import write_folder

    write_folder(tmp_path / "pictures", 60)
    options = ("--layers", "8", "--steps", "5", "--rate", "0.03", "--epochs", "8", "--threads", "1")
    with pytest.raises(SystemExit) as stop:
        main(["train", "dsr", "--data", str(tmp_path / "pictures"), "-o", str(tmp_path / "m.npz"), *options])
    assert stop.value.code == 0
    network, data = load_model(tmp_path / "m.npz"), bright_pictures(20, 3)
    found = simulate(network, data.pictures, steps=network.metadata["steps"]).output[:, :, 0, 0].argmax(1)
    assert (found == data.labels).mean() > 0.9

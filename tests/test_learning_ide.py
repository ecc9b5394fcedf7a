"""Feedback networks: gradients at the equilibrium, the engine's spikes, convergence as 1/T, bounds and the command."""

from __future__ import annotations

import numpy as np
import pytest
from small_learner import bright_pictures

from spikeunet.engine import InputError, load_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import train
from spikeunet.engine.learning.gradient_trainer import classification_loss
from spikeunet.engine.learning.implicit_differentiation import (
    Equilibrium,
    IdeSettings,
    IdeTrainer,
    equilibrium_rates,
)


def small(**settings):
    return IdeTrainer(bright_pictures(12), IdeSettings(**{"units": 9, "steps": 5, "batch": 6, **settings}), 1)


def strong_parameters(trainer, norm=0.8):
    """Float64, with feedback that matters, and neurons that are silent, within their range and beyond it."""
    random = np.random.default_rng(4)
    found = {name: array.astype(np.float64) for name, array in trainer.parameters.items()}
    for name in ("enter.bias", "read.bias"):
        found[name] += random.normal(0, 0.3, found[name].shape)
    feedback = random.normal(0, 1, found["feedback.weight"].shape)
    found["feedback.weight"] = feedback * norm / np.linalg.norm(feedback, 2)
    return found


def at_equilibrium(parameters, data):
    inputs = data.pictures.reshape(len(data), -1).astype(np.float64)
    return Equilibrium(parameters, inputs, equilibrium_rates(parameters, inputs))


def loss_of(parameters, data):
    return classification_loss(at_equilibrium(parameters, data).scores, data.labels)[0]["loss"]


@pytest.fixture(scope="module")
def numeric():
    """Gradients by finite differences of the equilibrium's loss."""
    trainer, found = small(units=5), {}
    parameters = strong_parameters(trainer, 0.5)
    for name, array in parameters.items():
        found[name] = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept, losses = array[place], []
            for step in (1e-6, -1e-6):
                array[place] = kept + step
                losses.append(loss_of(parameters, trainer.pictures))
            array[place] = kept
            found[name][place] = (losses[0] - losses[1]) / 2e-6
    return found


@pytest.mark.parametrize(("solver", "damping"), [("iteration", 0.0), ("iteration", 0.5), ("broyden", 0.0)])
def test_gradients_are_those_of_finite_differences_of_the_equilibrium(monkeypatch, numeric, solver, damping):
    monkeypatch.setattr("spikeunet.engine.learning.implicit_differentiation.TOLERANCE", 1e-12)
    trainer = small(units=5)
    parameters, data = strong_parameters(trainer, 0.5), trainer.pictures
    at = at_equilibrium(parameters, data)
    assert at.distance < 1e-14
    assert 0.2 < at.inside.mean() < 0.8
    _, gradient = classification_loss(at.scores, data.labels)
    found, residual = at.gradients(gradient, solver, 1000, damping)
    assert residual < 1e-11
    assert sorted(found) == sorted(parameters)
    for name, expected in numeric.items():
        error = np.abs(expected - found[name]).max() / np.abs(expected).max()
        assert error < 1e-6, (name, error)


def test_the_published_iteration_would_give_another_gradient():
    trainer = small()
    at = at_equilibrium(strong_parameters(trainer), trainer.pictures)
    _, gradient = classification_loss(at.scores, trainer.pictures.labels)
    wanted = gradient @ at.parameters["read.weight"]
    right, _ = at._iterated(wanted, 1000, 0.5)
    exact, published = np.zeros_like(wanted), np.zeros_like(wanted)
    for row, inside in enumerate(at.inside):
        transposed = (inside[:, None] * at.parameters["feedback.weight"]).T
        exact[row] = np.linalg.solve(np.eye(9) - transposed, wanted[row])
        published[row] = np.linalg.solve(2 * np.eye(9) - transposed, wanted[row])
    scale = np.abs(exact).max()
    assert np.abs(right - exact).max() < 1e-5 * scale
    assert np.abs(published - exact).max() > 0.3 * scale
    along = (published * exact).sum() / np.linalg.norm(published) / np.linalg.norm(exact)
    assert along < 0.999  # nor is it the same direction


def test_gradients_are_those_of_pytorch_through_the_unrolled_network():
    torch = pytest.importorskip("torch")
    trainer = small()
    parameters, data = strong_parameters(trainer), trainer.pictures
    at = at_equilibrium(parameters, data)
    figures, gradient = classification_loss(at.scores, data.labels)
    found, _ = at.gradients(gradient, "iteration", 1000)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
    entering = torch.nn.functional.linear(torch.tensor(at.inputs), tensors["enter.weight"], tensors["enter.bias"])
    rates = torch.zeros(12, 9, dtype=torch.float64)
    for _ in range(300):
        rates = torch.clamp(rates @ tensors["feedback.weight"].T + entering, 0, 1)
    scores = torch.nn.functional.linear(rates, tensors["read.weight"], tensors["read.bias"])
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(data.labels))
    loss.backward()
    assert figures["loss"] == pytest.approx(loss.item(), rel=1e-12)
    for name, tensor in tensors.items():
        error = np.abs(found[name] - tensor.grad.numpy()).max() / np.abs(found[name]).max()
        assert error < 1e-5, name


@pytest.mark.parametrize("solver", ["iteration", "broyden"])
def test_a_residual_of_nothing_is_none(solver):
    """Of neurons that are all silent, or of a gradient that is zero: what is found at once is found."""
    trainer = small()
    parameters = strong_parameters(trainer)
    silent = {**parameters, "enter.bias": parameters["enter.bias"] - 100}
    gradient = np.random.default_rng(0).normal(size=(12, 2))
    _, residual = at_equilibrium(silent, trainer.pictures).gradients(gradient, solver)
    assert residual < 1e-15
    found, residual = at_equilibrium(parameters, trainer.pictures).gradients(0 * gradient, solver)
    assert residual == 0
    assert not any(array.any() for array in found.values())


@pytest.mark.parametrize("settings", [{}, {"neuron": "lif", "leak": 0.8, "initial": 0.5}], ids=str)
def test_the_engine_simulates_exactly_the_spikes_that_training_counted(settings):
    trainer = small(**settings)
    for name, array in strong_parameters(trainer).items():
        trainer.parameters[name][:] = array
    pictures = trainer.pictures.pictures
    fired = trainer.fired(pictures)
    result = simulate(trainer.network(), pictures, steps=5, record=("spikes",), threads=1)
    np.testing.assert_array_equal(result.spikes["neurons"][..., 0, 0], fired.spikes)
    assert 0.1 < fired.spikes.mean() < 0.9


def test_the_distance_to_the_equilibrium_falls_as_one_over_the_steps():
    trainer = small(bound=0.9)
    trainer.parameters["feedback.weight"][:] = strong_parameters(trainer)["feedback.weight"]
    steps = np.array([10, 20, 40, 80, 160, 320])
    distances = [trainer.validate(trainer.pictures, int(number))["distance"] for number in steps]
    slope = np.polyfit(np.log(steps), np.log(distances), 1)[0]
    assert -1.15 < slope < -0.85


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
def test_the_norm_of_the_feedback_is_bounded(norm):
    trainer = small(norm=norm, bound=0.4, rate=0.1)
    for _ in range(3):
        found = np.linalg.norm(trainer.parameters["feedback.weight"], 2 if norm == "spectral" else None)
        assert found == pytest.approx(0.4, rel=1e-5)
        trainer.step()


def test_a_resumed_run_gives_the_same_bits_whatever_the_threads(tmp_path):
    settings = IdeSettings(units=9, steps=5, batch=5, epochs=2, solver="broyden")
    whole = IdeTrainer(bright_pictures(12), settings, 1)
    train(whole)
    first = IdeTrainer(bright_pictures(12), settings, 2)
    for _ in range(4):
        first.step()
    first.checkpoint(tmp_path / "c.npz")
    rest = IdeTrainer(bright_pictures(12), settings, 2)
    rest.resume(tmp_path / "c.npz")
    train(rest)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(rest.parameters[name], array)


def test_bad_settings_are_refused():
    for bad, message in [({"bound": 1.0}, "bound"), ({"solver": "magic"}, "solver"), ({"units": 0}, "units")]:
        with pytest.raises(InputError, match=message):
            IdeSettings(**bad)


def test_the_command_learns_the_two_classes(tmp_path):
    from test_learning import write_folder

    write_folder(tmp_path / "pictures", 60)
    options = ("--units", "9", "--steps", "5", "--rate", "0.03", "--epochs", "8", "--threads", "1")
    with pytest.raises(SystemExit) as stop:
        main(["train", "ide", "--data", str(tmp_path / "pictures"), "-o", str(tmp_path / "m.npz"), *options])
    assert stop.value.code == 0
    network, data = load_model(tmp_path / "m.npz"), bright_pictures(20, 3)
    found = simulate(network, data.pictures, steps=network.metadata["steps"]).output[:, :, 0, 0].argmax(1)
    assert (found == data.labels).mean() > 0.9

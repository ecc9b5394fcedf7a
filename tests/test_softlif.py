"""SoftLIF: rates and their slopes, gradients, the neuron that fires at these rates, and the trainer."""

from __future__ import annotations

import numpy as np
import pytest
from small_learner import bright_pictures

from spikeunet.engine import (
    InputError,
    IntegrateAndFire,
    InterpolatedLeakyIntegrateAndFire,
    NeuronError,
    load_model,
    simulate,
)
from spikeunet.engine.learning import METHODS, LabelledPictures, train
from spikeunet.engine.learning.finetune import Trainable
from spikeunet.engine.learning.softlif import (
    SoftLIFSettings,
    SoftLIFTrainer,
    filtered,
    lif_rate,
    rate_gradients,
    rates,
    run_rates,
    small_network,
    softlif,
)
from spikeunet.engine.neurons import mean_emission

NEURON = InterpolatedLeakyIntegrateAndFire()
TALL = LabelledPictures(np.zeros((2, 1, 80, 2), np.float32), np.arange(2), ("a", "b"))
SETTINGS = SoftLIFSettings(epochs=4, batch=16, widths=(4,), cells="midget", enlarge=2, shift=1, steps=12, seed=3)


@pytest.mark.parametrize("sigma", [0.001, 0.02, 0.3])
def test_slopes_of_the_rate_are_finite_differences(sigma):
    current = np.concatenate([np.linspace(-4, 9, 400), 1 + np.linspace(-40, 40, 401) * sigma])
    # Of complex numbers nothing cancels, but logaddexp has none: a five-point stencil, small where the rate bends.
    h = 1e-3 * np.maximum(sigma, 1e-2 * np.abs(current - 1))
    near = [softlif(NEURON, current + k * h, sigma)[0] for k in (-2, -1, 1, 2)]
    expected = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
    rate, slope = softlif(NEURON, current, sigma)
    assert (np.abs(slope - expected) / np.abs(expected)).max() < 1e-6
    assert (np.diff(rate[:400]) > 0).all()
    np.testing.assert_allclose(
        rate[current > 1 + 20 * sigma], lif_rate(NEURON, current)[current > 1 + 20 * sigma], 1e-6
    )


def test_rates_far_from_the_threshold_are_numbers():
    current = np.array([-1e6, -50.0, 0.0, 1.0, 50.0, 1e6], np.float32)
    rate, slope = softlif(NEURON, current, 0.001)
    assert rate.dtype == slope.dtype == np.float32
    assert np.isfinite(rate).all()
    assert (slope >= 0).all()
    assert rate[-1] == pytest.approx(0.01 / 0.002, rel=1e-3)
    np.testing.assert_array_equal(lif_rate(NEURON, current[:4]), np.zeros(4, np.float32))


class Problem:
    """Random float64 parameters of a small network, pictures and a direction of its output."""

    def __init__(self, sigma=0.1):
        random = np.random.default_rng(2)
        self.sigma = sigma
        self.trainable = Trainable(small_network((2, 6, 5), 3, (3, 4), "off-midget", seed=1))
        self.parameters = {
            name: array + random.normal(0, 0.05, array.shape)
            for name, array in self.trainable.parameters(np.float64).items()
        }
        self.batch = random.uniform(0, 1, (2, 6, 5, 2))
        self.direction = random.standard_normal((2, 1, 1, 3))

    def tape(self, parameters):
        network = self.trainable.network(parameters)
        return network, run_rates(network, self.batch, self.sigma)

    def gradients(self):
        return rate_gradients(*self.tape(self.parameters), self.direction)


def test_gradients_are_finite_differences():
    problem = Problem()
    found, random = problem.gradients(), np.random.default_rng(0)
    assert found.keys() == problem.parameters.keys()

    def loss(name, place, change):
        array = problem.parameters[name].copy()
        array[place] += change
        return float((problem.tape({**problem.parameters, name: array})[1].output * problem.direction).sum())

    for name, array in problem.parameters.items():
        scale = np.abs(found[name]).max()
        for index in random.permutation(array.size)[:4]:
            place, h = np.unravel_index(index, array.shape), 1e-3
            near = [loss(name, place, k * h) for k in (-2, -1, 1, 2)]
            expected = (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * h)
            assert abs(found[name][place] - expected) < 1e-6 * scale


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    problem = Problem(0.02)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in problem.parameters.items()}
    value = torch.tensor(problem.batch.transpose(0, 3, 1, 2).copy())
    for node in problem.trainable.weighted[:-1]:
        weight, bias = tensors[f"{node.name}.weight"], tensors[f"{node.name}.bias"]
        current = torch.nn.functional.conv2d(value, weight, bias, node.stride, node.padding)
        rho = 0.02 * torch.nn.functional.softplus((current - 1) / 0.02, threshold=1e9)
        value = 0.01 / (0.002 + 0.02 * torch.log1p(1 / rho))
    output = value.flatten(1) @ tensors["classes.weight"].T + tensors["classes.bias"]
    (output * torch.tensor(problem.direction[:, 0, 0])).sum().backward()
    np.testing.assert_allclose(problem.tape(problem.parameters)[1].output[:, 0, 0], output.detach(), rtol=1e-10)
    for name, gradient in problem.gradients().items():
        np.testing.assert_allclose(gradient, tensors[name].grad, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dt", [0.0005, 0.001, 0.002])
def test_neurons_fire_at_their_rate_whatever_the_step(dt):
    """Within a spike of two seconds; currents below the threshold, at it and far above."""
    currents = np.array([-2.0, 0.5, 1.0, 1.05, 1.5, 3.0, 40.0])
    steps = round(2 / dt)
    spikes = mean_emission(InterpolatedLeakyIntegrateAndFire(dt=dt), currents, steps) * 2 / 0.01
    expected = lif_rate(NEURON, currents) * 2 / 0.01
    assert np.abs(spikes - expected).max() <= 1


def test_a_synapse_filters_the_current():
    step = InterpolatedLeakyIntegrateAndFire.step
    model = InterpolatedLeakyIntegrateAndFire(tau_syn=0.004)
    state = (0.0, 0.0, 0.0)
    for index in range(1, 6):
        _, *state = step(0.5, *state, 0.02, 0.002, 0.001, model.syn_decay, model.syn_gain)
        assert state[1] == pytest.approx(0.5 * (1 - np.exp(-index / 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_ref": 0.0005}, r"tau_ref: must be no shorter than a step, 0.001 s \(got 0.0005\)"),
        ({"tau_mem": 0.0}, "tau_mem: must be a positive number of seconds"),
        ({"tau_syn": -1.0}, "tau_syn: must not be negative"),
        ({"initial": 1.0}, "initial: must be at least 0 and below the threshold"),
        ({"amplitude": 0.0}, "amplitude: must be"),
    ],
)
def test_neurons_that_are_refused(options, message):
    with pytest.raises(NeuronError, match=f"InterpolatedLeakyIntegrateAndFire.{message}"):
        InterpolatedLeakyIntegrateAndFire(**options)


@pytest.mark.parametrize("tau", [0.0, 0.01])
def test_a_filtered_readout(tau):
    currents = np.random.default_rng(0).random((2, 7, 3, 1, 1))
    left, expected = (np.exp(-0.001 / tau) if tau else 0.0), np.zeros((2, 3, 1, 1))
    for step in range(7):
        expected = left * expected + (1 - left) * currents[:, step]
    np.testing.assert_allclose(filtered(currents.cumsum(axis=1), tau, 0.001), expected)
    np.testing.assert_allclose(filtered(currents[0].cumsum(axis=0), tau, 0.001), expected[0])


def trained(stop=None):
    trainer = SoftLIFTrainer(bright_pictures(), SETTINGS)
    while not trainer.finished and trainer.iteration != stop:
        trainer.step()
    return trainer


def test_a_run_learns_resumes_and_saves_what_spikes(tmp_path):
    """To the bit; spikes come close to the rates that were trained."""
    test = bright_pictures(20, seed=1)
    half = trained(5)
    half.checkpoint(tmp_path / "run.npz")
    again = SoftLIFTrainer(bright_pictures(), SETTINGS)
    again.resume(tmp_path / "run.npz")
    course = train(again, test)
    whole = trained()
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], array)
    assert course[-1]["validation_accuracy"] == 1
    assert course[-1]["validation_spiking_accuracy"] >= 0.9  # of 20 pictures, in 12 steps
    assert "validation_spiking_accuracy" not in course[0]
    whole.save(tmp_path / "model.npz")
    network = load_model(tmp_path / "model.npz")
    retina = network["retina"].weight
    np.testing.assert_array_equal(retina, small_network((1, 8, 8), 2, (4,), "midget")["retina"].weight)
    assert network.metadata["preprocessing"] == [{"name": "resize", "height": 8, "width": 8}]
    shown = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    spiking = simulate(network, shown, 400).output
    np.testing.assert_allclose(spiking, rates(network, shown), atol=0.1 * np.abs(spiking).max())


def test_the_method_is_registered():
    assert METHODS["softlif"].trainer is SoftLIFTrainer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftLIFSettings(widths=()), "widths must name"),
        (lambda: SoftLIFSettings(cells="parasol"), "cells must be one of none, off-midget, midget"),
        (lambda: SoftLIFTrainer(TALL, SoftLIFSettings(enlarge=64)), "enlarge 64 makes pictures of 5120x128"),
        (lambda: small_network((1, 4, 4), 1), "at least two classes"),
        (lambda: small_network((1, 4, 4), 2, cells="all"), "cells must be one of"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_other_neurons_have_no_rate():
    network = small_network((1, 4, 4), 2, (2,)).with_neurons(InterpolatedLeakyIntegrateAndFire(0.05))
    assert rates(network, np.ones((1, 4, 4))).shape == (2, 1, 1)
    with pytest.raises(InputError, match=r"rate of InterpolatedLeakyIntegrateAndFire neurons \('lif1' has"):
        rates(network.with_neurons(IntegrateAndFire()), np.ones((1, 4, 4)))

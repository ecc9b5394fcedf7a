"""Spike times in continuous time: against root finding, a slow twin, a grid of time, finite differences and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from small_learner import bright_pictures

from spikeunet.engine import Input, InputError, IntegrateAndFire, Linear, ModelFileError, Network, Neurons, Output
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import method_named, train
from spikeunet.engine.learning.spike_times import (
    TimesNetwork,
    load_times_network,
    save_times_network,
    simulate_grid,
    simulate_times,
)
from spikeunet.engine.learning.spike_times.gradients import latency, network_gradients


def potential(time, times, weights, bias):
    """Of a neuron, by definition."""
    arrived = np.isfinite(times)
    return bias * time + float(weights[arrived] @ np.maximum(time - times[arrived], 0))


def crossing_by_root_finding(times, weights, bias, threshold):
    """First crossing of one neuron: between corners the potential is a line, so each segment has one root at most."""
    corners = [0.0, *sorted(set(times[np.isfinite(times)].tolist()))]
    slope = bias + float(weights[np.isfinite(times)].sum())
    # Far enough beyond the last corner for a potential that rises at all.
    end = corners[-1] + (threshold + abs(potential(corners[-1], times, weights, bias))) / slope * 2 if slope > 0 else 0
    for first, last in zip(corners, [*corners[1:], end], strict=True):
        if last > first and potential(last, times, weights, bias) >= threshold:
            return brentq(
                lambda time: potential(time, times, weights, bias) - threshold, first, last, xtol=1e-13, rtol=1e-14
            )
    return np.inf


def twin(times, weights, bias, threshold):
    """Time, slope and arrivals of one neuron, arrival by arrival; readable and slow."""
    arrivals = sorted((time, source) for source, time in enumerate(times) if np.isfinite(time))
    slope, moment, now = bias, 0.0, 0.0
    for taken in range(len(arrivals) + 1):
        following = arrivals[taken][0] if taken < len(arrivals) else np.inf
        if slope > 0 and (threshold + moment) / slope <= following:
            return max((threshold + moment) / slope, now), slope, taken
        if taken < len(arrivals):
            now, source = arrivals[taken]
            slope += weights[source]
            moment += weights[source] * now
    return np.inf, slope, len(arrivals)


dyadic = st.integers(-32, 32).map(lambda number: number / 16)


@st.composite
def layers(draw):
    sources = draw(st.integers(1, 7))
    times = draw(
        st.lists(
            st.one_of(st.just(np.inf), st.integers(0, 64).map(lambda n: n / 32)), min_size=sources, max_size=sources
        )
    )
    weights = draw(st.lists(dyadic, min_size=3 * sources, max_size=3 * sources))
    bias = draw(st.lists(st.sampled_from([0.0, 0.0, 0.25, -0.5]), min_size=3, max_size=3))
    threshold = draw(st.sampled_from([0.5, 1.0, 1.7]))
    return np.array(times), np.array(weights).reshape(3, sources), np.array(bias), threshold


@given(layers())
def test_spike_times_are_those_of_bracketed_root_finding(layer):
    times, weights, bias, threshold = layer
    result = simulate_times(TimesNetwork((weights,), (bias,), (threshold,)), times, threads=1)
    for neuron in range(3):
        expected = crossing_by_root_finding(times, weights[neuron], bias[neuron], threshold)
        assert result.times[0][0, neuron] == pytest.approx(expected, abs=1e-9, rel=0)
        time, slope, _ = twin(times, weights[neuron], bias[neuron], threshold)
        assert result.times[0][0, neuron] == pytest.approx(time, abs=1e-12)
        assert result.slopes[0][0, neuron] == pytest.approx(slope, abs=1e-12)
    expected = sum(twin(times, weights[neuron], bias[neuron], threshold)[2] for neuron in range(3))
    assert result.synops[0].tolist() == [expected]


def test_weights_that_are_no_dyadic_numbers_agree_too():
    random = np.random.default_rng(3)
    times, weights = random.random((20, 30)), random.normal(0.02, 0.4, (12, 30))
    found = simulate_times([weights], times, threads=1).times[0]
    expected = [[crossing_by_root_finding(row, line, 0.0, 1.0) for line in weights] for row in times]
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=0)
    assert np.isinf(found).any()
    assert np.isfinite(found).mean() > 0.5


def network(seed=0):
    random = np.random.default_rng(seed)
    return TimesNetwork((random.normal(0.4, 0.4, (9, 12)), random.normal(0.4, 0.5, (4, 9)))), random.random((6, 12))


def test_one_spike_a_neuron_and_nothing_of_the_threads():
    net, times = network()
    one, two = (simulate_times(net, np.tile(times, (4, 1)), threads=threads) for threads in (1, 2))
    for first, second in zip(one.times, two.times, strict=True):
        np.testing.assert_array_equal(first, second)
    assert all((count <= layer.shape[1]).all() for count, layer in zip(one.spikes, one.times, strict=True))
    assert one.operations == sum(each.sum() for each in one.synops)


def test_a_grid_converges_as_its_step():
    net, times = network()
    exact = simulate_times(net, times, threads=1)
    errors = []
    for step in (1e-2, 1e-3, 1e-4):
        grid = simulate_grid(net, times, step, 20.0, threads=1)
        assert (np.isfinite(grid.times[1]) == np.isfinite(exact.times[1])).all()
        fired = np.isfinite(exact.times[1])
        errors.append(np.abs(grid.times[1] - exact.times[1])[fired].mean())
    slopes = np.diff(np.log10(errors)) / -1
    np.testing.assert_allclose(slopes, 1, atol=0.15)
    assert simulate_grid(net, times, 1e-2, 20.0).updates[0].min() > 0


def loss_of(net, times, pull):
    last = simulate_times(net, times, threads=1).times[-1]
    return float((np.where(np.isfinite(last), last, 0) * pull).sum())


def test_gradients_are_those_of_finite_differences():
    net, times = network(2)
    pull = np.random.default_rng(1).normal(size=(6, 4))
    result = simulate_times(net, times, threads=1)
    found = network_gradients(net, times, result, pull)
    for weight, gradient in zip(net.weights, found, strict=True):
        numeric = np.zeros_like(weight)
        for place in np.ndindex(weight.shape):
            kept, values = weight[place], []
            for change in (1e-6, -1e-6):
                weight[place] = kept + change
                values.append(loss_of(net, times, pull))
            weight[place] = kept
            numeric[place] = (values[0] - values[1]) / 2e-6
        assert np.abs(numeric - gradient).max() / np.abs(numeric).max() < 1e-6


def test_gradients_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    net, times = network(2)
    pull = np.random.default_rng(1).normal(size=(6, 4))
    result = simulate_times(net, times, threads=1)
    weights = [torch.tensor(each, requires_grad=True) for each in net.weights]
    before = torch.tensor(times)
    for weight, after in zip(weights, result.times, strict=True):
        # Which arrivals come before a spike is taken from the simulation, all else is PyTorch's.
        fired = torch.tensor(np.isfinite(after))
        early = (
            (before[:, None, :] < torch.tensor(after)[:, :, None]) & fired[:, :, None] & torch.isfinite(before)[:, None]
        )
        causes = torch.where(early, weight, 0.0)
        arrived = torch.where(torch.isfinite(before), before, 0.0)
        slope = torch.where(fired, causes.sum(-1), 1.0)
        before = torch.where(fired, (1 + (causes * arrived[:, None]).sum(-1)) / slope, torch.inf)
    np.testing.assert_allclose(before.detach().numpy(), result.times[-1], atol=1e-12)
    (torch.where(torch.isfinite(before), before, 0.0) * torch.tensor(pull)).sum().backward()
    for gradient, weight in zip(network_gradients(net, times, result, pull), weights, strict=True):
        np.testing.assert_allclose(gradient, weight.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_neurons_that_never_spike_are_infinite_and_pass_nothing_on():
    net = TimesNetwork((np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([[1.0, 3.0]])))
    result = simulate_times(net, [[0.0, 0.0]])
    assert result.times[0].tolist() == [[1.0, np.inf]]
    assert result.times[1].tolist() == [[2.0]]
    assert result.spikes[0].tolist() == [1]
    assert result.synops[1].tolist() == [1]
    gradients = network_gradients(net, np.zeros((1, 2)), result, np.ones((1, 1)))
    assert not gradients[0][1].any()
    assert simulate_times(net, [np.inf, np.inf]).spikes[1].tolist() == [0]


def test_a_network_of_linear_layers_runs():
    random = np.random.default_rng(0)
    first, second = random.random((5, 4)).astype(np.float32), random.random((3, 5)).astype(np.float32)
    graph = Network([
        Input("input", 4), Linear("fc1", "input", first, np.full(5, 0.1, np.float32)),
        Neurons("hidden", "fc1", IntegrateAndFire(0.5)), Linear("fc2", "hidden", second), Output("output", "fc2"),
    ])  # fmt: skip
    times = random.random((2, 4))
    found = simulate_times(graph, times)
    plain = simulate_times(TimesNetwork((first, second), (np.full(5, np.float32(0.1)), np.zeros(3)), (0.5, 1.0)), times)
    np.testing.assert_array_equal(found.times[1], plain.times[1])
    np.testing.assert_array_equal(
        simulate_times([first, second], times).times[0], simulate_times([first], times).times[0]
    )


@pytest.mark.parametrize(
    ("times", "message"),
    [([[0.0, -1.0]], "0 or more"), ([[0.0, np.nan]], "0 or more"), ([[0.0]], r"numbers \(N, 2\)")],
)
def test_times_that_are_none_are_refused(times, message):
    with pytest.raises(InputError, match=message):
        simulate_times([np.ones((1, 2))], times)


def test_networks_that_are_none_are_refused():
    with pytest.raises(InputError, match="takes 3 sources"):
        TimesNetwork((np.ones((2, 2)), np.ones((1, 3))))
    with pytest.raises(InputError, match="thresholds"):
        TimesNetwork((np.ones((2, 2)),), thresholds=(0.0,))
    with pytest.raises(InputError, match="step must"):
        simulate_grid([np.ones((1, 2))], [0, 0], 0, 1)


def test_files_keep_networks(tmp_path):
    net, times = network()
    save_times_network(net, tmp_path / "times.npz")
    again = load_times_network(tmp_path / "times.npz")
    np.testing.assert_array_equal(simulate_times(again, times).times[1], simulate_times(net, times).times[1])
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(ModelFileError, match="holds no network of spike times"):
        load_times_network(tmp_path / "other.npz")


def trainer(**settings):
    method = method_named("spike-times")
    return method.trainer(
        bright_pictures(24), method.settings(**{"layers": (8,), "batch": 6, "epochs": 6, **settings}), 1
    )


def test_training_tells_classes_apart_and_resumes_exactly(tmp_path):
    whole, begun, resumed = (trainer(rate=0.03, epochs=12) for _ in range(3))
    course = train(whole, bright_pictures(20, 1))
    assert course[-1]["validation_accuracy"] >= 0.9
    assert course[-1]["validation_spikes"] <= 1
    for _ in range(9):
        begun.step()
    begun.checkpoint(tmp_path / "run.npz")
    resumed.resume(tmp_path / "run.npz")
    train(resumed)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(array, resumed.parameters[name])


def test_the_push_revives_neurons_that_are_silent():
    dead = trainer(rate=0.03, epochs=40)
    for array in dead.parameters.values():
        array[:] = -0.1
    assert dead.step()["silent"] == 1
    train(dead)
    assert dead.step()["silent"] < 0.1
    unpushed = trainer(rate=0.03, push=0.0)
    for array in unpushed.parameters.values():
        array[:] = -0.1
    train(unpushed)
    assert unpushed.step()["silent"] == 1


def test_the_first_spike_decides_the_class():
    one = trainer()
    pictures = one.pictures
    result = simulate_times(one.network(), latency(pictures.pictures))
    expected = float((result.times[-1].argmin(1) == pictures.labels).mean())
    assert one.validate(pictures)["accuracy"] == expected


def test_the_command_trains(tmp_path, capsys):
    pytest.importorskip("sklearn")
    out = tmp_path / "digits.npz"
    arguments = [
        "train",
        "spike-times",
        "--data",
        "digits",
        "--pictures",
        "64",
        "--epochs",
        "1",
        "--layers",
        "8",
        "-o",
        out,
    ]
    main([str(each) for each in arguments], standalone_mode=False)
    assert load_times_network(out).facts["task"] == "classify"


@pytest.mark.parametrize("weights", [[0.1, 0.2, -0.3], [0.7, 0.1, -0.6, -0.2], [0.3, -0.1, -0.1, -0.1]])
def test_weights_that_cancel_out_never_reach_the_threshold(weights):
    """What rounding leaves of their sum is no slope, on which a neuron would spike after 10**15."""
    for seed in range(6):
        times = np.random.default_rng(seed).random(len(weights))
        result = simulate_times([np.array([weights])], times, threads=1)
        assert np.isinf(result.times[0]).all()
    # What is small is none the less a slope.
    slow = simulate_times([np.array([[1e-9, 1.0, -1.0]])], [0.0, 0.25, 0.5], threads=1)
    assert slow.times[0][0, 0] == pytest.approx((1 - 0.25) / 1e-9, rel=1e-6)

"""examples/muon.py against its definition; it needs PyTorch."""

from __future__ import annotations

import argparse
import copy
import math
import sys
import warnings

import numpy as np
import pytest
from example_modules import example_modules

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")


@pytest.fixture(scope="module")
def loop():
    with example_modules("training_loop") as modules:
        yield modules.training_loop


@pytest.fixture(scope="module")
def muon(loop):
    assert loop.Muon
    return sys.modules["muon"]


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(16, 72), (72, 16), (20, 20), (8, 8)], ids=str)
def test_matrices_become_nearly_orthogonal(muon, shape):
    # Singular values within a hundred of each other, as gradients have them, all end near 1, in their directions.
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -1.5, min(shape))
    found = muon.orthogonal(left @ torch.diag(values) @ right * 7)
    seen = left.T @ found @ right.T
    assert seen.diagonal().min() > 0.6
    assert seen.diagonal().max() < 1.3
    assert (seen - torch.diag(seen.diagonal())).abs().max() < 0.1
    assert found.dtype == torch.float32


def a_network():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 12, 3), torch.nn.Conv2d(12, 8, 3), torch.nn.ConvTranspose2d(8, 10, 2))


def with_gradients(network):
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


@pytest.mark.parametrize(("tensor", "bias_share"), [(False, 1.0), (True, 1.0), (False, 0.25)])
def test_hidden_weights_turn_and_others_follow_adam(muon, tensor, bias_share):
    network = a_network()
    twin = copy.deepcopy(network)
    hidden = {name: parameter for name, parameter in network.named_parameters() if muon.is_hidden(parameter)}
    assert set(hidden) == {"1.weight", "2.weight"}
    rate = torch.tensor(0.01) if tensor else 0.01
    biases = [parameter for parameter in twin.parameters() if parameter.ndim == 1]
    weights = [parameter for parameter in twin.parameters() if parameter.ndim > 1]
    adam = torch.optim.Adam([{"params": weights}, {"params": biases, "lr": 0.01 * bias_share}], 0.01)
    optimizer = muon.Muon(network, rate, bias_share)
    means = {name: np.zeros(parameter.shape) for name, parameter in hidden.items()}
    for _ in range(3):
        with_gradients(network)
        for parameter, other in zip(network.parameters(), twin.parameters(), strict=True):
            other.grad = parameter.grad.clone()
        before = {name: parameter.detach().clone() for name, parameter in hidden.items()}
        optimizer.step()
        adam.step()
        for name, parameter in hidden.items():
            gradient = parameter.grad.double().numpy()
            means[name] = 0.95 * means[name] + 0.05 * gradient
            ahead = torch.from_numpy(0.95 * means[name] + 0.05 * gradient).float()
            left, _, right = torch.linalg.svd(ahead.flatten(1), full_matrices=False)
            moved = (before[name] - parameter.detach()).flatten(1)
            size = 0.01 * 0.2 * math.sqrt(max(moved.shape))
            along = left.T @ moved @ right.T / size
            assert 0.6 < along.diagonal().min() <= along.diagonal().max() < 1.3
            assert moved.square().mean().sqrt() == pytest.approx(0.01 * 0.2, rel=0.3)
    for (name, parameter), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        if name not in hidden:
            np.testing.assert_allclose(parameter.detach(), other.detach(), rtol=1e-5, atol=1e-6)


def test_what_has_no_gradient_stays_and_nothing_is_evaluated(muon):
    network = with_gradients(a_network())
    network[1].weight.grad = network[0].bias.grad = None
    before = copy.deepcopy(network.state_dict())
    muon.Muon(network, 0.1).step()
    moved = {name for name, values in network.state_dict().items() if not torch.equal(values, before[name])}
    assert moved == set(before) - {"1.weight", "0.bias"}
    with pytest.raises(ValueError, match="compute the gradients first"):
        muon.Muon(network, 0.1).step(lambda: 0.0)


def test_a_run_with_it_goes_on_from_its_checkpoint(loop, tmp_path):
    def trainer(name):
        torch.manual_seed(3)
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1))
        given = {
            "minutes": 1,
            "iterations": 6,
            "rate": 1e-2,
            "report": 1,
            "seed": 0,
            "optimizer": "muon",
            "bias_share": 1.0,
        }
        lesson = loop.Lesson(draw, lambda found, target: (found - target).square().mean(), lambda _: "")
        return loop.Trainer(network, lesson, argparse.Namespace(out=tmp_path / name, **given))

    def draw(generator):
        x = torch.from_numpy(generator.standard_normal((2, 1, 8, 8), np.float32))
        return x, x.expand(2, 8, 8, 8)

    first = trainer("a.npz")
    losses = []
    for iteration in range(40):
        first.step(iteration / 40)
        losses.append(first.loss.item())
    assert losses[-1] < losses[0]
    first.save()
    second = trainer("a.npz")
    for one, other in zip(first.optimizer.state.values(), second.optimizer.state.values(), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert second.iteration == 40


def test_a_share_of_the_rate_for_biases_is_of_muon_alone(loop, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    loop.add_arguments(parser, out=tmp_path / "out.npz", minutes=1, rate=1e-3, report=1)
    with pytest.raises(SystemExit):
        parser.parse_args(["--bias-share", "1.5"])
    assert "must lie above 0 and not above 1 (got 1.5)" in capsys.readouterr().err
    options = parser.parse_args(["--bias-share", "0.3"])
    with pytest.raises(SystemExit, match="--bias-share is of --optimizer muon"):
        loop.Trainer(torch.nn.Conv2d(1, 1, 3), None, options)
    assert loop.Trainer(
        torch.nn.Conv2d(1, 1, 3), None, argparse.Namespace(**{**vars(options), "optimizer": "muon"})
    ).optimizer._bias_share == pytest.approx(0.3)

"""examples/average_models.py: means of weights, of models of the same build alone."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, load_model, save_model

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "average_models.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("average_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(weight, bias=0.0, channels=2, neuron=None, **facts):
    """One layer of neurons between two convolutions whose weights are all `weight`."""
    first = np.full((channels, 1, 3, 3), weight, np.float32)
    second = np.full((1, channels, 1, 1), 2 * weight, np.float32)
    nodes = [
        Input("picture", 1),
        Conv2d("first", "picture", first, np.full(channels, bias, np.float32), padding=1),
        Neurons("neurons", "first", neuron or MultiThreshold((1.0, 0.5), initial=0.25)),
        Conv2d("second", "neurons", second, np.zeros(1, np.float32)),
        Output("output", "second"),
    ]
    return Network(nodes, metadata={"task": "denoise", "weight_bits": 8, "weight_snr_db": {"second": 40.0}, **facts})


def names(networks):
    return [f"{index}.npz" for index in range(len(networks))]


def run(script, monkeypatch, folder, *networks, missing=()):
    """The script's main on model files, in their folder."""
    for name, each in zip(names(networks), networks, strict=True):
        save_model(each, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *names(networks), *missing, "-o", "mean.npz"])
    script.main()


def test_weights_and_biases_are_means_and_all_else_is_the_first_ones(script, tmp_path, monkeypatch):
    networks = network(1.0, 4.0, said="first"), network(2.0, said="second"), network(6.0)
    run(script, monkeypatch, tmp_path, *networks)
    mean = load_model(tmp_path / "mean.npz")
    np.testing.assert_array_equal(mean["first"].weight, np.full((2, 1, 3, 3), 3, np.float32))
    np.testing.assert_array_equal(mean["second"].weight, np.full((1, 2, 1, 1), 6, np.float32))
    np.testing.assert_array_equal(mean["first"].bias, np.full(2, 4 / 3, np.float32))
    assert mean["neurons"].model == MultiThreshold((1.0, 0.5), initial=0.25)
    # What was said of the bits of weights is not true of their mean.
    assert dict(mean.metadata) == {"task": "denoise", "said": "first", "averaged": names(networks)}


def test_a_mean_of_equal_models_is_that_model(script):
    one = network(0.1, 0.3)
    mean = script.average([one, one], ["a", "b"])
    for name in ("first", "second"):
        np.testing.assert_array_equal(mean[name].weight, one[name].weight)
        np.testing.assert_array_equal(mean[name].bias, one[name].bias)


def without_padding(one):
    nodes = [dataclasses.replace(node, padding=0) if node.name == "first" else node for node in one.nodes]
    return one.replace(nodes)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ((), "a mean takes two models or more (got 0.npz alone)"),
        ((network(1.0, channels=3),), "1.npz: differs from 0.npz in more than its weights"),
        ((network(1.0), network(1.0, neuron=MultiThreshold((1.0, 0.5)))), "2.npz: differs from 0.npz"),
        ((without_padding(network(1.0)),), "1.npz: differs from 0.npz"),
        ((network(1.0).replace(normalization={"neurons": 3.0}),), "1.npz: differs from 0.npz"),
    ],
    ids=["one alone", "other channels", "other neurons", "other padding", "other scales of activations"],
)
def test_what_has_no_mean_is_refused_and_nothing_written(script, others, message, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(script, monkeypatch, tmp_path, network(1.0), *others)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mean.npz").exists()


def test_a_missing_file_is_one_line(script, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(script, monkeypatch, tmp_path, network(1.0), missing=["missing.npz"])
    assert stopped.value.code == 2
    assert "missing.npz: no such file" in capsys.readouterr().err

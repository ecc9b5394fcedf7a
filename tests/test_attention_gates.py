"""What a layer that is not linear in what it reads means for everybody else: gates over time, channels and places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from model_files import assert_same_network

from spikeunet.converters import normalize
from spikeunet.converters.quantization import quantize_weights
from spikeunet.engine import (
    AttentionGates,
    Conv2d,
    GraphError,
    Input,
    InputError,
    Network,
    Neurons,
    Output,
    forward,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.learning.finetune.trainable import Trainable

RANDOM = np.random.default_rng(0)


def gated(side=3):
    """A convolution, gates, a convolution and a readout, with neurons between."""
    weight = RANDOM.normal(0, 0.5, (4, 1, side, side)).astype(np.float32)
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", weight, padding=side // 2),
            Neurons("relu1", "conv1"),
            AttentionGates("gates", "relu1", RANDOM.normal(0, 1, (6, 4)), RANDOM.normal(0, 1, 6)),
            Neurons("relu2", "gates"),
            Conv2d("conv2", "relu2", RANDOM.normal(0, 0.5, (4, 4, 1, 1)).astype(np.float32)),
            Neurons("relu3", "conv2"),
            Conv2d("readout", "relu3", RANDOM.normal(0, 0.5, (1, 4, 1, 1)).astype(np.float32)),
            Output("output", "readout"),
        ]
    )


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (np.ones((4, 4)), None, r"weight must have two rows more than columns \(got the shape \(4, 4\)\)"),
        (np.ones(4), None, "weight must be a non-empty 2-dimensional array"),
        (np.ones((5, 3)), np.ones(3), r"bias must have 5 values \(got 3\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(weight, bias, message):
    with pytest.raises(GraphError, match=message):
        AttentionGates("gates", "relu1", weight, bias)


def test_open_gates_change_nothing_and_closed_ones_let_nothing_through():
    for bias, factor in ((60.0, 1.0), (-60.0, 0.0)):
        node = AttentionGates("gates", "relu1", np.zeros((6, 4)), np.full(6, bias))
        values = RANDOM.random((2, 3, 5, 4)).astype(np.float32)
        np.testing.assert_array_equal(node.forward((values,)), factor * values)


def test_thresholds_on_neither_side_of_gates_are_trained():
    """Scaling what is read, or what is put out, is no scaling of the weight; the function must stay the same."""
    network = gated()
    trainable = Trainable(network, scales="channel")
    parameters = trainable.parameters(np.float64)
    scales = [name for name in parameters if name.endswith(".log_scale")]
    assert scales == ["conv2.log_scale"]
    for name in scales:
        parameters[name] += RANDOM.normal(0, 0.3, parameters[name].shape)
    picture = RANDOM.random((1, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(
        forward(trainable.network(parameters), picture)[0], forward(network, picture)[0], rtol=1e-5
    )


def test_gates_are_neither_normalised_nor_rounded(tmp_path):
    network = gated()
    with pytest.raises(InputError, match=r"AttentionGates 'gates' multiplies what it reads with one another"):
        normalize(network, {"conv1": 2.0})
    rounded = quantize_weights(network, 8)
    np.testing.assert_array_equal(rounded["gates"].weight, network["gates"].weight)
    assert not np.array_equal(rounded["readout"].weight, network["readout"].weight)
    zeros = dataclasses.replace(network["gates"], weight=np.zeros((6, 4)))  # which would fit into integers
    stored = network.replace([zeros if node.name == "gates" else node for node in network.nodes])
    save_model(stored, tmp_path / "gates.npz")
    assert_same_network(load_model(tmp_path / "gates.npz"), stored)


@pytest.mark.parametrize("options", [{"threads": 1}, {"threads": 2}, {"threads": 1, "tile": 16}, {"order": "time"}])
def test_what_is_gathered_of_all_rows_is_gathered_once(monkeypatch, options):
    """For each group of steps, whatever bands and tiles the rows are cut into; bands write out their own rows alone."""
    rows, bands, network = [], [], gated()
    gather, current = AttentionGates.gather, AttentionGates.current

    def gathering(self, values):
        rows.append(values.shape[1])
        return gather(self, values)

    def computing(self, values, place, state=None):
        assert values.shape[1] == place.height
        bands.append((place.first, place.last))
        return current(self, values, place, state)

    picture = RANDOM.random((1, 60, 1024)).astype(np.float32)
    expected = simulate(network, picture, steps=1).output
    monkeypatch.setattr(AttentionGates, "gather", gathering)
    monkeypatch.setattr(AttentionGates, "current", computing)
    np.testing.assert_array_equal(simulate(network, picture, steps=1, **options).output, expected)
    assert sum(rows) == 60
    assert len(bands) > 1
    assert [row for band in sorted(bands) for row in range(*band)] == list(range(60))

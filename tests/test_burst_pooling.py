"""A network with max pooling, converted to burst neurons: the pooling invariant, and how fast it comes to the ANN."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeunet.converters import convert
from spikeunet.engine import (
    BurstNeuron,
    Conv2d,
    Input,
    IntegrateAndFire,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    forward,
    simulate,
)

STEPS = 32


def network():
    random = np.random.default_rng(5)

    def weight(*shape):
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) / 2)).astype(np.float32)

    return Network(
        [
            Input("picture", 1),
            Conv2d("conv1", "picture", weight(6, 1, 3, 3), np.full(6, 0.1, np.float32), padding=1),
            Neurons("relu1", "conv1"),
            MaxPool2d("window1", "relu1", 2),
            Neurons("pool1", "window1"),
            Conv2d("conv2", "pool1", weight(8, 6, 3, 3), padding=1),
            Neurons("relu2", "conv2"),
            MaxPool2d("window2", "relu2", 2),
            Neurons("pool2", "window2"),
            Conv2d("classes", "pool2", weight(4, 8, 2, 2)),
            Output("output", "classes"),
        ]
    )


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(1).random((4, 1, 8, 8), np.float32)


def converted(pictures, neuron, variant="lateral-inhibition", percentile=99.9):
    found = convert(network(), calibration=list(pictures), normalization="layer", percentile=percentile, neuron=neuron)
    return found.replace(
        [dataclasses.replace(n, variant=variant) if isinstance(n, MaxPool2d) else n for n in found.nodes]
    )


def windows(sums):
    """The largest of each 2x2 window of (T, C, H, W)."""
    steps, channels, height, width = sums.shape
    return sums.reshape(steps, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))


@pytest.mark.parametrize(
    "neuron",
    [
        BurstNeuron(gamma=1),
        BurstNeuron(gamma=5),
        BurstNeuron(0.25, gamma=5),
        BurstNeuron(0.2, gamma=5),
        BurstNeuron(1 / 15, 15),
    ],
)
def test_what_is_pooled_is_the_largest_sum_at_every_step(pictures, neuron):
    """Of what windows emitted so far: inhibition loses nothing, neurons keep nothing back, however it is rounded."""
    network = converted(pictures, neuron)
    found = simulate(network, pictures[0], STEPS, record=("spikes",)).spikes
    for relu, pool in (("relu1", "pool1"), ("relu2", "pool2")):
        emitted, passed = (np.rint(found[name] / neuron.threshold).cumsum(axis=0) for name in (relu, pool))
        np.testing.assert_array_equal(windows(emitted), passed)
        assert found[pool].any()


@pytest.mark.parametrize(
    ("neuron", "initial"),
    [
        (BurstNeuron(0.2, 5), 0.1),
        (BurstNeuron(0.2, 5, 0.05), 0.05),
        (IntegrateAndFire(0.5), 0.25),
        (IntegrateAndFire(0.5, "zero"), 0),
    ],
)
def test_neurons_behind_max_pooling_begin_half_a_threshold_up_where_they_would_begin_at_0(pictures, neuron, initial):
    network = converted(pictures, neuron)
    assert [node.model.initial for node in network.neurons] == [neuron.initial, initial] * 2
    kept = convert(network, calibration=list(pictures))
    assert [node.model for node in kept.neurons] == [node.model for node in network.neurons]


def errors(spiking, pictures, steps):
    """Root mean square of what is off the ANN's output."""
    ann, _ = forward(spiking, pictures)
    return np.sqrt(((simulate(spiking, pictures, steps).output - ann) ** 2).mean())


def test_bursts_of_a_finer_threshold_come_to_the_ann_sooner(pictures):
    """A burst of five fifths reaches as far as one spike, and tells five levels apart."""
    one = converted(pictures, BurstNeuron(gamma=1), percentile=100)
    five = converted(pictures, BurstNeuron(0.2, gamma=5), percentile=100)
    assert errors(five, pictures, STEPS // 4) < errors(one, pictures, STEPS // 2)
    assert errors(five, pictures, STEPS) < errors(one, pictures, STEPS) / 2
    assert errors(one, pictures, 8 * STEPS) < errors(one, pictures, STEPS) / 4


def test_a_burst_takes_what_one_spike_cannot(pictures):
    """Where the scale is too small for gamma 1, its neurons saturate for good."""
    one, five = (converted(pictures, BurstNeuron(gamma=gamma), percentile=95) for gamma in (1, 5))
    assert errors(five, pictures, 4 * STEPS) < errors(one, pictures, 4 * STEPS) / 10


def test_gating_lets_too_much_through(pictures):
    variants = ("lateral-inhibition", "gated")
    inhibited, gated = (converted(pictures, BurstNeuron(gamma=5), variant, 100) for variant in variants)
    assert errors(gated, pictures, 4 * STEPS) > 2 * errors(inhibited, pictures, 4 * STEPS)

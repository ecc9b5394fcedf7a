"""Levels straight from sums of integers, where no potential is kept: the same bits as by way of float32 potentials."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import Conv2d, ConvTranspose2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.binding.integer_ladder import LadderInUnits
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels.integer_firing import in_held_order
from spikeunet.engine.kernels.quads import grouped, lanes_of_channels
from spikeunet.engine.simulation.currents import plane_products
from spikeunet.engine.testing.comparison import assert_same_array, assert_same_operations

KERNELS = [kind for kind in host_kernels() if kind != "events"]
FEW, MANY = (16, 33, 48, 70, 112), (5, 32, 80, 96, 100, 130, 144, 176, 208, 240)


def ladder(thresholds, lowest=-7, initial=0.0):
    """Powers of two, the lowest of them 2**lowest."""
    powers = range(lowest + thresholds - 1, lowest - 1, -1)
    return MultiThreshold(tuple(2.0**power for power in powers), initial=initial)


def network(width, second, bias=0.0, **layer):
    """A layer of other neurons, one of `width` channels that reads them, and one that reads these."""
    generator = np.random.default_rng(width)
    weights = [generator.integers(-8, 9, shape) / 16 for shape in ((21, 1, 3, 3), (width, 21, 3, 3), (20, width, 2, 2))]
    weights[1] *= 2.0 ** generator.integers(-2, 2, width)[:, None, None, None]  # Units differ from channel to channel.
    first, last, final = (each.astype(np.float32) for each in weights)
    biases = np.float32(bias) * generator.integers(-3, 4, width).astype(np.float32)
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", first, padding=1),
            Neurons("relu1", "conv1", ladder(8)),
            Conv2d("conv2", "relu1", last, biases, **{"padding": 1, **layer}),
            Neurons("relu2", "conv2", second),
            Conv2d("conv3", "relu2", final / 8, stride=2),
            Neurons("relu3", "conv3", ladder(8)),
            Conv2d("conv4", "relu3", np.full((1, 20, 1, 1), 0.25, np.float32)),
            Output("output", "conv4"),
        ]
    )


@pytest.fixture
def picture():
    found = np.random.default_rng(4).random((1, 10, 22)).astype(np.float32) * 2 - 0.5
    return np.round(found * 64) / 64


@pytest.fixture
def in_integers(monkeypatch):
    """Layers of so many channels that have fired so."""
    found, held = [], LadderInUnits.held
    monkeypatch.setattr(LadderInUnits, "held", lambda own, *rest: found.append(own.addends.size) or held(own, *rest))
    return found


def assert_same(net, picture, kernels, steps=1, threads=1):
    expected = simulate(net, picture, steps, threads=1, kernels="events", record=("spikes",))
    found = simulate(net, picture, steps, threads=threads, kernels=kernels, record=("spikes",))
    assert found.kernels["relu2"] == (kernels,)
    for name, spikes in expected.spikes.items():
        assert_same_array(found.spikes[name], spikes, name)
    assert_same_array(found.output, expected.output, "output")
    assert_same_operations(found.operations, expected.operations)
    assert expected.spikes["relu2"].any()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("width", [*FEW, *(pytest.param(each, marks=pytest.mark.slow) for each in MANY)])
@pytest.mark.parametrize("steps", [1, 8, *(pytest.param(each, marks=pytest.mark.slow) for each in (2, 4))])
def test_same_as_by_way_of_potentials(picture, in_integers, width, kernels, steps):
    net = network(width, ladder(8, initial=2.0**-8), bias=2.0**-6)
    assert_same(net, picture, kernels, steps)
    assert len(in_integers) >= 2


@pytest.mark.skipif("vnni" not in KERNELS, reason="this processor has no such instructions")
@pytest.mark.parametrize("most", [100, -1])
@pytest.mark.parametrize("width", FEW)
@pytest.mark.parametrize("steps", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_same_from_four_to_four(monkeypatch, picture, in_integers, width, most, steps):
    monkeypatch.setattr(plane_products, "PERCENT_OF_FOURS", most)
    assert_same(network(width, ladder(6, -5), bias=2.0**-6), picture, "vnni", steps, threads=2)
    assert in_integers


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("thresholds", range(1, 9))
def test_any_number_of_thresholds(picture, in_integers, thresholds, kernels):
    """Small and large thresholds, and potentials at a threshold, above all of them and below 0, which stay there."""
    for lowest, initial, steps in ((-6, 0.0, 1), (-3, 2.0**-4, 8), (0, 1.5, 8)):
        assert_same(network(20, ladder(thresholds, lowest, initial), bias=0.5), picture, kernels, steps)
    assert len(in_integers) >= 3


@pytest.mark.parametrize("kernels", KERNELS)
def test_kernels_with_other_steps(picture, in_integers, kernels):
    for layer in ({"stride": 2}, {"stride": (1, 2)}, {"padding": 0}):
        assert_same(network(40, ladder(8), **layer), picture, kernels)
    assert len(in_integers) >= 3


@pytest.mark.parametrize("kernels", KERNELS)
def test_transposed_convolutions(picture, in_integers, kernels):
    generator = np.random.default_rng(1)
    nodes = list(network(20, ladder(8)).nodes)
    weight = (generator.integers(-8, 9, (21, 50, 4, 4)) / 32).astype(np.float32)
    nodes[3] = ConvTranspose2d("conv2", "relu1", weight, stride=2, padding=1)
    nodes[5] = Conv2d("conv3", "relu2", (generator.integers(-8, 9, (20, 50, 2, 2)) / 64).astype(np.float32), stride=2)
    assert_same(Network(nodes), picture, kernels)
    assert len(in_integers) >= 2


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("second", "bias"),
    [
        (ladder(8, initial=1 / 3), 0.0),
        (ladder(8, lowest=-20), 0.0),
        (ladder(8), 0.1),
        (MultiThreshold((1.0, 0.75, 0.25)), 0.0),
        (MultiThreshold((1.0, 0.25)), 0.0),
        (MultiThreshold((0.75, 0.375)), 0.0),
    ],
)
def test_others_go_by_way_of_potentials(picture, in_integers, second, bias, kernels):
    """Potentials that are no whole number of units, finer thresholds, and some that are no powers of two."""
    net = network(36, second, bias=bias)
    expected = simulate(net, picture, 1, threads=1, kernels="events", record=("spikes",))
    found = simulate(net, picture, 1, threads=1, kernels=[kernels, "events"], record=("spikes",))
    assert_same_array(found.spikes["relu2"], expected.spikes["relu2"], "relu2")
    assert_same_array(found.output, expected.output, "output")
    assert 48 not in in_integers
    assert 64 not in in_integers


@pytest.mark.parametrize("kernels", KERNELS)
def test_potentials_that_are_kept(picture, in_integers, kernels):
    """From one group of steps to the next one; or because they could be rounded, after so many steps."""
    assert_same(network(20, ladder(8)), picture, kernels, steps=9)
    assert not in_integers
    assert_same(network(20, ladder(8), bias=32.0), picture, kernels, steps=1)
    ones = len(in_integers)
    assert ones >= 2
    assert_same(network(20, ladder(8), bias=32.0), picture, kernels, steps=8)
    assert len(in_integers) < 2 * ones


def test_order_of_interleaved_sums():
    """The quarter k of 128 bits j of what is interleaved together has the channels 16 j + 4 k, ..."""
    for vectors in (1, 2, 4):
        lanes = lanes_of_channels(vectors)
        assert sorted(lanes) == list(range(16 * vectors))
        for channel, lane in enumerate(lanes):
            block, quarter, place = channel // 16, channel % 16 // 4, channel % 4
            assert lane == (quarter * vectors + block) * 4 + place
    assert grouped(7, True) == [(0, 4), (4, 4)]
    held = in_held_order(np.arange(1, 49, dtype=np.int32), 3, True)
    assert held.size == 64
    assert list(held[lanes_of_channels(4)[:48]]) == list(range(1, 49))
    assert list(in_held_order(np.arange(48, dtype=np.int32), 3, False)) == list(range(48))

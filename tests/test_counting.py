"""Counts are exact: equal to a brute-force count of the products that are made."""

from __future__ import annotations

import numpy as np
import pytest
from golden_network import GOLDEN_MODELS, golden_network, read_golden
from hypothesis import given, settings

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.testing import reference, strategies
from spikeunet.engine.testing.comparison import assert_same_operations

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more


# Ledgers of the other kinds are compared where their spikes are, in test_simulation.py, and those of all kinds together
# in test_random_graphs.py.
@settings(max_examples=5)
@given(strategies.cases(kinds=("scale",)))
def test_counts_equal_brute_force(case):
    found = simulate(case.network, case.picture, case.steps)
    expected = reference.simulate(case.network, case.picture, case.steps)
    assert_same_operations(found.operations, expected.operations)
    assert found.total_events == sum(int(values.sum()) for values in expected.events.values())
    assert found.total_accumulates == sum(int(values.sum()) for values in expected.accumulates.values())
    assert found.total_macs == sum(expected.macs.values())


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_counts_of_a_spiking_unet(golden_folder, name):
    golden = read_golden(golden_folder, name)
    network = golden_network(golden.weights, GOLDEN_MODELS[name])
    found = simulate(network, golden.picture, golden.steps)
    expected = reference.simulate(network, golden.picture, golden.steps)
    assert_same_operations(found.operations, expected.operations)
    assert list(found.macs) == ["conv1"]


def spread(node, site, shape=(2, 4, 5), model=None, value=1.0):
    """Accumulates of `node` at each of two steps, when one neuron alone fires at both."""
    picture = np.zeros(shape, np.float32)
    picture[site] = value
    identity = np.eye(shape[0], dtype=np.float32)[:, :, None, None]
    nodes = [
        Input("input", shape[0]),
        Conv2d("identity", "input", identity),
        Neurons("neurons", "identity", model or IntegrateAndFire()),
        node,
        Output("output", node.name),
    ]
    result = simulate(Network(nodes), picture, steps=2)
    np.testing.assert_array_equal(result.events["neurons"], [1, 1])
    return result.accumulates[node.name].tolist()


@pytest.mark.parametrize(
    ("options", "site", "count"),
    [
        ({"padding": 1}, (0, 1, 1), 7 * 9),
        ({"padding": 1}, (0, 0, 0), 7 * 4),
        ({"padding": 1}, (1, 0, 2), 7 * 6),
        ({}, (0, 0, 0), 7),
        ({}, (0, 1, 2), 7 * 2 * 3),
        ({"padding": 1, "stride": 2}, (0, 0, 0), 7),
        ({"padding": 1, "stride": 2}, (0, 1, 1), 7 * 4),
        ({"stride": 3, "padding": 1}, (0, 3, 4), 7),
        ({"padding": 2, "dilation": 2}, (0, 0, 0), 7 * 4),
        ({"stride": (1, 3)}, (0, 0, 4), 0),
    ],
)
def test_targets_of_a_convolution(options, site, count):
    node = Conv2d("conv", "neurons", np.ones((7, 2, 3, 3), np.float32), **options)
    assert spread(node, site) == [count, count]


def test_targets_of_a_grouped_convolution():
    node = Conv2d("conv", "neurons", np.ones((6, 1, 3, 3), np.float32), padding=1, groups=2)
    assert spread(node, (0, 1, 1)) == [3 * 9, 3 * 9]


@pytest.mark.parametrize(
    ("options", "site", "count"),
    [
        ({"stride": 2, "padding": 1, "output_padding": 1}, (0, 1, 1), 7 * 9),
        ({"stride": 2, "padding": 1, "output_padding": 1}, (0, 0, 0), 7 * 4),
        ({"stride": 2, "padding": 1}, (0, 3, 4), 7 * 4),
        ({"stride": 2, "padding": 1, "output_padding": 1}, (0, 3, 4), 7 * 9),
        ({"stride": 3}, (1, 3, 4), 7 * 9),
    ],
)
def test_targets_of_a_transposed_convolution(options, site, count):
    node = ConvTranspose2d("up", "neurons", np.ones((2, 7, 3, 3), np.float32), **options)
    assert spread(node, site) == [count, count]


@pytest.mark.parametrize(
    ("options", "site", "count"),
    [
        ({"kernel_size": 2}, (0, 1, 1), 1),
        ({"kernel_size": 2}, (0, 1, 4), 0),
        ({"kernel_size": 2, "stride": 1}, (0, 1, 1), 4),
        ({"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}, (1, 1, 2), 3),
    ],
)
def test_targets_of_a_pool(options, site, count):
    assert spread(AvgPool2d("pool", "neurons", **options), site) == [count, count]


def test_targets_of_a_linear_node():
    node = Linear("linear", "neurons", np.ones((11, 40), np.float32))
    assert spread(node, (1, 2, 3)) == [11, 11]


@pytest.mark.parametrize("channels", [254, 255, 256, 257, 511, 520, 1030])
def test_many_events_in_a_pixel(channels):
    """More events in a pixel than a byte can count."""
    nodes = [
        Input("input"),
        Conv2d("conv", "input", np.ones((channels, 1, 1, 1), np.float32)),
        Neurons("neurons", "conv", IntegrateAndFire()),
        Conv2d("readout", "neurons", np.ones((3, channels, 1, 2), np.float32)),
        Output("output", "readout"),
    ]
    result = simulate(Network(nodes), np.ones((1, 1, 2), np.float32), steps=3, record=("readout",))
    np.testing.assert_array_equal(result.events["neurons"], [2 * channels] * 3)
    np.testing.assert_array_equal(result.accumulates["readout"], [3 * 2 * channels] * 3)
    np.testing.assert_array_equal(result.readout[:, :, 0, 0], np.outer(np.arange(1, 4), [2 * channels] * 3))


def test_a_graded_event_counts_once():
    node = Linear("linear", "neurons", np.ones((3, 40), np.float32))
    assert spread(node, (0, 0, 0), model=MultiThreshold(), value=3.75) == [3, 3]


def test_zero_weights_count():
    """Accumulates are what a machine does that does not look for zeros among its weights."""
    node = Conv2d("conv", "neurons", np.zeros((7, 2, 3, 3), np.float32), padding=1)
    assert spread(node, (0, 1, 1)) == [63, 63]


def test_density():
    picture = np.float32([[[1, 0, 0, 0.5]]])
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", one), Neurons("neurons", "conv", IntegrateAndFire())]
    result = simulate(Network([*nodes, Output("output", "conv")]), picture, steps=2)
    assert result.density == 3 / 8


@pytest.mark.parametrize("tile", [1, 2, 3, 8])
def test_a_node_that_feeds_two_layers_is_counted_once_in_tiles(tile):
    """Whose tiles begin at other rows."""
    kernel = np.full((1, 1, 3, 3), 0.125, np.float32)
    both = Conv2d("both", "input", kernel, padding=1)
    behind = [Neurons("neurons", "both", MultiThreshold((1.0, 0.5))), Conv2d("last", "neurons", kernel, padding=1)]
    for ends in ([Output("one", "last"), Output("two", "both")], [Add("sum", ("last", "both")), Output("one", "sum")]):
        network = Network([Input("input"), both, *behind, *ends])
        picture = np.ones((1, 8, 4), np.float32)
        whole, found = (simulate(network, picture, 1, tile=each).operations for each in (None, tile))
        assert found.synapses["both"].macs == whole.synapses["both"].macs == 220
        assert_same_operations(found, whole)

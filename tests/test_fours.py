"""Currents from four neighbouring channels to four, in the place of products of all: the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from still_camera import BYTE_LADDER, weight

from spikeunet.engine import (
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding import gather_layer
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.simulation.currents import plane_products
from spikeunet.engine.testing.comparison import assert_same_array, assert_same_operations

pytestmark = pytest.mark.skipif("vnni" not in host_kernels(), reason="this processor has no such instructions")

UNEVEN = MultiThreshold((1.0, 0.75, 0.25))
RECORDS = ("spikes", "membrane")


def network(ladder=BYTE_LADDER):
    """Channels that are no multiple of four, windows of three, two and one pixels, strides, and two sources."""
    generator = np.random.default_rng(3)
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(generator, 21, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", ladder),
            Conv2d("conv2", "relu1", weight(generator, 70, 21, 3, 3) / 8, padding=1),
            Neurons("relu2", "conv2", ladder),
            Conv2d("down", "relu2", weight(generator, 33, 70, 2, 2) / 8, stride=2),
            Neurons("relu3", "down", UNEVEN),
            ConvTranspose2d("up", "relu3", weight(generator, 33, 18, 4, 4) / 4, stride=2, padding=1),
            Neurons("relu4", "up", ladder),
            Concat("both", ("relu1", "relu4")),
            Conv2d("conv3", "both", weight(generator, 130, 39, 3, 5) / 8, padding=(1, 2)),
            Neurons("relu5", "conv3", ladder),
            Conv2d("conv4", "relu5", weight(generator, 40, 130, 1, 1) / 8),
            Output("output", "conv4"),
        ]
    )


@pytest.fixture(params=[(10, 14), pytest.param((2, 46), marks=pytest.mark.slow)])
def picture(request):
    """Of which half is dark, so that bands differ."""
    found = np.random.default_rng(4).random((2, *request.param)).astype(np.float32) * 2
    found[:, : request.param[0] // 2] /= 16
    return np.round(found * 64) / 64


@pytest.fixture
def percent(monkeypatch):
    return lambda number: monkeypatch.setattr(plane_products, "PERCENT_OF_FOURS", number)


@pytest.mark.parametrize("steps", [1, 2, pytest.param(11, marks=pytest.mark.slow)])
@pytest.mark.parametrize("most", [100, 60, -1])
def test_same_as_from_event_to_event(percent, picture, steps, most):
    percent(most)
    expected = simulate(network(), picture, steps, threads=1, kernels="events", record=RECORDS)
    found = simulate(network(), picture, steps, threads=1, kernels="vnni", record=RECORDS)
    for name in ("relu2", "relu3", "relu4", "relu5", "output"):
        assert found.kernels[name] == ("vnni",)
    for name, spikes in expected.spikes.items():
        assert_same_array(found.spikes[name], spikes, name)
        assert_same_array(found.membrane[name], expected.membrane[name], name)
    assert_same_array(found.output, expected.output, "output")
    assert_same_operations(found.operations, expected.operations)
    plain = simulate(network(), picture, steps, threads=2, kernels="vnni")
    assert_same_array(plain.output, expected.output, "output")
    assert_same_operations(plain.operations, expected.operations)


@pytest.mark.parametrize("most", [100, -1])
def test_which_of_the_two_has_computed_it(percent, picture, monkeypatch, most):
    """Without weights, what multiplies all channels makes nothing, and is not asked where fours are taken."""
    expected = simulate(network(), picture, 1, threads=1, kernels="events")
    pack = gather_layer.pack_integers
    monkeypatch.setattr(gather_layer, "pack_integers", lambda kernel, plan: pack(np.zeros_like(kernel), plan))
    percent(most)
    found = simulate(network(), picture, 1, threads=1, kernels="vnni")
    assert np.array_equal(found.output, expected.output) == (most == 100)


def test_neurons_of_other_ladders(percent, picture):
    percent(100)
    expected = simulate(network(UNEVEN), picture, 3, threads=1, kernels="events")
    found = simulate(network(UNEVEN), picture, 3, threads=1, kernels="vnni")
    assert_same_array(found.output, expected.output, "output")
    assert_same_operations(found.operations, expected.operations)


def test_step_by_step(percent, picture):
    percent(100)
    expected = simulate(network(), picture, 3, threads=1, kernels="events", order="time")
    found = simulate(network(), picture, 3, threads=2, kernels="vnni", order="time")
    assert_same_array(found.output, expected.output, "output")

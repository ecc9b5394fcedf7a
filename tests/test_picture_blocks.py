"""The picture's current of some pixels at a time: the same bits as of the events that a picture makes."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import (
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding.plan import GatherPlan
from spikeunet.engine.simulation.currents import events
from spikeunet.engine.testing.comparison import RECORDS, assert_same

LADDER = MultiThreshold(tuple(2.0**-k for k in range(8)), initial=2.0**-8)


@pytest.fixture
def computed(monkeypatch):
    """How often bands have been bound to the kernel, tokens of both kinds of which it was told."""
    found, make = [], events.pixels_token
    monkeypatch.setattr(events, "pixels_token", lambda width: found.append(width) or make(width))
    return found


def network(channels, outputs, size, neurons=LADDER, **layer):
    """Weights of which sums are rounded, so that their order matters."""
    generator = np.random.default_rng(outputs)
    weights = [
        generator.standard_normal(shape).astype(np.float32) / 4
        for shape in ((outputs, channels, *size), (1, outputs, 1, 1))
    ]
    return Network(
        [
            Input("input", channels),
            Conv2d("conv1", "input", weights[0], generator.standard_normal(outputs).astype(np.float32) / 9, **layer),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", weights[1]),
            Output("output", "conv2"),
        ]
    )


def both(monkeypatch, net, picture, **options):
    """With the kernel, and without it."""
    found = simulate(Network(net.nodes), picture, **options)
    with monkeypatch.context() as patch:
        patch.setattr(GatherPlan, "slides", False)
        return found, simulate(Network(net.nodes), picture, **options)


CASES = {
    "denoise": (1, 64, (4, 4), {"stride": 2, "padding": 1}),
    "narrow": (1, 21, (3, 3), {"padding": 1}),
    "colour": (3, 80, (2, 5), {"padding": (1, 2)}),
    "far": (2, 48, (3, 3), {"padding": 4, "stride": (1, 3)}),
    "dilated": (1, 33, (1, 3), {"dilation": (1, 3), "padding": (0, 2)}),
    "larger than the picture": (1, 40, (3, 9), {"padding": (1, 7)}),
    "point": (4, 112, (1, 1), {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize("width", [5, 23])
def test_same_bits(case, steps, width, computed, monkeypatch):
    channels, outputs, size, layer = case
    picture = np.random.default_rng(1).standard_normal((channels, 11, width)).astype(np.float32)
    picture[:, 3:5] = 0
    net = network(channels, outputs, size, **layer)
    found, expected = both(monkeypatch, net, picture, steps=steps, threads=2, record=RECORDS)
    assert_same(found, expected)
    assert expected.spikes["relu1"].any()
    # Without recordings all bands of a layer run in one kernel.
    found, expected = both(monkeypatch, net, picture, steps=steps, threads=1)
    np.testing.assert_array_equal(found.output, expected.output)
    assert len(computed) >= 2


def test_currents_that_are_kept(computed, monkeypatch):
    """For neurons whose steps are computed one by one, and for layers that read events besides."""
    generator = np.random.default_rng(7)
    picture = generator.standard_normal((2, 9, 13)).astype(np.float32)
    leaky = network(2, 24, (3, 3), LeakyIntegrateAndFire(decay=0.75), padding=1)
    found, expected = both(monkeypatch, leaky, picture, steps=11, record=RECORDS)
    assert_same(found, expected)
    weight = generator.standard_normal((20, 26, 3, 3)).astype(np.float32) / 8
    joined = [*leaky.nodes[:3], Concat("both", ("relu1", "input")), Conv2d("conv2", "both", weight, padding=1)]
    readout = ConvTranspose2d("up", "relu2", weight[:, :2, :2, :2], stride=2)
    net = Network([*joined, Neurons("relu2", "conv2", LADDER), readout, Output("output", "up")])
    found, expected = both(monkeypatch, net, picture, steps=3, record=RECORDS)
    assert_same(found, expected)
    assert expected.spikes["relu2"].any()
    assert len(computed) >= 2

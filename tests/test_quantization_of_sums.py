"""Weights of few bits in sums of currents, and in kinds of layers without kernels of their own."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from residual_networks import Builder, networks

from spikeunet.converters import quantize_weights
from spikeunet.engine import (
    Add,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Scale,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.errors import InputError
from spikeunet.engine.fixed_point import codes_and_exponents, quanta_of_layers, weight_bits
from spikeunet.engine.graph import Weighted
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

LADDER = MultiThreshold.rounding()
GENERATOR = np.random.default_rng(0)


def normal(*shape):
    return GENERATOR.normal(0, 0.2, shape).astype(np.float32)


def sixteenths(*shape):
    return np.rint(normal(*shape) * 16) / 16


def residual(body=1.0, shortcut=1.0):
    """A block whose parts have weights of these sizes, wide enough for the kernels in integers."""
    nodes = [Input("input", 2), Conv2d("stem", "input", sixteenths(16, 2, 3, 3), sixteenths(16), padding=1)]
    nodes += [Neurons("first", "stem", LADDER), AvgPool2d("pool", "first", 1)]
    nodes += [Conv2d("body", "first", body * normal(16, 16, 3, 3), body * normal(16), padding=1)]
    nodes += [Scale("identity", "first", np.full(16, shortcut), shortcut * normal(16))]
    nodes += [Conv2d("wide", "first", shortcut * normal(16, 16, 1, 1))]
    nodes += [Add("sum", ("body", "identity", "pool", "wide")), Neurons("second", "sum", LADDER)]
    nodes += [Conv2d("depthwise", "second", normal(16, 1, 3, 3), normal(16), padding=1, groups=16)]
    nodes += [Neurons("third", "depthwise", LADDER), Conv2d("read", "third", normal(3, 16, 1, 1))]
    nodes += [Conv2d("last", "second", normal(3, 16, 1, 1)), Add("total", ("read", "last"))]
    return Network([*nodes, Output("output", "total")])


def picture(channels=2, height=9, width=11):
    return (np.random.default_rng(1).integers(0, 17, (channels, height, width)) / 16).astype(np.float32)


def rounded(network, bits):
    """Each layer that could be rounded is, to a grid of its own: integers and a power of two for each channel."""
    quanta, made = quanta_of_layers(network), quantize_weights(network, bits)
    for node in made.nodes:
        if isinstance(node, Weighted) and node.name in quanta:
            assert weight_bits(node) <= bits
            _, exponents = codes_and_exponents(node)
            units = node.bias.astype(np.float64) / (quanta[node.name] * 2.0**exponents)
            silent = ~node.by_output(node.weight).any(1)
            np.testing.assert_array_equal(units[~silent], np.rint(units[~silent]))
    assert quantize_weights(made, bits) is made
    return made


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_kinds(bits, tmp_path):
    made = rounded(residual(), bits)
    names = ["body", "depthwise", "identity", "last", "read", "wide"]
    assert sorted(made.metadata["weight_snr_db"]) == names
    np.testing.assert_array_equal(made["identity"].weight, np.ones(16))
    save_model(made, tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    for name in names:
        np.testing.assert_array_equal(loaded[name].weight, made[name].weight)


@pytest.mark.parametrize("bits", [3, 8])
def test_signals(bits):
    nodes = [Input("input", 2), Conv1d("a", "input", sixteenths(4, 2, 3), padding=1), Neurons("n", "a", LADDER)]
    nodes += [Conv1d("b", "n", normal(6, 2, 3), normal(6), 2, 1, 1, 2), Conv1d("c", "n", normal(6, 4, 1), stride=2)]
    made = rounded(Network([*nodes, Add("sum", ("b", "c")), Output("output", "sum")]), bits)
    assert list(made.metadata["weight_snr_db"]) == ["b", "c"]
    signal = picture(2, 1, 40)
    assert_same(simulate(made, signal, 3, record=RECORDS), reference.simulate(made, signal, 3))


@settings(max_examples=40)
@given(networks(), st.integers(2, 8))
def test_networks_of_all_kinds(case, bits):
    try:
        rounded(case[0], bits)
    except InputError as error:
        assert "no layer's weights can be rounded" in str(error)  # noqa: PT017


def kernels_agree(network, x, steps):
    """From event to event and in integers, in both orders."""
    expected = simulate(network, x, steps, kernels="events", threads=1, record=RECORDS)
    for options in ({"kernels": "integers"}, {"kernels": "portable", "threads": 2, "order": "time"}):
        assert_same(simulate(network, x, steps, record=RECORDS, **options), expected)
    plain = simulate(network, x, steps, kernels="integers", threads=2)
    np.testing.assert_array_equal(plain.output, expected.output)
    return plain, expected


def test_exact_sums():
    """Sums of parts with units of their own are exact where they fit, and then what the reference computes."""
    network = quantize_weights(residual())
    plain, expected = kernels_agree(network, picture(), 3)
    assert {kind for kind in plain.kernels["second"] if kind not in ("events", "values")}
    assert_same(expected, reference.simulate(network, picture(), 3))


def test_sums_that_float32_rounds():
    """Each part is exact whatever computes it, and they are added in their order: the bits are still the same."""
    network = quantize_weights(residual(body=1e-6, shortcut=1000.0))
    with pytest.raises(AssertionError, match="not exact in float32"):
        reference.simulate(network, picture(), 3)
    kernels_agree(network, picture(), 3)


@pytest.mark.parametrize("seed", range(6))
def test_kernels_agree_on_networks_of_all_kinds(seed):
    builder = Builder(random.Random(seed), (2, 6, 7))
    network = builder.network(4)
    try:
        network = quantize_weights(network)
    except InputError:
        pytest.skip("no layer reads spikes alone")
    kernels_agree(network, np.abs(builder.picture((2, 6, 7))), 3)

"""Weights that are integers times powers of two: they are found, stored as int8, and read again bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_files import assert_refused, assert_same_network, changed_topology, file_arrays, write_changed

from spikeunet.engine import (
    BurstNeuron,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    save_model,
)
from spikeunet.engine.files.model_file import read_model
from spikeunet.engine.fixed_point import (
    codes_and_exponents,
    common_quantum,
    incoming_quantum,
    least_exponents,
    weight_bits,
)

EXPONENTS = st.integers(-126, 120)
"""From the smallest float32 number that is not subnormal to where 127 times the power still is one."""


@st.composite
def integer_nodes(draw):
    """A weighted node with its codes and exponents, every channel with one that is odd or none but zeros."""
    kind = draw(st.sampled_from((Conv2d, ConvTranspose2d, Linear)))
    groups = 1 if kind is Linear else draw(st.integers(1, 3))
    inputs, outputs = (groups * draw(st.integers(1, 3)) for _ in range(2))
    shape = {
        Conv2d: (outputs, inputs // groups, 2, 3),
        ConvTranspose2d: (inputs, outputs // groups, 2, 3),
        Linear: (outputs, inputs),
    }[kind]
    options = {} if kind is Linear else {"groups": groups}
    random = np.random.default_rng(draw(st.integers(0, 999)))
    node = kind("layer", "input", np.zeros(shape, np.float32), random.random(outputs).astype(np.float32), **options)
    exponents = np.array(draw(st.lists(EXPONENTS, min_size=outputs, max_size=outputs)))
    codes = random.integers(-127, 128, node.by_output(node.weight).shape)
    codes[:, 0] = 127 * random.integers(0, 2, outputs)
    codes *= codes[:, :1] != 0
    weight = np.ldexp(codes.astype(np.float64), exponents[:, None])
    return dataclasses.replace(node, weight=node.from_rows(weight)), codes, exponents


def network_of(node):
    channels = node.weight.shape[1] if isinstance(node, Linear) else node.in_channels
    return Network([Input("input", channels), node, Output("output", "layer")])


def conv(weight, bias=None):
    return Conv2d("layer", "input", np.float32(weight)[:, None, None, None], bias)


# --- Finding them ----------------------------------------------------------------------------------------------------


@given(integer_nodes())
def test_integers_and_exponents_are_found(case):
    node, codes, exponents = case
    found = codes_and_exponents(node)
    assert found is not None
    np.testing.assert_array_equal(node.by_output(found[0]), codes)
    np.testing.assert_array_equal(found[1], np.where(codes.any(1), exponents, 0))


@given(integer_nodes(), st.integers(0, 99), st.sampled_from((0.5, 1.5, 2.0**-40)))
def test_a_single_weight_beside_the_grid_is_seen(case, place, offset):
    node, _, exponents = case
    rows = node.by_output(node.weight).astype(np.float64)
    channel = place % len(rows)
    rows[channel, 0] = np.ldexp(127.0, exponents[channel])
    rows[channel, -1] = np.ldexp(offset, exponents[channel])
    with np.errstate(under="ignore"):
        weight = node.from_rows(rows.astype(np.float32))
    changed = dataclasses.replace(node, weight=weight)  # numbers that are subnormal count as zeros
    off_grid = node.by_output(changed.weight)[channel, -1] not in (0, np.ldexp(2.0, exponents[channel]))
    two_weights = rows.shape[1] > 1
    assert (codes_and_exponents(changed) is None) == (off_grid and two_weights)


@given(integer_nodes())
def test_rows_and_weights_are_inverses(case):
    node, *_ = case
    counted = np.arange(node.weight.size).reshape(node.weight.shape)
    np.testing.assert_array_equal(node.from_rows(node.by_output(counted)), counted)


def test_rows_are_output_channels():
    weight = np.arange(2 * 3 * 4, dtype=np.float32).reshape(4, 3, 2, 1)
    grouped = ConvTranspose2d("layer", "input", weight, groups=2)
    np.testing.assert_array_equal(grouped.by_output(weight)[4], weight[2:, 1].reshape(-1))
    np.testing.assert_array_equal(Conv2d("layer", "input", weight).by_output(weight)[3], weight[3].reshape(-1))


def test_tiny_weights_beside_large_ones_are_no_integers():
    node = Conv2d("layer", "input", np.float32([1e38, 1e-40]).reshape(1, 2, 1, 1))
    assert codes_and_exponents(node) is None


def test_negative_zeros_are_no_integers():
    assert codes_and_exponents(conv([-0.0])) is None
    assert codes_and_exponents(conv([0.0])) is not None


@pytest.mark.parametrize(
    ("largest", "most", "exponent"),
    [
        (127, 127, 0),
        (127.5, 127, 1),
        (63.5, 127, -1),
        (63.6, 127, 0),
        (0, 127, 0),
        (1, 1, 0),
        (3, 1, 2),
        (1e-45, 1, -149),
    ],
)
def test_the_smallest_exponent_with_room(largest, most, exponent):
    assert least_exponents(np.float32([[largest / 2, -largest]]), most).tolist() == [exponent]


@pytest.mark.parametrize(
    ("values", "bits"),
    [([127, 1], 8), ([64, 64], 2), ([96, 32], 3), ([0.75, 0.25], 3), ([7, 5], 4), ([0, 0], 2), ([0.3, 0.7], None)],
)
def test_bits_of_weights(values, bits):
    assert weight_bits(Conv2d("layer", "input", np.float32(values).reshape(1, 2, 1, 1))) == bits


# --- What sources emit -----------------------------------------------------------------------------------------------

EIGHT = MultiThreshold(tuple(2.0**-k for k in range(8)))
COARSE = MultiThreshold((2.0, 1.0))


@pytest.mark.parametrize(
    ("models", "quantum"),
    [
        ([MultiThreshold.rounding()], 1 / 64),
        ([EIGHT], 1 / 128),
        ([EIGHT, COARSE], None),
        ([MultiThreshold.rounding(), COARSE], 1 / 64),
        ([COARSE], 1),
        ([IntegrateAndFire(6.0)], 2),
        ([IntegrateAndFire(0.3)], None),
        ([IntegrateAndFire(255.0)], 1),
        ([IntegrateAndFire(257.0)], None),
        ([BurstNeuron(0.25, gamma=5)], 0.25),
        ([IntegrateAndFire(0.5), IntegrateAndFire(2.0**-9)], None),
    ],
)
def test_common_quantum(models, quantum):
    assert common_quantum(models) == quantum


def test_the_picture_has_no_quantum_and_concatenations_are_seen_through():
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [
        Input("input"),
        Conv2d("first", "input", one),
        Neurons("fine", "first", MultiThreshold.rounding()),
        Neurons("coarse", "first", COARSE),
        Concat("spikes", ("fine", "coarse")),
        Concat("both", ("spikes", "input")),
        Conv2d("second", "spikes", np.ones((1, 2, 1, 1), np.float32)),
        Conv2d("third", "both", np.ones((1, 3, 1, 1), np.float32)),
        Output("output", "third"),
    ]
    network = Network(nodes)
    found = {name: incoming_quantum(network, network[name]) for name in ("first", "second", "third")}
    assert found == {"first": None, "second": 1 / 64, "third": None}


# --- Files -----------------------------------------------------------------------------------------------------------


@given(integer_nodes(), st.sampled_from(("float32", "float16")))
def test_integer_weights_survive_bit_for_bit(tmp_path_factory, case, dtype):
    node, codes, exponents = case
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(network_of(node), path, dtype)
    arrays = file_arrays(path)
    assert int(arrays["format_version"]) == 2
    assert arrays["weights/layer.weight"].dtype == np.int8
    assert arrays["weights/layer.bias"].dtype == np.float32
    np.testing.assert_array_equal(node.by_output(arrays["weights/layer.weight"]), codes)
    np.testing.assert_array_equal(arrays["weights/layer.exponents"], np.where(codes.any(1), exponents, 0))
    assert_same_network(read_model(path), network_of(node))


def test_negative_zeros_survive(tmp_path):
    network = network_of(conv([-0.0, 0.5], np.float32([-0.0, 1])))
    save_model(network, tmp_path / "model.npz")
    assert_same_network(read_model(tmp_path / "model.npz"), network)


def test_files_without_integers_are_of_version_1(tmp_path):
    save_model(network_of(conv([0.3])), tmp_path / "model.npz")
    arrays = file_arrays(tmp_path / "model.npz")
    assert int(arrays["format_version"]) == 1
    assert sorted(arrays)[-2:] == ["weights/layer.bias", "weights/layer.weight"]


@pytest.fixture
def saved(tmp_path):
    save_model(network_of(conv([0.5, 3, 0.0])), tmp_path / "model.npz")
    return tmp_path / "model.npz"


def test_saving_twice_gives_the_same_bytes(tmp_path, saved):
    save_model(read_model(saved), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_any_exponents_are_read(saved):
    write_changed(saved, {"weights/layer.exponents": np.array([-149, 7, 127], np.int16)})
    codes = np.array([[[[1]]], [[[-127]]], [[[1]]]], np.int8)
    write_changed(saved, {"weights/layer.weight": codes})
    # The first is subnormal, and counts as zero.
    assert read_model(saved)["layer"].weight.ravel().tolist() == [0, -127 * 128, 2.0**127]


@pytest.mark.parametrize(
    ("exponents", "message"),
    [
        (np.zeros(3, np.int32), r"exponents of 'layer' must be int16 \(3,\), one for each output channel .got int32"),
        (np.zeros(3, np.float32), "must be int16"),
        (np.zeros(3, ">i2"), "must be int16"),
        (np.zeros(2, np.int16), r"got int16 \(2,\)"),
        (np.zeros((3, 1), np.int16), r"got int16 \(3, 1\)"),
        (np.zeros((), np.int16), r"got int16 \(\)"),
        (np.array([0, -150, 0], np.int16), "must lie from -149 to 127 .got -150 to 0"),
        (np.array([0, 128, 0], np.int16), "must lie from -149 to 127 .got 0 to 128"),
        (np.array([0, 127, 0], np.int16), "weight has values that are NaN or infinite in float32"),
    ],
)
def test_unfit_exponents_are_refused(saved, exponents, message):
    write_changed(saved, {"weights/layer.exponents": exponents})
    assert_refused(saved, message)


@pytest.mark.parametrize(
    ("changes", "drop", "message"),
    [
        ({}, ["weights/layer.exponents"], "missing arrays: weights/layer.exponents"),
        ({"format_version": np.asarray(1)}, [], "weights/layer.weight must be float32 or float16 in format 1"),
        (
            {"weights/layer.weight": np.zeros((3, 1, 1, 1), np.float32)},
            [],
            "unexpected arrays: weights/layer.exponents",
        ),
        ({"weights/layer.weight": np.full((3, 1, 1, 1), -128, np.int8)}, [], "must lie from -127 to 127 .got -128"),
        ({"weights/layer.weight": np.zeros((3, 1, 1), np.int8)}, [], "4-dimensional"),
        ({"weights/layer.weight": np.zeros((0, 1, 1, 1), np.int8)}, [], "non-empty"),
        ({"weights/layer.bias": np.zeros(3, np.int8)}, [], "bias of 'layer' must be float32 or float16 .got int8"),
        ({"weights/layer.bias": np.zeros(2, np.float32)}, [], "bias must have 3 values"),
        ({"weights/other.exponents": np.zeros(3, np.int16)}, [], "unexpected arrays: weights/other.exponents"),
    ],
)
def test_unfit_integers_are_refused(saved, changes, drop, message):
    write_changed(saved, changes, drop)
    assert_refused(saved, message)


@pytest.mark.parametrize(
    ("groups", "message"), [(0, "groups must be an integer of at least 1"), (3, "bias must have 3 values")]
)
def test_odd_groups_are_refused(tmp_path, groups, message):
    node = ConvTranspose2d("layer", "input", np.ones((4, 1, 1, 1), np.float32), groups=2)
    save_model(network_of(node), tmp_path / "model.npz")
    changed_topology(tmp_path / "model.npz", lambda nodes: nodes[1].update(groups=groups))
    assert_refused(tmp_path / "model.npz", message)


def test_more_integers_than_memory_are_refused(saved, monkeypatch):
    from spikeunet.engine.files import model_file

    monkeypatch.setattr(model_file, "MAXIMUM_BYTES", 11)
    assert_refused(saved, "its int8 weights take 12 bytes as float32, more than 11")

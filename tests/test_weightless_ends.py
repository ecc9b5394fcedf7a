"""Networks whose first or last operator has no weights: their neurons have scales like any others'."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters import convert, read_onnx
from spikeunet.engine import AvgPool2d, Conv2d, Input, Network, Neurons, Output, forward, simulate
from spikeunet.engine.errors import InputError

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

from onnx_graphs import kinds, model, normal, saved

RANDOM = np.random.default_rng(0)
TWICE = np.array([1, 1, 2, 2], np.float32)
WINDOW = {"kernel_shape": [2, 2], "strides": [2, 2]}

OPERATORS = {
    "average": ("AveragePool", (), WINDOW),
    "maximum": ("MaxPool", (), WINDOW),
    "mean of all": ("GlobalAveragePool", (), {}),
    "maximum of all": ("GlobalMaxPool", (), {}),
    "nearest": ("Resize", ("", "twice"), {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "bilinear": ("Resize", ("", "twice"), {"mode": "linear"}),
    "channels to pixels": ("DepthToSpace", (), {"blocksize": 2, "mode": "CRD"}),
}


def pictures(count, low=0.0, high=1.0):
    return [(low + (high - low) * RANDOM.random((4, 8, 8))).astype(np.float32) for _ in range(count)]


def error(network, inputs, steps=32):
    """Of a network's output, relative to its artificial form's."""
    dense = np.array([forward(network, x)[0] for x in inputs])
    return float(np.abs(np.array([simulate(network, x, steps).output for x in inputs]) - dense).max() / dense.std())


def ending(kind, more, attributes, size, shape=(1, 4, 8, 8)):
    """Convolution, ReLU, convolution, whose numbers are of about this size, and an operator without weights."""
    nodes = [
        ("Conv", "xw", "a", {}),
        ("Relu", "a", "r", {}),
        ("Conv", "rvb", "c", {}),
        (kind, ("c", *more), "y", attributes),
    ]
    constants = {"w": normal(6, 4, 1, 1), "v": normal(4, 6, 1, 1) * size, "b": normal(4) * size, "twice": TWICE}
    return model(nodes, constants, shape)


@pytest.mark.parametrize("size", [1e-3, 10])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_without_weights_at_the_end(tmp_path, name, size):
    """Neurons before it saw values as they are, far beyond their thresholds or below the smallest."""
    path = saved(tmp_path / "end.onnx", ending(*OPERATORS[name], size))
    network = convert(path, calibration=pictures(20))
    assert error(network, pictures(3)) < 0.05
    assert kinds(network)[-3:] == ["Neurons", "Scale", "Output"]
    scale = network.nodes[-2]
    assert network.metadata["file_weights"][scale.name] == [0, scale.weight.size]


def beginning(tmp_path, first, channels, constants):
    """Network of what comes first and a convolution, for samples that a mean was taken off: beyond the thresholds."""
    made = model([*first, ("Conv", "av", "y", {})], {"v": normal(3, channels, 1, 1), **constants}, (1, 4, 8, 8))
    network = convert(saved(tmp_path / "first.onnx", made), calibration=pictures(20, -4, 5))
    assert error(network, pictures(3, -4, 5)) < 0.05
    _, height, width = network.shapes((4, 8, 8))["output"]
    counts = simulate(network, pictures(1)[0], 1).operations.totals
    assert counts["dense_macs"] == channels * 3 * height * width  # of the file's convolution alone
    return network


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "channels to pixels"])
def test_an_operator_without_weights_at_the_beginning(tmp_path, name):
    kind, more, attributes = OPERATORS[name]
    network = beginning(tmp_path, [(kind, ("x", *more), "a", attributes)], 4, {"twice": TWICE})
    if name == "average":  # weights, so that no neurons are before them
        assert kinds(network) == ["Input", "Conv2d", "Neurons", "Conv2d", "Output"]


def test_pixels_that_become_channels_at_the_beginning(tmp_path):
    """Weights of 1, so that no neurons are before them."""
    moves = [
        ("Reshape", "xs", "p", {}),
        ("Transpose", "p", "q", {"perm": [0, 1, 3, 5, 2, 4]}),
        ("Reshape", "qt", "a", {}),
    ]
    sizes = {"s": np.array([1, 4, 4, 2, 4, 2]), "t": np.array([1, 16, 4, 4])}
    network = beginning(tmp_path, moves, 16, sizes)
    assert kinds(network) == ["Input", "Conv2d", "Neurons", "Conv2d", "Output"]


def test_the_picture_joined_with_others_before_a_pool(tmp_path):
    nodes = [
        ("Conv", "xw", "a", {}),
        ("Relu", "a", "r", {}),
        ("Concat", "rx", "j", {"axis": 1}),
        ("MaxPool", "j", "p", WINDOW),
        ("Conv", "pv", "y", {}),
    ]
    constants = {"w": normal(2, 4, 1, 1), "v": normal(3, 6, 1, 1)}
    network = convert(
        saved(tmp_path / "joined.onnx", model(nodes, constants, (1, 4, 8, 8))), calibration=pictures(20, -4, 5)
    )
    assert error(network, pictures(3, -4, 5)) < 0.05


def test_weights_at_the_end_need_no_scale(tmp_path):
    made = model([("Conv", "xw", "y", {})], {"w": normal(2, 2, 1, 1)})
    assert kinds(read_onnx(saved(tmp_path / "plain.onnx", made)).network) == ["Input", "Conv2d", "Output"]


# --- One logit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [("Resize", ("c", "", "twice"), {"mode": "linear"}), ("Relu", ("c",), {})])
def test_one_logit_behind_an_operator_without_weights_becomes_two_classes(tmp_path, last):
    kind, reads, attributes = last
    nodes = [("Conv", "xw", "a", {}), ("Relu", "a", "r", {}), ("Conv", "rv", "c", {}), (kind, reads, "y", attributes)]
    constants = {"w": normal(6, 4, 1, 1), "v": normal(1, 6, 1, 1) * 9, "twice": TWICE}
    path = saved(tmp_path / "logit.onnx", model(nodes, constants, (1, 4, 8, 8)))
    plain, paired = (convert(path, calibration=pictures(20), metadata=facts) for facts in ({}, {"task": "segment"}))
    x = pictures(1)[0]
    (logit,), (zero, one) = (forward(network, x)[0] for network in (plain, paired))
    np.testing.assert_array_equal(zero, np.zeros_like(logit))
    np.testing.assert_allclose(one, logit, atol=1e-5)
    counts = [simulate(each, x, 1).operations.totals["dense_macs"] for each in (plain, paired)]
    assert counts[0] == counts[1] == (6 * 4 + 6) * 64


def test_one_logit_of_no_weights_in_a_network_of_ones_own():
    nodes = [
        Input("input", 1),
        Conv2d("first", "input", np.ones((1, 1, 1, 1))),
        Neurons("fired", "first"),
        AvgPool2d("pool", "fired", 2),
        Output("output", "pool"),
    ]
    with pytest.raises(InputError, match=r"AvgPool2d 'pool', which has no weights .* a Scale of weights 1"):
        convert(Network(nodes), normalization="none", metadata={"task": "segment"})

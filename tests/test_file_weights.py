"""What the artificial network does is counted by the weights of the file, not by those that conversion added."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters import convert, read_onnx
from spikeunet.engine import (
    Conv2d,
    Input,
    InputError,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_operations

PICTURE = np.random.default_rng(3).integers(0, 5, (2, 8, 8)).astype(np.float32) / 4


def network(**metadata):
    """A 2x2 kernel beside a row and a column of zeros, and a 1x1 one."""
    kernel = np.zeros((3, 2, 3, 3), np.float32)
    kernel[:, :, 1:, 1:] = np.random.default_rng(0).integers(1, 4, (3, 2, 2, 2)) / 4
    nodes = [
        Input("input", 2),
        Conv2d("uneven", "input", kernel, padding=1),
        Neurons("neurons", "uneven", MultiThreshold()),
        Conv2d("last", "neurons", np.ones((1, 3, 1, 1), np.float32)),
        Output("output", "last"),
    ]
    return Network(nodes, metadata)


def test_products_that_are_none_of_the_files(tmp_path):
    plain, marked = network(), network(file_weights={"uneven": [24, 54]})
    save_model(marked, tmp_path / "marked.npz")
    for net in (marked, load_model(tmp_path / "marked.npz")):
        found = simulate(net, PICTURE, 2).operations
        assert {name: node.dense_macs for name, node in found.synapses.items()} == {"uneven": 24 * 64, "last": 3 * 64}
        assert_same_operations(found, reference.simulate(net, PICTURE, 2).operations)
        assert found.energy().dense == pytest.approx(27 * 64 * 4.6e-12)
    # What the spiking network does is what it does.
    whole = simulate(plain, PICTURE, 2).operations
    assert whole.totals["dense_macs"] == 57 * 64
    for name in ("synops", "macs", "weights", "events"):
        assert found.totals[name] == whole.totals[name]


def test_a_layer_that_the_file_does_not_have_costs_the_artificial_network_nothing():
    ledger = simulate(network(file_weights={"uneven": [0, 54]}), PICTURE, 1).operations
    assert ledger.totals["dense_macs"] == 3 * 64
    assert ledger.energy().dense == pytest.approx(3 * 64 * 4.6e-12)


@pytest.mark.parametrize(
    "counts",
    [{"uneven": [55, 54]}, {"uneven": 24}, {"uneven": [1, 0]}, {"uneven": ["1", "2"]}, [3], {"uneven": [-1, 4]}],
)
def test_metadata_that_say_something_else(counts):
    with pytest.raises(InputError, match="file_weights must give two whole numbers for each layer"):
        simulate(network(file_weights=counts), PICTURE, 1)


def test_what_conversion_adds(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, normal, saved

    weights = {"w": normal(4, 2, 3, 3), "v": normal(3, 4, 1, 1)}
    nodes = [
        ("Conv", ("x", "w"), "a", {"pads": [0, 0, 1, 1]}),
        ("Relu", ("a",), "b", {}),
        ("Conv", ("b", "v"), "y", {}),
    ]
    imported = read_onnx(saved(tmp_path / "uneven.onnx", model(nodes, weights, shape=(1, 2, 8, 8))))
    made = imported.network["conv0"].weight.size
    assert made == 4 * 2 * 4 * 4
    assert imported.network.metadata["file_weights"]["conv0"] == [weights["w"].size, made]
    moved = read_onnx(
        saved(tmp_path / "moved.onnx", model([("SpaceToDepth", "x", "y", {"blocksize": 2})], shape=(1, 2, 8, 8)))
    )
    assert moved.network.metadata["file_weights"] == {"spacetodepth0": [0, 8 * 2 * 4]}
    converted = convert(tmp_path / "uneven.onnx", calibration=[PICTURE])
    assert simulate(converted, PICTURE, 1).operations.synapses["conv0"].dense_macs == weights["w"].size * 7 * 7


def test_a_shift_before_padding_is_a_channel_that_the_file_does_not_have(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, normal, saved

    constants = {"w": normal(3, 2, 3, 3), "one": np.ones(2, np.float32), "b": normal(2), "v": normal(2, 2, 1, 1)}
    nodes = [
        ("Conv", ("x", "v"), "a", {}),
        ("Relu", ("a",), "r", {}),
        ("BatchNormalization", ("r", "one", "b", "b", "one"), "n", {}),
        ("Conv", ("n", "w"), "y", {"pads": [1, 1, 1, 1]}),
    ]
    network = read_onnx(saved(tmp_path / "shift.onnx", model(nodes, constants, shape=(1, 2, 8, 8)))).network
    (name,) = (node.name for node in network.nodes if node.name.endswith(".ones"))
    assert network.metadata["file_weights"] == {name: [0, 2], "conv3": [3 * 2 * 9, 3 * 3 * 9]}

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


# --- Each kind of layer that conversion makes -------------------------------------------------------------------------

CONSTANTS = {
    "w": ((4, 2, 3, 3), 0),
    "v": ((4, 4, 3, 3), 1),
    "u": ((4, 4, 2, 2), 2),
    "last": ((1, 4, 1, 1), 3),
    "wide": ((1, 8, 1, 1), 4),
    "gain": ((4, 1, 1), 5),
}
FIRST = ("Conv", ("x", "w"), "a", {"pads": [1, 1, 1, 1]})
LAST = ("Conv", ("z", "last"), "y", {})
SAME = {"pads": [1, 1, 1, 1]}
GRAPHS = {
    "a ReLU": [("Relu", ("a",), "z", {})],
    "a capped ReLU": [("Clip", ("a", "zero", "six"), "z", {})],
    "a leaky ReLU": [("LeakyRelu", ("a",), "z", {"alpha": 0.1})],
    "a leaky ReLU by channel": [("PRelu", ("a", "gain"), "z", {})],
    "a sum": [("Relu", ("a",), "b", {}), ("Conv", ("b", "v"), "c", SAME), ("Add", ("b", "c"), "d", {}),
              ("Relu", ("d",), "z", {})],
    "a difference": [("Relu", ("a",), "b", {}), ("Conv", ("b", "v"), "c", SAME), ("Relu", ("c",), "d", {}),
                     ("Sub", ("b", "d"), "e", {}), ("Relu", ("e",), "z", {})],
    "what is negated": [("Relu", ("a",), "b", {}), ("Conv", ("b", "v"), "c", SAME), ("Neg", ("b",), "d", {}),
                        ("Add", ("c", "d"), "e", {}), ("Relu", ("e",), "z", {})],
    "a constant": [("Relu", ("a",), "b", {}), ("Sub", ("b", "six"), "c", {}), ("Relu", ("c",), "z", {})],
    "zeros around a part": [("Relu", ("a",), "b", {}), ("Conv", ("b", "v"), "c", {}), ("Relu", ("c",), "d", {}),
                            ("Pad", ("d", "around"), "e", {}), ("Concat", ("b", "e"), "f", {"axis": 1}),
                            ("Conv", ("f", "wide"), "g", {}), ("Conv", ("g", "up"), "h", {}),
                            ("Relu", ("h",), "z", {})],
    "uneven zeros": [("Relu", ("a",), "b", {}), ("Conv", ("b", "u"), "c", {"pads": [0, 1, 1, 0]}),
                     ("Relu", ("c",), "z", {})],
    "uneven zeros and gaps": [("Relu", ("a",), "b", {}),
                              ("Conv", ("b", "u"), "c", {"pads": [0, 1, 2, 1], "dilations": [2, 2]}),
                              ("Relu", ("c",), "z", {})],
    "a shift before padding": [("Relu", ("a",), "b", {}), ("Add", ("b", "gain"), "c", {}),
                               ("Conv", ("c", "v"), "d", SAME), ("Relu", ("d",), "z", {})],
    "a transposed convolution": [("Relu", ("a",), "b", {}),
                                 ("ConvTranspose", ("b", "v"), "c", {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
                                 ("Relu", ("c",), "z", {})],
    "pools": [("Relu", ("a",), "b", {}), ("AveragePool", ("b",), "c", {"kernel_shape": [2, 2], "strides": [2, 2]}),
              ("MaxPool", ("c",), "d", {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Relu", ("d",), "z", {})],
    "pixels": [("Relu", ("a",), "b", {}), ("SpaceToDepth", ("b",), "c", {"blocksize": 2}),
               ("DepthToSpace", ("c",), "d", {"blocksize": 2}), ("Relu", ("d",), "z", {})],
    "a shuffle": [("Relu", ("a",), "b", {}), ("Reshape", ("b", "five"), "c", {}),
                  ("Transpose", ("c",), "d", {"perm": [0, 2, 1, 3, 4]}), ("Reshape", ("d", "four"), "e", {}),
                  ("Relu", ("e",), "z", {})],
}  # fmt: skip


def profiled(made):
    """Multiply-accumulates of a graph's convolutions, from the shapes that ONNX infers, as a profiler counts them."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True).graph
    shapes = {each.name: tuple(side.dim_value for side in each.type.tensor_type.shape.dim)
              for each in (*inferred.value_info, *inferred.input, *inferred.output)}  # fmt: skip
    weights = {each.name: tuple(each.dims) for each in inferred.initializer}
    total = 0
    for node in inferred.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            places = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]][2:]
            total += int(np.prod(weights[node.input[1]]) * np.prod(places))
    return total


@pytest.mark.parametrize("name", GRAPHS)
def test_the_artificial_network_does_what_a_profiler_finds_in_the_file(tmp_path, name):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, saved

    arrays = {key: np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
              for key, (shape, seed) in CONSTANTS.items()}  # fmt: skip
    arrays |= {"up": arrays["last"].reshape(4, 1, 1, 1), "zero": np.float32(0), "six": np.float32(6)}
    arrays |= {"around": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "five": np.array([1, 2, 2, 8, 8])}
    arrays |= {"four": np.array([1, 4, 8, 8])}
    nodes = [FIRST, *GRAPHS[name], LAST]
    read = {each for _, reads, _, _ in nodes for each in reads}
    made = model(nodes, {key: array for key, array in arrays.items() if key in read}, shape=(1, 2, 8, 8))
    network = convert(saved(tmp_path / "model.onnx", made), calibration=[PICTURE])
    ledger = simulate(network, PICTURE, 1).operations
    assert ledger.totals["dense_macs"] == profiled(made)
    assert ledger.energy().dense == pytest.approx(profiled(made) * 4.6e-12)


SUMMED = [("Relu", ("a",), "b", {}), ("Conv", ("b", "v"), "c", SAME), ("Relu", ("c",), "d", {})]


@pytest.mark.parametrize(
    ("nodes", "macs"),
    [
        ([("Relu", ("a",), "b", {}), ("Mul", ("b", "gain"), "c", {}), ("Relu", ("c",), "z", {})], 4 * 64),
        ([("Relu", ("a",), "b", {}), ("Neg", ("b",), "c", {}), ("Mul", ("c", "gain"), "z", {})], 4 * 64),
        ([("Clip", ("a", "zero", "six"), "b", {}), ("Mul", ("b", "gain"), "c", {}), ("Relu", ("c",), "z", {})], 4 * 64),
        ([("Mul", ("a", "gain"), "b", {}), ("Relu", ("b",), "z", {})], 0),
        ([*SUMMED[:2], ("Add", ("b", "c"), "e", {}), ("Mul", ("e", "gain"), "z", {})], 144 * 64),
        ([*SUMMED[:2], ("Add", ("c", "b"), "e", {}), ("Mul", ("e", "gain"), "z", {})], 144 * 64),
        ([*SUMMED, ("Add", ("b", "d"), "e", {}), ("Mul", ("e", "gain"), "z", {})], (144 + 4) * 64),
        ([*SUMMED, ("Add", ("d", "b"), "e", {}), ("Mul", ("e", "gain"), "z", {})], (144 + 4) * 64),
        (
            [*SUMMED, ("Add", ("b", "c"), "e", {}), ("Mul", ("e", "gain"), "f", {}), ("Add", ("d", "f"), "z", {})],
            (144 + 4) * 64,
        ),
        (
            [*SUMMED, ("Add", ("c", "b"), "e", {}), ("Mul", ("e", "gain"), "f", {}), ("Add", ("d", "f"), "z", {})],
            (144 + 4) * 64,
        ),
    ],
    ids=[
        "behind neurons",
        "of what is negated",
        "of a sum",
        "folded into the weights before",
        "of a sum with a convolution behind",
        "of a sum with a convolution before",
        "of a sum of neurons",
        "of a sum of neurons the other way round",
        "of a sum with a convolution behind that others read",
        "of a sum with a convolution before that others read",
    ],
)
def test_a_product_in_the_file_counts_where_nothing_takes_it_into_its_weights(tmp_path, nodes, macs):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, saved

    arrays = {key: np.ones(CONSTANTS[key][0], np.float32) for key in ("w", "v", "gain", "last")}
    arrays |= {"zero": np.float32(0), "six": np.float32(6)}
    # A ReLU reads it, so that no convolution behind takes it into its weights.
    nodes = [FIRST, *nodes, ("Relu", ("z",), "r", {}), ("Conv", ("r", "last"), "y", {})]
    network = read_onnx(saved(tmp_path / "model.onnx", model(nodes, arrays, shape=(1, 2, 8, 8)))).network
    found = simulate(network, PICTURE, 1).operations.totals["dense_macs"]
    assert found == 64 * (4 * 2 * 9 + 4) + macs


TWICE = ("Add", ("a", "a"), "b", {})


@pytest.mark.parametrize(
    "nodes",
    [
        [TWICE, ("Add", ("b", "gain"), "z", {})],
        [TWICE, ("Mul", ("b", "gain"), "c", {}), ("Sub", ("c", "gain"), "z", {})],
        [TWICE, ("Add", ("b", "b"), "c", {}), ("Add", ("c", "gain"), "z", {})],
        [("Relu", ("x",), "r", {}), ("Conv", ("r", "w"), "o", SAME), TWICE, ("Add", ("b", "o"), "c", {}),
         ("Add", ("c", "gain"), "z", {})],
        [("Relu", ("x",), "r", {}), ("Conv", ("r", "w"), "o", SAME), TWICE, ("Add", ("o", "b"), "c", {}),
         ("Mul", ("c", "gain"), "d", {}), ("Add", ("d", "gain"), "z", {})],
    ],
    ids=["shifted", "scaled and shifted", "four times", "beside another", "behind another"],
)  # fmt: skip
def test_what_is_added_to_itself_is_computed_once(tmp_path, nodes):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, network_of

    arrays = {key: np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
              for key, (shape, seed) in CONSTANTS.items() if key in ("w", "gain", "last")}  # fmt: skip
    made = model([FIRST, *nodes, ("Relu", ("z",), "q", {}), ("Conv", ("q", "last"), "y", {})], arrays,
                 shape=(1, 2, 8, 8))  # fmt: skip
    network = network_of(tmp_path / "model.onnx", made, PICTURE[None] - 0.5).network
    assert simulate(network, PICTURE, 1).operations.totals["dense_macs"] == profiled(made)


def test_blocks_of_pixels_and_a_map():
    """FFDNet's first and last convolution are none of blocks here, and have more weights for it."""
    torch = pytest.importorskip("torch", reason="PyTorch is what this is compared with")
    import torch_networks as networks

    whole = networks.FFDNet(1, 3, 4)
    network = convert(networks.arrays(networks.randomized(whole)), normalization="none")
    counted = [module.weight.numel() for module in whole.modules() if isinstance(module, torch.nn.Conv2d)]
    picture = np.ones((network.input.channels, 8, 8), np.float32)
    assert simulate(network, picture, 1).operations.totals["dense_macs"] == sum(counted) * 4 * 4


def test_a_logit_that_becomes_two_classes_is_one_of_the_artificial_network():
    """The other class is always 0."""
    made = network()
    paired = convert(made, normalization="none", metadata={"task": "segment"})
    assert paired.channels["output"] == 2
    assert paired.metadata["file_weights"] == {"last": [3, 6]}
    dense = [simulate(each, PICTURE, 1).operations.totals["dense_macs"] for each in (made, paired)]
    assert dense == [57 * 64] * 2
    marked = convert(network(file_weights={"last": [1, 3]}), normalization="none", metadata={"task": "segment"})
    assert marked.metadata["file_weights"] == {"last": [1, 6]}


def neurons(*shape):
    import nir

    return nir.IF(r=np.ones(shape), v_threshold=np.ones(shape))


def test_pools_that_go_into_weights_behind_them(tmp_path):
    nir = pytest.importorskip("nir", reason="nir is not installed")
    from itertools import pairwise

    from spikeunet.converters import read_nir

    nodes = {
        "input": nir.Input({"input": np.array((2, 8, 8))}),
        "first": nir.Conv2d((8, 8), np.ones((3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        "fired": neurons(3, 8, 8),
        "pool": nir.SumPool2d(np.array((2, 2)), np.array((2, 2)), np.array((0, 0))),
        "second": nir.Conv2d((4, 4), np.ones((5, 3, 3, 3)), 1, 1, 1, 1, np.zeros(5)),
        "again": neurons(5, 4, 4),
        "smaller": nir.AvgPool2d(np.array((2, 2)), np.array((2, 2)), np.array((0, 0))),
        "flat": nir.Flatten({"input": np.array((5, 2, 2))}, 0, -1),
        "full": nir.Linear(np.ones((7, 20))),
        "last": neurons(7),
        "output": nir.Output({"output": np.array((7,))}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    network = read_nir(tmp_path / "net.nir")
    found = simulate(network, PICTURE, 1).operations.synapses
    dense = {name: node.dense_macs for name, node in found.items()}
    same = next(name for name in dense if name not in ("first", "second", "full"))  # what the last population fires
    assert dense == {"first": 3 * 2 * 9 * 64, "second": 5 * 3 * 9 * 16, "full": 7 * 20, same: 0}


@pytest.mark.parametrize(
    ("edges", "macs"),
    [
        (["first a", "first b", "a second", "b second"], 2 * 3 * 9 + 3 * 4),
        (["first a", "a middle", "middle b", "a second", "b second"], 2 * 3 * 9 + 3 * 3 * 9 + 3 * 4),
        (["first a", "a scale", "scale b", "scale c", "b second", "c second"], 2 * 3 * 9 + 3 + 3 * 4),
        (["first a", "a scale", "scale b", "scale again", "again c", "b second", "c second"], 2 * 3 * 9 + 6 + 3 * 4),
    ],
    ids=["read by two populations", "reads two populations", "a scale", "scales one behind the other"],
)
def test_a_layer_of_a_nir_file_that_several_ways_take_is_one(tmp_path, edges, macs):
    nir = pytest.importorskip("nir", reason="nir is not installed")
    from spikeunet.converters import read_nir

    def convolution(*shape):
        return nir.Conv2d((8, 8), np.ones(shape), 1, shape[-1] // 2, 1, 1, np.zeros(shape[0]))

    nodes = {
        "input": nir.Input({"input": np.array((2, 8, 8))}),
        "first": convolution(3, 2, 3, 3),
        "middle": convolution(3, 3, 3, 3),
        "second": convolution(4, 3, 1, 1),
        **{name: nir.Scale(np.full((3, 8, 8), 2.0)) for name in ("scale", "again")},
        **{name: neurons(3, 8, 8) for name in "abc"},
        "output": nir.Output({"output": np.array((4, 8, 8))}),
    }
    pairs = [tuple(edge.split()) for edge in ["input first", *edges, "second output"]]
    graph = nir.NIRGraph({name: node for name, node in nodes.items() if any(name in pair for pair in pairs)}, pairs)
    nir.write(tmp_path / "net.nir", graph)
    assert simulate(read_nir(tmp_path / "net.nir"), PICTURE, 1).operations.totals["dense_macs"] == macs * 64


@pytest.mark.parametrize("classes", [5, 16, 100])
def test_the_branches_that_a_spikingformers_head_reads(classes):
    """The head reads a sum of branches; here it reads each, by the weights of the convolution before it."""
    from published_spikingformer import random_state

    from spikeunet.converters import read_spikingformer

    network = read_spikingformer(random_state(classes=classes), 4)
    heads = [node for node in network.nodes if type(node).__name__ == "MeanConv2d"]
    ledger = simulate(network, np.ones((3, 16, 16), np.float32), 1).operations.synapses
    channels, hidden, places = 16, 32, 4 * 4
    charged = places * hidden * min(channels, classes)
    assert [ledger[node.name].dense_macs for node in heads] == [0] * (len(heads) - 1) + [charged]
    assert charged < places * hidden * channels + channels * classes

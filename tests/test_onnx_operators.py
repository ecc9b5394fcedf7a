"""ONNX's operators as layers: the analog form (ANN) gives what ONNX Runtime gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx_graphs import kinds, model, network_of, normal, saved

from spikeunet.converters import read_onnx
from spikeunet.engine import MultiThreshold, Neurons, SignedMultiThreshold, StateDictError, forward, simulate
from spikeunet.engine.layers import PixelShuffle, Upsample
from spikeunet.engine.neurons import rectifies

X = ("x",)
Y = ("y",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


@pytest.fixture
def agrees(path):
    def check(nodes, constants=(), shape=("n", 2, 8, 8), inputs=None, opset=17):
        sizes = (2, *(8 if isinstance(size, str) else size for size in shape[1:]))
        return network_of(path, model(nodes, constants, shape, opset=opset), normal(*(inputs or sizes))).network

    return check


@pytest.fixture
def refused(path):
    def check(nodes, constants=(), shape=("n", 2, 8, 8), **options):
        saved(path, model(nodes, constants, shape, **options))
        with pytest.raises(StateDictError) as caught:
            read_onnx(path)
        message = str(caught.value).removeprefix(f"{path}: ")
        assert "\n" not in message
        assert "truncated" not in message
        assert len(message) < 500
        return message

    return check


# --- Weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 2, 1, 2], "strides": [2, 1]},
        {"pads": [0, 1, 2, 0]},
        {"pads": [1, 0, 2, 3], "dilations": [2, 1], "strides": [1, 2]},
        {"pads": [3, 0, 1, 0], "dilations": [3, 2]},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "dilations": [1, 1]},
        {"auto_pad": "VALID", "strides": [2, 2]},
    ],
)
def test_a_convolution_with_any_padding(agrees, attributes):
    for shape in (("n", 2, "h", "w"), (2, 2, 9, 7)):
        agrees([("Conv", "xwb", "y", attributes)], {"w": normal(3, 2, 3, 2), "b": normal(3)}, shape, (2, 2, 9, 7))


def test_a_convolution_that_keeps_the_size_at_a_stride_needs_a_fixed_size(agrees, refused):
    nodes = [("Conv", "xw", "y", {"auto_pad": "SAME_UPPER", "strides": [2, 3]})]
    constants = {"w": normal(3, 2, 3, 4)}
    for size in itertools.product((7, 8), (7, 9)):
        agrees(nodes, constants, (1, 2, *size), (1, 2, *size))
    assert "auto_pad SAME_UPPER and a stride" in refused(nodes, constants, (1, 2, "h", 8))


def test_a_convolution_in_groups_and_along_a_line(agrees):
    agrees([("Conv", "xw", "y", {"group": 2, "pads": [1, 1, 1, 1]})], {"w": normal(6, 2, 3, 3)}, ("n", 4, 5, 6))
    network = agrees([("Conv", "xwb", "y", {"pads": [2, 1], "strides": [2]})], {"w": normal(3, 2, 4), "b": normal(3)},
                     ("n", 2, "l"))  # fmt: skip
    assert "Conv1d" in kinds(network)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 3], "pads": [0, 1, 1, 0]},
        {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 2]},
        {"strides": [3, 2], "dilations": [2, 1], "pads": [2, 0, 0, 1]},
        {"strides": [2, 2], "output_shape": [16, 14]},
        {"strides": [2, 2], "output_shape": [17, 15], "auto_pad": "SAME_UPPER"},
    ],
)
def test_a_transposed_convolution_with_any_padding(agrees, attributes):
    pytest.importorskip("onnxruntime")
    agrees([("ConvTranspose", "xwb", "y", attributes)], {"w": normal(2, 3, 3, 3), "b": normal(3)}, (2, 2, 8, 7))


def test_a_transposed_convolution_in_groups_and_along_a_line(agrees):
    pytest.importorskip("onnxruntime")
    agrees([("ConvTranspose", "xw", "y", {"group": 2})], {"w": normal(4, 2, 2, 2)}, (1, 4, 5, 6), (1, 4, 5, 6))
    agrees([("ConvTranspose", "xw", "y", {"strides": [2]})], {"w": normal(2, 3, 4)}, ("n", 2, "l"))


def test_full_connections(agrees):
    flat = ("Flatten", "x", "f", {})
    constants = {"w": normal(5, 24), "v": normal(24, 5), "b": normal(5), "s": normal(1, 5)}
    agrees([flat, ("Gemm", "fwb", "y", {"transB": 1, "alpha": 0.5, "beta": 2.0})], constants, ("n", 2, 3, 4))
    agrees([flat, ("Gemm", "fvs", "y", {})], constants, ("n", 2, 3, 4))
    agrees([flat, ("MatMul", "fv", "p", {}), ("Add", "bp", "y", {})], constants, ("n", 2, 3, 4))
    agrees([("MatMul", "xv", "y", {})], constants, ("n", 24))


# --- Activations and arithmetic --------------------------------------------------------------------------------------


def test_a_capped_relu_is_exact(agrees):
    constants = {"w": 9 * normal(3, 2, 1, 1), "l": np.float32(0), "h": np.float32(6), "v": normal(4, 3, 3, 3)}
    nodes = [("Conv", "xw", "c", {}), ("Clip", "clh", "r", {}), ("Conv", "rv", "y", {})]
    network = agrees(nodes, constants)
    # None of its populations has negative values.
    assert not any(isinstance(node.model, SignedMultiThreshold) for node in network.neurons)


@pytest.mark.parametrize("kind", ["LeakyRelu", "PRelu"])
def test_slopes_below_zero_are_exact(agrees, kind):
    middle = ("LeakyRelu", "c", "r", {"alpha": 0.2}) if kind == "LeakyRelu" else ("PRelu", "cs", "r", {})
    constants = {"w": normal(3, 2, 3, 3), "s": normal(3, 1, 1), "v": normal(4, 3, 3, 3)}
    agrees([("Conv", "xw", "c", {}), middle, ("Conv", "rv", "y", {})], constants)


NORM = {"gain": normal(3), "bias": normal(3), "mean": normal(3), "variance": np.abs(normal(3)) + 0.3}


def test_a_batch_norm_before_and_behind_a_relu(agrees):
    norm = ("gain", "bias", "mean", "variance")
    constants = {"w": normal(3, 2, 3, 3), "v": normal(2, 3, 3, 3), **NORM}
    before = [
        ("Conv", "xw", "c", {}),
        ("BatchNormalization", ("c", *norm), "b", {"epsilon": 1e-2}),
        ("Relu", "b", "r", {}),
        ("Conv", "rv", "y", {}),
    ]
    assert "Scale" not in kinds(agrees(before, constants))
    for pads in ([0, 0, 0, 0], [1, 1, 1, 1]):
        behind = [
            ("Conv", "xw", "c", {}),
            ("Relu", "c", "r", {}),
            ("BatchNormalization", ("r", *norm), "b", {}),
            ("Conv", "bv", "y", {"pads": pads}),
        ]
        # Where zeros are put around what it gives, its shift goes into the weights of a channel of ones.
        found = agrees(behind, constants)
        assert "Scale" not in kinds(found)
        assert [node.name for node in found.neurons if not rectifies(node.model)] == []
        assert ("Concat" in kinds(found)) == any(pads)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_a_batch_norm_before_a_concatenation(agrees, pads):
    """What reads the concatenation takes it into its weights; what cannot reads each part as it was."""
    norm = ("gain", "bias", "mean", "variance")
    constants = {"w": normal(3, 2, 3, 3), "v": normal(2, 5, 3, 3), "u": normal(2, 5, 2, 2), **NORM}
    joined = [
        ("Conv", "xw", "c", {"pads": [1, 1, 1, 1]}),
        ("Relu", "c", "r", {}),
        ("BatchNormalization", ("r", *norm), "b", {}),
        ("Concat", "bx", "j", {"axis": 1}),
    ]
    read = agrees([*joined, ("Conv", "jv", "y", {"pads": pads})], constants)
    assert [node.name for node in read.neurons if not rectifies(node.model)] == []
    pooled = agrees([*joined, ("MaxPool", "j", "p", {"kernel_shape": [2, 2]}), ("Conv", "pu", "y", {})], constants)
    signed = sum(not rectifies(node.model) for node in pooled.neurons)
    assert signed == 3  # of the batch norm, of the picture, and of the maximum
    both = agrees(
        [
            *joined,
            ("Conv", "jv", "d", {"pads": [1, 1, 1, 1]}),
            ("Conv", "ju", "e", {"pads": [1, 1, 0, 0]}),
            ("Add", "de", "y", {}),
        ],
        constants,
    )
    assert sum("ones" in node.name for node in both.neurons) == 1


def test_a_mean_taken_off_the_picture_stays_exact_where_zeros_are_put_around(agrees):
    constants = {"m": np.asarray([[[0.4]], [[0.5]]], np.float32), "s": np.asarray([[[0.2]], [[0.3]]], np.float32)}
    nodes = [("Sub", "xm", "a", {}), ("Div", "as", "b", {}), ("Conv", "bw", "y", {"pads": [1, 1, 1, 1]})]
    found = agrees(nodes, {**constants, "w": normal(3, 2, 3, 3)})
    assert [node.name for node in found.neurons] == ["x.ones.neurons"]
    result = simulate(found.with_neurons(MultiThreshold.rounding()), picture := np.full((2, 6, 6), 0.7), steps=1)
    np.testing.assert_allclose(result.output, forward(found, picture)[0], atol=1e-5)


def test_sums(agrees):
    constants = {"w": normal(2, 2, 3, 3), "v": normal(2, 2, 1, 1), "one": normal(1), "c": normal(2, 1, 1)}
    same = {"pads": [1, 1, 1, 1]}
    currents = [("Conv", "xw", "a", same), ("Conv", "xv", "b", {}), ("Add", "ab", "s", {}), ("Relu", "s", "y", {})]
    agrees(currents, constants)
    one_emitted = [("Conv", "xw", "a", same), ("Relu", "a", "r", {}), ("Conv", "rv", "b", {}), ("Add", "rb", "y", {})]
    agrees(one_emitted, constants)
    both = [("Conv", "xw", "a", same), ("Relu", "a", "r", {}), ("Add", "rx", "s", {}), ("Conv", "sw", "y", {})]
    agrees(both, constants)
    agrees([("Conv", "xw", "a", same), ("Sub", "xa", "y", {})], constants)
    agrees([("Sum", "xxx", "s", {}), ("Add", ("s", "c"), "t", {}), ("Sub", ("one", "t"), "y", {})], constants)
    agrees([("Add", "xx", "y", {})])


def test_a_sum_that_goes_on_is_emitted_once(agrees):
    """As in MobileNetV2: what is added up goes on without a ReLU, and into a branch."""
    constants = {"w": 0.2 * normal(2, 2, 3, 3)}
    nodes = [("Conv", "xw", "s0", {"pads": [1, 1, 1, 1]})]
    for k in range(4):
        nodes += [
            ("Conv", (f"s{k}", "w"), (f"c{k}",), {"pads": [1, 1, 1, 1]}),
            ("Relu", (f"c{k}",), (f"r{k}",), {}),
            ("Conv", (f"r{k}", "w"), (f"d{k}",), {"pads": [1, 1, 1, 1]}),
            ("Add", (f"s{k}", f"d{k}"), (f"s{k + 1}",), {}),
        ]
    network = agrees([*nodes, ("Relu", ("s4",), "y", {})], constants)
    sums = [node for node in network.nodes if type(node).__name__ == "Add"]
    assert [len(node.parts) for node in sums] == [2, 2, 2, 2]
    assert kinds(network).count("Conv2d") == 9


def test_products_with_constants(agrees):
    constants = {"w": normal(3, 2, 3, 3), "m": normal(1, 3, 1, 1), "d": np.full((3, 1, 1), 3, np.float32)}
    folded = [("Conv", "xw", "c", {}), ("Mul", "cm", "p", {}), ("Div", "pd", "y", {})]
    assert "Scale" not in kinds(agrees(folded, constants))
    agrees([("Conv", "xw", "c", {}), ("Relu", "c", "r", {}), ("Mul", "mr", "s", {}), ("Neg", "s", "y", {})], constants)


def test_preparation_of_the_input_goes_into_the_first_convolution(agrees):
    constants = {"mean": normal(2, 1, 1), "std": np.abs(normal(1, 2, 1, 1)) + 1, "w": normal(3, 2, 3, 3)}
    nodes = [("Sub", ("x", "mean"), "a", {}), ("Div", ("a", "std"), "b", {}), ("Conv", "bw", "y", {})]
    assert kinds(agrees(nodes, constants)) == ["Input", "Conv2d", "Output"]


# --- Pools, concatenations and larger pictures -----------------------------------------------------------------------


def test_pools(agrees):
    agrees([("MaxPool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]})])
    agrees([("AveragePool", "x", "y", {"kernel_shape": [2, 3], "strides": [2, 2]})])
    padded = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    agrees([("AveragePool", "x", "y", padded)])
    agrees([("MaxPool", "x", "y", {"kernel_shape": [2], "strides": [2]})], shape=("n", 2, "l"))
    agrees([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})], shape=(2, 2, 8, 6))
    agrees([("GlobalAveragePool", "x", "y", {})], shape=("n", 2, "h", "w"), inputs=(2, 2, 7, 5))
    agrees([("ReduceMean", "x", "y", {"axes": [-1, 2], "keepdims": 0})], shape=(2, 2, 7, 5))
    agrees([("ReduceMean", ("x", "axes"), "y", {})], {"axes": np.array([2, 3])}, opset=18)
    agrees([("GlobalMaxPool", "x", "y", {})], shape=(2, 2, 8, 8))


def test_a_relu_behind_a_maximum_needs_no_signed_neurons(agrees):
    pool = ("MaxPool", "c", "p", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
    constants = {"w": normal(3, 2, 3, 3), "v": normal(2, 3, 1, 1)}
    network = agrees([("Conv", "xw", "c", {}), pool, ("Relu", "p", "r", {}), ("Conv", "rv", "y", {})], constants)
    assert kinds(network) == ["Input", "Conv2d", "Neurons", "MaxPool2d", "Neurons", "Conv2d", "Output"]
    assert not any(isinstance(node.model, SignedMultiThreshold) for node in network.neurons)
    again = [("Relu", "p", "r", {}), ("Conv", "pv", "q", {}), ("Conv", "rv", "s", {}), ("Add", "qs", "y", {})]
    agrees([("Conv", "xw", "c", {}), pool, *again], constants)


def test_pools_without_a_layer_are_refused(refused):
    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    assert "count_include_pad=True" in refused([("AveragePool", "x", "y", {**pool, "pads": [1, 1, 1, 1]})])
    assert "ceil_mode" in refused([("AveragePool", "x", "y", {**pool, "ceil_mode": 1})])
    assert "ceil_mode" in refused([("MaxPool", "x", "y", {**pool, "ceil_mode": 1})], shape=("n", 2, "h", 9))
    assert "other pads at the beginning" in refused([("MaxPool", "x", "y", {**pool, "pads": [0, 0, 1, 1]})])
    assert "dilations" in refused([("MaxPool", "x", "y", {**pool, "dilations": [2, 2]})])
    assert "indices" in refused([("MaxPool", "x", ("y", "i"), pool)])
    assert "size the file leaves open" in refused([("GlobalMaxPool", "x", "y", {})], shape=(1, 2, "h", 4))


def test_concatenations_in_either_order(agrees):
    constants = {"w": normal(3, 2, 1, 1), "v": normal(4, 5, 3, 3)}
    for order in (("x", "c"), ("c", "x")):
        nodes = [("Conv", "xw", "c", {}), ("Concat", order, "j", {"axis": 1}), ("Conv", "jv", "y", {})]
        agrees(nodes, constants)
    agrees([("Concat", "xx", "y", {"axis": -3})])
    flat = [("Flatten", "x", "f", {}), ("GlobalAveragePool", "x", "g", {}), ("Flatten", "g", "h", {})]
    agrees([*flat, ("Concat", "fh", "y", {"axis": 1})], shape=("n", 2, 3, 4))


@pytest.mark.parametrize(
    ("mode", "transform", "rounding"),
    [
        ("nearest", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("nearest", "half_pixel", "round_prefer_ceil"),
        ("linear", "half_pixel", "floor"),
        ("linear", "pytorch_half_pixel", "floor"),
        ("linear", "align_corners", "floor"),
    ],
)
def test_larger_pictures(agrees, mode, transform, rounding):
    for factors in ((2, 3), (1, 4)):
        given = {"": np.array([], np.float32), "s": np.array([1, 1, *factors], np.float32)}
        attributes = {"mode": mode, "coordinate_transformation_mode": transform, "nearest_mode": rounding}
        node = ("Resize", ("x", "", "s"), "y", attributes)
        network = agrees([node], {"s": given["s"]}, ("n", 2, "h", "w"), (2, 2, 5, 4))
        (layer,) = (node for node in network.nodes if isinstance(node, Upsample))
        assert layer.scale_factor == factors


def test_larger_pictures_by_their_size(agrees):
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    sizes = {"z": np.array([2, 2, 16, 24])}
    agrees([("Resize", ("x", "", "", "z"), "y", attributes)], sizes, (2, 2, 8, 8))


def test_a_size_that_the_graph_computes(agrees):
    """As exporters write interpolate(y, size=x.shape[2:]): shapes, cut apart and put together."""
    constants = {"two": np.array([2]), "four": np.array([4]), "zero": np.array([0]), "w": normal(2, 2, 3, 3)}
    nodes = [
        ("MaxPool", "x", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Shape", "x", "sx", {}),
        ("Slice", ("sx", "two", "four", "zero"), "size", {}),
        ("Shape", "p", "sp", {}),
        ("Slice", ("sp", "zero", "two"), "front", {}),
        ("Concat", ("front", "size"), "z", {"axis": 0}),
        ("Resize", ("p", "", "", "z"), "u", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                                             "nearest_mode": "floor"}),
        ("Concat", "xu", "j", {"axis": 1}),
        ("Relu", "j", "y", {}),
    ]  # fmt: skip
    agrees(nodes, constants, ("n", 2, "h", "w"))


@pytest.mark.parametrize(
    ("attributes", "factors"),
    [
        ({"mode": "cubic"}, (2, 2)),
        ({"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, (2, 2)),
        ({"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "asymmetric"}, (2, 2)),
        ({"mode": "nearest"}, (1.5, 2)),
        ({"mode": "nearest"}, (0.5, 0.5)),
    ],
)
def test_larger_pictures_without_a_layer_are_refused(refused, attributes, factors):
    given = {"s": np.array([1, 1, *factors], np.float32)}
    assert "Resize 'resize0'" in refused([("Resize", ("x", "", "s"), "y", attributes)], given)


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
def test_pixels_of_channels(agrees, mode):
    shuffle = ("DepthToSpace", "c", "y", {"blocksize": 2, "mode": mode})
    network = agrees([("Conv", "xwb", "c", {}), shuffle], {"w": normal(12, 2, 3, 3), "b": normal(12)})
    assert kinds(network).count("Conv2d") == 1
    assert any(isinstance(node, PixelShuffle) for node in network.nodes)
    agrees([("Relu", "x", "c", {}), shuffle], shape=("n", 8, 3, 4))


def test_channels_of_pixels(agrees):
    agrees([("SpaceToDepth", "x", "y", {"blocksize": 2})], shape=("n", 3, 4, 6))
    nodes = [("SpaceToDepth", "x", "s", {"blocksize": 2}), ("DepthToSpace", "s", "y", {"blocksize": 2})]
    agrees(nodes, shape=("n", 3, 4, 6))


@pytest.mark.parametrize(
    ("sizes", "order", "result"),
    [
        ([0, 2, 4, 4, 6], [0, 2, 1, 3, 4], [0, 8, 4, 6]),
        ([0, 4, 2, 24], [0, 2, 1, 3], [0, 8, 4, 6]),
        ([0, 2, 2, 2, 4, 6], [0, 1, 4, 2, 5, 3], [0, 2, 8, 12]),
        ([0, 2, 2, 2, 4, 6], [0, 3, 4, 1, 5, 2], [0, 2, 8, 12]),
        ([0, 8, 2, 2, 3, 2], [0, 1, 3, 5, 2, 4], [0, 32, 2, 3]),
        ([0, 8, 2, 2, 3, 2], [0, 3, 5, 1, 2, 4], [0, 32, 2, 3]),
    ],
)
def test_shuffles_that_are_written_as_changes_of_shape(agrees, sizes, order, result):
    constants = {"a": np.array(sizes), "b": np.array(result)}
    moves = [("Reshape", "ia", "r", {}), ("Transpose", "r", "t", {"perm": order}), ("Reshape", "tb", "y", {})]
    network = agrees([("Relu", "x", "i", {}), *moves], constants, ("n", 8, 4, 6))
    assert ("PixelUnshuffle" in kinds(network)) == (order == [0, 1, 3, 5, 2, 4])


def test_zeros_around_a_picture(agrees, refused):
    pads = {"p": np.array([0, 0, 1, 0, 0, 0, 2, 3]), "w": normal(3, 2, 3, 2)}
    network = agrees([("Pad", "xp", "z", {}), ("Conv", "zw", "y", {"pads": [1, 1, 1, 1]})], pads)
    assert kinds(network) == ["Input", "Conv2d", "Output"]
    agrees([("Pad", "xp", "z", {}), ("Relu", "z", "y", {})], pads)
    agrees([("Pad", "xp", "z", {}), ("Neg", "z", "n", {}), ("Conv", "nw", "y", {})], pads)
    assert "pads with other than zeros" in refused([("Pad", "xp", "y", {"mode": "reflect"})], pads)


def test_changes_of_shape(agrees):
    constants = {"s": np.array([0, -1]), "w": normal(72, 3), "a": np.array([2, 3]), "b": np.array([1, -1, 1, 1])}
    shape = ("n", 2, 6, 6)
    agrees([("Reshape", "xs", "f", {}), ("MatMul", "fw", "y", {})], constants, shape)
    pooled = [("GlobalAveragePool", "x", "g", {}), ("Squeeze", "ga", "f", {}), ("Unsqueeze", "fa", "y", {})]
    agrees(pooled, constants, shape)
    agrees([("GlobalAveragePool", "x", "g", {}), ("Transpose", "g", "y", {"perm": [0, 2, 3, 1]})], (), shape)
    agrees([("Dropout", "x", "d", {}), ("Cast", "d", "y", {"to": 1})])


def test_changes_of_shape_without_a_layer_are_refused(refused):
    sizes = {"s": np.array([0, 4, 4, 8]), "m": np.array([-1, 2])}
    assert "no layer makes such pictures" in refused(
        [("Reshape", "xs", "r", {}), ("GlobalAveragePool", "r", "y", {})], sizes
    )
    assert "mixes the pictures of a batch" in refused([("Reshape", "xm", "y", {})], sizes)
    assert "Transpose 'transpose0' puts the axes" in refused([("Transpose", "x", "y", {"perm": [0, 2, 3, 1]})])


# --- The end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "Softmax", "LogSoftmax"])
def test_functions_at_the_end_are_left_out_and_said(path, kind):
    attributes = {"axis": 1} if "Softmax" in kind else {}
    nodes = [("Conv", "xw", "c", {}), (kind, "c", "s", attributes), ("Identity", "s", "y", {})]
    imported = network_of(path, model(nodes, {"w": normal(3, 2, 3, 3)}), normal(2, 2, 8, 8))
    assert imported.facts["endings"] == [kind]
    assert kinds(imported.network) == ["Input", "Conv2d", "Output"]


def test_a_picture_that_is_cut_off_at_the_end(path):
    constants = {"w": normal(3, 2, 3, 3), "l": np.float32(0), "h": np.float32(1)}
    imported = network_of(
        path, model([("Conv", "xw", "c", {}), ("Clip", "clh", "y", {})], constants), normal(2, 2, 8, 8)
    )
    assert imported.facts["endings"] == ["Clip(0, 1)"]


def test_functions_before_the_end_are_refused(refused):
    message = refused([("Sigmoid", "x", "s", {}), ("Conv", "sw", "y", {})], {"w": normal(3, 2, 3, 3)})
    assert message == (
        "has the operator Sigmoid before Conv 'conv1', but there are no neurons for it but at the end, where it is "
        "left out; train with ReLU in its place"
    )


def test_what_has_no_layer_is_refused_by_name(refused):
    assert refused([("Elu", "x", "y", {})]) == (
        "has the operator Elu ('elu0'), for which there is no layer; train with ReLU, ReLU6 or LeakyReLU in its place"
    )
    assert "a gate, an attention" in refused([("Relu", "x", "r", {}), ("Mul", "xr", "y", {})])
    assert "one number for each channel" in refused([("Add", "xc", "y", {})], {"c": normal(8, 8)})
    assert "joins along the axis 2" in refused([("Concat", "xx", "y", {"axis": 2})])
    assert "input 1 that depends on the picture" in refused([("Conv", "xx", "y", {})])
    assert "adds values of different shapes (2x8x8, 2x1x1)" in refused(
        [("GlobalAveragePool", "x", "g", {}), ("Add", "xg", "y", {})]
    )
    assert "is in training mode" in refused([("BatchNormalization", "xabcd", "y", {"training_mode": 1})],
                                            {name: np.ones(2, np.float32) for name in "abcd"})  # fmt: skip
    assert "transA" in refused([("Gemm", "xw", "y", {"transA": 1})], {"w": normal(2, 2)}, ("n", 2))


def test_attributes_that_an_operator_does_not_have(refused):
    message = refused([("AveragePool", "x", "y", {"kernel_shape": [2, 2], "dilations": [1, 1]})])
    assert message == (
        "AveragePool 'averagepool0' has the attributes dilations, which it does not have in opset 17; export it again"
    )


def test_a_network_of_another_size_for_every_picture_is_refused(refused):
    flat = [("Flatten", "x", "f", {}), ("MatMul", "fw", "y", {})]
    assert "export it with a fixed size" in refused(flat, {"w": normal(128, 3)}, ("n", 2, "h", "w"))


def test_what_may_be_negative_has_signed_neurons(agrees):
    constants = {"w": normal(3, 2, 3, 3), "v": normal(2, 3, 1, 1)}
    network = agrees([("Conv", "xw", "c", {}), ("Conv", "cv", "y", {})], constants)
    assert [type(node.model) for node in network.nodes if isinstance(node, Neurons)] == [SignedMultiThreshold]
    pooled = ("AveragePool", "r", "p", {"kernel_shape": [2, 2]})
    network = agrees([("Conv", "xw", "c", {}), ("Relu", "c", "r", {}), pooled, ("Conv", "pv", "y", {})], constants)
    assert not any(isinstance(node.model, SignedMultiThreshold) for node in network.neurons)

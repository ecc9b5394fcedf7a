"""Functions at the end of ONNX files, and activations that become neurons."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters import convert, read_onnx, read_weights, relative_error
from spikeunet.engine import Linear, simulate
from spikeunet.engine.errors import InputError, StateDictError

pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")

from onnx_graphs import kinds, model, network_of, normal, saved

SHAPE = (2, 3, 6, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


def refusal(path, made):
    saved(path, made)
    with pytest.raises(StateDictError) as caught:
        read_onnx(path)
    message = str(caught.value).removeprefix(f"{path}: ")
    assert "\n" not in message
    return message


# --- At the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("sizes", "axis"),
    [
        ((0, 3, 2, 3, 4), 2),
        ((0, 3, 2, 3, 4), 3),
        ((0, 3, 2, 3, 4), -1),
        ((0, 3, 4, 6), 3),
        ((0, 3, -1), 2),
        ((0, -1), 1),
    ],
)
def test_a_softmax_along_an_axis_of_another_shape(path, kind, sizes, axis):
    """The check computes it along that axis, whatever the network's output is shaped like."""
    made = model(
        [("Conv", "xw", "c", {}), ("Reshape", "cs", "r", {}), (kind, "r", "y", {"axis": axis})],
        {"w": normal(3, 3, 1, 1), "s": np.array(sizes)},
        SHAPE,
    )
    imported = network_of(path, made, normal(*SHAPE))
    assert imported.facts["endings"] == [kind]


def test_a_softmax_of_another_shape_for_pictures_of_another_size(path):
    nodes = [("Conv", "xw", "c", {}), ("Reshape", "cs", "r", {}), ("Softmax", "r", "y", {})]
    constants = {"w": normal(3, 3, 1, 1), "s": np.array([0, 3, 2, 3, 4])}
    imported = read_onnx(saved(path, model(nodes, constants, SHAPE)))
    with pytest.raises(InputError, match=r"Softmax at the end reads 3x2x3x4 for each picture, but .* 3x8x4"):
        relative_error(imported.network, (normal(2, 3, 8, 4), normal(2, 3, 8, 4)), imported.endings)
    constants["s"] = np.array([0, 3, 2, -1, 4])
    assert "export it with a fixed size" in refusal(path, model(nodes, constants, (1, 3, "height", 4)))


def test_channels_that_are_moved_behind_a_function_at_the_end(path):
    """The function would be forgotten."""
    sizes = {"s": np.array([0, 1, 2, 2, 4, 4]), "t": np.array([0, 1, 8, 8])}
    nodes = [
        ("Sigmoid", "x", "c", {}),
        ("Reshape", "cs", "p", {}),
        ("Transpose", "p", "q", {"perm": [0, 1, 4, 2, 5, 3]}),
        ("Reshape", "qt", "y", {}),
    ]
    assert "moves what a Sigmoid puts out" in refusal(path, model(nodes, sizes, (1, 4, 4, 4)))
    moved = [("Reshape", "xs", "p", {}), *nodes[2:3], ("Reshape", "qt", "c", {}), ("Sigmoid", "c", "y", {})]
    network_of(path, model(moved, sizes, (1, 4, 4, 4)), normal(1, 4, 4, 4))


# --- Bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1.0, 1.0), (0.0, 0.5), (0.25, 2.0), (-2.0, -0.25), (-0.5, None), (0.0, None), (None, 0.75), (None, None)],
)
@pytest.mark.parametrize("rectified", [False, True])
def test_values_between_bounds_are_exact(path, low, high, rectified):
    bounds = {name: np.float32(each) for name, each in (("low", low), ("high", high)) if each is not None}
    reads = tuple(name if name in bounds else "" for name in ("low", "high"))
    first = [("Conv", "xw", "a", {})] if not rectified else [("Conv", "xw", "c", {}), ("Relu", "c", "a", {})]
    made = model(
        [*first, ("Clip", ("a", *reads), "b", {}), ("Conv", "bv", "y", {"pads": [1, 1, 1, 1]})],
        {"w": normal(5, 3, 1, 1), "v": normal(2, 5, 3, 3), **bounds},
        SHAPE,
    )
    imported = network_of(path, made, normal(*SHAPE))
    calibration, x = normal(20, *SHAPE[1:]), normal(*SHAPE[1:])
    network = convert(imported, calibration=list(calibration))
    wanted = simulate(network, x, 512).output
    np.testing.assert_allclose(simulate(network, x, 32).output, wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize(("kind", "bound"), [("Max", 0.0), ("Max", -0.5), ("Min", 0.75)])
@pytest.mark.parametrize("reads", ["ab", "ba"])
def test_a_maximum_or_minimum_with_a_number(path, kind, bound, reads):
    """PyTorch's exporter writes clamp so."""
    nodes = [("Conv", "xw", "a", {}), (kind, reads, "c", {}), ("Conv", "cv", "y", {})]
    constants = {"w": normal(5, 3, 1, 1), "v": normal(2, 5, 1, 1), "b": np.float32(bound)}
    network = network_of(path, model(nodes, constants, SHAPE), normal(*SHAPE)).network
    assert bound or kinds(network) == ["Input", "Conv2d", "Neurons", "Conv2d", "Output"]
    ended = network_of(path, model([*nodes[:1], (kind, reads, "y", {})], constants, SHAPE), normal(*SHAPE))
    assert ended.facts.get("endings") == (["Clip(, 0.75)"] if kind == "Min" else None)


def test_bounds_that_are_refused(path):
    def message(*nodes, **constants):
        return refusal(path, model([*nodes, ("Relu", "b", "y", {})], constants, SHAPE))

    one, channels = np.float32(1), normal(1, 3, 1, 1)
    assert "cuts off at 1 and at 1, which leaves one number" in message(("Clip", "xab", "b", {}), a=one, b=one)
    assert "Max 'max0' has bounds from " in message(("Max", "xa", "b", {}), a=channels)
    assert "makes what it reads larger" in message(("Max", "xa", "b", {}), a=np.zeros((5, 1, 1, 1, 1), np.float32))
    assert "a maxout" in message(("Neg", "x", "a", {}), ("Max", "xa", "b", {}))


# --- Constants -------------------------------------------------------------------------------------------------------


def parameters(count):
    found = {name: normal(count) for name in ("gain", "bias", "mean")}
    return {**found, "variance": np.abs(normal(count)) + 0.3}


@pytest.mark.parametrize("before", ["MaxPool", "Conv"])
def test_a_batch_norm_of_features_goes_into_the_full_connection_behind_it(path, before):
    """The connection reads the picture; there are no neurons between."""
    first = [("Relu", "x", "r", {}), ("MaxPool", "r", "a", {"kernel_shape": [2, 2], "strides": [2, 2]})]
    nodes = [
        *(first if before == "MaxPool" else [("Conv", "xw", "a", {"strides": [2, 2]})]),
        ("Flatten", "a", "f", {}),
        ("BatchNormalization", ("f", *parameters(1)), "n", {}),
        ("Gemm", "nv", "y", {}),
    ]
    constants = {"w": normal(3, 3, 1, 1), "v": normal(18, 4), **parameters(18)}
    network = network_of(path, model(nodes, constants, SHAPE), normal(*SHAPE)).network
    assert [kind for kind in kinds(network) if kind in ("Flatten", "Scale")] == (
        ["Scale"] if before == "MaxPool" else []
    )
    assert kinds(network)[-3:] == ["Neurons", "Linear", "Output"]
    assert next(node for node in network.nodes if isinstance(node, Linear)).weight.shape == (4, 18)
    counts = simulate(network, normal(*SHAPE[1:]), 1).operations.synapses[network.nodes[-2].name]
    assert counts.dense_macs == 18 * 4


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_constants_for_features_before_something_else(path, kind):
    nodes = [("Flatten", "x", "f", {}), (kind, "fa", "b", {}), ("Relu", "b", "r", {}), ("Gemm", "rv", "y", {})]
    constants = {"a": normal(1, 72), "v": normal(72, 4)}
    network_of(path, model(nodes, constants, SHAPE), normal(*SHAPE))


@pytest.mark.parametrize("name", ["gain", "bias", "mean", "variance"])
def test_numbers_that_are_none_in_a_batch_norm(path, name):
    called = {"gain": "scale", "mean": "running mean", "variance": "running variance"}.get(name, name)
    constants = parameters(3)
    constants[name][1] = np.nan
    made = model([("BatchNormalization", ("x", *constants), "y", {})], constants, SHAPE)
    assert refusal(path, made).startswith(
        f"BatchNormalization 'batchnormalization0' has nan in its {called} (1 of 3 numbers are not finite); repair"
    )


def test_numbers_that_are_none_in_a_constant(path):
    for kind, number, wanted in (
        ("Add", np.nan, "nan in its constant"),
        ("Mul", np.inf, "inf in its"),
        ("Div", 0, "by 0"),
    ):
        assert wanted in refusal(path, model([(kind, "xa", "y", {})], {"a": np.float32(number)}, SHAPE))


# --- What it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["initialiser", "node"])
def test_a_gelu_that_is_spelled_out_is_named(path, factor):
    constants = {"w": normal(3, 3, 1, 1), "third": np.float32(3), "one": np.float32(1), "root": np.float32(2**0.5)}
    constants |= {"small": np.float32(0.044715), "half": np.float32(0.5), "factor": np.float32((2 / np.pi) ** 0.5)}
    last = [
        ("Add", ("t", "one"), "p", {}),
        ("Mul", ("p", "half"), "h", {}),
        ("Mul", "ah", "g", {}),
        ("Conv", "gw", "y", {}),
    ]
    exact = [("Conv", "xw", "a", {}), ("Div", ("a", "root"), "d", {}), ("Erf", "d", "t", {}), *last]
    assert refusal(path, model(exact, constants, SHAPE)).startswith(
        "has a GELU, of which Erf 'erf2' is a part, and for"
    )
    tanh = [
        ("Conv", "xw", "a", {}),
        ("Mul", "aa", "s", {}),
        ("Mul", "sa", "c", {}),
        ("Mul", ("c", "small"), "m", {}),
        ("Add", "am", "u", {}),
        ("Mul", ("factor", "u"), "v", {}),
        ("Tanh", "v", "t", {}),
        *last,
    ]
    if factor == "node":
        from onnx import numpy_helper

        tanh.insert(0, ("Constant", (), "factor", {"value": numpy_helper.from_array(constants.pop("factor"))}))
    assert "has a GELU, of which Tanh" in refusal(path, model(tanh, constants, SHAPE))


def test_a_hyperbolic_tangent_at_the_end_is_no_gelu(path):
    nodes = [("Mul", "xa", "b", {}), ("Tanh", "b", "y", {})]
    network_of(path, model(nodes, {"a": np.float32(2)}, SHAPE), normal(*SHAPE))


def test_pixels_that_are_taken_by_their_places(path):
    nodes = [
        ("Transpose", "x", "a", {"perm": [2, 3, 0, 1]}),
        ("GatherND", "ai", "b", {}),
        ("Transpose", "b", "y", {"perm": [2, 3, 0, 1]}),
    ]
    rows, columns = np.meshgrid(np.arange(12) // 2, np.arange(8) // 2, indexing="ij")
    made = model(nodes, {"i": np.stack([rows, columns], -1)}, SHAPE)
    assert "an upsampling by 'nearest-exact' is exported; take mode='nearest'" in refusal(path, made)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page"),
        (b"<HTML>", "is a web page"),
    ],
)
def test_files_that_stand_where_others_should(path, tmp_path, content, what):
    assert refusal(path, content).startswith(f"{what}, not the file itself; ")
    for name in ("state.pth", "state.npz", "state.safetensors", "state.h5"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StateDictError, match=f"{name}: {what}, not the file itself"):
            read_weights(tmp_path / name)

"""ONNX files that are damaged or were made to do harm: refused in one line, in little memory, nothing in them run."""

from __future__ import annotations

import random
import re
import time
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx_graphs import model, normal, saved
from refusals import refusal

from spikeunet.converters import convert, read_onnx, read_weights
from spikeunet.converters.onnx import wire
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError, StateDictError

NODES = [
    ("Conv", "xwb", "c", {"pads": [1, 1, 1, 1]}),
    ("Relu", "c", "r", {}),
    ("MaxPool", "r", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Resize", ("p", "", "s"), "u", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}),
    ("Concat", "ur", "j", {"axis": 1}),
    ("GlobalAveragePool", "j", "g", {}),
    ("Reshape", "gf", "k", {}),
    ("Gemm", "kvb", "y", {"transB": 1}),
]
CONSTANTS = {
    "w": normal(3, 2, 3, 3),
    "b": normal(3),
    "s": np.array([1, 1, 2, 2], np.float32),
    "f": np.array([0, -1]),
    "v": normal(3, 6),
}
LITTLE = 2**26
"""Bytes of memory for files of some kilobytes."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


def whole():
    return model(NODES, CONSTANTS)


def refused(path, made, most_bytes=LITTLE):
    saved(path, made)
    tracemalloc.start()
    try:
        begun = time.perf_counter()
        with pytest.raises(StateDictError) as caught:
            read_onnx(path)
        assert time.perf_counter() - begun < 20
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600 + len(str(path))
    return message.removeprefix(f"{path}: ")


def test_the_whole_model_is_read(path):
    assert read_onnx(saved(path, whole())).network.parameters == 54 + 3 + 18 + 3


def test_files_that_are_none(path):
    assert "names no single version" in refused(path, b"")
    assert "is an ONNX file, but truncated or damaged" in refused(path, b"garbage, of some length")
    assert "truncated or damaged" in refused(path, whole().SerializeToString()[:-40])
    with pytest.raises(StateDictError, match=r"missing\.onnx: is no file; check the path"):
        read_onnx(path.with_name("missing.onnx"))


def test_mutations_are_refused_in_one_line_or_harmless(path):
    """Bytes changed, left out, doubled and put in, anywhere; what still is a network is one that can be saved."""
    content, made = whole().SerializeToString(), random.Random(0)
    found = 0
    for _ in range(400):
        changed = bytearray(content)
        for _ in range(made.choice((1, 1, 2, 8))):
            place = made.randrange(len(changed))
            kind = made.randrange(4)
            if kind == 0:
                changed[place] = made.randrange(256)
            elif kind == 1:
                del changed[place : place + made.choice((1, 2, 40))]
            elif kind == 2:
                changed[place:place] = changed[place : place + made.choice((1, 2, 40))]
            else:
                changed[place:place] = made.randbytes(made.choice((1, 4)))
        saved(path, bytes(changed))
        found += bool(_message(path))
    assert 100 < found < 400


def test_numbers_in_attributes_and_shapes(path):
    """Every whole number of the graph in turn replaced by extreme ones."""
    values = (0, -1, -(2**63), 2**63 - 1, 2**31, 3)
    for index, node in enumerate(whole().graph.node):
        for place, attribute in enumerate(node.attribute):
            for value in values:
                made = whole()
                changed = made.graph.node[index].attribute[place]
                if attribute.type == AttributeProto.INTS:
                    changed.ints[:] = [value, *list(changed.ints)[1:]]
                elif attribute.type == AttributeProto.INT:
                    changed.i = value
                _read_or_refused(path, made)
    for name in ("s", "f"):
        for value in values:
            made = whole()
            (tensor,) = (each for each in made.graph.initializer if each.name == name)
            array = numpy_helper.to_array(tensor).copy()
            array[-1] = min(value, 2**62)
            tensor.CopyFrom(numpy_helper.from_array(array, name))
            _read_or_refused(path, made)


def _message(path):
    """The line of a refusal; "" where the file is read."""
    try:
        read_onnx(path)
    except StateDictError as error:
        message = str(error)
    else:
        return ""
    assert "\n" not in message
    assert len(message) < 600 + len(str(path))
    return message


def _read_or_refused(path, made):
    saved(path, made)
    tracemalloc.start()
    try:
        _message(path)
    finally:
        assert tracemalloc.get_traced_memory()[1] < LITTLE
        tracemalloc.stop()


# --- Graphs ----------------------------------------------------------------------------------------------------------


def test_cycles_and_missing_initialisers(path):
    cycle = [("Add", "xb", "a", {}), ("Relu", "a", "b", {}), ("Relu", "b", "y", {})]
    assert "Add 'add0' reads 'b', which no node before it puts out: the graph has a cycle" in refused(
        path, model(cycle)
    )
    assert "reads 'y', which no node" in refused(path, model([("Add", "xy", "y", {})]))
    missing = model(NODES, {name: array for name, array in CONSTANTS.items() if name != "w"})
    assert refused(path, missing).startswith("Conv 'conv0' reads 'w', which no node before it puts out")
    twice = [("Relu", "x", "r", {}), ("Relu", "x", "r", {}), ("Relu", "r", "y", {})]
    assert "two of its nodes put out one tensor" in refused(path, model(twice))
    assert "does not depend on its input" in refused(path, model([("Identity", "b", "y", {})], CONSTANTS))


def test_several_inputs_or_outputs(path):
    made = whole()
    made.graph.output.add().CopyFrom(helper.make_tensor_value_info("r", TensorProto.FLOAT, None))
    assert "has 2 outputs (y, r), but a network has one" in refused(path, made)
    made = whole()
    made.graph.input.add().CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert "has 2 inputs (x, z), but a network has one" in refused(path, made)


def test_versions_and_functions(path):
    assert "is written for opset 9; 11 to" in refused(path, model(NODES, CONSTANTS, opset=9))
    assert "is written for opset 9999" in refused(path, model(NODES, CONSTANTS, opset=9999))
    custom = model([("Relu", "x", "y", {"domain": "my.domain"})])
    custom.graph.node[0].domain = "my.domain"
    assert "has the operator my.domain.Relu ('relu0'), for which there is no layer" in refused(path, custom)
    branch = helper.make_graph([], "branch", [], [])
    made = model([("If", "c", "y", {"then_branch": branch, "else_branch": branch})], {"c": np.array(True)})
    assert "has the operator If ('if0')" in refused(path, made)


@pytest.mark.parametrize("shape", [("n", 2**40, 8, 8), ("n", 2, 2**40, 8), ("n", -1, 8, 8), ("n", "c", 8, 8),
                                   (1, 2, 3, 4, 5), (2**40, 0)])  # fmt: skip
def test_shapes_of_the_input(path, shape):
    message = refused(path, model(NODES, CONSTANTS, shape))
    assert "reads" in message or "channels" in message


def test_names_that_are_no_names(path):
    made = whole()
    made.graph.node[1].name = "\n\x1b[31m/" + 300 * "é"
    names = [node.name for node in read_onnx(saved(path, made)).network.nodes]
    assert all(name.isprintable() and len(name) <= 100 for name in names)
    assert len(set(names)) == len(names)


# --- Bombs -----------------------------------------------------------------------------------------------------------


def test_numbers_that_are_not_there(path):
    made = whole()
    made.graph.initializer[0].dims[:] = [2**40, 2, 3, 3]
    assert "is said to have the shape" in refused(path, made)
    made.graph.initializer[0].dims[:] = [4, 2, 3, 3]
    assert "'w' of the shape (4, 2, 3, 3) holds 54 numbers" in refused(path, made)
    made.graph.initializer[0].dims[:] = [-3, 2, 3, -3]
    assert "is said to have the shape" in refused(path, made)
    made = whole()
    made.graph.initializer[0].data_type = TensorProto.COMPLEX64
    assert "'w' has numbers of the type complex64, which is not read" in refused(path, made)


def test_weights_that_are_not_finite(path):
    made = model(NODES, {**CONSTANTS, "w": np.full((3, 2, 3, 3), np.nan, np.float32)})
    assert "NaN or infinite" in refused(path, made)


def test_constants_that_grow(path):
    huge = [("ConstantOfShape", "k", "w", {}), ("Conv", "xw", "y", {})]
    assert "makes a constant of" in refused(path, model(huge, {"k": np.array([2**20, 2, 2**10, 2**10])}))
    nodes = [("Concat", ("s0", "s0"), ("s1",), {"axis": 0})]
    nodes += [("Concat", (f"s{k}", f"s{k}"), (f"s{k + 1}",), {"axis": 0}) for k in range(1, 60)]
    made = model([*nodes, ("Add", ("x", "s60"), "y", {})], {"s0": normal(4)})
    assert "makes a constant of" in refused(path, made, 2**27)
    for kind, reads in (("Expand", "bk"), ("Range", ("zero", "far", "one"))):
        made = model([(kind, reads, "e", {}), ("Add", "xe", "y", {})],
                     {"b": normal(1), "k": np.array([2**40, 2**10]), "zero": np.array(0), "far": np.array(2**50),
                      "one": np.array(1)})  # fmt: skip
        assert "makes a constant of" in refused(path, made)


def test_weights_that_are_used_again_and_again(path):
    nodes = [("Conv", ("x" if k == 0 else f"c{k}", "w"), (f"c{k + 1}",), {}) for k in range(200)]
    made = model([*nodes, ("Relu", ("c200",), "y", {})], {"w": normal(600, 600, 1, 1)}, ("n", 600, 8, 8))
    assert "far more weights than it holds numbers" in refused(path, made, 2**29)
    padded = model([("Conv", "xw", "y", {"pads": [0, 0, 60000, 60000]})], {"w": normal(20, 2, 1, 1)})
    assert "far more weights than it holds numbers" in refused(path, padded)


def test_sizes_that_grow(path):
    scales = {"s": np.array([1, 1, 2**20, 2**20], np.float32)}
    assert "makes pictures far too large" in refused(path, model([("Resize", ("x", "", "s"), "y", {})], scales))
    shuffle = model([("SpaceToDepth", "x", "y", {"blocksize": 256})], shape=("n", 2, 256, 256))
    assert "far more weights" in refused(path, shuffle)


def test_many_messages_and_long_names(path, monkeypatch):
    monkeypatch.setattr(wire, "MOST_FIELDS", 10_000)
    empty_nodes = b"\x0a\x00" * 10_001
    begin = b"\x3a" + _varint(len(empty_nodes))
    assert "holds more than 10000 fields" in refused(path, begin + empty_nodes)
    monkeypatch.setattr(wire, "MOST_TEXT", 1000)
    made = whole()
    made.graph.doc_string = "x" * 1001
    assert "holds more than 1000 bytes of names and texts" in refused(path, made)
    assert "truncated or damaged" in refused(path, b"\xff" * 100)
    assert "truncated or damaged" in refused(path, b"\x3a\xff\xff\xff\xff\x0f")


def _varint(number):
    found = []
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_graphs_within_graphs(path):
    """The parser of protobuf goes no deeper than a hundred messages."""
    graph = b""
    for _ in range(1000):
        attribute = b"\x32" + _varint(len(graph)) + graph
        node = b"\x2a" + _varint(len(attribute)) + attribute
        graph = b"\x0a" + _varint(len(node)) + node
    assert "truncated or damaged" in refused(path, b"\x3a" + _varint(len(graph)) + graph)


# --- Numbers in other files ------------------------------------------------------------------------------------------


def external(location, **entries):
    made = whole()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return made


def test_numbers_beside_the_file(path):
    content = CONSTANTS["w"].tobytes()
    (path.parent / "w.bin").write_bytes(b"1234" + content)
    network = read_onnx(saved(path, external("w.bin", offset=4, length=len(content)))).network
    assert network.parameters == 54 + 3 + 18 + 3
    assert "does not fit into 'w.bin'" in refused(path, external("w.bin", offset=5))
    assert "does not fit into 'w.bin'" in refused(path, external("w.bin", length=4))
    assert "is no number of bytes" in refused(path, external("w.bin", offset="-4"))


def test_numbers_outside_the_folder(path, tmp_path):
    outside = tmp_path / "outside.bin"
    outside.write_bytes(CONSTANTS["w"].tobytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.bin").symlink_to(outside)
    inner = folder / "network.onnx"
    for location in ("../outside.bin", str(outside), "link.bin", "", "a\0b", "..\\outside.bin"):
        assert "which is not in its folder and is not read" in refused(inner, external(location))
    assert "which is no file beside it" in refused(inner, external("missing.bin"))
    assert "which is no file beside it" in refused(inner, external("."))


# --- The check -------------------------------------------------------------------------------------------------------


def test_a_network_that_was_misunderstood_is_refused(path, tmp_path):
    made = saved(path, model([("Conv", "xwb", "y", {})], CONSTANTS))
    inputs = normal(2, 2, 8, 8)
    weights = {name: CONSTANTS[name].astype(np.float64) for name in "wb"}
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), (2, 3))
    outputs = np.einsum("nchwij,ocij->nohw", windows, weights["w"]) + weights["b"][:, None, None]
    network = convert(made, normalization="none", check=(inputs, outputs))
    assert network.metadata["conversion"]["relative_error"] < 1e-6
    with pytest.raises(InputError, match="the network was misunderstood: its outputs differ by"):
        convert(made, normalization="none", check=(inputs, outputs + 0.1))
    forced = convert(made, normalization="none", check=(inputs, outputs + 0.1), force=True)
    assert forced.metadata["conversion"]["relative_error"] > 1e-3
    with pytest.raises(InputError, match="2 inputs and 1 outputs"):
        convert(made, normalization="none", check=(inputs, outputs[:1]))
    with pytest.raises(InputError, match=r"have the shape \(2, 3, 6, 5\), but the network puts out \(2, 3, 6, 6\)"):
        convert(made, normalization="none", check=(inputs, outputs[..., 1:]))
    with pytest.raises(InputError, match="NaN or infinite"):
        convert(made, normalization="none", check=(inputs * np.nan, outputs))
    np.savez(tmp_path / "check.npz", inputs=inputs)
    with pytest.raises(InputError, match="has no array outputs"):
        convert(made, normalization="none", check=tmp_path / "check.npz")


def test_options_that_have_no_meaning(path, capsys, monkeypatch):
    with pytest.raises(InputError, match="an ONNX file has no entries; leave 'params' out"):
        convert(saved(path, whole()), normalization="none", entry="params")
    monkeypatch.chdir(path.parent)
    plain = ("convert", path.name, "-o", "model.npz", "--normalization", "none")
    for option in (("--entry", "params"), ("--epsilon", "1e-3"), ("--architecture", "spiking-unet")):
        message = refusal(capsys, *plain, *option)
        assert message == f"{option[0]} has no meaning for an ONNX file, which says it itself; leave it out"
    assert "--force has no meaning without --check" in refusal(capsys, *plain, "--force")
    np.savez("check.npz", inputs=normal(1, 2, 8, 8), outputs=normal(1, 3))
    assert refusal(capsys, *plain, "--check", "check.npz").startswith("check.npz: the network was misunderstood")
    for name, arrays, said in (
        ("few", {"inputs": normal(2, 2, 8, 8), "outputs": normal(1, 3)}, "the check has 2 inputs and 1 outputs"),
        ("silent", {"inputs": normal(1, 2, 8, 8), "outputs": np.zeros((1, 3))}, "all outputs of the check are 0"),
        ("wide", {"inputs": normal(1, 5, 8, 8), "outputs": normal(1, 3)}, "a picture of 5x8x8"),
        ("half", {"inputs": normal(1, 2, 8, 8)}, "has no array outputs"),
    ):
        np.savez(f"{name}.npz", **arrays)
        assert refusal(capsys, *plain, "--check", f"{name}.npz").startswith(f"{name}.npz: {said}")
    with pytest.raises(SystemExit) as stop:
        main([*plain, "--check", "check.npz", "--force"])
    assert stop.value.code == 0
    assert "outputs differ by" in capsys.readouterr().out


def test_what_the_exporter_wrote_beside_the_file_is_checked(path, capsys, monkeypatch):
    made = saved(path, model([("Conv", "xwb", "y", {})], CONSTANTS))
    monkeypatch.chdir(path.parent)
    inputs = normal(2, 2, 8, 8)
    beside = path.with_suffix(".npz")
    np.savez(beside, inputs=inputs, outputs=normal(2, 3, 6, 6))
    with pytest.raises(InputError, match=rf"{beside.name}: the network was misunderstood"):
        convert(made, normalization="none")
    network = convert(made, normalization="none", check=False)
    assert "check" not in network.metadata["conversion"]
    plain = ("convert", path.name, "-o", "model.npz", "--normalization", "none")
    assert refusal(capsys, *plain).startswith(f"{beside.name}: the network was misunderstood")
    assert "contradict each other" in refusal(capsys, *plain, "--no-check", "--check", beside.name)
    assert beside.name in refusal(capsys, "convert", path.name, "-o", beside.name, "--normalization", "none")
    with pytest.raises(SystemExit):
        main([*plain, "--no-check"])
    assert re.search(r"check +none; --check FILE.npz", capsys.readouterr().out)
    np.savez(beside, inputs=inputs, outputs=forward(network, inputs)[0])
    with pytest.raises(SystemExit):
        main([*plain])
    assert f"of the largest one ({beside.name})" in capsys.readouterr().out
    np.savez(beside, inputs=inputs, outputs=inputs, more=inputs)  # somebody else's
    assert "check" not in convert(made, normalization="none").metadata["conversion"]


@pytest.mark.parametrize("name", ["network.bin", "network.pth", "network"])
def test_onnx_is_told_by_its_content(tmp_path, name):
    made = saved(tmp_path / name, model([("Conv", "xwb", "y", {})], CONSTANTS))
    assert convert(made, normalization="none").metadata["conversion"]["source"] == "onnx"
    with pytest.raises(StateDictError, match="is an ONNX file, which holds a network and not weights alone"):
        read_weights(made)


def test_weights_under_the_name_of_an_onnx_file_are_weights(tmp_path):
    with (tmp_path / "state.onnx").open("wb") as file:
        np.savez(file, **{f"{place}.weight": np.ones((4, 4), np.float32) for place in (0, 2)})
    network = convert(tmp_path / "state.onnx", "mlp", normalization="none")
    assert network.metadata["conversion"]["architecture"] == "mlp"


def test_calibration_pictures_of_another_size_name_the_one_that_is_taken(path):
    nodes = [
        ("Flatten", "x", "f", {}),
        ("Gemm", "fw", "r", {"transB": 1}),
        ("Relu", "r", "q", {}),
        ("Gemm", "qv", "y", {}),
    ]
    made = saved(path, model(nodes, {"w": normal(3, 128), "v": normal(3, 2)}, ("n", 2, 8, 8)))
    with pytest.raises(InputError, match=r"calibration picture 1 is 2x9x8 .*, but the network takes 2x8x8, the size"):
        convert(made, calibration=[np.ones((2, 8, 8)), np.ones((2, 9, 8))])


def test_a_spiking_network_is_not_taken_for_weights(tmp_path):
    (tmp_path / "network.nir").write_bytes(b"")
    with pytest.raises(InputError, match="is a NIR file, of a network that spikes already; read_nir reads it"):
        convert(tmp_path / "network.nir", normalization="none")


def test_an_input_of_whole_numbers_is_refused(tmp_path):
    made = model([("Conv", ("x", "w"), "y", {})], {"w": normal(3, 2, 1, 1)})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(StateDictError, match="an input of the type INT64, not float32"):
        read_onnx(saved(tmp_path / "whole.onnx", made))


def test_a_classifier_is_calibrated_on_pictures_that_it_takes(tmp_path):
    nodes = [("Conv", ("x", "w"), "c", {}), ("GlobalAveragePool", "c", "g", {}), ("Flatten", "g", "y", {})]
    path = saved(tmp_path / "classes.onnx", model(nodes, {"w": normal(3, 2, 1, 1)}, shape=(1, 2, 8, 8)))
    pictures = [np.zeros((2, 8, 10), np.float32)]
    convert(path, calibration=pictures)
    with pytest.raises(InputError, match=r"picture 0 is 2x8x10 .* but the network takes 2x8x8, the size that it was"):
        convert(path, calibration=pictures, metadata={"task": "classify"})

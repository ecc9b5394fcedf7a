"""Broken ONNX files: bytes, numbers, names and whole nodes exchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fuzz_inputs
import numpy as np
from onnx import AttributeProto, numpy_helper
from onnx_graphs import model, normal

from spikeunet.converters import read_onnx
from spikeunet.engine import load_model, save_model
from spikeunet.engine.errors import GraphError, StateDictError

NODES = [
    ("Conv", "xwb", "c", {"pads": [1, 1, 1, 1]}),
    ("Relu", "c", "r", {}),
    ("MaxPool", "r", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    (
        "ConvTranspose",
        "pt",
        "o",
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "dilations": [1, 2]},
    ),
    ("LeakyRelu", "o", "l", {"alpha": 0.1}),
    ("Resize", ("p", "", "s"), "u", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}),
    ("Pad", "uz", "q", {}),
    ("Concat", "qrl", "j", {"axis": 1}),
    ("DepthToSpace", "j", "d", {"blocksize": 2, "mode": "CRD"}),
    ("AveragePool", "d", "a", {"kernel_shape": [2, 2], "count_include_pad": 1, "auto_pad": "VALID"}),
    ("Conv", "ah", "e", {"group": 3, "dilations": [1, 1], "strides": [2, 1]}),
    ("GlobalAveragePool", "e", "g", {}),
    ("Shape", "g", "k", {}),
    ("Gather", "ki", "n", {"axis": 0}),
    ("Concat", "nf", "m", {"axis": 0}),
    ("Reshape", "gm", "v", {}),
    ("Gemm", "v1b", "2", {"transB": 1, "alpha": 0.5}),
    ("Mul", "2b", "3", {}),
    ("Softmax", "3", "y", {"axis": 1}),
]
CONSTANTS = {
    "w": normal(4, 2, 3, 3), "b": normal(4), "t": normal(4, 4, 3, 2), "s": np.array([1, 1, 2, 2], np.float32),
    "z": np.array([0, 0, 0, 0, 0, 0, 0, 0]), "h": normal(3, 1, 2, 2), "i": np.array([0]), "f": np.array([-1]),
    "1": normal(4, 3),
}  # fmt: skip


class Graphs:
    """Broken files of one graph with a fixed and an open size."""

    def __init__(self) -> None:
        self.models = [model(NODES, CONSTANTS, shape) for shape in ((2, 2, 8, 8), ("n", 2, "h", "w"))]

    def __call__(self, random: np.random.Generator) -> bytes:
        made = type(self.models[0])()
        made.CopyFrom(self.models[random.integers(2)])
        kind = random.integers(4)
        if kind == 0:
            return fuzz_inputs.damage(made.SerializeToString(), random)
        for _ in range(random.integers(1, 4)):
            change = (_attribute, _constant, _name, _node)[random.integers(4)]
            change(made.graph, random)
        return made.SerializeToString()


def _attribute(graph: Any, random: np.random.Generator) -> None:
    """A number or a text of a node."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    chosen = attributes[random.integers(len(attributes))]
    value = _whole(random)
    if chosen.type == AttributeProto.INTS:
        numbers = list(chosen.ints) or [0]
        numbers[random.integers(len(numbers))] = value
        chosen.ints[:] = numbers if random.integers(3) else numbers[1:]
    elif chosen.type == AttributeProto.INT:
        chosen.i = value
    elif chosen.type == AttributeProto.FLOAT:
        chosen.f = random.choice([np.nan, np.inf, 0, -1, 1e38, 1e-45])
    else:
        chosen.s = random.choice([b"", b"SAME_UPPER", b"linear", b"align_corners", b"DCR", b"\xff"])
    if random.integers(8) == 0:
        chosen.type = random.integers(15)


def _constant(graph: Any, random: np.random.Generator) -> None:
    """A number, the shape or the type of a constant."""
    chosen = graph.initializer[random.integers(len(graph.initializer))]
    kind = random.integers(3)
    if kind == 0 and chosen.dims:
        chosen.dims[random.integers(len(chosen.dims))] = _whole(random)
    elif kind == 1:
        chosen.data_type = random.integers(25)
    else:
        try:
            array = numpy_helper.to_array(chosen).copy()
        except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError):
            return
        if array.size and array.dtype.kind in "if":
            value = _whole(random) if array.dtype.kind == "i" else random.choice([np.nan, np.inf, 1e38, 0, 3])
            array.reshape(-1)[random.integers(array.size)] = value
            chosen.CopyFrom(numpy_helper.from_array(array, chosen.name))


def _name(graph: Any, random: np.random.Generator) -> None:
    """A name of an input or an output of a node."""
    node = graph.node[random.integers(len(graph.node))]
    names = node.input if random.integers(4) else node.output
    names[random.integers(len(names))] = random.choice([*"xrcpujdgvy2", "", "missing"])


def _node(graph: Any, random: np.random.Generator) -> None:
    """A node left out, doubled, moved, or of another operator."""
    place, kind = int(random.integers(len(graph.node))), random.integers(4)
    node = graph.node[place]
    if kind == 0 and len(graph.node) > 1:
        del graph.node[place]
    elif kind == 1:
        graph.node.add().CopyFrom(node)
    elif kind == 2:
        node.op_type = graph.node[random.integers(len(graph.node))].op_type
    else:
        node.op_type = random.choice(["Sigmoid", "Transpose", "Squeeze", "BatchNormalization", "If", "Expand", "Clip"])


def _whole(random: np.random.Generator) -> int:
    return int(random.choice([0, -1, 1, 2, 3, 7, 2**16, 2**31 - 1, 2**62, -(2**63)]))


def read_broken_graph(content: bytes) -> str:
    """Refused in one line, or a network that can be saved."""
    import fuzz

    Path("input.onnx").write_bytes(content)
    try:
        network = read_onnx("input.onnx").network
    except StateDictError as error:
        return fuzz.refused(error)
    try:
        save_model(network, "again.npz")
    except GraphError as error:
        return fuzz.refused(error)
    if len(load_model(Path("again.npz").resolve()).nodes) != len(network.nodes):
        raise fuzz.FindingError("is not the same after saving and loading")
    return "read"

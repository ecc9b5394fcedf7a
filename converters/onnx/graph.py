"""An ONNX graph as plain values: what leads to its output, in order, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import AttributeProto

from spikeunet.engine.errors import first_few
from spikeunet.engine.graph.limits import MOST_NODES

from ..weights.refusals import DamagedError, UnreadableError
from .arrays import Arrays

OLDEST_OPSET = 11
NEWEST_OPSET = 28
"""A later one may give an operator an attribute that nothing here looks at."""
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.UNDEFINED)
"""Types of an input that the network can be shown; doubles are read as float32 here as everywhere."""

_MOST_NODES = 4 * MOST_NODES
"""Constants and shapes, of which nothing is left, included."""

MOST_PIXELS = 1 << 16
"""Along an axis of the picture that a file fixes."""


@dataclass(frozen=True, eq=False)
class GraphNode:
    """An operator of the graph.

    Attributes
    ----------
    kind : str
        Name of the operator.
    name : str
        That of the module whose weights it has, else the node's own, or that of what it puts out.
    inputs, outputs : names of tensors; "" for an input that is left out
    attributes : dict
        Numbers, texts, lists of them, and arrays.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in order, constants by name, the input's name, type and sizes (None for open ones), the output."""

    nodes: tuple[GraphNode, ...]
    constants: Mapping[str, NDArray[Any]]
    input_name: str
    input_type: int
    input_shape: tuple[int | None, ...]
    output: str
    opset: int
    producer: str


def plain_graph(model: Any, arrays: Arrays) -> Graph:
    """The graph of a parsed model; UnreadableError or DamagedError where it is none of one picture to one output."""
    opset = _opset(model)
    if len(model.functions) or len(model.training_info):
        raise UnreadableError("has functions or training steps of its own; inline them (onnx.inliner) and drop these")
    graph = model.graph
    if len(graph.node) > _MOST_NODES:
        raise UnreadableError(f"has {len(graph.node)} nodes; at most {_MOST_NODES} are read")
    (output,) = _single(graph.output, "output")
    nodes = _needed(graph.node, output.name)
    read = {name for node in nodes for name in node.input} | {output.name}
    readers = Counter(name for node in nodes for name in node.input)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if len(graph.sparse_initializer):
        raise UnreadableError("has sparse tensors, which are not read; export dense ones")
    (entry,) = _single([value for value in graph.input if value.name not in tensors], "input")
    constants = {name: arrays.read(tensor) for name, tensor in tensors.items() if name in read}
    return Graph(
        tuple(_plain_node(node, arrays, readers) for node in nodes),
        constants,
        entry.name,
        entry.type.tensor_type.elem_type,
        _shape(entry),
        output.name,
        opset,
        f"{model.producer_name} {model.producer_version}".strip()[:100],
    )


def check_input(graph: Graph) -> None:
    """UnreadableError where the graph reads what no picture from black 0 to white 1 is."""
    kind = graph.input_type
    if kind not in _FLOATS:
        name = onnx.TensorProto.DataType.Name(kind) if kind in onnx.TensorProto.DataType.values() else kind
        raise UnreadableError(f"reads an input of the type {name}, not float32; export it with an input of floats")


def _opset(model: Any) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise UnreadableError("names no single version of ONNX's operators, or holds no model at all; export it again")
    newest = min(onnx.defs.onnx_opset_version(), NEWEST_OPSET)
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise UnreadableError(
            f"is written for opset {versions[0]}; {OLDEST_OPSET} to {newest} are read: convert it with "
            "onnx.version_converter, or export it with opset_version=17"
        )
    return int(versions[0])


def _single(values: Any, what: str) -> Any:
    if len(values) != 1:
        names = first_few(value.name for value in values)
        raise UnreadableError(
            f"has {len(values)} {what}s ({names or 'none'}), but a network has one; export it with one {what} alone"
        )
    return values


def _needed(nodes: Any, output: str) -> list[Any]:
    """Nodes that lead to the output, in the order of the file, which must be that of computing."""
    wanted, found = {output}, []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            found.append(node)
            wanted.update(name for name in node.input if name)
    made = [name for node in found for name in node.output if name]
    if len(set(made)) != len(made):
        raise DamagedError("two of its nodes put out one tensor")
    return found[::-1]


def _name(node: Any, readers: Mapping[str, int]) -> str:
    """A layer is called by its module where its weights are, as PyTorch's exporters write them, and nobody else's."""
    module, dot, kind = (node.input[1] if len(node.input) > 1 else "").rpartition(".")
    if module and dot and kind == "weight" and readers[node.input[1]] == 1:
        return str(module)[:100]
    return str(node.name or next(iter(node.output), ""))[:100]


def _plain_node(node: Any, arrays: Arrays, readers: Mapping[str, int]) -> GraphNode:
    kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    attributes = {each.name: _attribute(each, arrays) for each in node.attribute}
    return GraphNode(kind[:100], _name(node, readers), tuple(node.input), tuple(node.output), attributes)


def _attribute(attribute: Any, arrays: Arrays) -> Any:
    """An attribute's value; None for what no operator that is converted has, such as a graph within the graph."""
    if attribute.type == AttributeProto.TENSOR:
        return arrays.read(attribute.t)
    if attribute.type == AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == AttributeProto.INT:
        return int(attribute.i)
    if attribute.type == AttributeProto.FLOAT:
        return float(attribute.f)
    lists = {AttributeProto.INTS: attribute.ints, AttributeProto.FLOATS: attribute.floats}
    return list(lists[attribute.type]) if attribute.type in lists else None


def _shape(value: Any) -> tuple[int | None, ...]:
    """Sizes that a file declares of its input, None where it leaves them open."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise UnreadableError(f"does not say the shape of its input {value.name[:100]!r}; export it with one")
    shape = tuple(int(size.dim_value) if size.HasField("dim_value") else None for size in kind.shape.dim)
    if not 2 <= len(shape) <= 4:
        raise UnreadableError(
            f"reads {len(shape)} axes; a network reads pictures (N, C, H, W), signals (N, C, length) or features (N, C)"
        )
    if any(size is not None and not 0 < size <= MOST_PIXELS for size in shape) or shape[1] is None:
        sizes = "x".join("?" if size is None else str(size) for size in shape)
        raise UnreadableError(
            f"reads arrays of {sizes}; the channels must be fixed, and each size lie from 1 to {MOST_PIXELS}"
        )
    return shape

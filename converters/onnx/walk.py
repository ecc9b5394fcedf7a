"""From the graph to the network: operator by operator, for a picture of some size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray

from spikeunet.engine.errors import GraphError, first_few
from spikeunet.engine.graph import Node

from ..builder import Builder
from ..values import Current, Tensor
from ..weights.refusals import UnreadableError
from . import activations, arithmetic, convolutions, pools, resizing, shapes, shuffles  # noqa: F401 - they register operators
from .call import HANDLERS, Call
from .constants import folded
from .graph import Graph, GraphNode
from .imported import Ending, picture_shape

Operand = Tensor | NDArray[Any]

_ENDINGS = ("Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Clip")
_AFTER = (*_ENDINGS, "Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
"""Operators that may follow a function at the end."""

_REMEDIES = {
    **dict.fromkeys(
        ("Gelu", "Erf", "Elu", "Selu", "Mish", "HardSwish", "HardSigmoid", "Softplus", "Swish", "Celu"),
        "train with ReLU, ReLU6 or LeakyReLU in its place",
    ),
    **dict.fromkeys(
        (
            "InstanceNormalization",
            "LayerNormalization",
            "GroupNormalization",
            "RMSNormalization",
            "LpNormalization",
            "LRN",
        ),
        "train with BatchNorm, which does not depend on the picture",
    ),
    **dict.fromkeys(("If", "Loop", "Scan", "LSTM", "GRU", "RNN"), "export a feed-forward network, without branches"),
    **dict.fromkeys(
        ("QLinearConv", "QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger"),
        "export the network in float32 and quantise it here (spikeunet quantize)",
    ),
    **dict.fromkeys(("Split", "Slice", "Gather"), "export a network that does not take its channels or pixels apart"),
}


@dataclass(frozen=True, eq=False)
class Walked:
    """The network's nodes, the functions that follow them, and what its metadata say."""

    nodes: list[Node]
    endings: tuple[Ending, ...]
    metadata: dict[str, Any]


def walk(graph: Graph, shape: tuple[int, ...], *, open_size: bool) -> Walked:
    """Convert a graph.

    Parameters
    ----------
    graph : Graph
    shape : tuple of int
        Of what it reads, the number of pictures included.
    open_size : bool
        Whether height or width of these are not the file's own.

    Raises
    ------
    UnreadableError
        If an operator is not converted, or does not fit what it reads; names it, the node and what to do.
    """
    builder = Builder(sum(array.size for array in graph.constants.values()))
    found: dict[str, Operand] = dict(graph.constants)
    found[graph.input_name] = Tensor(builder.add_input(graph.input_name, picture_shape(shape)), shape)
    readers = Counter(name for node in graph.nodes for name in set(node.inputs))
    for node in graph.nodes:
        result = _result(graph, node, found, builder, open_size=open_size)
        if isinstance(result, Tensor) and isinstance(result.value, Current) and readers[node.outputs[0]] > 1:
            result.value.shared = True
        found[node.outputs[0]] = result
    last = found.get(graph.output)
    if not isinstance(last, Tensor):
        raise UnreadableError(f"puts out {graph.output[:100]!r}, which does not depend on its input")
    return Walked(builder.finish(last.value), last.endings, builder.metadata)


def _result(graph: Graph, node: GraphNode, found: dict[str, Operand], builder: Builder, *, open_size: bool) -> Operand:
    unknown = [name for name in node.inputs if name and name not in found]
    if unknown:
        raise UnreadableError(
            f"{node.kind} {node.name!r} reads {first_few(map(repr, unknown))}, which no node before it puts out: the "
            "graph has a cycle, is out of order, or lacks an initialiser; export it again"
        )
    _check_attributes(node, graph.opset)
    inputs = tuple(found[name] if name else None for name in node.inputs)
    tensors = [each for each in inputs if isinstance(each, Tensor)]
    if node.kind == "Shape" and tensors:
        return np.array(tensors[0].shape[_part(node)], np.int64)
    if not tensors:
        constant = folded(node, [each for each in inputs if not isinstance(each, Tensor)])
        if constant is None:
            _refuse_kind(node)
        return constant
    if node.kind not in HANDLERS:
        _refuse_kind(node)
    _check_endings(node, tensors)
    try:
        return HANDLERS[node.kind](Call(node, inputs, builder, graph.opset, open_size, graph.output in node.outputs))
    except GraphError as error:
        fixed = "; the file leaves the picture's size open: export it with a fixed size" if open_size else ""
        raise UnreadableError(f"{node.kind} {node.name!r} has no layer: {error}{fixed}") from None


def _part(node: GraphNode) -> slice:
    return slice(node.attributes.get("start", 0), node.attributes.get("end"))


def _refuse_kind(node: GraphNode) -> NoReturn:
    remedy = _REMEDIES.get(
        node.kind, "replace it in the network before the export (docs/converting.md lists what is read)"
    )
    raise UnreadableError(f"has the operator {node.kind} ({node.name!r}), for which there is no layer; {remedy}")


def _check_attributes(node: GraphNode, opset: int) -> None:
    """Refuse attributes that the operator does not have: whoever wrote them means something by them."""
    if node.kind in HANDLERS and onnx.defs.has(node.kind):
        known = onnx.defs.get_schema(node.kind, opset).attributes
        unknown = [name for name in node.attributes if name not in known]
        if unknown:
            raise UnreadableError(
                f"{node.kind} {node.name!r} has the attributes {first_few(unknown)}, which it does not have in opset "
                f"{opset}; export it again"
            )


def _check_endings(node: GraphNode, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if tensor.endings and node.kind not in _AFTER:
            raise UnreadableError(
                f"has the operator {tensor.endings[0].name} before {node.kind} {node.name!r}, but there are no neurons "
                "for it but at the end, where it is left out; train with ReLU in its place"
            )

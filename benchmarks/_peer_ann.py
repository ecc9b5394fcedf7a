"""The artificial network, a ReLU for every population of neurons, in PyTorch and in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import torch
from _peer_dense import Values
from _twins import synapse_module
from torch.nn import functional

from spikeunet.engine import Add, AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Network, Neurons, Output
from spikeunet.engine.graph import Node, Projection


class TorchAnn:
    """Channels last, rectified in place, in float32 or another type of number."""

    def __init__(self, network: Network, dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self.dtype = dtype
        synapses = [node for node in network.nodes if isinstance(node, Projection)]
        self.modules = {
            node.name: synapse_module(node).eval().to(dtype, memory_format=torch.channels_last) for node in synapses
        }

    @torch.inference_mode()
    def run(self, picture: np.ndarray) -> np.ndarray:
        """Output (O, H, W) for a picture (C, H, W) float32."""
        values = Values(self.network)
        for node in self.network.nodes:
            if isinstance(node, Input):
                given = torch.from_numpy(picture)[None].to(self.dtype)
                values[node.name] = given.contiguous(memory_format=torch.channels_last)
            elif isinstance(node, Concat):
                values[node.name] = torch.cat([values[name] for name in node.sources], dim=1)
            elif isinstance(node, Add):
                values[node.name] = sum(values[name] for name in node.sources)
            elif isinstance(node, Neurons):
                values[node.name] = functional.relu_(values.pop(node.source))
            elif isinstance(node, Output):
                return values[node.source][0].float().numpy()
            else:
                values[node.name] = self.modules[node.name](values[node.source])
            values.release(node)
        raise AssertionError("a network has an Output")


class OnnxAnn:
    """ONNX Runtime's CPU provider with all of its graph optimisations; `model` is by default that of `onnx_model`."""

    def __init__(self, network: Network, threads: int, model=None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        written = (onnx_model(network) if model is None else model).SerializeToString()
        self.session = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])

    def run(self, picture: np.ndarray) -> np.ndarray:
        """Output (O, H, W) for a picture (C, H, W) float32."""
        (output,) = self.session.run(None, {"picture": picture[None]})
        return output[0]


def onnx_model(network: Network):
    """The artificial network as an ONNX model, written node by node."""
    import onnx
    from onnx import TensorProto, helper

    names = {network.input.name: "picture"}
    nodes, weights = [], []
    for node in network.nodes:
        if isinstance(node, (Input, Output)):
            continue
        kind, attributes = _operator(node)
        inputs = [names[source] for source in node.sources]
        for part in ("weight", "bias") if isinstance(node, (Conv2d, ConvTranspose2d)) else ():
            inputs.append(f"{node.name}.{part}")
            weights.append(onnx.numpy_helper.from_array(np.array(getattr(node, part)), inputs[-1]))
        names[node.name] = node.name
        nodes.append(helper.make_node(kind, inputs, [node.name], name=node.name, **attributes))
    nodes.append(helper.make_node("Identity", [names[network.output.source]], ["result"]))
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, network.input.channels, "H", "W"])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, "O", "OH", "OW"])
    graph = helper.make_graph(nodes, "ann", [picture], [result], weights)
    # Versions that every release of ONNX Runtime of the last years reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _operator(node: Node) -> tuple[str, dict]:
    """ONNX operator of a node, and its attributes."""
    if isinstance(node, Concat):
        return "Concat", {"axis": 1}
    if isinstance(node, Add):
        return "Add" if len(node.parts) == 2 else "Sum", {}
    if isinstance(node, Neurons):
        return "Relu", {}
    if isinstance(node, AvgPool2d):
        pads = [*node.padding, *node.padding]
        geometry = {"kernel_shape": list(node.kernel_size), "strides": list(node.stride), "pads": pads}
        return "AveragePool", {**geometry, "count_include_pad": 1}
    if not isinstance(node, (Conv2d, ConvTranspose2d)):
        raise SystemExit(f"no ONNX operator is written for {type(node).__name__} {node.name!r}")
    common = {
        "kernel_shape": list(node.weight.shape[2:]),
        "strides": list(node.stride),
        "pads": [*node.padding, *node.padding],
        "dilations": list(node.dilation),
        "group": node.groups,
    }
    if isinstance(node, ConvTranspose2d):
        return "ConvTranspose", {**common, "output_padding": list(node.output_padding)}
    return "Conv", common

"""What the tests of ONNX files share: small graphs, and the error of the network that a file becomes."""

from __future__ import annotations

import numpy as np

from spikeunet.converters import read_onnx, relative_error

RANDOM = np.random.default_rng(0)


def model(nodes, constants=(), shape=("n", 2, 8, 8), output="y", opset=17, **fields):
    """A model that reads x of a shape and puts out `output`; nodes are (operator, inputs, outputs, attributes)."""
    from onnx import TensorProto, helper, numpy_helper

    made = [
        helper.make_node(
            kind, list(reads), [puts] if isinstance(puts, str) else puts, name=f"{kind.lower()}{index}", **attributes
        )
        for index, (kind, reads, puts, attributes) in enumerate(nodes)
    ]
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "graph", [picture], [result], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **fields)


def saved(path, made):
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def normal(*shape):
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def computed(made, inputs):
    """What ONNX Runtime gives, or else ONNX's own reference, which does not know all of the operators' attributes."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(made).run(None, {"x": inputs})[0]
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": inputs})[0]


def network_of(path, made, inputs, tolerance=1e-5):
    """The network of a model, whose analog form agrees with ONNX's reference."""
    imported = read_onnx(saved(path, made))
    assert relative_error(imported.network, (inputs, computed(made, inputs)), imported.endings) < tolerance
    return imported


def kinds(network):
    return [type(node).__name__ for node in network.nodes]

"""The artificial network in 8 bits in ONNX Runtime, quantised after training.

Static quantisation, which ONNX Runtime recommends for convolutions, in the QDQ form: a scale for each output channel's
int8 weights, a scale and a zero point for each layer's uint8 activations, found on pictures that the benchmark does not
measure. Unsigned activations with signed weights (U8S8) are what the dot products of VNNI and AMX multiply; with signed
ones (S8S8, its default) the network is as good and takes half as long again. The weights are not reduced to 7 bits,
which it recommends where there is no VNNI: sums of pairs may saturate there.

ONNX Runtime has no integer kernel for ConvTranspose, and in float the four of a U-Net would take two fifths of the
time. So each is rewritten, exactly, as a convolution that computes the stride x stride pixels of an output block as
channels, and a DepthToSpace.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _peer_ann import OnnxAnn, onnx_model
from _peer_pictures import SIGMA

from spikeunet.engine import Network, add_noise

CALIBRATION = ("astronaut", "chelsea", "coffee", "rocket", "coins", "moon")
"""Pictures of skimage.data that come with scikit-image itself, gray; the benchmark's own picture is none of them."""

CALIBRATION_SIDE = 128
"""Pixels: their middles are taken."""


class Int8Ann(OnnxAnn):
    """ONNX Runtime's CPU provider on the quantised model."""

    def __init__(self, network: Network, threads: int) -> None:
        super().__init__(network, threads, int8_model(network))


def int8_model(network: Network):
    """The artificial network as an ONNX model with QuantizeLinear and DequantizeLinear around every layer."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = calibration_pictures(network.input.channels)

        def get_next(self) -> dict | None:
            found = next(self.left, None)
            return None if found is None else {"picture": found[None]}

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, f"{name}.onnx") for name in ("source", "prepared", "target"))
        onnx.save(subpixel_model(onnx_model(network)), source)
        # Shapes of all tensors; symbolic inference is for transformers.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Pictures(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "AveragePool", "Concat", "DepthToSpace"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def calibration_pictures(channels: int) -> Iterator[np.ndarray]:
    """Pictures (channels, CALIBRATION_SIDE, CALIBRATION_SIDE) float32 with the noise of the one that is measured."""
    import skimage.color
    import skimage.data

    for seed, name in enumerate(CALIBRATION):
        picture = getattr(skimage.data, name)()
        gray = skimage.color.rgb2gray(picture) if picture.ndim == 3 else picture / 255.0
        top, left = ((extent - CALIBRATION_SIDE) // 2 for extent in gray.shape)
        crop = gray[top : top + CALIBRATION_SIDE, left : left + CALIBRATION_SIDE]
        noisy = add_noise(np.broadcast_to(crop, (channels, *crop.shape)), SIGMA, seed)
        yield np.ascontiguousarray(noisy, np.float32)


def subpixel_model(model):
    """An ONNX model with a Conv and a DepthToSpace in place of each ConvTranspose that doubles (triples, ...) sides.

    A Relu that alone reads the ConvTranspose stays behind the Conv, with which it is fused.
    """
    from onnx import ModelProto

    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = list(graph.node)
    moved = []
    del graph.node[:]
    for node in nodes:
        if any(node is relu for relu in moved):
            continue
        if not _is_plain_upsampling(node):
            graph.node.append(node)
            continue
        readers = [other for other in nodes if node.output[0] in other.input]
        relu = readers[0] if len(readers) == 1 and readers[0].op_type == "Relu" else None
        graph.node.extend(_subpixel_nodes(node, relu, weights))
        moved.append(relu)
    return changed


def _attributes(node) -> dict:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _is_plain_upsampling(node) -> bool:
    """Whether this is a ConvTranspose whose output has exactly `stride` times the sides of its input."""
    if node.op_type != "ConvTranspose":
        return False
    known = _attributes(node)
    sides, pads = known["kernel_shape"], known["pads"][:2]
    alike = all(len(set(known[name])) == 1 for name in ("kernel_shape", "strides", "pads", "output_padding"))
    grown = sides[0] + known["output_padding"][0] - 2 * pads[0] == known["strides"][0]
    return alike and grown and pads[0] < sides[0] and set(known["dilations"]) == {1} and known["group"] == 1


def _subpixel_nodes(node, relu, weights: dict) -> list:
    """The nodes that stand for a ConvTranspose and the Relu behind it, if there is one; their weights replace its."""
    from onnx import helper, numpy_helper

    known = _attributes(node)
    stride, pad = known["strides"][0], known["pads"][0]
    weight, bias = (weights[name] for name in node.input[1:])
    kernel, before, after = subpixel_kernel(numpy_helper.to_array(weight), stride, pad)
    repeated = np.tile(numpy_helper.to_array(bias), stride**2)
    weight.CopyFrom(numpy_helper.from_array(kernel, weight.name))
    bias.CopyFrom(numpy_helper.from_array(repeated, bias.name))
    low, result = f"{node.output[0]}.blocks", (relu or node).output[0]
    pads = [before, before, after, after]
    nodes = [helper.make_node("Conv", node.input, [low], node.name, kernel_shape=kernel.shape[2:], pads=pads)]
    if relu is not None:
        nodes.append(helper.make_node("Relu", [low], [f"{result}.blocks"], relu.name))
        low = f"{result}.blocks"
    return [*nodes, helper.make_node("DepthToSpace", [low], [result], f"{result}.pixels", blocksize=stride, mode="DCR")]


def subpixel_kernel(weight: np.ndarray, stride: int, pad: int) -> tuple[np.ndarray, int, int]:
    """Weights (stride * stride * O, I, n, n) that give the pixels of a block as channels, and rows of padding.

    Row `stride * y + a` of a transposed convolution with weights (I, O, k, k) adds up rows `y - j` of its input times
    row `a + pad + stride * j` of the kernel, for every j for which there is such a row.
    """
    inputs, outputs, side = weight.shape[:3]
    most, least = (side - 1 - pad) // stride, -((stride - 1 + pad) // stride)
    extent = most - least + 1
    kernel = np.zeros((stride, stride, outputs, inputs, extent, extent), weight.dtype)
    rows = [(a, most - j, a + pad + stride * j) for a in range(stride) for j in range(least, most + 1)]
    rows = [row for row in rows if 0 <= row[2] < side]
    for a, row, down in rows:
        for b, column, across in rows:
            kernel[a, b, :, :, row, column] = weight[:, :, down, across].T
    return kernel.reshape(-1, inputs, extent, extent), most, -least

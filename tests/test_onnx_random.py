"""Random graphs of all operators: each becomes a network whose analog form gives what ONNX Runtime gives."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import computed, kinds, model, saved

from spikeunet.converters import convert, read_onnx, relative_error

SIDE = 8
MOST_PIXELS = 400
MOST_CHANNELS = 24


class Maker:
    """Puts a graph together; each method adds an operator that reads (name, channels, height, width), or none."""

    def __init__(self, seed):
        self.random, self._numbers = random.Random(seed), np.random.default_rng(seed)
        self.nodes, self.constants, self.tensors = [], {}, [("x", 2, SIDE, SIDE)]

    def grow(self):
        makers = (
            *[self.convolution] * 3, *[self.elementwise] * 4, *[self.with_constant] * 3, *[self.sum] * 2, self.norm,
            self.depthwise, self.concatenation, self.pool, self.larger, self.transposed, self.shuffle, self.zeros,
        )  # fmt: skip
        for _ in range(self.random.randint(3, 9)):
            self.random.choice(makers)(*self.random.choice(self.tensors[-3:]))

    def constant(self, *shape):
        return self.given(self._numbers.normal(0, 0.6, shape).astype(np.float32))

    def given(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, kind, reads, shape, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append((kind, reads, name, attributes))
        self.tensors.append((name, *shape))

    def like(self, shape):
        return self.random.choice([name for name, *other in self.tensors if tuple(other) == shape])

    def numbers(self, count, low, high):
        return [self.random.randint(low, high) for _ in range(count)]

    def convolution(self, name, channels, height, width):
        outputs, rows, columns = self.numbers(3, 1, 3)
        dilation, pads = self.numbers(2, 1, 2), self.numbers(4, 0, 2)
        stride = self.numbers(2, 1, 2) if height % 2 == 0 and width % 2 == 0 else [1, 1]
        tall = (height + pads[0] + pads[2] - dilation[0] * (rows - 1) - 1) // stride[0] + 1
        wide = (width + pads[1] + pads[3] - dilation[1] * (columns - 1) - 1) // stride[1] + 1
        if tall > 0 and wide > 0:
            reads = [name, self.constant(outputs, channels, rows, columns)]
            reads += [self.constant(outputs)] if self.random.random() < 0.6 else []
            self.add("Conv", reads, (outputs, tall, wide), pads=pads, dilations=dilation, strides=stride)

    def depthwise(self, name, channels, height, width):
        reads = [name, self.constant(2 * channels, 1, 3, 3)]
        self.add("Conv", reads, (2 * channels, height, width), pads=[1, 1, 1, 1], group=channels)

    def transposed(self, name, channels, height, width):
        if height * width <= MOST_PIXELS:
            pads, extra = self.numbers(4, 0, 1), self.numbers(2, 0, 1)
            tall, wide = (2 * n + 1 - pads[k] - pads[k + 2] + extra[k] for k, n in enumerate((height, width)))
            reads = [name, self.constant(channels, 3, 3, 3)]
            self.add("ConvTranspose", reads, (3, tall, wide), strides=[2, 2], pads=pads, output_padding=extra)

    def elementwise(self, name, *shape):
        kind = self.random.choice(["Relu", "Relu", "Relu", "Neg", "Identity", "LeakyRelu", "Clip", "PRelu"])
        bounds = [self.given(np.float32(0)), self.given(np.float32(0.7))]
        reads = {"Clip": bounds, "PRelu": [self.constant(shape[0], 1, 1)]}.get(kind, [])
        slope = {"alpha": self.random.choice([0.1, -0.3, 1.5])} if kind == "LeakyRelu" else {}
        self.add(kind, [name, *reads], shape, **slope)

    def with_constant(self, name, *shape):
        array = self.random.choice([self.constant(shape[0], 1, 1), self.constant(1), self.given(np.float32(1.5))])
        reads = [[name, array], [array, name]]
        kind, turned = self.random.choice([("Add", 0), ("Add", 1), ("Sub", 0), ("Sub", 1), ("Mul", 0), ("Div", 0)])
        self.add(kind, reads[turned], shape)

    def norm(self, name, *shape):
        parts = [self.constant(shape[0]) for _ in range(3)]
        variance = self.given(np.abs(self.constants[self.constant(shape[0])]) + np.float32(0.1))
        self.add("BatchNormalization", [name, *parts, variance], shape)

    def sum(self, name, *shape):
        kind, others = self.random.choice([("Add", 1), ("Sub", 1), ("Sum", 2)])
        self.add(kind, [name, *[self.like(shape) for _ in range(others)]], shape)

    def concatenation(self, name, channels, *size):
        other, more = self.random.choice([each[:2] for each in self.tensors if each[2:] == size])
        if channels + more <= MOST_CHANNELS:
            self.add("Concat", [name, other], (channels + more, *size), axis=1)

    def pool(self, name, channels, height, width):
        if height % 2 == 0 and width % 2 == 0:
            kind = self.random.choice(["MaxPool", "AveragePool"])
            self.add(kind, [name], (channels, height // 2, width // 2), kernel_shape=[2, 2], strides=[2, 2])

    def larger(self, name, channels, height, width):
        if height * width <= MOST_PIXELS:
            plain = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            scales = self.given(np.array([1, 1, 2, 2], np.float32))
            attributes = self.random.choice([plain, {"mode": "linear"}])
            self.add("Resize", [name, "", scales], (channels, 2 * height, 2 * width), **attributes)

    def shuffle(self, name, channels, height, width):
        if channels % 4 == 0 and height * width <= MOST_PIXELS:
            mode = self.random.choice(["CRD", "DCR"])
            self.add("DepthToSpace", [name], (channels // 4, 2 * height, 2 * width), blocksize=2, mode=mode)
        elif height % 2 == 0 and width % 2 == 0 and channels * 4 <= MOST_CHANNELS:
            self.add("SpaceToDepth", [name], (4 * channels, height // 2, width // 2), blocksize=2)

    def zeros(self, name, channels, height, width):
        top, left, bottom, right = self.numbers(4, 0, 2)
        pads = self.given(np.array([0, 0, top, left, 0, 0, bottom, right]))
        self.add("Pad", [name, pads], (channels, height + top + bottom, width + left + right))


def made(seed):
    maker = Maker(seed)
    while not maker.nodes:
        maker.grow()
    shape = ("n", 2, "h", "w") if seed % 2 else (2, 2, SIDE, SIDE)
    return model(maker.nodes, maker.constants, shape, output=maker.tensors[-1][0])


@pytest.mark.parametrize("block", range(4))
def test_random_graphs_are_exact_in_their_analog_form(tmp_path, block):
    inputs = np.random.default_rng(0).normal(0, 1, (2, 2, SIDE, SIDE)).astype(np.float32)
    found = set()
    for seed in range(40 * block, 40 * block + 40):
        graph, path = made(seed), tmp_path / "network.onnx"
        outputs = computed(graph, inputs)
        if not outputs.any():
            continue  # which a check refuses: a silent network would agree
        imported = read_onnx(saved(path, graph))
        found.update(kinds(imported.network))
        assert relative_error(imported.network, (inputs, outputs), imported.endings) < 2e-5, seed
        if seed % 4 == 0:
            normalised = convert(path, calibration=list(inputs), check=(inputs, outputs))
            assert normalised.metadata["conversion"]["relative_error"] < 1e-3, seed
    assert {"Conv2d", "Scale", "Add", "Concat", "Neurons", "Upsample"} <= found

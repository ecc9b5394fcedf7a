"""Random networks against a simulation of their own: every connection of a layer written down in one large matrix.

Written from the documentation alone, and sharing nothing with spikeunet.engine.testing, so that the two can disagree: a
layer is a sparse matrix (one row for each output, one column for each input), and so is the number of its products,
from which all counts follow. Weights, biases, pictures and thresholds are multiples of 1/16, so that no sum is rounded
in float32 either, and what the engine computes has to be the same to the last bit.

    python tests/random_graphs.py --count 1000 --seed 0
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from scipy import sparse

from spikeunet.engine import (
    Add,
    AvgPool2d,
    BurstNeuron,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    RefractoryLeakyIntegrateAndFire,
    Scale,
    SignedMultiThreshold,
    SumPool2d,
    Upsample,
    simulate,
)

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 32, 33)
MOST_PRODUCTS = 400_000
"""Of a layer: larger ones are drawn anew."""

EXACT = 2.0**24


# --- Layers as matrices ----------------------------------------------------------------------------------------------


@dataclass
class Connections:
    """current = matrix @ input + bias, both flattened in the order (channel, row, column)."""

    matrix: sparse.csr_matrix
    products: sparse.csr_matrix
    bias: np.ndarray
    shape: tuple[int, int, int]
    dense_macs: int
    largest: str = ""
    """Of a max pool, its variant: a row is then not a sum but a window, of which one input counts."""


def taps_of_axis(size_in, size_out, kernel, stride, padding, dilation):
    """For each kernel index k a 0/1 matrix: output o reads the input o * stride - padding + k * dilation."""
    matrices = []
    for k in range(kernel):
        pairs = [(o, o * stride - padding + k * dilation) for o in range(size_out)]
        pairs = [(o, i) for o, i in pairs if 0 <= i < size_in]
        rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
        matrices.append(sparse.csr_matrix((np.ones(len(pairs)), (rows, columns)), (size_out, size_in)))
    return matrices


def by_taps(mixing, vertical, horizontal):
    """Sum over the taps of (channels of the output x channels of the input) times where the tap leads."""
    total = 0
    for i, rows in enumerate(vertical):
        for j, columns in enumerate(horizontal):
            total = total + sparse.kron(sparse.csr_matrix(mixing[:, :, i, j]), sparse.kron(rows, columns), "csr")
    total = total.tocsr()
    total.eliminate_zeros()  # which dense blocks of a product keep
    return total


def ungrouped(weight, groups):
    """(outputs of all groups, inputs of all groups, ...), zeros between groups, from one (outputs, inputs) for each."""
    parts = np.split(weight, groups)
    outputs, inputs = parts[0].shape[:2]
    whole = np.zeros((groups * outputs, groups * inputs, *weight.shape[2:]))
    for g, part in enumerate(parts):
        whole[g * outputs : (g + 1) * outputs, g * inputs : (g + 1) * inputs] = part
    return whole


def connections(node, shape):
    """What a layer does to an input of the shape (C, H, W)."""
    channels, *sides = shape
    if isinstance(node, Linear):
        ones, outgoing = sparse.csr_matrix(np.ones_like(node.weight, np.float64)), (len(node.weight), 1, 1)
        matrix = sparse.csr_matrix(node.weight.astype(float))
        return Connections(matrix, ones, node.bias.astype(float), outgoing, node.weight.size)
    if isinstance(node, Scale):
        matrix = sparse.kron(sparse.csr_matrix(np.diag(node.weight.astype(float))), sparse.eye(math.prod(sides)), "csr")
        every = np.repeat(node.bias.astype(float), math.prod(sides))
        return Connections(matrix, sparse.eye(math.prod(shape), format="csr"), every, shape, math.prod(shape))
    if isinstance(node, (AvgPool2d, SumPool2d, MaxPool2d)):
        window = np.eye(channels)[:, :, None, None] * np.ones(node.kernel_size)
        geometry = list(zip(sides, node.kernel_size, node.stride, node.padding, (1, 1), strict=True))
        outgoing, axes = convolution_axes(geometry)
        ones, bias = by_taps(window, *axes), np.zeros(channels * math.prod(outgoing))
        share = math.prod(node.kernel_size) if isinstance(node, AvgPool2d) else 1
        return Connections(ones / share, ones, bias, (channels, *outgoing), 0, getattr(node, "variant", ""))
    if isinstance(node, (GlobalAvgPool2d, Upsample, PixelShuffle, Flatten)):
        matrix, outgoing = rearranged(node, shape)
        matrix = sparse.csr_matrix(matrix)
        return Connections(matrix, abs(matrix).sign(), np.zeros(matrix.shape[0]), outgoing, 0)
    if isinstance(node, Conv1d):
        node = Conv2d(
            node.name,
            node.source,
            node.weight[:, :, None],
            node.bias,
            (1, node.stride),
            (0, node.padding),
            (1, node.dilation),
            node.groups,
        )
    geometry = list(zip(sides, node.weight.shape[2:], node.stride, node.padding, node.dilation, strict=True))
    mixing, reached = (ungrouped(weight, node.groups) for weight in (node.weight, np.ones_like(node.weight)))
    if isinstance(node, Conv2d):
        outgoing, axes = convolution_axes(geometry)
        positions = math.prod(outgoing)
    else:
        outgoing, axes = transposed_axes(geometry, node.output_padding)
        mixing, reached, positions = mixing.swapaxes(0, 1), reached.swapaxes(0, 1), math.prod(sides)
    bias = np.repeat(node.bias.astype(float), math.prod(outgoing))
    shape = (node.out_channels, *outgoing)
    return Connections(by_taps(mixing, *axes), by_taps(reached, *axes), bias, shape, node.weight.size * positions)


def rearranged(node, shape):
    """The matrix of a layer without weights whose outputs are inputs, or means of some; and the shape put out."""
    channels, height, width = shape
    numbers = np.arange(math.prod(shape)).reshape(shape)
    if isinstance(node, GlobalAvgPool2d):
        return np.kron(np.eye(channels), np.full((1, height * width), 1 / (height * width))), (channels, 1, 1)
    if isinstance(node, Flatten):
        return sparse.eye(numbers.size), (numbers.size, 1, 1)
    if isinstance(node, Upsample):
        down, across = (enlarged(n, r, node) for n, r in zip(shape[1:], node.scale_factor, strict=True))
        return sparse.kron(sparse.eye(channels), np.kron(down, across)), (channels, len(down), len(across))
    # out[c, y * r + i, x * r + j] = in[c * r * r + i * r + j, y, x]
    r = node.upscale_factor
    moved = numbers.reshape(channels // r**2, r, r, height, width).transpose(0, 3, 1, 4, 2)
    return sparse.eye(numbers.size).tocsr()[moved.ravel()], (channels // r**2, height * r, width * r)


def enlarged(size, factor, node):
    """(outputs, inputs) along an axis: hats of the width of an input, or boxes, seen from the outputs' places."""
    outputs = size * factor
    matrix = np.zeros((outputs, size))
    for o in range(outputs):
        if node.mode == "nearest":
            matrix[o, o // factor] = 1
            continue
        place = o * (size - 1) / max(outputs - 1, 1) if node.align_corners else (o + 0.5) / factor - 0.5
        place = min(max(place, 0), size - 1)
        matrix[o] = np.maximum(1 - abs(np.arange(size) - place), 0)
    return matrix


class Windows:
    """A max pool: sums of what each input has put out, and what is put out of each window."""

    def __init__(self, layer):
        self.variant = layer.largest
        matrix = layer.products
        self.windows = [matrix.indices[a:b] for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)]
        self.windows = [np.sort(window) for window in self.windows]
        self.sums = np.zeros(matrix.shape[1])

    def step(self, emitted):
        before, self.sums = self.sums, self.sums + emitted
        if self.variant == "stepwise":
            return np.array([emitted[window].max() for window in self.windows])
        if self.variant == "gated":
            return np.array([emitted[window[np.argmax(self.sums[window])]] for window in self.windows])
        return np.array([self.sums[window].max() - before[window].max() for window in self.windows])


def convolution_axes(geometry):
    """Sizes of the output, and the taps of both axes."""
    outgoing = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in geometry]
    return outgoing, [taps_of_axis(n, m, k, s, p, d) for (n, k, s, p, d), m in zip(geometry, outgoing, strict=True)]


def transposed_axes(geometry, extra):
    """An input i adds to the output i * stride - padding + k * dilation: a convolution, turned round."""
    full = zip(geometry, extra, strict=True)
    outgoing = [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for (n, k, s, p, d), e in full]
    axes = [taps_of_axis(m, n, k, s, p, d) for (n, k, s, p, d), m in zip(geometry, outgoing, strict=True)]
    return outgoing, [[tap.T.tocsr() for tap in taps] for taps in axes]


# --- Neurons ---------------------------------------------------------------------------------------------------------


class Population:
    """Neurons of a layer: a step takes currents and gives the values emitted, and (K, n) spikes of each kind."""

    def __init__(self, model, size):
        self.model = model
        self.v = np.full(size, float(np.float32(model.initial)))
        self.rest = np.zeros(size, np.int64)

    def step(self, current):
        model = self.model
        if isinstance(model, MultiThreshold):
            self.v = self.v + current
            return self._cascade(np.float32(model.thresholds).astype(float), model.strict)
        if isinstance(model, SignedMultiThreshold):
            self.v = self.v + current
            return self._two_sided()
        if isinstance(model, BurstNeuron):
            self.v = self.v + current
            count = np.clip(np.floor(self.v / model.threshold), 0, model.gamma).astype(np.int64)
            self.v = self.v - count * model.threshold
            kinds = np.arange(1, model.gamma + 1)[:, None]
            return count * model.threshold, np.where(count == kinds, kinds, 0)
        if isinstance(model, RefractoryLeakyIntegrateAndFire):
            awake = self.rest == 0
            self.v = self.v * model.decay + np.where(awake, current, 0)
            fired = awake & (self.v >= model.threshold)
            self.rest = np.where(fired, model.period, np.maximum(self.rest - 1, 0))
        else:
            self.v = self.v * getattr(model, "decay", 1.0) + current
            fired = self.v > model.threshold if model.strict else self.v >= model.threshold
        left = self.v - model.threshold if model.reset == "subtract" else 0 * self.v
        self.v = np.where(fired, left, self.v)
        return fired * model.threshold, fired[None].astype(np.int64)

    def _two_sided(self):
        """Neuron by neuron, set of thresholds by set of thresholds."""
        model, ladders = self.model, (self.model.thresholds, self.model.negative_thresholds)
        sets = [list(product((0, 1), repeat=len(ladder)))[1:] for ladder in ladders]
        emitted, kinds = np.zeros(self.v.size), np.zeros((sum(map(len, sets)), self.v.size), np.int64)
        for neuron, potential in enumerate(self.v):
            side = int(potential < 0)
            left, chosen = abs(potential) + model.offset, []
            for theta in ladders[side]:
                chosen.append(int(left > theta or (left == theta and not model.strict)))
                left -= theta * chosen[-1]
            if any(chosen):
                kinds[side * len(sets[0]) + sets[side].index(tuple(chosen)), neuron] = sum(chosen)
                emitted[neuron] = (-1) ** side * np.dot(chosen, ladders[side])
        self.v = self.v - emitted
        return emitted, kinds

    def _cascade(self, thresholds, strict):
        crossed = []
        for theta in thresholds:
            now = self.v > theta if strict else self.v >= theta
            self.v = self.v - theta * now
            crossed.append(now)
        return thresholds @ np.array(crossed, float), np.array(crossed, np.int64)


# --- Networks --------------------------------------------------------------------------------------------------------


@dataclass
class Graph:
    """A random network with its picture, its number of steps, and its layers as matrices."""

    network: Network
    picture: np.ndarray
    steps: int
    layers: dict = field(default_factory=dict)
    shapes: dict = field(default_factory=dict)
    """Of all currents, sums too."""


class Drawer:
    """Draws networks from a generator of random numbers."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def one(self, values):
        return values[self.random.integers(len(values))]

    def chance(self, share):
        return self.random.random() < share

    def numbers(self, shape, low, high, density=1.0):
        drawn = self.random.integers(round(16 * low), round(16 * high) + 1, shape) / 16
        return (drawn * (self.random.random(shape) < density)).astype(np.float32)

    def weight(self, *shape):
        return self.numbers(shape, -0.5, 0.5, self.one((1.0, 1.0, 0.5, 0.1)))

    def model(self):
        threshold, initial = int(self.random.integers(1, 25)) / 16, int(self.random.integers(-12, 13)) / 16
        reset, strict = self.one(("subtract", "zero")), bool(self.chance(0.5))
        kind = self.random.integers(7)
        if kind <= 1:
            return MultiThreshold(self.ladder(self.random.integers(1, 9), doubling=kind), initial, strict)
        if kind == 2:
            return IntegrateAndFire(threshold, reset, initial, strict)
        if kind == 3:
            return LeakyIntegrateAndFire(threshold, self.one((0.5, 0.0, 1.0)), reset, initial, strict)
        if kind == 4:
            return BurstNeuron(threshold, int(self.random.integers(1, 9)), initial)
        if kind == 5:
            ladders = self.ladder(3), self.ladder(2)
            offset = self.one((0.0, 0.5, 0.25)) * min(ladders[0][-1], ladders[1][-1])
            return SignedMultiThreshold(*ladders, initial, strict or offset > 0, offset)
        period = int(self.random.integers(0, 4))
        return RefractoryLeakyIntegrateAndFire(threshold, self.one((0.5, 1.0)), period, reset, initial)

    def ladder(self, count, doubling=None):
        """Thresholds in descending order, multiples of 1/16."""
        doubling = self.chance(0.5) if doubling is None else doubling
        ladder = (
            [2.0 ** (k - 4) for k in range(count)] if doubling else self.random.choice(40, count, False) / 16 + 1 / 16
        )
        return tuple(sorted(map(float, ladder), reverse=True))

    def synapses(self, name, source, shape):
        """Synapses of any kind; the numbers that cannot be are refused by the node, or by `bound`."""
        channels, *sides = shape
        kind = self.random.integers(14)
        if kind == 0:
            outputs = int(self.random.integers(1, 20))
            return Linear(name, source, self.weight(outputs, math.prod(shape)), self.numbers(outputs, -0.25, 0.5))
        if kind <= 3:
            return self.pool(name, source, sides)
        if kind <= 6:
            return self.without_window(name, source, shape)
        groups = self.one([g for g in range(1, channels + 1) if channels % g == 0]) if self.chance(0.4) else 1
        groups = channels if self.chance(0.15) else groups
        outputs = groups * max(1, round(self.one(WIDTHS) / groups))
        kernel = [int(self.one((1, 2, 3, 3, 3, 4, 5, 6, 7))) for _ in sides]
        stride = tuple(int(self.one((1, 1, 2, 3))) for _ in sides)
        dilation = [int(self.one((1, 1, 2, 3))) for _ in sides]
        padding = tuple(int(self.random.integers(0, 4)) for _ in sides)
        bias = self.numbers(outputs, -0.25, 0.5)
        if kind <= 8:
            extra = tuple(int(self.random.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
            weight = self.weight(channels, outputs // groups, *kernel)
            return ConvTranspose2d(name, source, weight, bias, stride, padding, extra, tuple(dilation), groups)
        if sides[0] == 1 and self.chance(0.7):
            weight = self.weight(outputs, channels // groups, kernel[1])
            return Conv1d(name, source, weight, bias, stride[1], padding[1], dilation[1], groups)
        weight = self.weight(outputs, channels // groups, *kernel)
        return Conv2d(name, source, weight, bias, stride, padding, tuple(dilation), groups)

    def pool(self, name, source, sides):
        kind = self.one((AvgPool2d, SumPool2d, MaxPool2d, MaxPool2d))
        window = [self.one([k for k in ((1, 2, 4) if kind is AvgPool2d else (1, 2, 3, 5)) if k <= n]) for n in sides]
        stride = tuple(int(self.random.integers(1, 4)) for _ in sides)
        padding = tuple(int(self.random.integers(0, k // 2 + 1)) for k in window)
        options = {"variant": self.one(("lateral-inhibition", "gated", "stepwise"))} if kind is MaxPool2d else {}
        return kind(name, source, tuple(window), stride, padding, **options)

    def without_window(self, name, source, shape):
        channels, *sides = shape
        kind = self.random.integers(7)
        area = math.prod(sides)
        if kind == 0 and area & (area - 1) == 0:
            return GlobalAvgPool2d(name, source)
        if kind == 1 and math.prod(shape) < 400:
            return Flatten(name, source)
        if kind == 2:
            return PixelShuffle(name, source, max(r for r in (1, 2, 3) if channels % r**2 == 0))
        if kind == 3:
            return Upsample(name, source, (int(self.one((1, 2, 3))), int(self.one((1, 2, 3)))))
        if kind == 4:
            return Upsample(name, source, (int(self.one((1, 2, 4))), int(self.one((1, 2)))), "bilinear")
        if kind == 5:
            return Upsample(name, source, tuple(3 if n == 3 else 1 for n in sides), "bilinear", align_corners=True)
        weight = np.ones(channels, np.float32) if self.chance(0.5) else self.weight(channels)
        return Scale(name, source, weight, self.numbers(channels, -0.25, 0.5))

    def alike(self, name, source, shape, wanted):
        """Synapses that put out the shape that is wanted; None where only others could."""
        if shape == wanted and self.chance(0.5):
            return Scale(name, source, self.one((np.ones(shape[0], np.float32), self.weight(shape[0]))))
        if shape[1:] != wanted[1:]:
            return None
        if shape == wanted and self.chance(0.4):
            return self.one((SumPool2d, MaxPool2d))(name, source, 3, 1, 1)
        k = int(self.one((1, 3)))
        bias = self.numbers(wanted[0], -0.25, 0.25)
        return Conv2d(name, source, self.weight(wanted[0], shape[0], k, k), bias, padding=k // 2)

    def graph(self):
        """A network that fits, is not too large, and whose sums are exact; drawn until there is one."""
        while True:
            found = self.try_graph()
            if found is not None:
                return found

    def try_graph(self):
        signal = self.chance(0.15)
        height = 1 if signal else int(self.random.integers(1, 15))
        shape = (self.one(WIDTHS[:8]), height, int(self.random.integers(1, 15)))
        nodes, shapes, layers = [Input("in", shape[0])], {"in": shape}, {}
        # Largest size and smallest digit of what each node puts out.
        sizes = {"in": (1.5, 1 / 16)}
        self.late = {"in"}  # and Concats of it, which know no delay
        steps = int(self.random.integers(1, 21))
        for index in range(int(self.random.integers(1, 6))):
            last = index and self.chance(0.25)
            name = self.current(index, nodes, shapes, sizes, layers, steps)
            if name is None:
                return None
            model = self.model()
            if getattr(model, "decay", 1) == 0.5:
                steps = min(steps, 8)
            nodes.append(Neurons(f"n{index}", name, model))
            shapes[f"n{index}"] = shapes[name]
            sizes[f"n{index}"] = (most_emitted(model), 1 / 16)
            if last:
                break
        read_out = nodes[-1].source
        if not self.chance(0.3):
            read_out = self.current("out", nodes, shapes, sizes, layers, steps)
            if read_out is None:
                return None
        self.loop(nodes, shapes, sizes, layers)
        if not is_exact(nodes, sizes, steps, read_out):
            return None
        currents = {node.name: shapes[node.name] for node in nodes if node.name in layers or isinstance(node, Add)}
        network = Network([*nodes, Output("out", read_out)])
        return Graph(network, self.numbers(shape, -0.5, 1.5), steps, layers, currents)

    def current(self, index, nodes, shapes, sizes, layers, steps):
        """Synapses, or a sum of several, that neurons or the readout can read; its name, None where it does not do."""
        source = self.source(index, nodes, shapes, sizes)
        node = self.delayed(self.synapses(f"s{index}", source, shapes[source]))
        if not self.bind(node, nodes, shapes, sizes, layers, steps):
            return None
        parts = [node.name]
        for number in range(int(self.one((0, 0, 1, 2)))):
            readable = [node.name for node in nodes if isinstance(node, (Input, Neurons, Concat))]
            source = self.one(readable)
            further = self.alike(f"s{index}p{number}", source, shapes[source], shapes[node.name])
            if further is not None and self.bind(self.delayed(further), nodes, shapes, sizes, layers, steps):
                parts.append(further.name)
            if self.chance(0.2):
                parts.append(parts[-1])
            if self.chance(0.3):
                parts = [self.add(f"a{index}p{number}", parts, nodes, shapes, sizes)]
        return parts[0] if len(parts) == 1 else self.add(f"a{index}", parts, nodes, shapes, sizes)

    def add(self, name, parts, nodes, shapes, sizes):
        nodes.append(Add(name, tuple(parts)))
        shapes[name] = shapes[parts[0]]
        sizes[name] = (sum(sizes[part][0] for part in parts), min(sizes[part][1] for part in parts))
        return name

    def bind(self, node, nodes, shapes, sizes, layers, steps):
        made = self.bound(node, shapes[node.source], sizes[node.source], steps)
        if made is None:
            return False
        layers[node.name], *sizes[node.name] = made
        nodes.append(node)
        shapes[node.name] = layers[node.name].shape
        return True

    def delayed(self, node):
        return replace(node, delay=1) if node.source not in self.late and self.chance(0.1) else node

    def loop(self, nodes, shapes, sizes, layers):
        """What a layer emits comes back a step later, to where it came from."""
        places = [place for place, node in enumerate(nodes) if isinstance(node, Neurons)]
        if not self.chance(0.25):
            return
        place = self.one(places)
        neurons = nodes[place]
        source = self.one([nodes[other].name for other in places if other >= place])
        back = self.alike("back", source, shapes[source], shapes[neurons.name])
        if back is None or not self.bind(replace(back, delay=1), nodes, shapes, sizes, layers, 1):
            return
        self.add("round", [neurons.source, "back"], nodes, shapes, sizes)
        nodes[place] = Neurons(neurons.name, "round", neurons.model)

    def source(self, index, nodes, shapes, sizes):
        """A node to read, or a new Concat of several, into which another may lead."""
        names = [node.name for node in nodes if isinstance(node, (Input, Neurons, Concat))]
        chosen = self.one(names[-3:])
        if not self.chance(0.4):
            return chosen
        like = [name for name in names if shapes[name][1:] == shapes[chosen][1:]]
        parts = tuple(self.one(like) for _ in range(int(self.random.integers(1, 4))))
        node = Concat(f"c{index}", parts)
        nodes.append(node)
        if self.late.intersection(parts):
            self.late.add(node.name)
        shapes[node.name] = (sum(shapes[part][0] for part in parts), *shapes[chosen][1:])
        sizes[node.name] = (max(sizes[part][0] for part in parts), min(sizes[part][1] for part in parts))
        return node.name

    def bound(self, node, shape, read, steps):
        """The layer as a matrix, the largest size and the smallest digit of its currents; None where it does not do."""
        try:
            outgoing = node.output_shape(shape)
        except ValueError:
            return None
        products = math.prod(outgoing) * (math.prod(shape) if isinstance(node, Linear) else shape[0])
        if hasattr(node, "weight") and node.weight.ndim > 2:
            products *= math.prod(node.weight.shape[2:])
        if products > MOST_PRODUCTS or max(outgoing[1:]) > 24 or outgoing[0] > 1000:
            return None
        layer = connections(node, shape)
        assert layer.shape == outgoing
        if layer.largest:
            return layer, read[0], read[1]
        row_sums = np.asarray(abs(layer.matrix).sum(axis=1)).ravel()
        size = float((row_sums * read[0] + abs(layer.bias)).max())
        digit = read[1] / 16
        if not hasattr(node, "weight"):
            parts = 2.0 ** np.arange(14)
            digit = read[1] / next(part for part in parts if not (layer.matrix.data * part % 1).any())
        return layer, size, digit


def is_exact(nodes, sizes, steps, read_out):
    """Whether float32 holds every potential and the readout."""
    for node in nodes:
        if isinstance(node, Neurons):
            size, digit = sizes[node.source]
            if getattr(node.model, "decay", 1) == 0.5:
                digit /= 2.0**steps
            if (size * steps + abs(node.model.initial)) / min(digit, 1 / 16) > EXACT:
                return False
    size, digit = sizes[read_out]
    return size * steps / min(digit, 1 / 16) <= EXACT


def most_emitted(model):
    if isinstance(model, SignedMultiThreshold):
        return max(sum(model.thresholds), sum(model.negative_thresholds))
    if isinstance(model, MultiThreshold):
        return sum(model.thresholds)
    return model.threshold * getattr(model, "gamma", 1)


# --- Simulation ------------------------------------------------------------------------------------------------------


def expected_of(graph):
    """Every number of a run, by name."""
    network, steps = graph.network, graph.steps
    populations, outputs, kinds = {}, {node.name: [] for node in network.nodes}, {}
    readout, sums = 0.0, []
    sizes = {name: math.prod(graph.shapes[network[name].source]) for name in (n.name for n in network.neurons)}
    pools = {name: Windows(layer) for name, layer in graph.layers.items() if layer.largest}
    for step in range(steps):
        for node in network.nodes:
            late = getattr(node, "delay", 0)
            now = [outputs[source][-1] for source in node.sources if not late]
            if late:
                now = [joined_before(network, node.source, outputs, sizes, step)]
            if isinstance(node, Neurons):
                population = populations.setdefault(node.name, Population(node.model, now[0].size))
                value, fired = population.step(now[0])
                kinds.setdefault(node.name, []).append(fired)
            elif isinstance(node, Output):
                value = readout = readout + now[0]
                sums.append(readout)
            else:
                value = without_memory(graph, pools, node, now)
            outputs[node.name].append(value)
    shapes = {node.name: graph.shapes[node.source] for node in network.neurons}
    out_shape = graph.shapes[network.output.source]
    expected = {"readout": np.array(sums).reshape(steps, *out_shape)}
    for name, shape in shapes.items():
        fired = np.array(kinds[name])
        expected[f"spikes {name}"] = np.array(outputs[name]).reshape(steps, *shape)
        expected[f"membrane {name}"] = populations[name].v.reshape(shape)
        expected[f"count {name}"] = fired.sum(axis=(0, 1)).reshape(shape)
        expected[f"events {name}"] = fired.any(axis=1).sum(axis=1)
        expected[f"kinds {name}"] = fired.sum(axis=2)
    for name, layer in graph.layers.items():
        expected.update(counts_of(graph, name, layer, kinds))
    return expected


def without_memory(graph, pools, node, now):
    """What anything but neurons and the readout puts out."""
    if isinstance(node, Input):
        return graph.picture.astype(float).ravel()
    if isinstance(node, Concat):
        return np.concatenate(now)
    if isinstance(node, Add):
        return sum(now)
    if node.name in pools:
        return pools[node.name].step(now[0])
    return graph.layers[node.name].matrix @ now[0] + graph.layers[node.name].bias


def joined_before(network, name, outputs, sizes, step):
    """What a node put out at the step before, of several neurons one after the other; at first nothing."""
    leaves = parts_of(network, name)
    return np.concatenate([outputs[leaf][step - 1] if step else np.zeros(sizes[leaf]) for leaf in leaves])


def parts_of(network, name):
    """Names of the Input and Neurons nodes behind a node, in their order, with Concats taken apart."""
    node = network[name]
    return [name] if not isinstance(node, Concat) else [leaf for part in node.parts for leaf in parts_of(network, part)]


def counts_of(graph, name, layer, kinds):
    """The ledger of a layer."""
    network, steps = graph.network, graph.steps
    reach = np.asarray(layer.products.sum(axis=0)).ravel().astype(np.int64)
    # A weight of zero has no entry in the matrix; of a pool, no weight is zero.
    used = np.asarray((layer.matrix != 0).sum(axis=0)).ravel().astype(np.int64)
    sizes = {node.name: math.prod(graph.shapes[node.source]) for node in network.neurons}
    sizes[network.input.name] = graph.picture.size
    found, first = {f"macs {name}": 0, f"effective {name}": 0, f"dense {name}": 0}, 0
    for leaf in parts_of(network, network[name].source):
        part = slice(first, first + sizes[leaf])
        first += sizes[leaf]
        if leaf == network.input.name:
            found[f"macs {name}"] += int(reach[part].sum())
            found[f"effective {name}"] += int(used[part][graph.picture.ravel() != 0].sum())
            continue
        fired = np.array(kinds[leaf])
        if network[name].delay:
            fired = np.concatenate([np.zeros_like(fired[:1]), fired[:-1]])
        found[f"dense {name}"] += steps * int(reach[part].sum())
        active = fired.any(axis=1)
        for kind, value in (
            ("synops", active @ reach[part]), ("binary", fired @ reach[part]), ("used", active @ used[part])
        ):  # fmt: skip
            key = f"{kind} {name} {leaf}"
            found[key] = found.get(key, 0) + value
    return {**found, f"ann {name}": layer.dense_macs}


def found_of(result, network):
    """The same numbers out of the engine's result."""
    ledger = result.operations
    found = {"readout": result.readout}
    for node in network.neurons:
        name = node.name
        found[f"spikes {name}"], found[f"membrane {name}"] = result.spikes[name], result.membrane[name]
        found[f"count {name}"] = result.spike_count[name]
        found[f"events {name}"], found[f"kinds {name}"] = ledger.neurons[name].events, ledger.neurons[name].spikes
    for name, node in ledger.synapses.items():
        found |= {f"macs {name}": node.macs, f"effective {name}": node.macs_effective}
        found |= {f"dense {name}": node.dense_synops, f"ann {name}": node.dense_macs}
        for leaf, events in node.sources.items():
            found[f"synops {name} {leaf}"], found[f"used {name} {leaf}"] = events.synops, events.synops_effective
            found[f"binary {name} {leaf}"] = events.synops_binary
    return found


def ways(graph, random):
    """Options of `simulate` to try: both orders, and some threads and tiles."""
    height = graph.picture.shape[1]
    some = {"threads": int(random.integers(1, 4)), "tile": int(random.integers(1, height + 1))}
    if graph.network.delays:
        some["tile"] = None
    return [{"threads": 1}, {"order": "time", "threads": int(random.integers(1, 3))}, some]


def check_graph(seed, index):
    """Draw a network, run it in several ways, and compare; AssertionError where a number differs."""
    drawer = Drawer([seed, index])
    graph = drawer.graph()
    expected = expected_of(graph)
    record = ("spikes", "membrane", "spike_count", "readout")
    for options in ways(graph, drawer.random):
        result = simulate(graph.network, graph.picture, graph.steps, record=record, **options)
        compare(found_of(result, graph.network), expected, f"graph {index} of seed {seed}, {options}")
        plain = simulate(graph.network, graph.picture, graph.steps, **options)
        np.testing.assert_array_equal(
            plain.output, expected["readout"][-1].astype(np.float32) / np.float32(graph.steps)
        )
    return sum(int(value.sum()) for name, value in expected.items() if name.startswith("events"))


def compare(found, expected, where):
    assert sorted(found) == sorted(expected), (where, set(found) ^ set(expected))
    for name, value in expected.items():
        # Equal as float64 numbers: nothing was rounded on either side.
        np.testing.assert_array_equal(
            np.asarray(found[name], np.float64), np.asarray(value, np.float64), f"{where}: {name}"
        )


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="networks to draw")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    begin, events, bad = time.monotonic(), 0, 0
    for index in range(options.first, options.first + options.count):
        try:
            events += check_graph(options.seed, index)
        except AssertionError as error:
            bad += 1
            print(f"graph {index} of seed {options.seed}: {str(error).strip()[:600]}", flush=True)
    print(f"{options.count} networks, {bad} of them differ; {events} events; {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

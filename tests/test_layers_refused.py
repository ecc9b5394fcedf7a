"""Layers and networks of them that are refused: one clear line each, and soon, whatever a file asks for."""

from __future__ import annotations

import time

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, Network, Neurons, Output, layers, load_model, save_model, simulate
from spikeunet.engine.errors import GraphError, InputError, ModelFileError
from spikeunet.engine.graph import order

ONE = np.ones((1, 1, 1, 1), np.float32)
NAN = np.float32([1, np.nan])
PAIR = np.ones((2, 1, 2), np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Add("a", ()), "parts must name at least one"),
        (lambda: layers.Add("a", ("b",), delay=1), "delay must be 0"),
        (lambda: layers.Concat("a", ()), "parts must name at least one"),
        (lambda: layers.Concat("a", None), r"parts must be a tuple of names \(got None"),
        (lambda: layers.Add("a", "bc"), r"parts must be a tuple of names \(got 'bc'"),
        (lambda: layers.Add("a", ("b", 1)), r"parts must be a tuple of names \(got \('b', 1\)"),
        (lambda: layers.Scale("a", "b", NAN), "weight has values that are NaN or infinite"),
        (lambda: layers.Scale("a", "b", ONE), r"weight must be a non-empty 1-dimensional array"),
        (lambda: layers.Scale("a", "b", np.ones(2, np.float32), np.ones(3, np.float32)), r"bias must have 2 values"),
        (lambda: layers.Scale("a", "b", np.ones(2, np.int64)), "must hold floating-point numbers"),
        (lambda: layers.Conv1d("a", "b", ONE), "weight must be a non-empty 3-dimensional array"),
        (lambda: layers.Conv1d("a", "b", np.ones((3, 1, 2), np.float32), groups=2), "groups is 2, which does not"),
        (lambda: layers.Conv1d("a", "b", PAIR, stride=0), r"stride must be .* at least 1 \(got 0"),
        (lambda: layers.Conv1d("a", "b", PAIR, stride=(1, 1)), r"stride must be an integer"),
        (lambda: layers.Conv1d("a", "b", PAIR, padding=-1), r"padding must be .* \(got -1"),
        (lambda: layers.Conv1d("a", "b", np.ones((2, 1, 9), np.float32), dilation=8000), r"8192"),
        (lambda: layers.MaxPool2d("a", "b", 2, padding=2), r"padding \(2, 2\) must be at most half of the kernel size"),
        (lambda: layers.MaxPool2d("a", "b", 0), r"kernel_size must be .* at least 1 \(got 0"),
        (lambda: layers.MaxPool2d("a", "b", 2, variant="max"), r"variant must be one of .* \(got 'max'"),
        (lambda: layers.MaxPool2d("a", "b", 2, variant=None), r"variant must be one of .* \(got None"),
        (lambda: layers.Attention("a", "b", 0), r"heads must be .* at least 1 \(got 0"),
        (lambda: layers.Attention("a", "b", 1, 0.0), r"scale must be a number above 0 .* \(got 0.0"),
        (lambda: layers.Attention("a", "b", 1, 1e39), r"scale must be a number above 0 .* \(got 1e\+39"),
        (lambda: layers.Attention("a", "b", 1, float("nan")), r"scale must be a number above 0 .* \(got nan"),
        (lambda: layers.Attention("a", "b", 1, "1"), r"scale must be a number above 0 .* \(got '1'"),
        (lambda: layers.Attention("a", "b", 2).output_shape((9, 1, 1)), r"take a multiple of 6 channels, but"),
        (lambda: layers.Attention("a", "b").output_shape((9000, 1, 1)), r"a head has 3000 channels; at most 2048 do"),
        (lambda: layers.MeanConv2d("a", "b", PAIR), "weight must be a non-empty 4-dimensional array"),
        (lambda: layers.MeanConv2d("a", "b", ONE, padding=-1), r"padding must be .* \(got -1"),
        (lambda: layers.MeanConv2d("a", "b", ONE).output_shape((2, 3, 3)), "takes 1 channels, but the source"),
        (lambda: layers.SumPool2d("a", "b", (2, 2, 2)), r"kernel_size must be one integer or two \(got \(2, 2, 2\)"),
        (lambda: layers.SumPool2d("a", "b", 9000), r"kernel_size must be at most 8192 \(got 9000"),
        (lambda: layers.Upsample("a", "b", 0), r"scale_factor must be .* at least 1 \(got 0"),
        (lambda: layers.Upsample("a", "b", 1.5), r"scale_factor must be .* \(got 1.5"),
        (lambda: layers.Upsample("a", "b", 2, "bicubic"), r"mode must be one of nearest, bilinear \(got 'bicubic'"),
        (lambda: layers.Upsample("a", "b", 2, ["nearest"]), r"mode must be one of nearest, bilinear"),
        (lambda: layers.Upsample("a", "b", 2, "nearest", True), r"align_corners must be a bool, True for"),
        (lambda: layers.Upsample("a", "b", 2, "bilinear", 1), r"align_corners must be a bool"),
        (lambda: layers.PixelShuffle("a", "b", 0), r"upscale_factor must be .* at least 1 \(got 0"),
        (lambda: layers.PixelShuffle("a", "b", True), r"upscale_factor must be an integer"),
        (lambda: layers.PixelUnshuffle("a", "b", 0), r"downscale_factor must be .* at least 1 \(got 0"),
        (lambda: layers.PixelUnshuffle("a", "b", 1.5), r"downscale_factor must be an integer"),
        (lambda: layers.Flatten("a", "b", delay=2), r"delay must be at most 1 \(got 2"),
        (lambda: layers.GlobalAvgPool2d("a", "b", delay=-1), r"delay must be .* \(got -1"),
        (lambda: layers.GlobalAvgPool2d("a", "b", delay=0.5), r"delay must be .* \(got 0.5"),
        (lambda: layers.Scale.batch_norm("a", "b", [0.0], [-1.0]), r"variance \+ epsilon must be above 0"),
        (lambda: layers.Scale.batch_norm("a", "b", [0.0, 1.0], [1.0] * 3), r"variance must hold a number for each"),
    ],
)  # fmt: skip
def test_nodes_that_are_refused(make, message):
    refused(make, GraphError, message)


@pytest.mark.parametrize(
    ("node", "shapes", "message"),
    [
        (layers.Add("a", ("b", "c")), [(1, 2, 3), (1, 3, 2)], "parts differ in shape: b 1x2x3, c 1x3x2"),
        (layers.Add("a", ("b", "c")), [(1, 2, 3), (2, 2, 3)], "parts differ in shape: b 1x2x3, c 2x2x3"),
        (layers.Scale("a", "b", np.ones(2, np.float32)), [(3, 1, 1)], "takes 2 channels, but the source puts out 3"),
        (layers.Conv1d("a", "b", np.ones((2, 1, 3), np.float32)), [(1, 2, 5)], "one row high .got 2 rows"),
        (layers.Conv1d("a", "b", np.ones((2, 1, 3), np.float32)), [(1, 1, 2)], "does not fit an input of 1x2"),
        (layers.Conv1d("a", "b", np.ones((2, 1, 3), np.float32)), [(2, 1, 5)], "takes 1 channels"),
        (layers.PixelShuffle("a", "b", 2), [(6, 1, 1)], "squared, 4, does not divide 6 channels"),
        (layers.PixelUnshuffle("a", "b", 2), [(1, 4, 5)], "downscale_factor 2, does not divide 4x5"),
        (layers.MaxPool2d("a", "b", 3), [(1, 2, 5)], "does not fit an input of 2x5"),
        (layers.SumPool2d("a", "b", (1, 6)), [(1, 2, 5)], "does not fit an input of 2x5"),
    ],
)
def test_shapes_that_are_refused(node, shapes, message):
    refused(lambda: node.output_shape(*shapes), GraphError, message)


ONES = np.ones(1, np.float32)


def doubled(times):
    """Sums of sums: 2 ** times parts."""
    first = [Input("input"), layers.Scale("sum0", "input", ONES)]
    sums = [layers.Add(f"sum{k + 1}", (f"sum{k}",) * 2) for k in range(times)]
    return [*first, *sums, Output("output", f"sum{times}")]


def widened(times):
    """A sum of many parts that many neurons read."""
    first = [Input("input"), layers.Scale("scale", "input", ONES), layers.Add("sum", ("scale",) * 100)]
    return [*first, *(Neurons(f"neurons{k}", "sum") for k in range(times)), Output("output", "sum")]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (doubled(30), r"Add 'sum1\d' reads \d+ parts, .*; the limit is 65536"),
        (doubled(12), r"Output 'output' reads a sum of 8191 parts, .*; the limit is 4096"),
        (widened(50), r"Neurons 'neurons\d+' reads a sum of 101 parts, .*; the limit is 4096"),
        (
            [Input("in"), layers.Scale("a", "n", ONES, delay=1), Neurons("n", "a"), Output("out", "a")],
            "the size of 'a' depends on itself alone",
        ),
        (
            [Input("in"), layers.Scale("a", "in", ONES, delay=1), Output("out", "a")],
            "delay must be 0, because it reads an Input",
        ),
        (
            [Input("in"), layers.Add("a", ("a", "b")), layers.Scale("b", "in", ONES), Output("out", "a")],
            "cycle through 'a'",
        ),
        ([Input("in"), Neurons("n", "in"), Output("out", "n")], "reads 'in', a Input; it can read Synapses"),
    ],
)
def test_networks_that_are_refused(nodes, message):
    refused(lambda: Network(nodes), GraphError, message)


def test_nested_sums_of_few_parts():
    """Only what neurons read is listed."""
    nodes = [Input("input"), layers.Scale("sum0", "input", ONES)]
    nodes += [layers.Add(f"sum{k + 1}", (f"sum{k}", "sum0")) for k in range(400)]
    network = Network([*nodes, Output("output", "sum400")])
    assert simulate(network, np.ones((1, 1, 2), np.float32), 1).output.tolist() == [[[401, 401]]]


@pytest.mark.parametrize(
    ("node", "shape", "message"),
    [
        (layers.Upsample("a", "input", 8192), (1, 8, 8), "Upsample 'a' puts out or pads 1x65536x65536"),
        (layers.Upsample("a", "input", (8192, 1), "bilinear"), (999, 8, 8), "puts out or pads 999x65536x8"),
        (layers.PixelShuffle("a", "input", 8192), (1, 8, 8), "squared, 67108864, does not divide 1 channels"),
        (layers.MaxPool2d("a", "input", 512, 1, 256), (1, 256, 256), "keeps 262144 numbers for each that it puts out"),
        (layers.MaxPool2d("a", "input", 8192, 1, 4096), (1, 1, 1), "MaxPool2d 'a' puts out or pads 1x8193x8193"),
    ],
)  # fmt: skip
def test_layers_that_grow_without_end(node, shape, message):
    network = Network([Input("input", shape[0]), node, Output("output", "a")])
    refused(lambda: simulate(network, np.zeros(shape, np.float32), 1), InputError, message)


def test_sums_in_a_file_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "MOST_ADDED", 1 << 20)
    save_model(Network(doubled(14)), tmp_path / "model.npz")
    monkeypatch.undo()
    refused(lambda: load_model(tmp_path / "model.npz"), ModelFileError, "the limit is 4096")


def test_tiles_are_refused_where_there_are_delays():
    nodes = [Input("input"), layers.Scale("first", "input", ONES), Neurons("neurons", "first")]
    network = Network([*nodes, layers.Scale("late", "neurons", ONES, delay=1), Output("output", "late")])
    refused(lambda: simulate(network, np.ones((1, 4, 4), np.float32), 2, tile=2), InputError, "leave it out")


def test_large_windows_on_small_pictures():
    """Of a kernel of a million weights, only those that meet the picture cost anything."""
    weight = np.zeros((4, 1, 1001, 1001), np.float32)
    weight[:, 0, 500, 500] = 1
    node = Conv2d("conv", "input", weight, padding=500, groups=4)
    picture = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    begin = time.perf_counter()
    found = simulate(Network([Input("input", 4), node, Output("output", "conv")]), picture, 1)
    assert time.perf_counter() - begin < 10
    np.testing.assert_array_equal(found.output, picture)


def refused(work, kind, message):
    """One line that names what is wrong."""
    with pytest.raises(kind, match=message) as caught:
        work()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400

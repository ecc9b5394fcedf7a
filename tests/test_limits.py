"""What a small file may ask for: its cost stays in proportion to its size, or it is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters.normalization import activation_scales, normalize
from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    PixelUnshuffle,
    simulate,
)
from spikeunet.engine.binding import build_program
from spikeunet.engine.binding.integer_plan import make_integer_plan
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import GraphError, InputError
from spikeunet.engine.files.model_file import read_model, save_model
from spikeunet.engine.learning.finetune.flow import flow_gradients, run_flow
from spikeunet.engine.learning.finetune.trainable import Trainable
from spikeunet.engine.pictures.preprocessing import check_preprocessing, preprocess
from spikeunet.engine.results.ledger_plan import plan_of
from spikeunet.engine.results.run_counts import RunCounts
from spikeunet.engine.simulation.memory.queue_memory import places_in_block
from spikeunet.engine.testing import reference, reference_synapses
from spikeunet.engine.testing.comparison import assert_same_operations

ONE = np.ones((1, 1, 1, 1), np.float32)


def ones(*shape):
    return np.ones(shape, np.float32)


def read_out(nodes, source, channels=1):
    return Network([*nodes, Conv2d("out", source, ones(1, channels, 1, 1)), Output("output", "out")])


def doubled(levels):
    """Concats that name their predecessor twice."""
    nodes = [Input("input")]
    for level in range(levels):
        nodes.append(Concat(f"c{level}", (nodes[-1].name,) * 2))
    return nodes


def concats(number, kind=Concat):
    """Concats one within the other."""
    nodes = [Input("input")]
    for index in range(number):
        nodes.append(kind(f"c{index}", (nodes[-1].name,)))
    return nodes


def pools(number):
    """Pools of single pixels, and neurons, one behind the other."""
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("n", "conv")]
    for index in range(number):
        nodes += [AvgPool2d(f"p{index}", nodes[-1].name, 1), Neurons(f"n{index}", f"p{index}")]
    return nodes


# --- Concats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [16, 64, 5000])
def test_doubled_concats_are_refused(levels):
    with pytest.raises(GraphError, match=r"Concat 'c15' reads \d+ parts, .*; the limit is 65536"):
        read_out(doubled(levels), f"c{levels - 1}")


def test_doubling_by_way_of_pools_is_refused():
    nodes = [Input("input")]
    for level in range(20):
        nodes += [Concat(f"c{level}", (nodes[-1].name,) * 2), AvgPool2d(f"p{level}", f"c{level}", 1)]
        nodes.append(Neurons(f"n{level}", f"p{level}"))
    with pytest.raises(GraphError, match=r"'\w+' reads \d+ parts"):
        read_out(nodes, "n19")


def test_all_layers_together_may_read_so_many_parts():
    nodes = doubled(14)
    nodes += [Conv2d(f"conv{index}", "c13", ones(1, 1 << 14, 1, 1)) for index in range(5)]
    with pytest.raises(GraphError, match=r"Conv2d 'conv\d' reads \d+ parts, .* and all layers up to it \d+"):
        read_out(nodes, "c13", 1 << 14)


def test_nested_concats_need_no_recursion(tmp_path):
    network = read_out(concats(3000), "c2999")
    save_model(network, tmp_path / "model.npz")
    network = read_model(tmp_path / "model.npz")
    (layer,) = build_program(network, (1, 2, 2)).layers
    assert [source.name for source in layer.sources] == ["input"]
    picture = ones(1, 2, 2)
    np.testing.assert_array_equal(forward(network, picture)[0], picture)
    assert activation_scales(network, [picture], normalization="layer") == {}
    assert len(normalize(network, {}).nodes) == len(network.nodes)
    tape = run_flow(network, picture.transpose(1, 2, 0)[None], 1)
    assert set(flow_gradients(network, tape, np.ones_like(tape.output))) == {"out.weight", "out.bias"}


def test_nodes_are_looked_at_a_few_times_each():
    """Whatever their order and number."""
    looks = [0]

    class Counting(Concat):
        @property
        def sources(self):
            looks[0] += 1
            return self.parts

    number = 1000
    read_out(reversed(concats(number, Counting)), f"c{number - 1}")
    assert looks[0] <= 10 * number


def test_chains_of_pools_need_no_recursion():
    network = read_out(pools(2000), "n1999")
    parameters = Trainable(network, "channel").parameters()
    assert list(parameters)[:3] == ["conv.weight", "conv.bias", "conv.log_scale"]
    assert len(normalize(network, {"conv": 2.0}).normalization) == 2001


def test_nodes_have_a_limit():
    with pytest.raises(GraphError, match=r"at most 16384 nodes \(got 20003\); take fewer"):
        read_out(concats(20_000), "c19999")


def test_messages_do_not_list_all_names():
    with pytest.raises(GraphError, match=r"no node is called 'x'; there are input, .* and 29\d\d more$") as caught:
        read_out(concats(3000), "c2999")["x"]
    assert len(str(caught.value)) < 300


def test_counts_take_memory_for_each_source_that_is_read():
    number = 500
    nodes = [Input("input")]
    for index in range(number):
        nodes += [Conv2d(f"conv{index}", "input", ONE), Neurons(f"n{index}", f"conv{index}")]
    nodes.append(Concat("all", tuple(f"n{index}" for index in range(number))))
    counts = RunCounts(plan_of(build_program(read_out(nodes, "all", number), (1, 1, 1))), 1)
    assert counts.counts.size == number * 2 * 9


def test_places_of_many_parts():
    sizes, number = [1, 2, 3] * 200, 600
    assert places_in_block(sizes, [number] * number)[1] == sum(sizes)
    assert places_in_block(sizes, list(range(1, number + 1)))[1] < 12


def test_nested_concats_are_fine_tuned_like_flat_ones():
    generator = np.random.default_rng(0)
    weights = (generator.integers(-8, 9, (3, 2, 1, 1, 1)) / 8).astype(np.float32)
    last = (generator.integers(-8, 9, (1, 9, 1, 1)) / 8).astype(np.float32)
    found = []
    for joins in (
        [Concat("all", ("n0", "n1", "n0", "input", "n2"))],
        [Concat("a", ("n0", "n1")), Concat("b", ("n0", "input")), Concat("c", ("b", "n2")), Concat("all", ("a", "c"))],
    ):
        nodes = [Input("input")]
        for index, weight in enumerate(weights):
            nodes += [Conv2d(f"c{index}", "input", weight), Neurons(f"n{index}", f"c{index}")]
        network = Network([*nodes, *joins, Conv2d("out", "all", last), Output("output", "out")])
        tape = run_flow(network, ones(1, 2, 3, 1), 1)
        found.append(flow_gradients(network, tape, np.ones_like(tape.output)) | {"output": tape.output})
    flat, nested = found
    assert flat.keys() == nested.keys()
    for name, gradient in flat.items():
        np.testing.assert_array_equal(gradient, nested[name])


# --- Sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvTranspose2d("up", "i", ONE, stride=1000), r"'up': stride \(1000, 1000\) .* of at most 65536"),
        (lambda: ConvTranspose2d("up", "i", ONE, stride=(60_000, 1)), r"'up': stride must be at most 8192 \(got 60000"),
        (lambda: Conv2d("c", "i", ONE, stride=8193), r"Conv2d 'c': stride must be at most 8192 \(got 8193\)"),
        (lambda: Conv2d("c", "i", ONE, padding=10**9), r"padding must be at most 8192 \(got 1000000000\)"),
        (lambda: Conv2d("c", "i", ones(1, 1, 3, 3), dilation=8192), "weight spans 16385x16385 pixels, .* 8192 are"),
        (lambda: Conv2d("c", "i", ones(1, 1, 1, 8193)), "weight spans 1x8193 pixels"),
        (lambda: Conv2d("c", "i", ones(20_000, 1, 1, 1), groups=20_000), "groups is 20000, which makes 400000000 weig"),
        (lambda: AvgPool2d("p", "i", 8193), r"AvgPool2d 'p': kernel_size must be at most 8192"),
        (lambda: Input("i", 1025), r"Input 'i': channels must be at most 1024 \(got 1025\)"),
        (
            lambda: read_out([Input("i"), AvgPool2d("p", "i", 1, 4096), Neurons("n", "p")], "n"),
            "'p': for its sake pictures are padded to multiples of 4096 in height and width; the limit is 2048",
        ),
        (
            lambda: read_out([Input("i"), PixelUnshuffle("p", "i", 4096), Neurons("n", "p")], "n"),
            "PixelUnshuffle 'p': for its sake pictures are padded to multiples of 4096",
        ),
    ],
)
def test_settings_have_limits(make, message):
    with pytest.raises(GraphError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (Conv2d("big", "n", ONE, padding=2000), "1x4002x4002"),
        (Conv2d("big", "n", ONE, padding=4000, stride=2000), "1x8002x8002"),
        (ConvTranspose2d("big", "n", ones(1, 1, 2, 1), None, (16, 4096), (512, 2000), 0, (1024, 1)), "1x1041x4097"),
        (AvgPool2d("big", "n", 8000, 1000, 4000), "1x8002x8002"),
    ],
)
def test_what_a_node_may_put_out_for_a_small_picture(node, shape):
    nodes = [Input("i"), Conv2d("c", "i", ONE), Neurons("n", "c"), node, Neurons("m", "big")]
    network = read_out(nodes, "m")
    with pytest.raises(InputError, match=f"'big' puts out or pads {shape} .* 67108864 numbers, the limit for a pic"):
        network.shapes((1, 2, 2))


def test_what_synapses_keep_counts():
    """A max pool keeps a number for each place in its window: a small file could ask for terabytes."""
    layers = [Input("input", 1), Conv2d("conv", "input", ONE), Neurons("relu", "conv")]
    network = read_out([*layers, MaxPool2d("pool", "relu", 512, 1, 256), Neurons("pooled", "pool")], "pooled")
    with pytest.raises(InputError, match=r"MaxPool2d 'pool' .*, keeps 262144 numbers for each that it puts out"):
        network.shapes((1, 64, 64))


def test_ordinary_networks_are_far_from_the_limits():
    """Of a hundred layers of 256 channels at full resolution, none is refused, on however large a picture."""
    nodes, source = [Input("i", 256)], "i"
    for index in range(100):
        nodes += [Conv2d(f"c{index}", source, ones(256, 1, 1, 1), groups=256), Neurons(f"n{index}", f"c{index}")]
        source = f"n{index}"
    network = read_out(nodes, source, 256)
    for side in (1, 32, 10_000):
        assert network.shapes((256, side, side))["output"] == (1, side, side)


@pytest.mark.parametrize(("stride", "kernel", "padding"), [(256, 3, 1), ((128, 2), (5, 3), (2, 1))])
def test_tables_are_in_proportion_to_weights_and_output(stride, kernel, padding):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    node = ConvTranspose2d("up", "n", ones(1, 1, *kernel), stride=stride, padding=padding)
    nodes = [Input("i"), Conv2d("c", "i", ONE), Neurons("n", "c"), node, Neurons("m", "up")]
    layer = build_program(read_out(nodes, "m"), (1, 1, 1)).layers[1]
    most = np.prod(kernel) + np.prod(layer.outgoing)
    assert len(layer.plan.tables.phases) <= most
    shapes = layer.incoming, layer.outgoing, layer.padded_channels
    assert len(make_integer_plan(*node.axes(layer.incoming), *shapes).tables.phases) <= most


@pytest.mark.parametrize("kernels", ["auto", "events"])
def test_large_strides_are_simulated_like_the_reference(kernels):
    """Of most output pixels nothing but the bias is left, and some of the phases lie beyond the output."""
    generator = np.random.default_rng(0)
    weight = (generator.integers(-8, 9, (16, 16, 3, 2)) / 64).astype(np.float32)
    up = ConvTranspose2d("up", "n", weight, ones(16) / 4, stride=(40, 30), padding=(2, 31), output_padding=(3, 2))
    first = Conv2d("c", "i", ones(16, 1, 1, 1) * np.arange(1, 17, dtype=np.float32)[:, None, None, None] / 16)
    network = read_out([Input("i"), first, Neurons("n", "c"), up, Neurons("m", "up")], "m", 16)
    picture = (generator.integers(0, 5, (1, 2, 3)) / 4).astype(np.float32)
    expected = reference.simulate(network, picture, 1)
    found = simulate(network, picture, 1, threads=1, kernels=kernels)
    np.testing.assert_array_equal(found.output, expected.output)
    assert_same_operations(found.operations, expected.operations)


def test_kernels_in_integers_do_not_spread_out_padding_without_end():
    node = Conv2d("wide", "n", ones(16, 16, 3, 3), padding=1500, dilation=1500)
    nodes = [Input("i"), Conv2d("c", "i", ones(16, 1, 1, 1)), Neurons("n", "c"), node, Neurons("m", "wide")]
    layer = build_program(read_out(nodes, "m", 16), (1, 64, 64)).layers[1]
    assert layer.integers is None


def test_windows_larger_than_what_they_read():
    """What is nothing but padding is neither walked through nor spread out."""
    node = AvgPool2d("pool", "n", 64, stride=1, padding=32)
    nodes = [Input("i"), Conv2d("c", "i", ONE), Neurons("n", "c"), node, Neurons("m", "pool")]
    network = read_out(nodes, "m")
    picture = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    assert build_program(network, picture.shape).layers[1].pooled_levels is None
    expected = reference_synapses.avg_pool2d(node, picture.astype(np.float64))
    np.testing.assert_array_equal(forward(network, picture)[0], expected)


def test_linear_layers_are_bound_in_proportion_to_their_weights():
    nodes = [Input("i"), Conv2d("c", "i", ONE), Neurons("n", "c")]
    weight = ones(1, 60_000)
    weight[0, 7] = 0
    network = Network([*nodes, Linear("out", "n", weight), Output("output", "out")])
    layer = build_program(network, (1, 60_000, 1)).layers[1]
    assert layer.fan_out.total(1) == 60_000
    assert layer.zero_fan_out is not None
    assert layer.zero_fan_out.zeros.sum() == 1


# --- Preprocessing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "step", "message"),
    [
        ((64, 64, 1), {"kernel_size": 2, "nbins": 16384}, "1024 histograms of 16384 bins of a picture of 64x64"),
        ((1024, 1024, 1), {"kernel_size": 2}, r"take a larger kernel_size \(got 2\) or fewer nbins"),
        ((1024, 1024, 3), {"kernel_size": 4, "nbins": 2}, "65536 histograms of 2 bins"),
        ((64, 64, 1), {"kernel_size": 65536}, "kernel_size 65536 .* is too large for a picture of 64x64"),
        ((8, 4000, 1), {"kernel_size": 4000}, "too large for a picture of 8x4000; take at most its shorter side"),
    ],
)
def test_tiles_of_clahe_are_in_proportion_to_the_picture(shape, step, message):
    with pytest.raises(InputError, match=message):
        preprocess(np.zeros(shape, np.float32), [{"name": "equalize_adapthist", **step}])


@pytest.mark.parametrize("step", [{}, {"kernel_size": 8}, {"kernel_size": 64}, {"kernel_size": 2, "nbins": 2}])
def test_ordinary_tiles_of_clahe(step):
    picture = np.random.default_rng(0).random((64, 100, 1)).astype(np.float32)
    assert np.isfinite(preprocess(picture, [{"name": "equalize_adapthist", **step}])).all()


def test_preprocessing_has_so_many_steps_and_bins():
    with pytest.raises(InputError, match=r"at most 32 steps \(got 33\)"):
        check_preprocessing([{"name": "rgb2gray"}] * 33)
    with pytest.raises(InputError, match=r"nbins .* a whole number from 2 to 16384"):
        check_preprocessing([{"name": "equalize_adapthist", "nbins": 65536}])

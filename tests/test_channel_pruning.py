"""Channels that never fire are left out: the same spikes and outputs with fewer operations."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import imageio.v3 as iio
import numpy as np
import pytest
import random_graphs
import refusals
from hypothesis import given, settings
from hypothesis import strategies as st
from still_camera import LADDER, network, weight

from spikeunet.converters import prune_channels
from spikeunet.converters.channel_choice import kept_channels, readers_of, with_channels
from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    EscapeNoiseLeakyIntegrateAndFire,
    Flatten,
    Heterogeneous,
    Input,
    InputError,
    IntegrateAndFire,
    Lapicque,
    Linear,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Scale,
    Weighted,
    even_fan_out,
    load_model,
    save_model,
    simulate,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.testing.comparison import assert_same_array

FAR = np.float32(-1000)
"""A bias with which nothing fires."""


def quieted(net, shares, seed=0):
    """The network with biases of some channels of each layer that neurons follow so low that they are silent."""
    generator = np.random.default_rng(seed)
    followed = {node.source for node in net.neurons}
    made = []
    for node in net.nodes:
        if isinstance(node, Weighted) and node.name in followed:
            bias = np.array(node.bias)
            bias[generator.random(bias.size) < shares] = FAR
            made.append(replace(node, bias=bias))
        else:
            made.append(node)
    return net.replace(made)


def pictures(channels=1, count=3, size=(16, 24), seed=1):
    generator = np.random.default_rng(seed)
    return [generator.random((channels, *size)).astype(np.float32) for _ in range(count)]


def check(net, shown, steps=1):
    """Outputs and spikes of what is left are as they were; returns the pruned network and what was said."""
    pruned, found = prune_channels(net, shown, steps)
    kept = kept_channels(net, silence(net, shown, steps), readers_of(net, shown[0].shape))
    for picture in shown:
        before = simulate(net, picture, steps, threads=1, record=("spikes",))
        after = simulate(pruned, picture, steps, threads=1, record=("spikes",))
        for name, output in before.outputs.items():
            assert_same_array(after.outputs[name], output, name)
        for name, spikes in before.spikes.items():
            stays = kept[name] if kept[name].size else np.ones(spikes.shape[1], np.bool_)
            assert trains(after.spikes[name]) == trains(spikes[:, stays])
            assert not spikes[:, ~stays].any()
        assert after.total_accumulates <= before.total_accumulates
    assert found.change == 0
    return pruned, found


def trains(spikes):
    """What each channel emits, in no order."""
    return sorted(np.ascontiguousarray(spikes[:, channel]).tobytes() for channel in range(spikes.shape[1]))


def silence(net, shown, steps):
    """By Neurons node, which channels fire."""
    fires = {}
    for picture in shown:
        for name, spikes in simulate(net, picture, steps, record=("spikes",)).spikes.items():
            fires[name] = fires.get(name, False) | (spikes != 0).any(axis=(0, 2, 3))
    return fires


# --- A layer with some of its channels -------------------------------------------------------------------------------


def layers():
    generator = np.random.default_rng(0)
    numbers = generator.normal(0, 1, (6, 8, 3, 3)).astype(np.float32)
    bias = generator.normal(0, 1, 6).astype(np.float32)
    return {
        "convolution": Conv2d("n", "s", numbers, bias, padding=1),
        "transposed convolution": ConvTranspose2d("n", "s", numbers.swapaxes(0, 1), bias, stride=2),
        "full connection": Linear("n", "s", numbers.reshape(6, -1)[:, : 8 * 6], bias),
    }


@pytest.mark.parametrize("kind", layers())
def test_a_layer_with_some_of_its_channels(kind):
    node, generator = layers()[kind], np.random.default_rng(1)
    outputs = np.arange(6) % 3 > 0
    inputs = np.arange(8) % 4 != 1
    values = generator.random((2, 2, 3, 8)).astype(np.float32)
    values[..., ~inputs] = 0
    smaller = with_channels(node, np.flatnonzero(outputs), np.flatnonzero(np.repeat(inputs, node.in_channels // 8)))
    assert smaller.out_channels == 4
    np.testing.assert_allclose(
        smaller.forward((values[..., inputs],)), node.forward((values,))[..., outputs], rtol=1e-5, atol=1e-5
    )


def test_a_layer_channel_by_channel_and_groups():
    numbers, stays = np.random.default_rng(2).normal(0, 1, (6, 1, 3, 3)).astype(np.float32), np.arange(6) != 2
    values = np.random.default_rng(3).random((1, 4, 5, 6)).astype(np.float32)
    for node in (Conv2d("n", "s", numbers, groups=6), Scale("n", "s", numbers[:, 0, 0, 0])):
        smaller = with_channels(node, np.flatnonzero(stays), np.flatnonzero(stays))
        assert smaller.group_count == 5
        np.testing.assert_array_equal(smaller.forward((values[..., stays],)), node.forward((values,))[..., stays])
    assert with_channels(Conv2d("n", "s", numbers.repeat(2, 1), groups=3), np.arange(6), np.arange(6)) is None


# --- Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_a_u_net(steps):
    net = quieted(network(), 0.4)
    pruned, found = check(net, pictures(), steps)
    assert found.accumulates < found.accumulates_before
    # A pool's neurons go with the channels that it reads.
    assert found.channels["pooled"] == found.channels["relu2"]
    assert pruned["conv3"].weight.shape[1] == pruned.channels["relu2"] < net.channels["relu2"]
    assert pruned["conv4"].weight.shape[1] == pruned.channels["relu2"] + pruned.channels["relu_up"]
    assert pruned.metadata["pruned_channels"] == {
        "channels": sum(before - after for before, after in found.channels.values()),
        "pictures": 3,
        "most": 0.0,
    }
    counts = sum(simulate(pruned, x, steps, record=("spike_count",)).spike_count["relu_up"] for x in pictures())
    often = np.count_nonzero(counts, axis=(1, 2))
    assert (np.diff(often) <= 0).all()
    again, nothing = prune_channels(pruned, pictures(), steps)
    assert nothing.channels == {}
    assert all(a is b for a, b in zip(again.nodes, pruned.nodes, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_random_graphs(seed):
    graph = random_graphs.Drawer([7, seed]).graph()
    check(quieted(graph.network, 0.5, seed), [graph.picture], graph.steps)


def residual(silent=(1, 3), silent_in_sum=(1, 3)):
    """Channels of a residual block's neurons, of which some are silent."""
    generator = np.random.default_rng(4)
    first, second = (np.where(np.isin(np.arange(6), which), FAR, 0) for which in (silent, silent_in_sum))
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", np.abs(weight(generator, 6, 1, 3, 3)), first.astype(np.float32), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Conv2d("conv2", "relu1", weight(generator, 6, 6, 3, 3), second.astype(np.float32), padding=1),
            Scale("shortcut", "relu1", np.ones(6, np.float32)),
            Add("sum", ("conv2", "shortcut")),
            Neurons("relu2", "sum", LADDER),
            Conv2d("last", "relu2", np.ones((1, 6, 1, 1), np.float32)),
            Output("output", "last"),
        ]
    )


def test_channels_of_a_sum_go_together_or_not_at_all():
    pruned, _ = check(residual(), pictures())
    assert {pruned.channels[name] for name in ("conv1", "relu1", "conv2", "shortcut", "sum", "relu2")} == {4}
    pruned, _ = check(residual(silent=(1, 3), silent_in_sum=(1,)), pictures())
    assert pruned.channels["relu1"] == pruned.channels["relu2"] == 5
    pruned, found = check(residual(silent=(), silent_in_sum=(1, 3)), pictures())
    assert found.channels == {}


def test_a_layer_keeps_a_channel():
    net = residual(silent=range(6), silent_in_sum=range(6))
    pruned, _ = check(net, pictures())
    assert pruned.channels["relu1"] == pruned.channels["relu2"] == 1


def pooled(neurons=LADDER, read=False):
    generator, dead = np.random.default_rng(5), np.array([0, FAR, 0, FAR], np.float32)
    return Network(
        [
            Input("input", 1),
            Conv2d("conv", "input", np.abs(weight(generator, 4, 1, 3, 3)), dead, padding=1),
            Neurons("relu", "conv", neurons),
            MaxPool2d("max", "relu", 2),
            Neurons("largest", "max", LADDER),
            AvgPool2d("mean", "largest", 2),
            Neurons("means", "mean", LADDER),
            Concat("both", ("means", "means")),
            Linear("full", "both", weight(generator, 5, 8 * 4 * 6)),
            Output("output", "full"),
            *([Scale("own", "relu", np.ones(4, np.float32)), Output("second", "own")] if read else []),
        ]
    )


def test_through_pools_and_into_a_full_connection():
    pruned, _ = check(pooled(), pictures())
    assert pruned.channels["relu"] == pruned.channels["means"] == 2
    assert pruned["full"].weight.shape == (5, 4 * 4 * 6)


def test_channels_behind_a_concatenation_that_are_handed_on_stay_in_their_places():
    """A convolution channel by channel has weights of its own for each of them."""
    generator = np.random.default_rng(8)
    rising = np.float32([-3, -2, -1, 0])  # the last channel fires most
    net = Network(
        [
            Input("input", 1),
            Conv2d("first", "input", np.ones((4, 1, 1, 1), np.float32), rising),
            Neurons("n", "first", LADDER),
            Concat("joined", ("n", "n")),
            ConvTranspose2d("own", "joined", weight(generator, 8, 1, 3, 3), groups=8),
            Neurons("m", "own", LADDER),
            Conv2d("last", "m", weight(generator, 2, 8, 1, 1)),
            Output("output", "last"),
        ]
    )
    pruned, _ = check(net, [4 * picture for picture in pictures()], 2)
    assert pruned["first"] is net["first"]


def test_channels_beside_others_whose_number_a_picture_decides_stay_in_their_places():
    generator = np.random.default_rng(9)
    net = Network(
        [
            Input("input", 1),
            Linear("first", "input", np.repeat(np.float32([[0.5], [1], [2]]), 6, axis=1)),
            Neurons("n", "first", LADDER),
            Linear("second", "input", np.ones((3, 6), np.float32)),
            Neurons("k", "second", LADDER),
            Flatten("flat", "k"),
            Neurons("features", "flat", LADDER),
            Concat("joined", ("n", "features")),
            Conv2d("last", "joined", weight(generator, 2, 6, 1, 1)),
            Output("output", "last"),
        ]
    )
    shown = [np.full((1, 2, 3), number, np.float32) for number in (1 / 1024, 1 / 64)]
    pruned, _ = check(net, shown)
    assert pruned["first"] is net["first"]


def test_what_is_put_out_stays():
    _, found = check(pooled(read=True), pictures())
    assert found.channels == {}


@pytest.mark.parametrize(
    "neurons", [Heterogeneous(Lapicque(), {"threshold": np.full(4, 0.5)}), EscapeNoiseLeakyIntegrateAndFire()]
)
def test_neurons_with_parameters_or_random_numbers_of_their_own_stay(neurons):
    _, found = check(pooled(neurons), pictures(), 3)
    assert found.channels == {}


def test_groups_stay():
    """Where channels of a group meet, none can be left out."""
    generator = np.random.default_rng(6)
    first, *others, last, output = residual().nodes
    groups = Conv2d("groups", "relu2", weight(generator, 4, 3, 3, 3), groups=2)
    end = [groups, Neurons("relu3", "groups", LADDER), replace(last, source="relu3", weight=last.weight[:, :4]), output]
    pruned, found = check(Network([first, *others, *end]), pictures())
    assert found.channels == {}
    assert pruned["groups"] is groups


def test_channels_that_fire_now_and_then():
    """A share of the neurons may fire; what comes of leaving them out is said."""
    shown = pictures(count=4)
    shown[2][0, 5, 5] = 30  # the only pixel that brings the last channel to fire
    bias = np.array([0, 0, 0, -4], np.float32)
    net = pooled()
    net = net.replace([replace(node, bias=bias) if node.name == "conv" else node for node in net.nodes])
    fired = sum(int(simulate(net, x, 1, record=("spikes",)).spikes["relu"][:, 3].sum()) for x in shown)
    share = fired / (4 * 16 * 24)
    assert 0 < share < 0.01
    stays, found = prune_channels(net, shown, most=share * 0.999)
    assert found.channels == {}
    pruned, found = prune_channels(net, shown, most=0.05)
    assert found.channels["relu"] == (4, 3)
    squares = [
        [np.square(a, dtype=np.float64).sum() for a in (simulate(pruned, x, 1).output - y, y)]
        for x in shown
        for y in [simulate(net, x, 1).output]
    ]
    assert found.change == pytest.approx(np.sqrt(np.divide(*np.sum(squares, 0))), rel=1e-5)
    assert found.change > 0
    assert stays.metadata["pruned_channels"]["channels"] == 0


def one_layer(weight_, bias, model, picture, steps=1):
    """Three channels that fire here and there, added up by a layer, and the change that pruning makes."""
    net = Network(
        [
            Input("input", 1),
            Conv2d("first", "input", np.ones((3, 1, 1, 1), np.float32), np.float32([-0.5, 0, 0.25])),
            Neurons("n", "first", model),
            Conv2d("second", "n", np.float32(weight_).reshape(1, 3, 1, 1), np.float32([bias])),
            Output("output", "second"),
        ]
    )
    return net, *prune_channels(net, [np.float32(picture).reshape(1, 1, -1)], steps)


@pytest.mark.parametrize(
    ("weights", "bias", "model"),
    [
        ([1, -1, 0.5], 2**-24, MultiThreshold((1.0,))),  # the bias is no multiple of the unit
        ([1, -1, 0.5], 0, MultiThreshold((1.0, 0.3, 0.1))),  # nor are levels of a power of two
        ([1, -1, 0.5], 0, IntegrateAndFire(0.3)),
        ([1 / 3, -0.7, 0.1], 0, MultiThreshold((1.0, 0.5))),  # weights of many bits
    ],
)
def test_channels_change_places_only_where_no_sum_is_rounded(weights, bias, model):
    picture = [0.2, 0.4, 1.2, 1.6, 0.9, 0.05]
    net, pruned, found = one_layer(weights, bias, model, picture, 3)
    assert all(a is b for a, b in zip(net.nodes, pruned.nodes, strict=True))
    assert found.change == 0
    net, pruned, found = one_layer([1, -1, 0.5], 0.5, MultiThreshold((1.0, 0.5)), picture)
    assert found.change == 0
    np.testing.assert_array_equal(pruned["second"].weight.ravel(), [0.5, -1, 1])


def test_an_output_that_was_zero_has_changed():
    """One channel that holds another back is left out."""
    step = MultiThreshold((1.0,))
    net = Network(
        [
            Input("input", 2),
            Conv2d("first", "input", np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)),
            Neurons("n", "first", step),
            Conv2d("second", "n", np.float32([1.5, -2]).reshape(1, 2, 1, 1)),
            Neurons("m", "second", step),
            Conv2d("third", "m", np.ones((1, 1, 1, 1), np.float32)),
            Output("output", "third"),
        ]
    )
    picture = np.zeros((2, 1, 9), np.float32)
    picture[:, 0, 4] = 1.5
    pruned, found = prune_channels(net, [picture], most=0.2)
    assert pruned.channels["n"] == 1
    assert found.change == np.inf


@dataclass(frozen=True, eq=False)
class Mixing(Weighted):
    """Channels through a matrix, in an order of its own; their number must be even."""

    weight: np.ndarray
    bias: np.ndarray = None

    def __post_init__(self):
        super().__post_init__()
        self.check_arrays(2)
        if self.weight.shape[1] % 2:
            raise self.refuse("weight", "must have an even number of inputs")

    def output_shape(self, *shapes):
        return len(self.weight), *shapes[0][1:]

    def input_rows(self, first, last, incoming):
        return first, last

    def current(self, values, rows, state=None):
        return values @ self.weight.T.astype(values.dtype) + self.bias

    def fan_out(self, incoming):
        return even_fan_out(*incoming[1:], len(self.weight))


class OddConvolution(Conv2d):
    """A convolution that refuses four channels."""

    def __post_init__(self):
        super().__post_init__()
        if self.weight.shape[1] == 4:
            raise self.refuse("weight", "must not have four inputs")


@pytest.mark.parametrize("kind", [Mixing, OddConvolution])
def test_what_kinds_of_ones_own_read_stays(kind):
    first, *others, last, output = residual().nodes
    own = kind("own", "relu2", weight(np.random.default_rng(7), 2, 6, *(() if kind is Mixing else (1, 1))))
    end = [own, Neurons("relu3", "own", LADDER), replace(last, source="relu3", weight=last.weight[:, :2]), output]
    net = Network([first, *others, *end])
    pruned, found = prune_channels(net, pictures())
    assert (found.channels, found.change) == ({}, 0)
    assert pruned["own"] is own


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"most": "a"}, "most must be at least 0 and below 1"),
        ({"pictures": [np.zeros((4, 4), np.float32)]}, r"pictures must be \(C, H, W\) of floats"),
        ({"most": 1.0}, "most must be at least 0 and below 1"),
        ({"pictures": []}, "give at least one"),
    ],
)
def test_refused(given, message):
    with pytest.raises(InputError, match=message):
        prune_channels(network(), **{"pictures": pictures(), **given})


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(quieted(network(), 0.4), tmp_path / "net.npz")
    (tmp_path / "shown").mkdir()
    for number, picture in enumerate(pictures(count=2)):
        iio.imwrite(tmp_path / "shown" / f"{number}.png", (picture[0] * 255).astype(np.uint8))
    return tmp_path


def test_the_command(folder, capsys):
    main(
        ["prune", "net.npz", "-o", "small.npz", "--calibration", "shown", "--add-noise", "0:50"], standalone_mode=False
    )
    printed = capsys.readouterr().out
    assert "the same, bit for bit" in printed
    assert "fewer)" in printed
    small, net = load_model("small.npz"), load_model("net.npz")
    assert f"{sum(net.channels[n.name] for n in net.neurons)} -> " in printed
    picture = pictures()[0]
    assert_same_array(simulate(small, picture, 2).output, simulate(net, picture, 2).output, "output")
    main(["prune", "net.npz", "-o", "again.npz", "--calibration", "shown", "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert said["channels"] < said["channels_before"]
    assert said["accumulates"] < said["accumulates_before"]
    assert said["output_change"] == 0
    assert set(said["layers"]) <= {node.name for node in net.neurons}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calibration", "nowhere"], "nowhere"),
        (["--calibration", "shown", "--most", "1"], "most"),
        (["--calibration", "shown", "--most", "nan"], "--most"),
        (["--calibration", "shown", "--steps", "0"], "steps must"),
        ([], "--calibration"),
    ],
)
def test_the_command_refuses(folder, capsys, arguments, message):
    assert message in refusals.refusal(capsys, "prune", "net.npz", "-o", "small.npz", *arguments)
    assert not (folder / "small.npz").exists()

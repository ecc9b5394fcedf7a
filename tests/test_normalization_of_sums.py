"""Normalisation of networks with sums of currents, layers without weights, and neurons of both signs."""

from __future__ import annotations

from pathlib import Path

import analog
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from residual_networks import networks
from test_normalization import POWERS_OF_TWO, random

from spikeunet.converters import activation_scales, convert, normalize
from spikeunet.converters.sharing import Sharing
from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Input,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    Scale,
    SumPool2d,
    Upsample,
    simulate,
)
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError


@settings(max_examples=60)
@given(case=networks(), joined=st.booleans(), data=st.data())
def test_networks_of_all_kinds_keep_their_function(case, joined, data):
    network, picture = case
    shared = Sharing(network, joined).scales
    numbers = {first: data.draw(POWERS_OF_TWO, label=first) for first in dict.fromkeys(shared.values())}
    scales = {layer: numbers[first] for layer, first in shared.items()}
    output, activations = analog.run(network, picture)
    normalized = normalize(network, scales)
    found, found_activations = analog.run(normalized, picture)
    # Powers of two round nothing in float32, and next to nothing is left of the order of additions in float64.
    analog.assert_close(found, output, 1e-9)
    for name, factor in normalized.normalization.items():
        analog.assert_close(found_activations[name] * factor, activations[name], 1e-9)
    for layer, factor in scales.items():
        readers = [node.name for node in network.neurons if node.source == layer]
        assert all(normalized.normalization[name] == factor for name in readers)


@settings(max_examples=40)
@given(case=networks(), normalization=st.sampled_from(["channel", "connection", "layer"]))
def test_calibrated_networks_of_all_kinds_keep_their_function(case, normalization):
    network, picture = case
    try:
        scales = activation_scales(network, [picture], 99.0, normalization)
    except InputError as error:
        assert "put a Scale with weights of 1 and neurons" in str(error)  # noqa: PT017
        assume(False)
    output = analog.run(network, picture)[0]
    analog.assert_close(analog.run(normalize(network, scales), picture)[0], output, 1e-4)


def conv(name, source, out, into, size=1):
    return Conv2d(name, source, random(out, into, size, size), random(out), padding=size // 2)


def blocks(*nodes, source, channels):
    """A stem of three channels, these nodes, and a convolution that reads the last of them out."""
    stem = [Input("input", 2), conv("stem", "input", 3, 2, 3), Neurons("first", "stem")]
    return Network([*stem, *nodes, conv("read", source, 2, channels), Output("output", "read")])


def shared(network, normalization="connection"):
    """Layers by the scale that they share, and the scales."""
    pictures = [np.abs(random(2, 8, 8)) for _ in range(2)]
    scales = activation_scales(network, pictures, 99.0, normalization)
    normalized = normalize(network, scales)
    for picture in pictures:
        analog.assert_close(forward(normalized, picture)[0], forward(network, picture)[0], 1e-4)
    groups = {}
    for layer, scale in scales.items():
        groups.setdefault(scale, []).append(layer)
    return sorted(map(sorted, groups.values())), normalized.normalization


def test_projections_that_are_added_share_a_scale():
    network = blocks(
        conv("body", "first", 3, 3, 3),
        Scale("identity", "first", np.ones(3)),
        Add("sum", ("body", "identity")),
        Neurons("second", "sum"),
        source="second",
        channels=3,
    )
    groups, found = shared(network)
    assert groups == [["body", "identity"], ["stem"]]
    activations = forward(network, np.ones((2, 8, 8)), record="all")[1]
    scales = activation_scales(network, [np.ones((2, 8, 8), np.float32)], 100, "connection")
    assert scales["body"] == activations["second"].max()
    # The shortcut's threshold is balanced: its weight is its source's scale over that of the sum.
    balanced = normalize(network, scales)["identity"].weight
    np.testing.assert_allclose(balanced, scales["stem"] / scales["body"], rtol=1e-6)
    assert sorted(found) == ["first", "second"]


@pytest.mark.parametrize(
    "make", [lambda *names: AvgPool2d(*names, 1), lambda *names: MaxPool2d(*names, 3, 1, 1), Upsample]
)
def test_what_has_no_weights_brings_its_sources_scale_into_a_sum(make):
    nodes = [conv("other", "input", 3, 2), make("plain", "first"), conv("up", "input", 3, 2)]
    if make is Upsample:
        nodes[0] = ConvTranspose2d("other", "input", random(2, 3, 2, 2), stride=2)
    nodes += [Add("sum", ("plain", "other")), Neurons("second", "sum"), Neurons("last", "up")]
    groups, found = shared(blocks(*nodes, source="second", channels=3))
    assert groups == [["other", "stem"], ["up"]]
    assert found["first"] == found["second"] != found["last"]


def test_sums_within_sums_and_pools_of_pools():
    nodes = [conv("a", "first", 3, 3), Neurons("n", "a"), AvgPool2d("pool", "n", 2), Neurons("pooled", "pool")]
    nodes += [GlobalAvgPool2d("mean", "pooled"), conv("b", "pooled", 3, 3), Linear("c", "first", random(3, 3 * 64))]
    nodes += [
        Add("inner", ("mean", "c")),
        Add("sum", ("inner", "c", "mean")),
        Neurons("last", "sum"),
        Neurons("m", "b"),
    ]
    groups, found = shared(blocks(*nodes, source="last", channels=3))
    assert groups == [["a", "c"], ["b"], ["stem"]]
    assert found["n"] == found["pooled"] == found["last"]


def test_the_outputs_sum_stays_unscaled():
    stem = [Input("input", 2), conv("stem", "input", 2, 2, 3), Neurons("first", "stem")]
    nodes = [conv("body", "first", 2, 2), Neurons("other", "body"), Scale("identity", "input", np.ones(2))]
    network = Network([*stem, *nodes, Add("sum", ("body", "identity")), Output("output", "sum")])
    assert shared(network)[0] == [["stem"]]
    pooled = [AvgPool2d("pool", "first", 1), conv("body", "input", 2, 2)]
    network = Network([*stem, *pooled, Add("sum", ("body", "pool")), Output("output", "sum")])
    assert shared(network)[0] == []


def test_layer_wise_scales_of_sums():
    nodes = [conv("body", "first", 3, 3), Scale("identity", "first", np.ones(3)), Add("sum", ("body", "identity"))]
    nodes += [Neurons("second", "sum"), conv("more", "input", 2, 2), Neurons("third", "more")]
    network = blocks(*nodes, Concat("joined", ("second", "third")), source="joined", channels=5)
    assert shared(network, "layer")[0] == [["body", "identity", "more"], ["stem"]]
    assert shared(network)[0] == [["body", "identity"], ["more"], ["stem"]]


def test_flattened_features_keep_the_scales_of_their_channels():
    """Beside features of other widths, and of several layers."""
    nodes = [conv("more", "input", 2, 2), Neurons("second", "more"), Concat("both", ("first", "second"))]
    nodes += [
        AvgPool2d("pool", "both", 4),
        Neurons("pooled", "pool"),
        Flatten("flat", "pooled"),
        Neurons("flats", "flat"),
    ]
    nodes += [Linear("few", "pooled", random(4, 20)), Neurons("hidden", "few"), Concat("joined", ("hidden", "flats"))]
    network = blocks(
        *nodes, Scale("scale", "flats", random(20)), Neurons("scaled", "scale"), source="joined", channels=24
    )
    assert shared(network)[0] == [["few"], ["more"], ["scale"], ["stem"]]


def test_flattened_pictures_of_unknown_size_share_a_scale():
    nodes = [conv("more", "input", 2, 2), Neurons("second", "more")]
    nodes += [
        Flatten("flat0", "first"),
        Neurons("flats0", "flat0"),
        Flatten("flat1", "second"),
        Neurons("flats1", "flat1"),
    ]
    network = blocks(*nodes, Concat("joined", ("flats0", "flats1")), source="joined", channels=5 * 64)
    assert shared(network)[0] == [["more", "stem"]]


def test_pixels_are_made_of_channels_of_one_scale():
    def shuffled(*widths):
        nodes = [conv(f"part{index}", "first", width, 3) for index, width in enumerate(widths)]
        nodes += [Neurons(f"n{index}", f"part{index}") for index in range(len(widths))]
        nodes += [Concat("joined", [f"n{index}" for index in range(len(widths))]), PixelShuffle("shuffle", "joined", 2)]
        return blocks(*nodes, Neurons("last", "shuffle"), source="last", channels=sum(widths) // 4)

    assert shared(shuffled(4, 8))[0] == [["part0"], ["part1"], ["stem"]]
    assert shared(shuffled(3, 5))[0] == [["part0", "part1"], ["stem"]]


def test_sums_over_windows_tell_a_scale():
    network = blocks(SumPool2d("pool", "first", 2), Neurons("second", "pool"), source="second", channels=3)
    picture = np.abs(random(2, 8, 8))
    activations = forward(network, picture, record="all")[1]
    assert activations["second"].max() > activations["first"].max()
    assert activation_scales(network, [picture], 100, "connection") == {"stem": activations["second"].max()}


def pool_of_the_picture(source, *nodes):
    nodes = [*nodes, conv("body", "first", 2, 3), AvgPool2d("pool", source, 1), Add("sum", ("body", "pool"))]
    return blocks(*nodes, Neurons("second", "sum"), source="second", channels=2)


def test_the_picture_in_a_sum_of_what_is_scaled():
    """Is refused with the remedy, which is one."""
    picture, network = np.abs(random(2, 8, 8)), pool_of_the_picture("input")
    with pytest.raises(InputError) as caught:
        activation_scales(network, [picture])
    assert str(caught.value) == (
        "Add 'sum' puts the picture, which has no scale, together with activations that share that of 'body'; put a "
        "Scale with weights of 1 and neurons (SignedMultiThreshold where the picture has negative values) between the "
        "picture and it"
    )
    mended = pool_of_the_picture("pixels", Scale("scale", "input", np.ones(2)), Neurons("pixels", "scale"))
    assert shared(mended)[0] == [["body", "scale"], ["stem"]]


def test_scales_that_differ_within_a_sum_are_refused():
    nodes = [conv("a", "first", 2, 3), conv("b", "first", 2, 3), Add("sum", ("a", "b")), Neurons("second", "sum")]
    network = blocks(*nodes, source="second", channels=2)
    with pytest.raises(
        InputError, match=r"^Add 'sum' puts together what is scaled by 1 and by 2; give the layers whose"
    ):
        normalize(network, {"a": 2.0})
    assert normalize(network, {"a": 2.0, "b": 2.0}).normalization["second"] == 2


@pytest.mark.parametrize("source", ["first", "second"])
def test_delays_and_loops(source):
    """A delay changes no activation for good; what a loop gives back has no ANN, but can be scaled."""
    late = Scale("late", source, np.full(3, 0.5), delay=1)
    nodes = [conv("body", "first", 3, 3), late, Add("sum", ("body", "late")), Neurons("second", "sum")]
    network, picture = blocks(*nodes, source="second", channels=3), np.abs(random(2, 8, 8))
    if source == "first":
        assert shared(network)[0] == [["body", "late"], ["stem"]]
        return
    with pytest.raises(InputError, match=r"^a network with loops .* convert it with normalization='none'"):
        convert(network, calibration=[picture])
    assert convert(network, normalization="none").loops
    with pytest.raises(InputError, match=r"^Add 'sum' puts together what is scaled by 1 and by 2;"):
        normalize(network, {"body": 2.0})
    scaled = normalize(convert(network, normalization="none"), {"body": 2.0, "late": 2.0, "stem": 0.5})
    np.testing.assert_array_equal(scaled["late"].weight, late.weight)


def test_the_documentation():
    page = (Path(__file__).resolve().parent.parent / "docs" / "converting.md").read_text("utf-8")
    snippet = page.partition("### Residual networks")[2].partition("```python\n")[2].partition("```")[0]
    shapes = {"stem": (8, 3, 3, 3), "inside": (8, 8, 3, 3), "body": (8, 8, 3, 3), "classes": (4, 8)}
    weights = {name: random(*shape) / np.sqrt(np.prod(shape[1:])) for name, shape in shapes.items()}
    pictures = [np.abs(random(3, 8, 8))]
    names = {"weights": weights, "pictures": pictures}
    exec(compile(snippet, "converting.md", "exec"), names)
    exact, found = forward(names["network"], pictures[0])[0], simulate(names["spiking"], pictures[0], 64).output
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact).max())

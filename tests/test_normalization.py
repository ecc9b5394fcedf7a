"""Normalisation rescales activations and leaves the network's function alone."""

from __future__ import annotations

import analog
import numpy as np
import pytest
import unets
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.converters import ARCHITECTURES, activation_scales, convert, normalize
from spikeunet.converters.calibration import calibration_pictures
from spikeunet.converters.percentile import UpperPercentile
from spikeunet.engine import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Output
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError, PictureError, PictureWarning, RangeError
from spikeunet.engine.graph import Projection
from spikeunet.engine.pictures.picture_files import write_picture
from spikeunet.engine.testing.strategies import cases

GENERATOR = np.random.default_rng(1)
POWERS_OF_TWO = st.integers(-3, 3).map(lambda exponent: 2.0**exponent)


def random(*shape):
    return GENERATOR.standard_normal(shape).astype(np.float32)


def scalable(network):
    """Layers that neurons read and the output does not, average pooling seen through.

    Nor what is shuffled into pixels, nor what is put together with something flattened where only a picture tells which
    of the channels are whose.
    """
    unscaled = {network.output.source}
    for node in (node for node in network.nodes if isinstance(node, Projection)):
        leaves = network.leaves(node.source)
        told = (all(map(network.channels.get, leaves)) or len(leaves) == 1) and node.keeps_channels
        if not (told if not hasattr(node, "weight") else network.widths(node)):
            unscaled.update(leaves)
    for node in reversed(network.nodes):
        if node.name in unscaled and not hasattr(node, "weight"):
            unscaled.update(node.sources)
    layers = {node.source for node in network.neurons if hasattr(network[node.source], "weight")}
    return sorted(layers - unscaled)


def branches():
    """Every node type, with concatenations of unequal width, nested, pooled, and grouped."""
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", random(3, 2, 3, 3), random(3), padding=1),
            Neurons("relu1", "conv1"),
            Conv2d("conv2", "relu1", random(5, 3, 3, 3), random(5), padding=1),
            Neurons("relu2", "conv2"),
            Concat("concat1", ("relu1", "relu2", "input")),
            AvgPool2d("average_pool", "concat1", 2),
            Neurons("pooling", "average_pool"),
            ConvTranspose2d("up", "pooling", random(10, 2, 2, 2), random(4), stride=2, groups=2),
            Neurons("relu_up", "up"),
            Concat("concat2", ("relu_up", "relu2", "relu1")),
            Conv2d("conv3", "concat2", random(6, 4, 3, 3), random(6), padding=1, groups=3),
            Neurons("relu3", "conv3"),
            Concat("concat3", ("relu3", "relu1")),
            Linear("linear", "concat3", random(4, 9 * 24), random(4)),
            Neurons("relu4", "linear"),
            Linear("readout", "relu4", random(3, 4), random(3)),
            Output("output", "readout"),
        ]
    )


# --- The function is unchanged ---------------------------------------------------------------------------------------


@given(case=cases(delays=False, sums=False), data=st.data())
def test_power_of_two_scales_change_no_bit(case, data):
    network = case.network
    scales = {layer: data.draw(POWERS_OF_TWO, label=layer) for layer in scalable(network)}
    output, activations = forward(network, case.picture, record="all")
    scaled, scaled_activations = forward(normalize(network, scales), case.picture, record="all")
    np.testing.assert_array_equal(scaled, output)
    for node in network.neurons:
        if node.source in scales:
            np.testing.assert_array_equal(scaled_activations[node.name] * scales[node.source], activations[node.name])


@given(case=cases(dyadic=False, delays=False, sums=False), data=st.data())
def test_any_scales_keep_the_function(case, data):
    numbers = st.floats(0.05, 20, allow_subnormal=False)
    scales = {layer: data.draw(numbers, label=layer) for layer in scalable(case.network)}
    output, activations = analog.run(case.network, case.picture)
    found, found_activations = analog.run(normalize(case.network, scales), case.picture)
    analog.assert_close(found, output, 1e-4)
    for node in case.network.neurons:
        if node.source in scales:
            analog.assert_close(found_activations[node.name] * scales[node.source], activations[node.name], 1e-4)


@pytest.mark.parametrize("normalization", ["channel", "connection", "layer"])
def test_calibrated_branches_keep_their_function(normalization):
    network, pictures = branches(), [np.abs(random(2, 4, 6)) for _ in range(3)]
    scales = activation_scales(network, pictures, 99.0, normalization)
    assert sorted(scales) == ["conv1", "conv2", "conv3", "linear", "up"]
    normalized = normalize(network, scales)
    for picture in pictures:
        analog.assert_close(forward(normalized, picture)[0], forward(network, picture)[0], 1e-4)


@pytest.mark.parametrize("normalization", ["channel", "connection", "layer", "none"])
def test_converted_unets_keep_their_function(normalization):
    state, pictures = unets.random_state(uneven=True), unets.random_pictures(sizes=((32, 48),))
    plain = ARCHITECTURES["spiking-unet"](state, 1e-5)
    converted = convert(state, normalization=normalization, calibration=pictures)
    analog.assert_close(forward(converted, pictures[0])[0], forward(plain, pictures[0])[0], 1e-4)


def test_every_channel_of_every_group_is_scaled():
    network = branches()
    normalized = normalize(network, {"conv1": 2.0, "conv2": 4.0, "up": 8.0, "conv3": 0.5})
    incoming = np.repeat([2.0, 4.0, 1.0], [3, 5, 2])
    expected = network["up"].weight * incoming[:, None, None, None] / 8
    np.testing.assert_array_equal(normalized["up"].weight, expected.astype(np.float32))
    np.testing.assert_array_equal(normalized["up"].bias, network["up"].bias / 8)
    incoming = np.repeat([8.0, 4.0, 2.0], [4, 5, 3]).reshape(3, 1, 4, 1, 1) / 0.5
    expected = (network["conv3"].weight.reshape(3, 2, 4, 3, 3) * incoming).reshape(6, 4, 3, 3)
    np.testing.assert_array_equal(normalized["conv3"].weight, expected.astype(np.float32))


# --- What the scales are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percentile", [100, 99.9, 50])
def test_scales_are_percentiles_of_all_activations(percentile):
    network, pictures = branches(), [np.abs(random(2, 4, 6)) for _ in range(3)]
    scales = activation_scales(network, pictures, percentile, "connection")
    recorded = [forward(network, picture, record="all")[1] for picture in pictures]
    for layer, neurons in {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3", "up": "relu_up"}.items():
        values = np.concatenate([activations[neurons].ravel() for activations in recorded]).astype(np.float64)
        assert scales[layer] == pytest.approx(np.percentile(values, percentile) or 1.0, rel=1e-12)


def test_layer_wise_scales_are_percentiles_of_the_concatenated_input():
    state, pictures = unets.random_state(), unets.random_pictures(sizes=((32, 32),))
    network = ARCHITECTURES["spiking-unet"](state, 1e-5)
    scales = activation_scales(network, pictures, 99.9, "layer")
    activations = forward(network, pictures[0], record="all")[1]
    for skip, up in (("8", "1"), ("6", "2"), ("4", "3"), ("2", "4")):
        joined = np.concatenate([activations[f"relu{skip}"].ravel(), activations[f"relu_convtranpose{up}"].ravel()])
        expected = pytest.approx(np.percentile(joined.astype(np.float64), 99.9))
        assert scales[f"conv{skip}"] == scales[f"convtranspose{up}"] == expected
    alone = activations["relu5"].astype(np.float64)
    assert scales["conv5"] == pytest.approx(np.percentile(alone, 99.9))


def test_converted_activations_reach_one_at_the_percentile():
    state, pictures = unets.random_state(uneven=True), unets.random_pictures(sizes=((32, 48),))
    network = convert(state, calibration=pictures, percentile=100)
    activations = forward(network, pictures[0], record="all")[1]
    for name, activation in activations.items():
        if not name.startswith("pooling"):
            assert activation.max() == pytest.approx(1, rel=1e-5)


def test_silent_layers_keep_their_scale():
    silent = Conv2d("conv1", "input", -np.ones((1, 1, 1, 1), np.float32))
    last = Conv2d("conv2", "relu1", np.ones((1, 1, 1, 1), np.float32))
    network = Network([Input("input"), silent, Neurons("relu1", "conv1"), last, Output("output", "conv2")])
    converted = convert(network, calibration=[np.ones((4, 4))])
    assert converted.normalization == {"relu1": 1.0}
    np.testing.assert_array_equal(converted["conv1"].weight, silent.weight)


def test_normalization_is_recorded_with_pooling_handing_it_through():
    converted = convert(unets.random_state(), normalization="connection", calibration=unets.random_pictures())
    factors = converted.normalization
    assert set(factors) == {node.name for node in converted.neurons}
    for level in range(1, 5):
        assert factors[f"pooling{level}"] == factors[f"relu{2 * level}"]
    joined = convert(branches(), normalization="connection", calibration=[np.abs(random(2, 4, 6))])
    assert "pooling" not in joined.normalization


def test_normalising_again_multiplies_what_is_recorded():
    network = branches()
    twice = normalize(normalize(network, {"conv1": 2.0}), {"conv1": 4.0, "conv2": 0.5})
    once = normalize(network, {"conv1": 8.0, "conv2": 0.5})
    assert twice.normalization == once.normalization
    assert twice.normalization["relu1"] == 8
    np.testing.assert_array_equal(twice["conv2"].weight, once["conv2"].weight)


def test_a_layer_that_the_output_reads_through_a_pool_keeps_its_scale():
    conv = Conv2d("conv", "input", random(3, 2, 1, 1), random(3))
    pool = AvgPool2d("pool", "relu", 2)
    network = Network([Input("input", 2), conv, Neurons("relu", "conv"), pool, Output("output", "pool")])
    assert activation_scales(network, [np.abs(random(2, 4, 4))]) == {}


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"conv1": 0.0}, "scale of 'conv1' must be positive"),
        ({"conv1": float("nan")}, "must be positive and finite"),
        ({"readout": 2.0}, "'readout' is no layer that can be scaled; there are conv1"),
        ({"relu1": 2.0}, "no layer that can be scaled"),
        ({"conv1": 1e-45}, "normalising 'conv1' overflows float32"),
    ],
)
def test_unusable_scales_are_refused(scales, message):
    with pytest.raises(InputError, match=message):
        normalize(branches(), scales)


# --- Percentiles -----------------------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.lists(st.integers(0, 9), min_size=0, max_size=30), min_size=1, max_size=6).filter(any),
    percentile=st.floats(0.1, 100) | st.sampled_from((50.0, 99.9, 100.0)),
)
def test_percentile_equals_numpy(pieces, percentile):
    values = np.float32([value for piece in pieces for value in piece])
    collected = UpperPercentile(values.size, percentile)
    for piece in pieces:
        collected.add(np.float32(piece))
    assert collected.value == pytest.approx(np.percentile(values.astype(np.float64), percentile), abs=1e-9)
    assert len(collected.largest) <= values.size * (1 - percentile / 100) + 2


def test_percentile_waits_for_all_numbers():
    collected = UpperPercentile(3, 50)
    collected.add(np.float32([1, 2]))
    with pytest.raises(ValueError, match="1 numbers are missing"):
        _ = collected.value


# --- Calibration pictures --------------------------------------------------------------------------------------------


def test_pictures_of_any_size_are_padded():
    state = unets.random_state()
    folded = convert(state, calibration=unets.random_pictures(sizes=((17, 5), (1, 1), (32, 16))))
    assert all(np.isfinite(value) and value > 0 for value in folded.normalization.values())


def test_a_folder_of_pictures_calibrates(tmp_path):
    samples = [np.round(picture[0] * 255).astype(np.uint8) for picture in unets.random_pictures()]
    for index, picture in enumerate(samples):
        write_picture(tmp_path / f"{index}.png", picture)
    (tmp_path / "notes.txt").write_text("no picture")
    state = unets.random_state()
    from_folder = convert(state, calibration=tmp_path)
    from_arrays = convert(state, calibration=[np.float32(picture) / np.float32(255) for picture in samples])
    assert from_folder.normalization == pytest.approx(from_arrays.normalization, rel=1e-6)
    assert from_folder.metadata["conversion"]["calibration_pictures"] == 2


def test_gray_and_colour_pictures_serve_each_other(tmp_path):
    colour = unets.random_pictures(channels=3, sizes=((8, 8),))[0]
    write_picture(tmp_path / "colour.png", np.uint8(colour.transpose(1, 2, 0) * 255))
    assert calibration_pictures(tmp_path, 3)[0].shape == (3, 8, 8)
    assert calibration_pictures(tmp_path, 1)[0].shape == (1, 8, 8)
    assert calibration_pictures([colour[0]], 3)[0].shape == (3, 8, 8)


def test_noise_cycles_through_its_levels():
    clean = [np.full((64, 64), 0.5)] * 3
    quiet, loud, again = calibration_pictures(clean, 1, sigma=(0, 25))
    assert quiet.std() == again.std() == 0
    assert loud.std() * 255 == pytest.approx(25, rel=0.05)


def test_a_limit_takes_pictures_evenly():
    pictures = [np.full((2, 2), index / 10) for index in range(10)]
    chosen = calibration_pictures(pictures, 1, limit=3)
    assert [round(float(picture[0, 0, 0]) * 10) for picture in chosen] == [0, 3, 6]
    assert len(calibration_pictures(pictures, 1, limit=99)) == 10


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "at least one picture"),
        (3, "a folder or a list of pictures .got int"),
        (np.zeros((3, 8, 8)), "got one array of shape"),
        ([np.zeros((8, 8), np.uint8)], "floats in .0, 1. .got uint8.; divide by 255"),
        ([np.zeros(8)], r"must be \(C, H, W\) or \(H, W\)"),
        ([np.zeros((0, 8))], r"must be \(C, H, W\) or \(H, W\)"),
        ([np.zeros((8, 8)), np.zeros((2, 8, 8))], "picture 1 has 2 channels, but the network takes 1"),
        ([np.full((8, 8), np.nan)], "picture 0 has values that are NaN"),
        ("no such folder here", "no such folder here: no such folder of calibration pictures"),
    ],
)
def test_unusable_calibration_is_refused(pictures, message):
    with pytest.raises(InputError, match=message):
        convert(unets.random_state(), calibration=pictures)


def test_folders_without_usable_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pictures for calibration"):
        calibration_pictures(tmp_path, 1)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"broken\.png"):
        calibration_pictures(tmp_path, 1)


def test_a_limit_below_one_is_refused():
    with pytest.raises(InputError, match="number of calibration pictures must be at least 1"):
        calibration_pictures([np.zeros((2, 2))], 1, limit=0)


def test_pictures_that_overflow_are_refused():
    with (
        pytest.warns(PictureWarning, match=r"go from 1e\+38 to 1e\+38, but networks take black for 0"),
        pytest.raises(RangeError, match=r"a current of .* leaves the range of float32"),
    ):
        convert(unets.random_state(), calibration=[np.full((16, 16), 1e38)])

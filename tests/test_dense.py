"""The dense forward pass against a slow one in float64."""

from __future__ import annotations

from itertools import product

import analog
import numpy as np
import pytest
from hypothesis import given

from spikeunet.engine import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Output
from spikeunet.engine.dense import evaluate, forward
from spikeunet.engine.errors import InputError
from spikeunet.engine.testing.strategies import cases

GENERATOR = np.random.default_rng(0)


def random(*shape):
    return GENERATOR.standard_normal(shape).astype(np.float32)


def single(node, channels):
    return Network([Input("input", channels), node, Output("output", node.name)])


KERNELS = ((1, 1), (3, 3), (2, 5), (4, 1))
STRIDES = ((1, 1), (2, 2), (1, 3), (3, 1))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", STRIDES)
def test_convolution_equals_the_slow_one(kernel, stride):
    picture = random(4, 11, 14)
    for padding, dilation, groups in product(((0, 0), (1, 2)), ((1, 1), (2, 1), (1, 2)), (1, 2, 4)):
        weight, bias = random(8, 4 // groups, *kernel), random(8)
        node = Conv2d("conv", "input", weight, bias, stride, padding, dilation, groups)
        network = single(node, 4)
        analog.assert_close(forward(network, picture)[0], analog.run(network, picture)[0])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", STRIDES)
def test_transposed_convolution_equals_the_slow_one(kernel, stride):
    picture = random(4, 5, 6)
    for padding, dilation, groups, extra in product(((0, 0), (1, 0)), ((1, 1), (2, 3)), (1, 2, 4), (0, 1)):
        weight, bias = random(4, 6 // 2, *kernel), random(3 * groups)
        extras = tuple(extra * (max(s, d) > 1) for s, d in zip(stride, dilation, strict=True))
        node = ConvTranspose2d("up", "input", weight, bias, stride, padding, extras, dilation, groups)
        network = single(node, 4)
        analog.assert_close(forward(network, picture)[0], analog.run(network, picture)[0])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 1)), ((1, 4), 1, (0, 2)), (3, (2, 4), 0)],
)
def test_average_pooling_equals_the_slow_one(kernel, stride, padding):
    network = single(AvgPool2d("pool", "input", kernel, stride, padding), 3)
    picture = random(3, 9, 12)
    analog.assert_close(forward(network, picture)[0], analog.run(network, picture)[0])


def test_linear_takes_features_channel_by_channel():
    network = single(Linear("linear", "input", random(5, 24), random(5)), 2)
    picture = random(2, 3, 4)
    analog.assert_close(forward(network, picture)[0], analog.run(network, picture)[0])


@given(cases(dyadic=False, delays=False))
def test_random_networks_equal_the_slow_ones(case):
    output, activations = forward(case.network, case.picture, record="all")
    expected, expected_activations = analog.run(case.network, case.picture)
    analog.assert_close(output, expected, 1e-4)
    assert activations.keys() == expected_activations.keys()
    for name, activation in activations.items():
        analog.assert_close(activation, expected_activations[name], 1e-4)


def shared_current():
    """One current that two Neurons nodes and the output read."""
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", random(3, 2, 3, 3), random(3), padding=1),
            Neurons("relu1", "conv1"),
            Neurons("again", "conv1"),
            Concat("concat", ("relu1", "input", "again", "relu1")),
            Concat("nested", ("concat", "relu1")),
            Conv2d("conv2", "nested", random(4, 14, 1, 1), random(4)),
            Neurons("relu2", "conv2"),
            Output("output", "conv1"),
        ]
    )


def test_a_current_with_several_readers_is_not_rectified_in_place():
    network, picture = shared_current(), random(2, 6, 7)
    output, activations = forward(network, picture, record=["relu2", "again"])
    expected, expected_activations = analog.run(network, picture)
    analog.assert_close(output, expected)
    assert output.min() < 0
    assert list(activations) == ["relu2", "again"]
    for name, activation in activations.items():
        analog.assert_close(activation, expected_activations[name])


def test_a_batch_gives_what_its_pictures_give():
    network, batch = shared_current(), random(3, 2, 6, 7)
    output, activations = forward(network, batch, record=["relu1"])
    for index, picture in enumerate(batch):
        alone, alone_activations = forward(network, picture, record=["relu1"])
        np.testing.assert_array_equal(output[index], alone)
        np.testing.assert_array_equal(activations["relu1"][index], alone_activations["relu1"])


def test_the_input_is_left_alone_and_recordings_are_copies():
    network, picture = shared_current(), random(2, 6, 7)
    before = picture.copy()
    activation = forward(network, picture, record=["relu1"])[1]["relu1"]
    np.testing.assert_array_equal(picture, before)
    activation[:] = np.nan
    assert np.isfinite(forward(network, picture)[0]).all()


def test_evaluate_shows_only_what_is_asked_for():
    seen = []
    evaluate(
        shared_current(), random(2, 6, 7), lambda name, activation: seen.append((name, activation.shape)), ["again"]
    )
    assert seen == [("again", (6, 7, 3))]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((6, 7)), r"\(C, H, W\)"),
        (np.zeros((0, 2, 6, 7)), "not empty"),
        (np.zeros((3, 6, 7)), "channels"),
        (np.full((2, 6, 7), np.nan), "NaN"),
        (np.full((2, 6, 7), 1e300), "infinite"),
        (np.zeros((2, 6, 7), complex), "real numbers"),
        ([[["a"]]], "real numbers"),
    ],
)
def test_unusable_pictures_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        forward(shared_current(), x)


def test_unknown_recordings_are_refused():
    with pytest.raises(InputError, match="names no Neurons node: conv1; there are relu1"):
        forward(shared_current(), random(2, 6, 7), record=["relu1", "conv1"])

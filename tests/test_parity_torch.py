"""Parity with PyTorch, where it is installed."""

from __future__ import annotations

import math
import warnings
from itertools import product

import analog
import numpy as np
import pytest
import unets

from spikeunet.converters import convert
from spikeunet.converters.architectures.spiking_unet import LAYERS, TRANSPOSED, layer_sources
from spikeunet.engine import AvgPool2d, Conv2d, ConvTranspose2d, Input, Network, Output
from spikeunet.engine.dense import forward

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

functional = torch.nn.functional
GENERATOR = np.random.default_rng(2)
GEOMETRIES = tuple(product(((1, 1), (3, 3), (2, 4)), ((1, 1), (2, 2), (3, 1)), (1, 2, 4)))


def random(*shape):
    return GENERATOR.standard_normal(shape).astype(np.float32)


def single(node, channels):
    return Network([Input("input", channels), node, Output("output", node.name)])


def assert_parity(node, expected, picture):
    analog.assert_close(forward(single(node, len(picture)), picture)[0], expected[0].numpy())


@pytest.mark.parametrize(("kernel", "stride", "groups"), GEOMETRIES)
def test_convolution(kernel, stride, groups):
    picture, weight, bias = random(8, 13, 17), random(12, 8 // groups, *kernel), random(12)
    for padding, dilation in product(((0, 0), (2, 1)), ((1, 1), (2, 3))):
        node = Conv2d("conv", "input", weight, bias, stride, padding, dilation, groups)
        tensors = (torch.from_numpy(array) for array in (picture[None], weight, bias))
        assert_parity(node, functional.conv2d(*tensors, stride, padding, dilation, groups), picture)


@pytest.mark.parametrize(("kernel", "stride", "groups"), GEOMETRIES)
def test_transposed_convolution(kernel, stride, groups):
    picture, weight, bias = random(8, 5, 7), random(8, 3, *kernel), random(3 * groups)
    for padding, dilation, extra in product(((0, 0), (1, 0)), ((1, 1), (2, 3)), (0, 1)):
        extras = tuple(extra * (max(s, d) > 1) for s, d in zip(stride, dilation, strict=True))
        node = ConvTranspose2d("up", "input", weight, bias, stride, padding, extras, dilation, groups)
        tensors = (torch.from_numpy(array) for array in (picture[None], weight, bias))
        expected = functional.conv_transpose2d(*tensors, stride, padding, extras, groups, dilation)
        assert_parity(node, expected, picture)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((2, 2), None, 0), ((3, 4), (1, 3), (1, 2)), ((5, 1), 2, (2, 0))]
)
def test_average_pooling(kernel, stride, padding):
    picture = random(3, 12, 15)
    node = AvgPool2d("pool", "input", kernel, stride, padding)
    assert_parity(node, functional.avg_pool2d(torch.from_numpy(picture[None]), kernel, stride, padding), picture)


def torch_unet(state, x, norms=()):
    """The reference implementation's network, in evaluation mode, on a batch."""
    outputs, pooled = {}, x
    for layer in ("conv1", *layer_sources()):
        weight, bias = (torch.from_numpy(state[f"{layer}.{part}"]) for part in ("weight", "bias"))
        sources = [outputs[source] for source in layer_sources().get(layer, ())]
        incoming = torch.cat(sources, 1) if sources else pooled
        if layer in ("conv3", "conv5", "conv7", "conv9"):
            incoming = functional.avg_pool2d(incoming, 2)
        if layer in TRANSPOSED:
            current = functional.conv_transpose2d(incoming, weight, bias, 2, 1, 1)
        else:
            current = functional.conv2d(incoming, weight, bias, padding=weight.shape[2] // 2)
        if layer in norms:
            current = norms[layer](current)
        outputs[layer] = current if layer == "conv19" else functional.relu(current)
    return outputs["conv19"]


def random_batch_norm(channels):
    norm = torch.nn.BatchNorm2d(channels).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        tensor.data.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_converted_unet(channels):
    state = unets.random_state(channels=channels, outputs=channels, width=4, last_kernel=3, uneven=True)
    pictures = unets.random_pictures(channels=channels, sizes=((32, 48),))
    expected = torch_unet(state, torch.from_numpy(pictures[0][None]))[0].numpy()
    for normalization in ("none", "connection", "layer"):
        network = convert(state, normalization=normalization, calibration=pictures)
        analog.assert_close(forward(network, pictures[0])[0], expected, 1e-4)


@torch.no_grad()
def test_folded_batch_norms():
    torch.manual_seed(0)
    state = unets.random_state(width=2)
    norms = {}
    for layer in LAYERS[:-5] + TRANSPOSED:
        norms[layer] = random_batch_norm(len(state[f"{layer}.bias"]))
        name = f"bn_{layer}" if layer in TRANSPOSED else f"bn{layer.removeprefix('conv')}"
        state |= {f"{name}.{key}": value.numpy() for key, value in norms[layer].state_dict().items()}
    picture = unets.random_pictures(sizes=((32, 32),))[0]
    expected = torch_unet(state, torch.from_numpy(picture[None]), norms)[0].numpy()
    found = forward(convert(state, normalization="none"), picture)[0]
    analog.assert_close(found, expected, 1e-4)


@torch.no_grad()
def test_tensors_are_taken_as_they_are():
    state = unets.random_state()
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    found = convert(tensors, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])


def test_parameters_are_taken_as_they_are():
    state = unets.random_state()
    parameters = {key: torch.nn.Parameter(torch.from_numpy(array)) for key, array in state.items()}
    found = convert(parameters, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])


def test_bfloat16_keeps_its_numbers():
    state = {key: torch.from_numpy(array).bfloat16() for key, array in unets.random_state().items()}
    found = convert(state, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"].float().numpy())


def test_geometry_of_the_reference_covers_the_skips():
    assert math.prod(len(sources) for sources in layer_sources().values()) == 2**4

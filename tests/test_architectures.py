"""Architectures known by name: their ANN is what PyTorch computes, and they are told apart by keys and shapes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import unets
from test_dncnn import random_state as dncnn_state

from spikeunet.converters import ARCHITECTURES, convert
from spikeunet.engine import simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import StateDictError
from spikeunet.engine.neurons import rectifies

torch = pytest.importorskip("torch", reason="PyTorch is what this is compared with")
import torch_networks as networks  # noqa: E402

TOLERANCE = 1e-5


def picture_of(channels, height, width, seed=1):
    return np.random.default_rng(seed).random((channels, height, width), np.float32)


def converted(network, size, architecture="auto", **options):
    """The conversion of a random state dict, after its ANN has been compared with PyTorch on a picture of a size."""
    state, picture = networks.arrays(network), picture_of(*size)
    found = convert(state, architecture, "none", **options)
    assert_equal(found, network, picture)
    return found


def assert_equal(found, network, picture):
    expected = networks.outputs(network, picture)
    np.testing.assert_allclose(
        forward(found, picture)[0].reshape(expected.shape), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max()
    )


def conversion(network):
    return network.metadata["conversion"]


# --- The function is PyTorch's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("bilinear", [False, True])
def test_unet(bilinear, levels):
    network = networks.randomized(networks.UNet(3, 2, bilinear, width=4, levels=levels))
    found = converted(network, (3, 48, 80))
    assert conversion(found)["architecture"] == "unet"
    assert conversion(found)["upsampling"].startswith("bilinear" if bilinear else "transposed")
    assert found.size_multiple == 2**levels
    signed = [node.name for node in found.neurons if not rectifies(node.model)]
    assert len(signed) == (0 if bilinear else levels)


@pytest.mark.parametrize(
    "options",
    [{}, {"shortcut": False}, {"bridge": False}, {"transposed": False}, {"widths": (2, 4, 6, 8), "classes": 3}],
    ids=str,
)
def test_wnet(options):
    network = networks.randomized(networks.WNet(**{"widths": (4, 6, 8), **options}))
    found = converted(network, (3, 24, 40))
    assert conversion(found)["architecture"] == "wnet"
    assert conversion(found)["concatenation"] == "upsampled first"


def test_half_a_wnet():
    network = networks.randomized(networks.LittleUNet(1, widths=(3, 5)))
    assert conversion(converted(network, (1, 14, 22)))["architecture"] == "lwnet-unet"


@pytest.mark.parametrize("channels", [1, 3])
def test_ircnn(channels):
    network = networks.randomized(networks.Chain(channels))
    found = converted(network, (channels, 13, 17), "ircnn")
    assert conversion(found)["dilation"] == "1, 2, 3, 4, 3, 2, 1"


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("side", [1, 7])
def test_vgg(norms, side):
    found = converted(networks.randomized(networks.VGG(norms=norms, side=side)), (3, 4 * side, 4 * side))
    assert conversion(found)["architecture"] == "vgg"
    assert conversion(found)["input_size"] == [4 * side, 4 * side]


@pytest.mark.parametrize("options", [{}, {"inner": 2}, {"inner": 4, "groups": 2}], ids=str)
def test_resnet(options):
    found = converted(networks.randomized(networks.ResNet(**options)), (3, 45, 51))
    assert conversion(found)["architecture"] == "resnet"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d", "vgg11", "vgg11_bn", "vgg16_bn", "vgg19"]
)
def test_the_networks_of_torchvision(name):
    try:
        models = pytest.importorskip("torchvision.models", reason="torchvision is what this is compared with")
    except RuntimeError as error:  # one that was built for another PyTorch
        pytest.skip(f"torchvision does not work here: {error}")
    network = networks.randomized(getattr(models, name)(weights=None))
    converted(network, (3, 224, 224) if name.startswith("vgg") else (3, 97, 131))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (3, 4, 4)),
        ({"norms": True}, (3, 4, 4)),
        ({"dropout": True}, (3, 4, 4)),
        ({"sizes": (49, 6, 3)}, (1, 7, 7)),
        ({"sizes": (5, 6, 3)}, (5, 1, 1)),
    ],
    ids=str,
)
def test_mlp(options, size):
    network = networks.randomized(networks.perceptron(**options))
    state, picture = networks.arrays(network), picture_of(*size)
    found = convert(state, normalization="none")
    expected = networks.outputs(network, picture.reshape(-1))
    np.testing.assert_allclose(forward(found, picture)[0].ravel(), expected, atol=TOLERANCE * np.abs(expected).max())
    assert conversion(found)["architecture"] == "mlp"
    named = {f"net.fc{key}": array for key, array in state.items()}
    if not options.get("norms"):
        np.testing.assert_array_equal(forward(convert(named, "mlp", "none"), picture)[0], forward(found, picture)[0])


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_spiking_unets_of_any_depth(depth):
    network = networks.randomized(SpikingUNet(depth))
    found = converted(network, (1, 32, 96))
    assert conversion(found)["architecture"] == "spiking-unet"
    assert found.size_multiple == 2**depth


class SpikingUNet(torch.nn.Module):
    """With the reference implementation's names, of so many levels."""

    def __init__(self, depth, width=2):
        super().__init__()
        self.depth = depth
        levels = [*range(depth + 1), *range(depth - 1, -1, -1)]
        into = 1
        for index, level in enumerate(levels):
            if index > depth:
                transposed = torch.nn.ConvTranspose2d(into, width << level, 3, 2, 1, 1)
                setattr(self, f"convtranspose{index - depth}", transposed)
                into = 2 * (width << level)
            for number in (2 * index + 1, 2 * index + 2):
                setattr(self, f"conv{number}", torch.nn.Conv2d(into, width << level, 3, padding=1))
                into = width << level
        setattr(self, f"conv{4 * depth + 3}", torch.nn.Conv2d(into, 1, 1))

    def forward(self, x):
        skips = []
        for index in range(2 * self.depth + 1):
            if index > self.depth:
                x = torch.cat([skips.pop(), torch.relu(getattr(self, f"convtranspose{index - self.depth}")(x))], 1)
            for number in (2 * index + 1, 2 * index + 2):
                x = torch.relu(getattr(self, f"conv{number}")(x))
            if index < self.depth:
                skips.append(x)
                x = torch.nn.functional.avg_pool2d(x, 2)
        return getattr(self, f"conv{4 * self.depth + 3}")(x)

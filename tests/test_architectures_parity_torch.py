"""Architectures known by name: their ANN is what PyTorch computes, and the spiking network tends to it."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.converters import convert, load_weights
from spikeunet.engine import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.dense import forward
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
    # Batch norms behind ReLUs go into the weights behind them, and so need no neurons.
    assert not any("block.2" in node.name for node in found.neurons)


def test_half_a_wnet():
    network = networks.randomized(networks.LittleUNet(1, widths=(3, 5)))
    assert conversion(converted(network, (1, 14, 22)))["architecture"] == "lwnet-unet"


@pytest.mark.parametrize("channels", [1, 3])
def test_ircnn(channels):
    network = networks.randomized(networks.Chain(channels))
    found = converted(network, (channels, 13, 17), "ircnn")
    assert conversion(found)["dilation"] == "1, 2, 3, 4, 3, 2, 1"


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_denoisers_that_read_the_noise_level(channels, blocks):
    network = networks.randomized(networks.FFDNet(channels, blocks=blocks))
    picture = picture_of(channels + 1, 14, 22)
    picture[-1] = 25 / 255
    found = convert(networks.arrays(network), normalization="none")
    assert_equal(found, network, picture)
    assert conversion(found)["architecture"] == ("ffdnet" if blocks else "fdncnn")
    assert conversion(found)["output"] == "the picture without noise"
    assert all(rectifies(node.model) for node in found.neurons)


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


# --- The spiking network tends to it ---------------------------------------------------------------------------------

CURVES = {
    "unet": lambda: (networks.UNet(1, 2, width=2, levels=1), (1, 16, 16)),
    "wnet": lambda: (networks.WNet(1, widths=(2, 3)), (1, 16, 16)),
    "resnet": lambda: (networks.ResNet((1, 1), width=2), (3, 32, 32)),
    "vgg": lambda: (networks.VGG(plan=(4, "M", 4, "M"), side=2, hidden=(8,)), (3, 8, 8)),
    "mlp": lambda: (networks.perceptron((64, 9, 7, 5)), (1, 8, 8)),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_spiking_output_tends_to_the_analog_one(name):
    network, size = CURVES[name]()
    networks.randomized(network)
    pictures = [picture_of(*size, seed=seed) for seed in range(3)]
    # Thresholds from 1 to 1/4: coarse enough for the error of a single step to be well above rounding.
    neuron = MultiThreshold.rounding((1.0, 0.5, 0.25))
    found = convert(networks.arrays(network), name, calibration=pictures, percentile=100, neuron=neuron)
    wanted = forward(found, pictures[0])[0]
    readouts = simulate(found, pictures[0], steps=64, record=("readout",), threads=1).readout
    errors = [np.abs(readouts[steps - 1] / steps - wanted).mean() / np.abs(wanted).mean() for steps in (1, 8, 64)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.01


# --- The network that others trained ---------------------------------------------------------------------------------


def test_the_real_wnet_is_the_function_that_pytorch_computes(shared_checkpoints):
    path = shared_checkpoints / "wnet_drive.pth"
    network = networks.WNet()
    state = load_weights(path).arrays
    network.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in state.items()})
    found = convert(path, normalization="none")
    assert_equal(found, network.eval(), picture_of(3, 40, 56))
    assert conversion(found)["architecture"] == "wnet"
    assert conversion(found)["entry"] == "model_state_dict"


@pytest.mark.slow
def test_the_real_wnet_finds_vessels_with_a_single_step(shared_checkpoints, shared_data, monkeypatch):
    """On all twenty test pictures the ANN has an area under the curve of 0.9802 and an F1 of 0.8253."""
    import foreign_networks as benchmark

    monkeypatch.setattr(benchmark, "CALIBRATION", 20)
    network = benchmark.wnet_of(shared_checkpoints / "wnet_drive.pth", shared_data)
    tallies = {name: benchmark.Tally() for name in ("ANN", "1")}
    benchmark.add_wnet(network, next(benchmark.retinas(shared_data, "test")), [1], tallies)
    expected, found = (tally.scores() for tally in tallies.values())
    np.testing.assert_allclose(expected, (0.9857, 0.8344), atol=5e-4)
    np.testing.assert_allclose(found, expected, atol=3e-3)


# --- One logit ---------------------------------------------------------------------------------------------------


def test_a_single_logit_becomes_two_classes():
    state = networks.arrays(networks.randomized(networks.LittleUNet(1, widths=(2, 3))))
    picture = picture_of(1, 8, 8)
    plain, paired = (convert(state, normalization="none", metadata=facts) for facts in (None, {"task": "segment"}))
    logit, pair = (forward(network, picture)[0] for network in (plain, paired))
    np.testing.assert_array_equal(pair[0], np.zeros((8, 8)))
    np.testing.assert_array_equal(pair[1:], logit)
    assert conversion(paired)["classes"] == "0 and the only logit"
    assert "classes" not in conversion(plain)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_transposed_convolution_and_a_sum_at_the_end_become_two_classes(channels):
    weight = np.random.default_rng(0).normal(size=(channels, 1, 2, 2))
    nodes = [
        Input("input", channels),
        Neurons("copy", "first"),
        Conv2d("first", "input", np.ones((channels, channels, 1, 1))),
        ConvTranspose2d("up", "copy", weight, stride=2),
        ConvTranspose2d("other", "copy", -2 * weight, [0.5], stride=2),
        Add("sum", ("up", "other")),
        Output("output", "sum"),
    ]
    paired = convert(Network(nodes), normalization="none", metadata={"task": "segment"})
    picture = picture_of(channels, 3, 5)
    (single,), (zero, one) = (forward(network, picture)[0] for network in (Network(nodes), paired))
    np.testing.assert_array_equal(zero, np.zeros((6, 10)))
    np.testing.assert_array_equal(one, single)

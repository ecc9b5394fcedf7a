"""Residual networks and their like, built by hand from PyTorch's and converted: the same function, step by step."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from spikeunet.converters import convert
from spikeunet.engine import (
    Add,
    Concat,
    Conv2d,
    GlobalAvgPool2d,
    Input,
    IntegrateAndFire,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    Scale,
    SignedMultiThreshold,
    Upsample,
    simulate,
)
from spikeunet.engine.dense import forward

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

nn, functional = torch.nn, torch.nn.functional
SIGNED = SignedMultiThreshold.rounding()


class Nodes:
    """Nodes of a network, made of PyTorch's modules; each method returns the name of what it has made."""

    def __init__(self, channels):
        self.nodes = [Input("input", channels)]

    def add(self, make, *arguments, **options):
        name = f"{make.__name__.lower()}{len(self.nodes)}"
        self.nodes.append(make(name, *arguments, **options))
        return name

    def conv(self, module, source, norm=None):
        weight, bias = folded(module, norm)
        options = {"stride": module.stride, "padding": module.padding, "groups": module.groups}
        return self.add(Conv2d, source, weight, bias, **options)

    def neurons(self, source, *model):
        return self.add(Neurons, source, *model)

    def linear(self, module, source):
        return self.add(Linear, source, module.weight.detach().numpy(), module.bias.detach().numpy())

    def norm(self, module, source):
        arrays = (module.running_mean, module.running_var, module.weight.detach(), module.bias.detach())
        name = f"norm{len(self.nodes)}"
        self.nodes.append(Scale.batch_norm(name, source, *(array.numpy() for array in arrays), epsilon=module.eps))
        return name

    def identity(self, source, channels):
        return self.add(Scale, source, np.ones(channels))

    def network(self, source):
        return Network([*self.nodes, Output("output", source)])


def folded(conv, norm):
    """Weight and bias of a convolution with the batch norm that follows it."""
    weight = conv.weight.detach()
    bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if norm is not None:
        gain = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        weight, bias = weight * gain[:, None, None, None], (bias - norm.running_mean) * gain + norm.bias.detach()
    return weight.numpy(), bias.numpy()


def conv3(into, out, stride=1, groups=1):
    return nn.Conv2d(into, out, 3, stride, 1, groups=groups, bias=False)


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1, self.norm1 = conv3(into, out, stride), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = conv3(out, out), nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(into, out, 1, stride) if stride > 1 else None

    def forward(self, x):
        inside = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inside + (x if self.shortcut is None else self.shortcut(x)))

    def nodes(self, made, source):
        middle = made.neurons(made.conv(self.conv1, source, self.norm1))
        inside = made.conv(self.conv2, middle, self.norm2)
        plain = self.shortcut is None
        other = made.identity(source, self.conv1.in_channels) if plain else made.conv(self.shortcut, source)
        return made.neurons(made.add(Add, (inside, other)))


class ResNet(nn.Module):
    """A stem with max pooling, two blocks, a mean and a full connection."""

    def __init__(self, variant="lateral-inhibition"):
        super().__init__()
        self.stem, self.norm = conv3(3, 8), nn.BatchNorm2d(8)
        self.blocks = nn.ModuleList([Block(8, 8, 1), Block(8, 16, 2)])
        self.full = nn.Linear(16, 5)
        self.variant = variant

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(x))), 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return self.full(x.mean((2, 3)))[:, :, None, None]

    def network(self):
        made = Nodes(3)
        first = made.neurons(made.conv(self.stem, "input", self.norm))
        source = made.neurons(made.add(MaxPool2d, first, 3, 2, 1, variant=self.variant))
        for block in self.blocks:
            source = block.nodes(made, source)
        return made.network(made.linear(self.full, made.neurons(made.add(GlobalAvgPool2d, source))))


class UNet(nn.Module):
    """Two levels, upsampled between pixels."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([conv3(3, 8), conv3(8, 12), conv3(12, 8), conv3(16, 8), nn.Conv2d(8, 3, 1)])

    def forward(self, x):
        first, second, third, fourth, last = self.convs
        skip = functional.relu(first(x))
        x = functional.relu(third(functional.relu(second(functional.max_pool2d(skip, 2)))))
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return last(functional.relu(fourth(torch.cat([skip, x], 1))))

    def network(self):
        made = Nodes(3)
        first, second, third, fourth, last = self.convs
        skip = made.neurons(made.conv(first, "input"))
        pooled = made.neurons(made.add(MaxPool2d, skip, 2))
        low = made.neurons(made.conv(third, made.neurons(made.conv(second, pooled))))
        up = made.neurons(made.add(Upsample, low, 2, "bilinear"))
        joined = made.add(Concat, (skip, up))
        return made.network(made.conv(last, made.neurons(made.conv(fourth, joined))))


class MobileNet(nn.Module):
    """Depthwise and pointwise convolutions."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            [conv3(3, 8, 2), conv3(8, 8, 1, 8), nn.Conv2d(8, 12, 1), conv3(12, 12, 2, 12), nn.Conv2d(12, 16, 1)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(conv.out_channels) for conv in self.convs])
        self.full = nn.Linear(16, 4)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        return self.full(x.mean((2, 3)))[:, :, None, None]

    def network(self):
        made, source = Nodes(3), "input"
        for conv, norm in zip(self.convs, self.norms, strict=True):
            source = made.neurons(made.conv(conv, source, norm))
        return made.network(made.linear(self.full, made.neurons(made.add(GlobalAvgPool2d, source))))


class NormBehind(nn.Module):
    """A batch norm behind the ReLU: what it puts out may be negative."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = conv3(3, 8), nn.BatchNorm2d(8), conv3(8, 3)

    def forward(self, x):
        return self.last(self.norm(functional.relu(self.first(x))))

    def network(self):
        made = Nodes(3)
        norm = made.norm(self.norm, made.neurons(made.conv(self.first, "input")))
        return made.network(made.conv(self.last, made.neurons(norm, SIGNED)))


class Linearly(nn.Module):
    """Residual sums that go on without a ReLU, as of super-resolution, and pixels made of channels in the end."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([conv3(3, 8), conv3(8, 8), conv3(8, 8), conv3(8, 12)])

    def forward(self, x):
        first, second, third, last = self.convs
        x = first(x)
        x = x + third(functional.relu(second(x)))
        return functional.pixel_shuffle(last(x), 2)

    def network(self):
        made = Nodes(3)
        first, second, third, last = self.convs
        source = made.neurons(made.conv(first, "input"), SIGNED)
        inside = made.conv(third, made.neurons(made.conv(second, source)))
        total = made.neurons(made.add(Add, (inside, made.identity(source, 8))), SIGNED)
        pixels = made.add(PixelShuffle, made.neurons(made.conv(last, total), SIGNED))
        return made.network(made.identity(made.neurons(pixels, SIGNED), 3))


def problem(kind, *arguments):
    """A module with random weights and statistics, its network, and pictures."""
    torch.manual_seed(0)
    module = kind(*arguments).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for array, low, high in ((part.running_mean, -0.2, 0.2), (part.running_var, 0.3, 1.5)):
                array.uniform_(low, high)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.2, 0.4)
    pictures = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    return module, module.network(), pictures


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("normalization", ["connection", "layer"])
@pytest.mark.parametrize("kind", [ResNet, UNet, MobileNet, NormBehind, Linearly])
def test_the_same_function(kind, normalization):
    module, network, pictures = problem(kind)
    with torch.no_grad():
        expected = module(torch.tensor(pictures)).numpy()
    close(forward(network, pictures)[0], expected, 1e-5)
    converted = convert(network, normalization=normalization, calibration=list(pictures))
    close(forward(converted, pictures)[0], expected, 1e-5)
    assert converted.normalization.keys() == {node.name for node in network.neurons}


def errors(network, pictures, steps, neuron=None):
    """Mean size of what the spiking network is off after so many steps, relative to that of the exact output."""
    converted = convert(network, normalization="connection", calibration=pictures, percentile=100, neuron=neuron)
    exact = forward(converted, pictures[0])[0]
    readout = simulate(converted, pictures[0], max(steps), record=("readout",)).readout
    return [float(np.abs(readout[step - 1] / step - exact).mean() / np.abs(exact).mean()) for step in steps]


@pytest.mark.parametrize("kind", [ResNet, UNet, MobileNet, NormBehind, Linearly])
def test_more_steps_come_closer(kind):
    _, network, pictures = problem(kind)
    early, late = errors(network, pictures, (2, 64))
    assert late < early / 10
    assert late < 0.001


def test_lateral_inhibition_is_closer_to_the_maximum_than_a_gate():
    """Of neurons with one threshold, which take turns in being the first."""
    coarse, steps = IntegrateAndFire(1.0, initial=0.5), (8, 64, 256)
    exact, gated = (errors(*problem(ResNet, variant)[1:], steps, coarse) for variant in ("lateral-inhibition", "gated"))
    assert exact[2] < exact[1] / 2 < exact[0] / 8
    assert exact[1] < 0.8 * gated[1]
    assert exact[2] < 0.6 * gated[2]

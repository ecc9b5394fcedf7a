"""Networks that others train, in PyTorch, with the names of their keys: what conversion is compared with."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn


def randomized(network, seed=0):
    """The network in evaluation mode, with random biases, statistics and gains of its batch norms."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1, generator=generator)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                nn.init.uniform_(tensor, low, high, generator=generator)
    return network.eval()


def arrays(network):
    return {key: tensor.numpy() for key, tensor in network.state_dict().items()}


def outputs(network, picture):
    """Of one picture (C, H, W)."""
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(picture))[None])[0].numpy()


# --- milesial/Pytorch-UNet -------------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self, into, out, between=None):
        super().__init__()
        between = between or out
        self.double_conv = nn.Sequential(
            nn.Conv2d(into, between, 3, padding=1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(),
            nn.Conv2d(between, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, into, out):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Pair(into, out))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, into, out, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = Pair(into, out, into // 2)
        else:
            self.up = nn.ConvTranspose2d(into, into // 2, 2, stride=2)
            self.conv = Pair(into, out)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], 1))


class Out(nn.Module):
    def __init__(self, into, out):
        super().__init__()
        self.conv = nn.Conv2d(into, out, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    """In the original four levels, from 64 channels on."""

    def __init__(self, channels=3, classes=2, bilinear=False, width=4, levels=4):
        super().__init__()
        self.levels, factor = levels, 2 if bilinear else 1
        widths = [width << level for level in range(levels + 1)]
        self.inc = Pair(channels, width)
        for level in range(1, levels + 1):
            out = widths[level] // (factor if level == levels else 1)
            setattr(self, f"down{level}", Down(widths[level - 1], out))
            into = widths[levels + 1 - level]
            out = widths[levels - level] // (factor if level < levels else 1)
            setattr(self, f"up{level}", Up(into, out, bilinear))
        self.outc = Out(width, classes)

    def forward(self, x):
        skips = [self.inc(x)]
        for level in range(1, self.levels + 1):
            skips.append(getattr(self, f"down{level}")(skips[-1]))
        x = skips.pop()
        for level in range(1, self.levels + 1):
            x = getattr(self, f"up{level}")(x, skips.pop())
        return self.outc(x)


# --- agaldran/lwnet --------------------------------------------------------------------------------------------------


def shortcut_of(into, out):
    return nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out))


def fired(into, out):
    """Batch norm behind the ReLU."""
    return [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out)]


class ShortBlock(nn.Module):
    def __init__(self, into, out, shortcut, pool):
        super().__init__()
        if shortcut:
            self.shortcut = shortcut_of(into, out)
        self.pools = pool
        self.block = nn.Sequential(*fired(into, out), *fired(out, out))

    def forward(self, x):
        x = nn.functional.max_pool2d(x, 2) if self.pools else x
        return self.block(x) + (self.shortcut(x) if hasattr(self, "shortcut") else 0)


class Upsampling(nn.Module):
    def __init__(self, into, out, transposed):
        super().__init__()
        bilinear = [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.Conv2d(into, out, 1)]
        self.block = nn.Sequential(*([nn.ConvTranspose2d(into, out, 2, stride=2)] if transposed else bilinear))

    def forward(self, x):
        return self.block(x)


class Bridge(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block = nn.Sequential(*fired(channels, channels))

    def forward(self, x):
        return self.block(x)


class ShortUp(nn.Module):
    def __init__(self, into, out, shortcut, bridge, transposed):
        super().__init__()
        self.up_layer = Upsampling(into, out, transposed)
        self.conv_layer = ShortBlock(2 * out, out, shortcut, pool=False)
        self.conv_bridge_layer = Bridge(out) if bridge else nn.Identity()

    def forward(self, x, skip):
        return self.conv_layer(torch.cat([self.up_layer(x), self.conv_bridge_layer(skip)], 1))


class LittleUNet(nn.Module):
    def __init__(self, channels=3, classes=1, widths=(8, 16, 32), shortcut=True, bridge=True, transposed=True):
        super().__init__()
        self.first = ShortBlock(channels, widths[0], shortcut, pool=False)
        pairs = list(itertools.pairwise(widths))
        self.down_path = nn.ModuleList(ShortBlock(into, out, shortcut, pool=True) for into, out in pairs)
        self.up_path = nn.ModuleList(ShortUp(out, into, shortcut, bridge, transposed) for into, out in pairs[::-1])
        self.final = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        x, skips = self.first(x), []
        for down in self.down_path:
            skips.append(x)
            x = down(x)
        for up in self.up_path:
            x = up(x, skips.pop())
        return self.final(x)


class WNet(nn.Module):
    def __init__(self, channels=3, classes=1, **options):
        super().__init__()
        self.unet1 = LittleUNet(channels, classes, **options)
        self.unet2 = LittleUNet(channels + classes, classes, **options)

    def forward(self, x):
        return self.unet2(torch.cat([x, self.unet1(x)], 1))


# --- Chains ----------------------------------------------------------------------------------------------------------


class Chain(nn.Module):
    """KAIR's IRCNN, whose `model` gives the noise."""

    def __init__(self, channels=1, width=4, dilations=(1, 2, 3, 4, 3, 2, 1)):
        super().__init__()
        modules = []
        for index, dilation in enumerate(dilations):
            into, out = channels if index == 0 else width, channels if index == len(dilations) - 1 else width
            modules += [nn.Conv2d(into, out, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        self.model = nn.Sequential(*modules[:-1])

    def forward(self, x):
        return self.model(x)


class FFDNet(nn.Module):
    """KAIR's, which here reads the noise level as the picture's last channel; `blocks` False makes it an FDnCNN."""

    def __init__(self, channels=1, width=4, layers=4, blocks=True):
        super().__init__()
        self.blocks, area = blocks, 4 if blocks else 1
        modules = []
        for index in range(layers):
            into = area * channels + 1 if index == 0 else width
            modules += [nn.Conv2d(into, area * channels if index == layers - 1 else width, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*modules[:-1])

    def forward(self, x):
        if not self.blocks:
            return self.model(x)
        blocks = nn.functional.pixel_unshuffle(x[:, :-1], 2)
        return nn.functional.pixel_shuffle(self.model(torch.cat([blocks, x[:, -1:, ::2, ::2]], 1)), 2)


def perceptron(sizes=(48, 9, 7, 5), norms=False, dropout=False):
    """A Sequential with numbered modules, of flattened pictures."""
    modules = []
    for into, out in itertools.pairwise(sizes):
        modules += [nn.Linear(into, out), *([nn.BatchNorm1d(out)] if norms else []), nn.ReLU()]
        modules += [nn.Dropout()] if dropout else []
    return nn.Sequential(*modules[: -2 if dropout else -1])


# --- torchvision -----------------------------------------------------------------------------------------------------


class VGG(nn.Module):
    """`plan` as torchvision writes it: channels of a convolution, or "M" for a pool."""

    def __init__(self, plan=(4, "M", 6, 6, "M"), norms=False, channels=3, side=7, hidden=(12, 10), classes=5):
        super().__init__()
        modules = []
        for step in plan:
            if step == "M":
                modules.append(nn.MaxPool2d(2, 2))
            else:
                modules += [nn.Conv2d(channels, step, 3, padding=1), *([nn.BatchNorm2d(step)] if norms else [])]
                modules.append(nn.ReLU())
                channels = step
        self.features = nn.Sequential(*modules)
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        sizes = (channels * side**2, *hidden, classes)
        full = []
        for into, out in itertools.pairwise(sizes):
            full += [nn.Linear(into, out), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*full[:-2])

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Block(nn.Module):
    """Basic, or a bottleneck where it has an inner width."""

    def __init__(self, into, out, stride, inner=0, groups=1):
        super().__init__()
        shapes = [(into, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)]
        shapes = shapes if inner else [(into, out, 3, stride), (out, out, 3, 1)]
        self.count = len(shapes)
        for number, (first, second, kernel, step) in enumerate(shapes, 1):
            split = groups if inner and number == 2 else 1
            convolution = nn.Conv2d(first, second, kernel, step, kernel // 2, groups=split, bias=False)
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"bn{number}", nn.BatchNorm2d(second))
        self.downsample = nn.Identity()
        if stride > 1 or into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        inner = x
        for number in range(1, self.count + 1):
            inner = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(inner))
            inner = torch.relu(inner) if number < self.count else inner
        return torch.relu(inner + self.downsample(x))


class ResNet(nn.Module):
    """`blocks` of each layer; widths double from layer to layer."""

    def __init__(self, blocks=(1, 2, 1), width=4, inner=0, groups=1, classes=7):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.names, into = [], width
        for number, count in enumerate(blocks):
            layer = nn.Sequential()
            for index in range(count):
                out = width << number
                layer.append(Block(into, out, 2 if number and not index else 1, inner << number, groups))
                into = out
            self.names.append(f"layer{number + 1}")
            setattr(self, self.names[-1], layer)
        self.fc = nn.Linear(into, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))

"""ResNet-18 and MobileNetV2 as torchvision has them, parameter for parameter, and smaller siblings of them."""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn import functional

PARAMETERS = {"resnet18": 11_689_512, "mobilenet_v2": 3_504_872}
"""Of torchvision's networks of these names, with 1,000 classes."""


def _normed(inputs, outputs, kernel, stride=1, groups=1):
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution where size or channels change."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(_normed(inputs, outputs, 3, stride), nn.ReLU(), _normed(outputs, outputs, 3))
        self.shortcut = _normed(inputs, outputs, 1, stride) if (inputs, stride) != (outputs, 1) else nn.Identity()

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


def resnet18(width=64, classes=1000):
    """He et al., arXiv 1512.03385, with blocks of two convolutions, two in each of four stages."""
    stages, before = [], width
    for index in range(4):
        after = width << index
        stages += [Basic(before, after, 1 + (index > 0)), Basic(after, after, 1)]
        before = after
    stem = [_normed(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class Inverted(nn.Module):
    """A wider depthwise convolution between two of 1x1, whose sum with the input goes on without a ReLU."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        wider = [] if expansion == 1 else [_normed(inputs, inner, 1), nn.ReLU6()]
        self.body = nn.Sequential(
            *wider, _normed(inner, inner, 3, stride, inner), nn.ReLU6(), _normed(inner, outputs, 1)
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


_MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first of them, for each stage."""


def mobilenet_v2(share=1.0, classes=1000, stages=_MOBILENET, last=1280):
    """Sandler et al., arXiv 1801.04381, with a share of the channels."""
    first, *widths = (int(share * width) for width in (32, *(width for _, width, _, _ in stages)))
    blocks = []
    for (before, after), (expansion, _, number, stride) in zip(
        itertools.pairwise([first, *widths]), stages, strict=True
    ):
        blocks += [Inverted(before, after, stride, expansion)]
        blocks += [Inverted(after, after, 1, expansion) for _ in range(number - 1)]
    head = [_normed(widths[-1], last, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(_normed(3, first, 3, 2), nn.ReLU6(), *blocks, *head, nn.Linear(last, classes))

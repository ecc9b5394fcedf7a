"""The U-Net of the reference implementation of Li et al., arXiv 2307.10974, in PyTorch, for the training scripts here.

Its state dict is what `spikeunet convert` takes: conv1 ... conv19, convtranspose1 ... 4, and, where there is batch
normalisation, bn1 ... bn18 and bn_convtranspose1 ... 4, which the conversion folds into the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

MIXTURE_SPREAD = 0.5
"""Of the channels' shares when a network of one channel becomes one of more; see start_from."""


class SpikingUNet(nn.Module):
    """U-Net of the reference implementation: four average poolings, four transposed convolutions, concatenated skips.

    Input (N, in_channels, H, W) with H and W multiples of 16; output (N, out_channels, H, W). With `batch_norm` every
    convolution but the last is followed by one before its ReLU.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 32, batch_norm: bool = False) -> None:
        super().__init__()
        self.batch_norm = batch_norm
        widths = [width * 2**level for level in range(5)]
        number = 1
        previous = in_channels
        for level in range(5):
            self._add_pair(number, previous, widths[level])
            previous = widths[level]
            number += 2
        for step, level in enumerate(range(4, 0, -1), start=1):
            upsampling = nn.ConvTranspose2d(widths[level], widths[level - 1], 3, stride=2, padding=1, output_padding=1)
            self._add_layer(f"convtranspose{step}", upsampling)
            self._add_pair(number, 2 * widths[level - 1], widths[level - 1])
            number += 2
        self.conv19 = nn.Conv2d(width, out_channels, 1)
        for name, module in self.named_children():
            if not isinstance(module, nn.BatchNorm2d):
                self.reset_layer(name)
        # Batch normalisation brings features to a variance of 1; behind a last layer of almost nothing they would all
        # learn to speak for the most frequent class, and no ReLU then speaks for another.
        nn.init.normal_(self.conv19.weight, std=width**-0.5 if batch_norm else 1e-3)

    def _add_pair(self, number: int, in_channels: int, out_channels: int) -> None:
        for offset, channels in enumerate((in_channels, out_channels)):
            self._add_layer(f"conv{number + offset}", nn.Conv2d(channels, out_channels, 3, padding=1))

    def _add_layer(self, name: str, module: nn.Conv2d | nn.ConvTranspose2d) -> None:
        self.add_module(name, module)
        if self.batch_norm:
            self.add_module(norm_name(name), nn.BatchNorm2d(module.out_channels))

    def reset_layer(self, name: str) -> None:
        """Fresh weights for a layer, as at the start."""
        module = self.get_submodule(name)
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * 9 / 4)))
        else:
            nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)

    def _rectified(self, name: str, x: Tensor) -> Tensor:
        x = self.get_submodule(name)(x)
        if self.batch_norm:
            x = self.get_submodule(norm_name(name))(x)
        return functional.relu(x, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for number in range(1, 11, 2):
            x = self._rectified(f"conv{number}", x)
            x = self._rectified(f"conv{number + 1}", x)
            if number < 9:
                skips.append(x)
                x = functional.avg_pool2d(x, 2)
        for step, number in enumerate(range(11, 19, 2), start=1):
            x = self._rectified(f"convtranspose{step}", x)
            x = torch.cat([skips.pop(), x], dim=1)
            x = self._rectified(f"conv{number}", x)
            x = self._rectified(f"conv{number + 1}", x)
        return self.conv19(x)


def norm_name(layer: str) -> str:
    """Name of the batch norm behind a layer, as `spikeunet convert` knows it."""
    return f"bn{layer.removeprefix('conv')}" if layer[4:].isdecimal() else f"bn_{layer}"


@torch.no_grad()
def start_from(network: SpikingUNet, state: Mapping[str, Tensor]) -> None:
    """Take over the weights of a trained network, which may be one of a single channel for a network of more.

    The levels between the first layer and the last have learnt about pictures what holds for colour too. Every feature
    of the first layer then looks at a mixture of its own of the channels, about their mean, and speaks for the channels
    likewise in the last one. Were all to look at the mean alone, neither layer could learn to tell the channels apart:
    the gradient of each is zero where the other treats them alike.

    Raises
    ------
    RuntimeError
        If names or other shapes differ.
    """
    first, last = state["conv1.weight"], state["conv19.weight"]
    adapted = dict(state)
    if first.shape[1] == 1 < network.conv1.in_channels:
        channels = network.conv1.in_channels
        adapted["conv1.weight"] = first * (1 + MIXTURE_SPREAD * torch.randn(len(first), channels, 1, 1)) / channels
    if last.shape[0] == 1 < network.conv19.out_channels:
        channels = network.conv19.out_channels
        adapted["conv19.weight"] = last * (1 + MIXTURE_SPREAD * torch.randn(channels, last.shape[1], 1, 1))
        adapted["conv19.bias"] = state["conv19.bias"].expand(channels)
    network.load_state_dict(adapted)


@torch.no_grad()
def dead_upsamplings(network: SpikingUNet, x: Tensor) -> list[int]:
    """Numbers of the transposed convolutions all of whose outputs are below zero, 1 to 4."""
    alive: dict[str, bool] = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: alive.update({name: bool((output > 0).any())})
        )
        for name in (f"convtranspose{step}" for step in range(1, 5))
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return [step for step in range(1, 5) if not alive[f"convtranspose{step}"]]


@torch.no_grad()
def revive(network: SpikingUNet, average: SpikingUNet, optimizer: torch.optim.Optimizer, x: Tensor) -> list[str]:
    """Start the deep levels afresh where an upsampling layer has died, and name the layers that were reset.

    At a high rate a transposed convolution may early on push all its outputs below zero; then nothing behind it learns.
    Its layers get new weights, and the convolution that reads it ignores it at first, so that the rest is not
    disturbed. Batch normalisation centres what a layer puts out, so that none dies.
    """
    dead = [] if network.batch_norm else dead_upsamplings(network, x)
    if not dead:
        return []
    last = max(dead)
    numbers = range(11 - 2 * last, 9 + 2 * last)
    names = [f"conv{number}" for number in numbers] + [f"convtranspose{step}" for step in range(1, last + 1)]
    reader = network.get_submodule(f"conv{9 + 2 * last}")
    for name in names:
        network.reset_layer(name)
    reader.weight[:, reader.in_channels // 2 :] = 0
    for parameter in [reader.weight, *(p for name in names for p in network.get_submodule(name).parameters())]:
        optimizer.state.pop(parameter, None)
    average.load_state_dict(network.state_dict())
    return names

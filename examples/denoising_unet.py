"""The U-Net behind the shipped denoisers, in PyTorch, for `train_denoiser.py`.

It works at half the picture's size: a strided convolution puts 2x2 pixels and what is around them into many channels,
and a transposed one takes the noise out again. So no layer has few channels and many pixels, where both a CPU's vectors
and its caches are used badly. Halving is done by strided convolutions: a pooling would be a population of spiking
neurons of its own, with a rounding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

SPREAD = 0.5
"""Of fresh weights beside the identity, as a share of Kaiming's."""
MIXTURE_SPREAD = 0.5
"""Of the channels' shares when a network of one channel becomes one of three; see start_from."""

SIZES: Mapping[str, Mapping[str, Sequence[int]]] = {
    "standard": {"widths": (64, 128, 256), "encoder": (4, 3, 4), "decoder": (4, 4)},
    "tiny": {"widths": (32, 48), "encoder": (2, 1), "decoder": (2,)},
}


class DenoisingUNet(nn.Module):
    """Predicts a picture's noise, (N, channels, H, W), H and W multiples of `multiple`.

    Parameters
    ----------
    channels : int
    widths : sequence of int
        Channels at half the picture's size, a quarter, ...
    encoder, decoder : sequence of int
        Convolutions of 3x3 at each size on the way down, and on the way up again.
    """

    def __init__(self, channels: int, widths: Sequence[int], encoder: Sequence[int], decoder: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        self.multiple = 2 ** len(widths)
        self.stem = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.encoder = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(count))
            for width, count in zip(widths, encoder, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 3, stride=2, padding=1, output_padding=1) for a, b in pairwise(widths)
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width if index else 2 * width, width, 3, padding=1) for index in range(count))
            for width, count in zip(widths, decoder, strict=False)
        )
        self.readout = nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1)
        self.apply(_start)
        nn.init.normal_(self.readout.weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        skips = []
        for level, convolutions in enumerate(self.encoder):
            if level:
                skips.append(x)
                x = functional.relu(self.down[level - 1](x))
            for convolution in convolutions:
                x = functional.relu(convolution(x))
        for level in reversed(range(len(self.up))):
            x = torch.cat([skips.pop(), functional.relu(self.up[level](x))], dim=1)
            for convolution in self.decoder[level]:
                x = functional.relu(convolution(x))
        return self.readout(x)


@torch.no_grad()
def _start(module: nn.Module) -> None:
    """Kaiming's weights; where a convolution keeps the size, a small share of them beside the identity.

    What is behind a ReLU goes through an identity and another ReLU unchanged, so that a deep network begins to learn as
    one with residual connections does, without having any.
    """
    if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return
    nn.init.zeros_(module.bias)
    if isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=(2 / (module.in_channels * 9 / 4)) ** 0.5)
        return
    nn.init.kaiming_normal_(module.weight)
    if module.kernel_size == (3, 3):
        module.weight.mul_(SPREAD)
        module.weight[:, :, 1, 1] += torch.eye(module.out_channels, module.in_channels)


@torch.no_grad()
def start_from(network: DenoisingUNet, state: Mapping[str, Tensor]) -> None:
    """Take over the weights of a trained network, which may be one of a single channel for a network of more.

    The layers between the first and the last have learnt about pictures what holds for colour too. Every feature of the
    first layer then looks at a mixture of its own of the channels, about their mean, and speaks for the channels
    likewise in the last one. Were all to look at the mean alone, neither layer could learn to tell the channels apart:
    the gradient of each is zero where the other treats them alike.

    Raises
    ------
    RuntimeError
        If names or other shapes differ.
    """
    first, last, channels = state["stem.weight"], state["readout.weight"], network.channels
    adapted = dict(state)
    if first.shape[1] == 1 < channels:
        shares = (1 + MIXTURE_SPREAD * torch.randn(len(first), channels, 1, 1)) / channels
        adapted["stem.weight"] = first * shares.to(first)
        adapted["readout.weight"] = last * (1 + MIXTURE_SPREAD * torch.randn(len(last), channels, 1, 1)).to(last)
        adapted["readout.bias"] = state["readout.bias"].expand(channels)
    network.load_state_dict(adapted)

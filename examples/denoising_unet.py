"""The U-Nets behind the shipped denoisers, in PyTorch, for `train_fast_denoiser.py`.

They work at half the picture's size: a strided convolution puts 2x2 pixels and what is around them into many channels,
and a transposed one takes the noise out again. So no layer has few channels and many pixels, where both a CPU's vectors
and its caches are used badly. Halving is done by strided convolutions: a pooling would be a population of spiking
neurons of its own, with a rounding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as functional
from dormant_channels import by_channel
from torch import Tensor, nn

SPREAD = 0.5
"""Of fresh weights beside the identity, as a share of Kaiming's."""
MIXTURE_SPREAD = 0.5
"""Of the channels' shares when a network of one channel becomes one of three; see start_from."""

CHROMINANCE_DIRECTIONS = ((1, 0, -1), (1, -2, 1))
"""Directions of chrominance among red, green and blue."""

DIFFERENCES = ((1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
"""Haar's details of 2x2 pixels, row by row: what left and right, top and bottom, and both diagonals differ by."""

BALANCING_ROUNDS = 30
"""After so many, channels are read as they are written to a few percent."""

SIZES: Mapping[str, Mapping[str, Sequence[int]]] = {
    "standard": {"widths": (64, 128, 256), "encoder": (4, 3, 4), "decoder": (4, 4)},
    "wide": {"widths": (96, 96, 96), "encoder": (4, 3, 4), "decoder": (4, 4)},
    "tiny": {"widths": (32, 48), "encoder": (2, 1), "decoder": (2,)},
}


State = Mapping[str, Tensor]


class DenoisingUNet(nn.Module):
    """Predicts a picture's noise, (N, channels, H, W), H and W multiples of `multiple`.

    Parameters
    ----------
    channels : int
    widths : sequence of int
        Channels at half the picture's size, a quarter, ...
    encoder, decoder : sequence of int
        Convolutions of 3x3 at each size on the way down, and on the way up again.
    shrink : int
        By how much smaller a picture is that the network sees.
    bypass : bool
        Whether a linear convolution leads from the picture to the output, past all else. It begins as what a pixel
        differs by from those around it, most of which is noise. So the U-Net need not carry each sample's noise through
        all its layers, where coarse levels and coarse weights blur it.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        encoder: Sequence[int],
        decoder: Sequence[int],
        shrink: int = 1,
        bypass: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.widths = tuple(widths)
        self.multiple = shrink * 2 ** len(widths)
        self.stem = nn.Conv2d(channels, widths[0], 4 * shrink, stride=2 * shrink, padding=shrink)
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
        self.readout = nn.ConvTranspose2d(widths[0], channels, 4 * shrink, stride=2 * shrink, padding=shrink)
        self.apply(_start)
        nn.init.normal_(self.readout.weight, std=1e-3)
        self.bypass = nn.Conv2d(channels, channels, 3, padding=1) if bypass else None
        if self.bypass is not None:
            _start_bypass(self.bypass)

    def forward(self, x: Tensor) -> Tensor:
        picture = x
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
        return self.readout(x) if self.bypass is None else self.readout(x) + self.bypass(picture)

    def hidden(self) -> list[tuple[nn.Module, list[tuple[nn.Module, int]]]]:
        """Layers with a ReLU behind them, in order: each with the layers that read it, and their first such channel."""
        found: list[tuple[nn.Module, list[tuple[nn.Module, int]]]] = []
        skipped = []

        def follow(layer: nn.Module) -> None:
            if found:
                found[-1][1].append((layer, 0))
            found.append((layer, []))

        follow(self.stem)
        for level, convolutions in enumerate(self.encoder):
            if level:
                skipped.append(found[-1])
                follow(self.down[level - 1])
            for convolution in convolutions:
                follow(convolution)
        for level in reversed(range(len(self.up))):
            follow(self.up[level])
            first, *others = self.decoder[level]
            above, readers = skipped.pop()
            readers.append((first, 0))
            found[-1][1].append((first, above.out_channels))
            found.append((first, []))
            for convolution in others:
                follow(convolution)
        found[-1][1].append((self.readout, 0))
        return found


class ChrominanceUNet(nn.Module):
    """Predicts the noise of what a colour picture's channels differ by, (N, 3, H, W).

    Chrominance is smooth: a small network denoises it at half the picture's size, a tiny one of gray pictures with the
    channels for each of CHROMINANCE_DIRECTIONS. What pixels differ by from the mean of 2x2 is taken for noise: six
    differences, each of them as two features, what it is above 0 and what below.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = [len(CHROMINANCE_DIRECTIONS) * width for width in SIZES["tiny"]["widths"]]
        self.coarse = DenoisingUNet(3, **{**SIZES["tiny"], "widths": widths}, shrink=2)
        features = 2 * len(CHROMINANCE_DIRECTIONS) * len(DIFFERENCES)
        self.differences = nn.Conv2d(3, features, 2, stride=2)
        self.fine = nn.ConvTranspose2d(features, 3, 2, stride=2)
        _start_differences(self.differences, self.fine)

    def forward(self, x: Tensor) -> Tensor:
        return self.coarse(x) + self.fine(functional.relu(self.differences(x)))

    def hidden(self) -> list[tuple[nn.Module, list[tuple[nn.Module, int]]]]:
        """As of DenoisingUNet, of the coarse part."""
        return self.coarse.hidden()


class ColourDenoisingUNet(nn.Module):
    """Predicts a colour picture's noise, (N, 3, H, W): a large network for luminance, a small one for chrominance.

    Nearly all that could be mistaken for noise is in the luminance, the mean of the channels, where a third of the
    noise's variance is left; a gray denoiser knows what to do with it.

    Parameters
    ----------
    bypass : bool
        Whether the luminance's network has a bypass, see DenoisingUNet: it leads from all channels to all.
    """

    def __init__(self, bypass: bool = False) -> None:
        super().__init__()
        self.luminance = DenoisingUNet(3, **SIZES["standard"], bypass=bypass)
        self.chrominance = ChrominanceUNet()

    def forward(self, x: Tensor) -> Tensor:
        return self.luminance(x) + self.chrominance(x)

    def hidden(self) -> list[tuple[nn.Module, list[tuple[nn.Module, int]]]]:
        """As of DenoisingUNet, of both parts."""
        return self.luminance.hidden() + self.chrominance.hidden()


@torch.no_grad()
def start_colour(network: ColourDenoisingUNet, luminance: State, chrominance: State) -> None:
    """Begin as a gray network that reads the mean and speaks for all channels alike, and one of chrominance.

    Raises
    ------
    RuntimeError
        If names or shapes differ.
    """
    _take_over(network.luminance, luminance, 0.0)
    network.chrominance.load_state_dict(dict(chrominance))


@torch.no_grad()
def _start_differences(*layers: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Each of DIFFERENCES in each direction of chrominance, above 0 and below."""
    directions = functional.normalize(torch.tensor(CHROMINANCE_DIRECTIONS, dtype=torch.float32))
    differences = torch.tensor(DIFFERENCES, dtype=torch.float32).reshape(1, -1, 1, 2, 2) / 2
    rising = (directions[:, None, :, None, None] * differences).flatten(0, 1)
    for layer in layers:
        layer.weight.copy_(torch.cat([rising, -rising]))
        layer.bias.zero_()


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
def _start_bypass(layer: nn.Conv2d) -> None:
    """Each channel less its binomial mean over 3x3 pixels."""
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    difference = -torch.outer(row, row)
    difference[1, 1] += 1
    layer.weight.copy_(torch.eye(layer.out_channels)[:, :, None, None] * difference)
    layer.bias.zero_()


@torch.no_grad()
def balance(network: DenoisingUNet) -> None:
    """Make what reads and what writes each hidden channel as large as one another; the network puts out what it did.

    A converted network's channels have the scales of its neurons, by which its layers would learn at different rates: a
    ReLU does not care by what number its channel is multiplied, an optimiser does.
    """
    for _ in range(BALANCING_ROUNDS):
        for layer, readers in network.hidden():
            writing = by_channel(layer, layer.weight, 0)
            reading = [by_channel(reader, reader.weight, 1)[first : first + len(writing)] for reader, first in readers]
            written = writing.flatten(1).square().sum(1) + layer.bias.square()
            read = sum(each.flatten(1).square().sum(1) for each in reading)
            scale = (read / written).pow(0.25)
            scale[(read == 0) | (written == 0)] = 1.0
            writing.mul_(scale[:, None, None, None])
            layer.bias.mul_(scale)
            for each in reading:
                each.div_(scale[:, None, None, None])


def widths_of(state: State) -> tuple[int, ...]:
    """Channels at each size of a DenoisingUNet's state.

    Raises
    ------
    KeyError
        If it is none's.
    """
    deeper = sum(name.startswith("down.") and name.endswith(".weight") for name in state)
    return len(state["stem.weight"]), *(len(state[f"down.{level}.weight"]) for level in range(deeper))


@torch.no_grad()
def start_from(network: DenoisingUNet, state: State) -> None:
    """Take over the weights of a trained network, which may be one of a single channel for a network of more.

    The layers between the first and the last have learnt about pictures what holds for colour too. Every feature of the
    first layer then looks at a mixture of its own of the channels, about their mean, and speaks for the channels
    likewise in the last one. Were all to look at the mean alone, neither layer could learn to tell the channels apart:
    the gradient of each is zero where the other treats them alike. A bypass that the trained network does not have
    stays as it is; what it takes over, the other layers have to unlearn, which takes some hundred iterations.

    Raises
    ------
    RuntimeError
        If names or other shapes differ.
    """
    _take_over(network, state, MIXTURE_SPREAD)


def _take_over(network: DenoisingUNet, state: State, spread: float) -> None:
    """Load a state of as many channels or of one; a bypass that it does not have stays as it is."""
    fresh = {name: value for name, value in network.state_dict().items() if name.startswith("bypass.")}
    network.load_state_dict(fresh | _of_channels(state, network.channels, spread))


def _of_channels(state: State, channels: int, spread: float) -> dict[str, Tensor]:
    """A state of one channel as one of several; any other as it is."""
    first, last = state["stem.weight"], state["readout.weight"]
    adapted = dict(state)
    if first.shape[1] == 1 < channels:
        shares = (1 + spread * torch.randn(len(first), channels, 1, 1)) / channels
        adapted["stem.weight"] = first * shares.to(first)
        adapted["readout.weight"] = last * (1 + spread * torch.randn(len(last), channels, 1, 1)).to(last)
        adapted["readout.bias"] = state["readout.bias"].expand(channels)
        if "bypass.weight" in state:
            adapted["bypass.weight"] = state["bypass.weight"].expand(channels, channels, -1, -1) / channels
            adapted["bypass.bias"] = state["bypass.bias"].expand(channels)
    return adapted

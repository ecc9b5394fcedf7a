"""Begin channels anew that have fallen silent, so that a network learns with all the channels it has.

Biases that a high rate pushes below what their weights can reach leave channels that are 0 for every picture; nothing
flows back to them, and they never learn again. G. Sokar et al., "The dormant neuron phenomenon in deep reinforcement
learning", ICML 2023, arXiv 2302.12902, section 4: such a channel gets fresh weights, and what reads it ignores it at
first, so that the network puts out what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LEAST_SHARE = 1e-3
"""Of a channel's values over a batch that must lie above 0."""

Reader = tuple[nn.Module, int]


class Layered(Protocol):
    """A network that tells which layers read which, as DenoisingUNet does."""

    def hidden(self) -> list[tuple[nn.Module, list[Reader]]]: ...

    def __call__(self, x: Tensor) -> Tensor: ...


def by_channel(layer: nn.Module, values: Tensor, side: int) -> Tensor:
    """A view of a layer's weight, or of what is kept of it, whose first axis are channels written (0) or read (1)."""
    return values.transpose(0, int(isinstance(layer, nn.ConvTranspose2d)) ^ side)


@torch.no_grad()
def wake(network: Layered, average: Layered, optimizer: Optimizer, x: Tensor) -> int:
    """Begin dormant channels anew, in the averaged network too, and return how many there were.

    Parameters
    ----------
    network, average : network and the moving average of its weights
    optimizer : what it keeps of these weights is set to 0
    x : Tensor
        (N, C, H, W) float32, pictures by which to judge.

    Notes
    -----
    A fresh channel's values are as large as those of the layer's other channels, and half of them lie above 0.
    """
    found = 0
    for (layer, readers), (twin, twin_readers) in zip(network.hidden(), average.hidden(), strict=True):
        values = output_of(network, layer, x)
        dormant = (values > 0).float().mean((0, 2, 3)) < LEAST_SHARE
        if not dormant.any():
            continue
        found += int(dormant.sum())
        _begin(layer, dormant, _spread(values, ~dormant), lambda layer=layer: output_of(network, layer, x))
        twin.bias[dormant] = layer.bias[dormant]
        for kept in _kept(optimizer, layer.bias):
            kept[dormant] = 0
        _follow(layer, twin, 0, slice(None), dormant, optimizer)
        for (reader, first), (its_twin, _) in zip(readers, twin_readers, strict=True):
            where = slice(first, first + len(dormant))
            by_channel(reader, reader.weight, 1)[where][dormant] = 0
            _follow(reader, its_twin, 1, where, dormant, optimizer)
    return found


@torch.no_grad()
def output_of(network: Layered, layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer puts out, (N, C, H, W), ReLU left out."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    try:
        network(x)
    finally:
        handle.remove()
    return seen[0]


def _spread(values: Tensor, channels: Tensor) -> Tensor:
    """Median over channels of the standard deviation; over all where none is left."""
    spread = values.std((0, 2, 3))
    return spread[channels].median() if channels.any() else spread.median()


def _begin(layer: nn.Module, dormant: Tensor, spread: Tensor, output: Callable[[], Tensor]) -> None:
    """Draw weights, then scale and shift them by what they make of pictures."""
    writing = by_channel(layer, layer.weight, 0)
    writing[dormant] = torch.randn_like(writing[dormant])
    layer.bias[dormant] = 0
    values = output()[:, dormant]
    scale = spread / (values.std((0, 2, 3)) + 1e-12)
    writing[dormant] *= scale[:, None, None, None]
    layer.bias[dormant] = -values.mean((0, 2, 3)) * scale


def _follow(layer: nn.Module, twin: nn.Module, side: int, where: slice, dormant: Tensor, optimizer: Optimizer) -> None:
    """Copy what has changed of a layer's weight to its average, and forget what the optimiser knew of it."""
    by_channel(twin, twin.weight, side)[where][dormant] = by_channel(layer, layer.weight, side)[where][dormant]
    for kept in _kept(optimizer, layer.weight):
        by_channel(layer, kept, side)[where][dormant] = 0


def _kept(optimizer: Optimizer, parameter: Tensor) -> list[Tensor]:
    """What an optimiser keeps of each number of a parameter."""
    return [each for each in optimizer.state.get(parameter, {}).values() if each.shape == parameter.shape]

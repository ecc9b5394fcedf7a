"""Begin a network as one of the same build whose layers are wider or narrower.

Where a layer is narrower, the channels stay that say most to the layers that read them; where it is wider, the channels
on top are silent and wait to be woken (dormant_channels.py).
"""

from __future__ import annotations

import torch
from dormant_channels import Layered, by_channel, output_of
from torch import Tensor, nn

SILENT = -1e3
"""A bias with which a channel is 0 for every picture."""


@torch.no_grad()
def resize(network: Layered, trained: Layered, x: Tensor) -> None:
    """Take over the weights of a trained network of the same build.

    Parameters
    ----------
    network, trained : networks of the same class, whose layers have as many channels or others
    x : Tensor
        (N, C, H, W) float32, pictures by which to judge what a channel says.

    Raises
    ------
    ValueError
        If the networks have other layers.
    """
    source, target = dict(trained.named_modules()), dict(network.named_modules())
    layers, others = ({name for name, each in of.items() if hasattr(each, "weight")} for of in (source, target))
    if layers != others:
        raise ValueError(f"one of the networks alone has {', '.join(sorted(layers ^ others))}")
    written: dict[nn.Module, Tensor] = {}
    read: dict[nn.Module, list[tuple[Tensor, int]]] = {}
    for (layer, readers), (to, to_readers) in zip(trained.hidden(), network.hidden(), strict=True):
        kept = _most_telling(trained, layer, readers, x, min(len(to.bias), len(layer.bias)))
        written[layer] = kept
        for (reader, first), (_, begins) in zip(readers, to_readers, strict=True):
            read.setdefault(reader, []).append((first + kept, begins))
    for name in layers:
        _copy(source[name], target[name], written.get(source[name]), read.get(source[name]))


def _most_telling(
    trained: Layered, layer: nn.Module, readers: list[tuple[nn.Module, int]], x: Tensor, count: int
) -> Tensor:
    """Those of a layer's channels, in order, whose values times the weights that read them are largest."""
    size = output_of(trained, layer, x).relu().square().mean((0, 2, 3)).sqrt()
    weight = sum(
        by_channel(reader, reader.weight, 1)[first : first + len(size)].flatten(1).square().sum(1)
        for reader, first in readers
    ).sqrt()
    return (size * weight).topk(count).indices.sort().values


def _copy(layer: nn.Module, to: nn.Module, written: Tensor | None, read: list[tuple[Tensor, int]] | None) -> None:
    """The weights between channels that both have; others read nothing and are silent, and nobody reads them."""
    old, new = by_channel(layer, layer.weight, 0), by_channel(to, to.weight, 0)
    rows = torch.arange(old.shape[0]) if written is None else written
    to.weight.zero_()
    to.bias.fill_(SILENT)
    to.bias[: len(rows)] = layer.bias[rows]
    for channels, begins in read or [(torch.arange(old.shape[1]), 0)]:
        new[: len(rows), begins : begins + len(channels)] = old[rows][:, channels]

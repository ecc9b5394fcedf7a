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
def resize(network: nn.Module, trained: Layered, x: Tensor) -> None:
    """Take over the weights of a trained network of the same build.

    Parameters
    ----------
    network : nn.Module, of the same class as `trained`, with as many layers, which have as many channels or others
    trained : network
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
    names = {module: name for name, module in source.items()}
    written: dict[str, Tensor] = {}
    read: dict[str, list[tuple[Tensor, int, int]]] = {name: [] for name in layers}
    for layer, readers in trained.hidden():
        name = names[layer]
        wide = _channels(target[name], 0)
        kept = _most_telling(trained, layer, readers, x, min(wide, _channels(layer, 0)))
        written[name] = kept
        for reader, first in readers:
            begins = sum(width for _, _, width in read[names[reader]])
            read[names[reader]].append((first + kept, begins, wide))
    for name in layers:
        _copy(source[name], target[name], written.get(name), read[name])


def _channels(layer: nn.Module, side: int) -> int:
    return len(by_channel(layer, layer.weight, side))


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


def _copy(layer: nn.Module, to: nn.Module, written: Tensor | None, read: list[tuple[Tensor, int, int]]) -> None:
    """The weights between channels that both have; others read nothing and are silent, and nobody reads them."""
    rows = torch.arange(_channels(layer, 0)) if written is None else written
    to.weight.zero_()
    to.bias.fill_(SILENT)
    to.bias[: len(rows)] = layer.bias[rows]
    old, new = by_channel(layer, layer.weight, 0), by_channel(to, to.weight, 0)
    every = read or [(torch.arange(old.shape[1]), 0, old.shape[1])]
    for channels, begins, _ in every:
        new[: len(rows), begins : begins + len(channels)] = old[rows][:, channels]

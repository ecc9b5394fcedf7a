"""DnCNN (Zhang et al., arXiv 1608.03981) and its kin: convolutions that keep the picture's size, ReLUs between them.

Their implementations number the modules of one chain, ReLUs included: KAIR `model.0`, `model.2` ... with batch norms
folded or absent; with batch norms `model.0`, `model.2` (convolution), `model.3` (batch norm), `model.5` ..., as in
cszn/DnCNN and DnCNN-PyTorch, which call them `dncnn.0` and so on. What stands before the numbers is taken off
(`key_names`). FFDNet (arXiv 1710.04026) and FDnCNN have the same keys and other channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from spikeunet.engine.errors import StateDictError, first_few

from .blueprint import Blueprint
from .layers import Layers, Value

_WITHOUT_NORM = 2
_WITH_NORM = 3
"""Numbers from a convolution to the next: itself, its batch norm if it has one, and the ReLU."""

IRCNN_DILATIONS = (1, 2, 3, 4, 3, 2, 1)

WITH_LEVEL = "the picture, and as its last channel the noise's standard deviation, on the scale of the picture"
DENOISED = "the picture without noise"


def dncnn(layers: Layers) -> None:
    """As many channels out as in: the noise."""
    layers.assume(dilation=1)
    _chain_of_convolutions(layers, _numbered(layers), itertools.repeat(1))


def ircnn(layers: Layers) -> None:
    """The same of seven convolutions of 3x3, those in the middle dilated."""
    layers.assume(dilation=", ".join(map(str, IRCNN_DILATIONS)))
    chain = _numbered(layers)
    fits = len(chain) == len(IRCNN_DILATIONS) and not any(chain.values())
    layers.require(f"{max(chain)}.weight", "is not the last of seven convolutions without batch norms", fits)
    _chain_of_convolutions(layers, chain, itertools.chain(IRCNN_DILATIONS, itertools.repeat(1)), kernel=3)


def fdncnn(layers: Layers) -> None:
    """One channel less out than in: the picture, of itself and a map of its noise."""
    layers.assume(dilation=1, input=WITH_LEVEL, output=DENOISED)
    chain = _numbered(layers)
    out = layers.size(str(max(chain)), 0)
    layers.require(f"{max(chain)}.weight", f"puts out {out} channels, no picture's 1 or 3", out in (None, 1, 3))
    _chain_of_convolutions(layers, chain, itertools.repeat(1), maps=1)


def ffdnet(layers: Layers) -> None:
    """The same on every second pixel in both directions, four of each channel as channels."""
    layers.assume(dilation=1, input=WITH_LEVEL, output=DENOISED)
    chain = _numbered(layers)
    into, (*between, last) = layers.size("0", 1), list(chain)
    fits = into is None or (into % 4 == 1 and into > 1)
    layers.require("0.weight", f"reads {into} channels, not four for each of the picture's and one", fits)
    value = layers.input(None if into is None or not fits else into // 4 + 1)
    for index, number in enumerate(between, 1):
        name = f"conv{index}"
        if index == 1:
            value = layers.of_pixels(str(number), value, name=name)
        else:
            value = layers.convolution(str(number), value, name=name, norm=chain[number], kernel=3)
        value = layers.relu(f"relu{index}", value)
    layers.finish(layers.to_pixels(str(last), value, name=f"conv{len(chain)}"))
    out = layers.size(str(last), 0)
    problem = f"puts out {out} channels where {into} come in"
    layers.require(f"{last}.weight", problem, into is None or out is None or out + 1 == into)


def _chain_of_convolutions(
    layers: Layers, chain: dict[int, str], dilations: Iterable[int], kernel: int = 0, maps: int = 0
) -> None:
    """Convolutions from the input to the output, which has so many channels less, of maps beside the picture."""
    value: Value = layers.input(layers.size("0", 1))
    for index, ((number, norm), dilation) in enumerate(zip(chain.items(), dilations, strict=False), 1):
        name = f"conv{index}"
        value = layers.convolution(str(number), value, name=name, norm=norm, dilation=dilation, kernel=kernel)
        if index < len(chain):
            value = layers.relu(f"relu{index}", value)
    layers.finish(value)
    into, out = layers.size("0", 1), layers.size(str(max(chain)), 0)
    problem = f"puts out {out} channels where {into} come in"
    layers.require(f"{max(chain)}.weight", problem, into is None or out is None or into == out + maps)


def _numbered(layers: Layers) -> dict[int, str]:
    """Numbers of the convolutions in order, each with the key of its batch norm or "", two of them at least."""
    numbers = layers.numbers()
    norms = {number for number in numbers if layers.is_norm(str(number))}
    chain: dict[int, str] = {}
    number = 0
    while number in numbers and number not in norms:
        norm = str(number + 1) if number + 1 in norms else ""
        chain[number] = norm
        number += _WITH_NORM if norm else _WITHOUT_NORM
    left = sorted(set(numbers) - chain.keys() - {int(norm) for norm in chain.values() if norm})
    if chain and left:
        raise StateDictError(
            f"the state dict is no chain of convolutions, each with a ReLU and perhaps a batch norm: {first_few(left)} "
            "has no place in it; build its Network yourself (docs/converting.md)"
        )
    return chain if len(chain) > 1 else {0: "", 2: ""}


DNCNN = Blueprint("dncnn", "DnCNN of KAIR, cszn/DnCNN or DnCNN-PyTorch", dncnn)
FDNCNN = Blueprint("fdncnn", "FDnCNN of KAIR, a DnCNN that reads the noise level and gives the picture", fdncnn)
FFDNET = Blueprint("ffdnet", "FFDNet of KAIR, which reads the noise level and gives the picture", ffdnet)
IRCNN = Blueprint("ircnn", "IRCNN of KAIR, dilated, with the same keys as a DnCNN of seven layers", ircnn)

"""DnCNN (Zhang et al., arXiv 1608.03981) and its kin: convolutions that keep the picture's size, ReLUs between them.

Their implementations number the modules of one chain, ReLUs included: KAIR `model.0`, `model.2` ... with batch norms
folded or absent; with batch norms `model.0`, `model.2` (convolution), `model.3` (batch norm), `model.5` ..., as in
cszn/DnCNN and DnCNN-PyTorch, which call them `dncnn.0` and so on. What stands before the numbers is taken off
(`key_names`).
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


def _chain_of_convolutions(layers: Layers, chain: dict[int, str], dilations: Iterable[int], kernel: int = 0) -> None:
    value: Value = layers.input(layers.size("0", 1))
    for index, ((number, norm), dilation) in enumerate(zip(chain.items(), dilations, strict=False), 1):
        name = f"conv{index}"
        value = layers.convolution(str(number), value, name=name, norm=norm, dilation=dilation, kernel=kernel)
        if index < len(chain):
            value = layers.relu(f"relu{index}", value)
    layers.finish(value)
    into, out = layers.size("0", 1), layers.size(str(max(chain)), 0)
    problem = f"puts out {out} channels where {into} come in"
    layers.require(f"{max(chain)}.weight", problem, None in (into, out) or into == out)


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
IRCNN = Blueprint("ircnn", "IRCNN of KAIR, dilated, with the same keys as a DnCNN of seven layers", ircnn)

"""How much of a layer the artificial network has that it was converted from.

Conversion writes some layers with more weights than the file has: zeros around a kernel stand for uneven padding, a
channel of ones for a shift before padding, a larger kernel for a pool before it, a second class for that of one
logit. And it makes layers that the file does not have: a convolution that only moves channels or puts zeros around
pictures, a `Scale` of what is only added or capped, a layer of a file once more for each way that events take through
it, or for each branch that a head reads. The spiking network runs them so. What the artificial network would do is
counted without them, or it would look dearer than it is.
"""

from __future__ import annotations

from fractions import Fraction

from ..errors import InputError
from .network import Network
from .node import Shape
from .synapses import Synapses

FILE_WEIGHTS = "file_weights"
"""In a network's metadata: by name of a layer, how many weights the file has and with how many it was made."""


def file_shares(network: Network) -> dict[str, Fraction]:
    """The share of the weights of each layer that is the file's, of those that conversion has made larger.

    Raises
    ------
    InputError
        If the metadata say something else there.
    """
    found = network.metadata.get(FILE_WEIGHTS, {})
    try:
        shares = {str(name): Fraction(own, made) for name, (own, made) in dict(found).items()}
        known = all(type(each) is int and each >= 0 for counts in dict(found).values() for each in counts)
    except (TypeError, ValueError, ZeroDivisionError):
        known, shares = False, {}
    if not known or any(share > 1 for share in shares.values()):
        raise InputError(
            f"the metadata's {FILE_WEIGHTS} must give two whole numbers for each layer, the weights in the file and "
            f"those it was made with (got {found!s:.100}); convert the network anew"
        )
    return shares


def ann_macs(node: Synapses, incoming: Shape, shares: dict[str, Fraction]) -> int:
    """Multiply-accumulates of the artificial network's layer, padding included; `shares` are its `file_shares`."""
    return int(node.dense_macs(incoming) * shares.get(node.name, Fraction(1)))

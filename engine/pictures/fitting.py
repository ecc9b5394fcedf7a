"""In which size a network sees a picture: as it is, or padded by reflection to multiples of its strides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, InputError
from .padding import pad_to

if TYPE_CHECKING:
    from ..graph import Network

PADDING_TASKS = ("denoise", "derain", "segment", "resample")
"""Tasks that pad every picture to `Network.size_multiple`: their output is cut to the picture again."""

Size = tuple[int, int]


def fitted(
    network: Network, picture: NDArray[np.float32], *, pads: bool | None = None
) -> tuple[NDArray[np.float32], Size]:
    """Pictures (..., H, W) in the size of `fitting_size`, and the place (top, left) of their first pixel in it."""
    return pad_to(picture, fitting_size(network, picture.shape[-2:], pads=pads))


def fitting_size(network: Network, size: tuple[int, ...], *, pads: bool | None = None) -> Size:
    """Height and width in which a network sees a picture of a size.

    A network whose task pads gets multiples of `size_multiple`, a classifier the picture as it is. Any other gets the
    picture as it is where it takes that, and multiples where it does not, or where these alone give an output of the
    picture's size. Whoever takes neither gets the picture as it is, and refuses it.

    Parameters
    ----------
    network : Network
    size : (H, W)
    pads : bool, optional
        Whether the task pads; by default what the metadata say.
    """
    height, width = size
    given, multiples = (height, width), _multiples(network, (height, width))
    task = network.metadata.get("task")
    if given == multiples or (pads is None and task == "classify"):
        return given
    padded = _put_out(network, multiples)
    if padded is not None and (task in PADDING_TASKS if pads is None else pads):
        return multiples
    as_it_is = _put_out(network, given)
    if as_it_is is not None:
        keeps_the_size = padded == {multiples} and as_it_is != {given}
        return multiples if keeps_the_size else given
    if padded is not None:
        return multiples
    # A signal has a height of 1, whatever multiple its length must be of.
    signal = (1, multiples[1])
    return signal if height == 1 and _put_out(network, signal) is not None else given


def exported_size(network: Network) -> Size | None:
    """(H, W) of the pictures that the network was exported for, where its metadata say so."""
    facts = network.metadata.get("conversion")
    size = facts.get("input_size") if isinstance(facts, dict) else None
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return None
    return size[0], size[1]


def smallest_size(network: Network) -> Size:
    """(H, W) of a small picture that the network takes: a multiple of its strides, or what it was exported for."""
    size = network.size_multiple, network.size_multiple
    return exported_size(network) or size if _put_out(network, size) is None else size


def _multiples(network: Network, size: Size) -> Size:
    height, width = (math.ceil(side / network.size_multiple) * network.size_multiple for side in size)
    return height, width


def _put_out(network: Network, size: Size) -> set[tuple[int, ...]] | None:
    """Heights and widths of the outputs for a picture of a size; None where the network does not take it."""
    channels = sum(each.channels for each in network.inputs)
    try:
        shapes = network.shapes((channels, *size))
    except (GraphError, InputError):
        return None
    return {shapes[node.name][1:] for node in network.outputs}

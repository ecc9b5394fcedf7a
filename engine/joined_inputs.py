"""Pictures of a network with several Input nodes, side by side in one array; of one, the picture itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import as_array
from .errors import InputError, first_few

if TYPE_CHECKING:
    from .graph import Network


def joined_inputs(network: Network, x: ArrayLike | Mapping[str, ArrayLike], axes: tuple[int, ...] = (3, 4)) -> Any:
    """What `x` gives to all Input nodes, joined along the channels in the order of `network.inputs`.

    Parameters
    ----------
    network : Network
    x : array, or mapping of the names of Input nodes to arrays (C, H, W) or (N, C, H, W)
        All of one height and width, and as many pictures of each.
    axes : tuple of int
        How many axes arrays may have, those before the last three being of batches and steps.

    Raises
    ------
    InputError
        If the network has several inputs and `x` is one array; or if names, shapes or channels do not fit.
    """
    names = [node.name for node in network.inputs]
    if not isinstance(x, Mapping):
        if len(names) > 1:
            raise InputError(
                f"the network has {len(names)} inputs; pass a dict with an array for each: {first_few(names)}"
            )
        return x
    if set(x) != set(names):
        raise InputError(
            f"x must name the network's inputs, {first_few(names)} (got {first_few(map(str, x)) or 'none'})"
        )
    arrays = {name: as_array(x[name], f"x[{name!r}]") for name in names}
    first = arrays[names[0]]
    for node in network.inputs:
        array = arrays[node.name]
        if array.ndim not in axes or array.ndim != first.ndim or array.shape[-3] != node.channels:
            raise InputError(
                f"x[{node.name!r}] must have the shape ({node.channels}, H, W), or (N, {node.channels}, H, W) as all "
                f"others do (got {array.shape})"
            )
        if (array.shape[:-3], array.shape[-2:]) != (first.shape[:-3], first.shape[-2:]):
            raise InputError(f"all inputs must be of one size (got {first.shape} and {array.shape})")
    return np.concatenate(list(arrays.values()), axis=-3)

"""`spikeunet convert` of networks that spike already: NIR files, and the weights of a Spikingformer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .convert_nir import convert_nir, refuse_of_others
from .convert_spikingformer import convert_spikingformer, is_spikingformer, weights_ahead

if TYPE_CHECKING:
    from spikeunet.converters import Weights


def reader_of_spiking(
    given: Mapping[str, Any], dt: float | None, integration: str, heads: int | None, tau: float | None
) -> tuple[Callable[[], None] | None, Weights | None]:
    """What reads the file, of all parameters of the command; None of a network that has yet to be converted.

    And the weights, if they had to be read to tell.

    InputError where options for one kind of file are given for another.
    """
    from spikeunet.converters.nir import is_nir

    if is_nir(given["state"]):
        rest = (given[name] for name in ("reset", "dtype", "description"))
        return functools.partial(convert_nir, given["state"], given["output"], dt, integration, *rest), None
    refuse_of_others(dt)
    weights = weights_ahead(given["state"], given["entry"], given["architecture"])
    if is_spikingformer(weights, given["architecture"], heads, tau):
        return functools.partial(convert_spikingformer, given, weights, heads, tau), weights
    return None, weights

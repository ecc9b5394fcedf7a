"""`spikeunet convert` of networks that spike already: NIR files, and the weights of a Spikingformer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from .convert_nir import convert_nir, refuse_of_others
from .convert_spikingformer import convert_spikingformer, is_spikingformer


def reader_of_spiking(
    given: Mapping[str, Any], dt: float | None, integration: str, heads: int | None, tau: float | None
) -> Callable[[], None] | None:
    """What reads the file, of all parameters of the command; None of a network that has yet to be converted.

    InputError where options for one kind of file are given for another.
    """
    from spikeunet.converters.nir import is_nir

    if is_nir(given["state"]):
        rest = (given[name] for name in ("reset", "dtype", "description"))
        return functools.partial(convert_nir, given["state"], given["output"], dt, integration, *rest)
    refuse_of_others(dt)
    if is_spikingformer(given["state"], given["entry"], given["architecture"], heads, tau):
        return functools.partial(convert_spikingformer, given, heads, tau)
    return None

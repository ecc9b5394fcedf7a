"""Functions at a network's end for which there are no neurons: conversion leaves them out, and tasks compute them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Output = NDArray[np.float32]

_BOUND = r"((?:-?\d+(?:\.\d+)?(?:e[-+]\d+)?)?)"
_CLIP = re.compile(rf"Clip\({_BOUND}, {_BOUND}\)")


def endings_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the functions that conversion has left out, in their order, as `metadata["conversion"]["endings"]`."""
    facts = metadata.get("conversion")
    found = facts.get("endings", ()) if isinstance(facts, Mapping) else ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) for name in found):
        raise InputError(f"the model's metadata must name the functions at its end as a list (got {found!r:.80})")
    return tuple(found)


def ended(output: Output, metadata: Mapping[str, Any]) -> Output:
    """What a network puts out, (N, O, H, W), through the functions that it ends in.

    Raises
    ------
    InputError
        Where it ends in one that is not of each number by itself, as Softmax.
    """
    for name in endings_of(metadata):
        output = _function(name)(output)
    return output


def check_elementwise(metadata: Mapping[str, Any]) -> None:
    """InputError where `ended` would raise one."""
    for name in endings_of(metadata):
        _function(name)


def bends(metadata: Mapping[str, Any]) -> list[str]:
    """The endings that are more than a cut: outputs are not in the numbers that the network was trained to put out."""
    return [name for name in endings_of(metadata) if not _CLIP.fullmatch(name)]


def _function(name: str) -> Callable[[Output], Output]:
    if name == "Sigmoid":
        from scipy.special import expit

        return expit  # type: ignore[no-any-return]
    if name == "Tanh":
        return np.tanh
    clip = _CLIP.fullmatch(name)
    if clip:
        low, high = (np.float32(bound) if bound else None for bound in clip.groups())
        return lambda output: np.clip(output, low, high)
    raise InputError(
        f"the model ends in {name[:40]!r}, which makes no picture of what it puts out: there are Sigmoid, Tanh and "
        "Clip; leave it out"
    )

"""Names of a state dict's keys without what wrappers around the network put before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError
from spikeunet.engine.graph import Network

from .state_dict import StateDict

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of keys that torch.compile, FSDP and activation checkpointing add, before the whole name or within it."""

MOST_REMOVED = 16
"""Parts that are taken off the keys at most: each is another trial, and a key may have thousands."""


def build_unwrapped(state: StateDict, build: Callable[[StateDict], Network]) -> tuple[Network, list[str]]:
    """The network that a state dict describes as it stands, or else without what all of its keys begin with.

    Parameters
    ----------
    state : dict of str to array
    build : function
        Makes a network of a state dict, or raises StateDictError.

    Returns
    -------
    network : Network
    removed : list of str
        What was taken off the keys, such as "module." (DataParallel), "_orig_mod." (torch.compile), "model." or "net.".

    Raises
    ------
    StateDictError
        What `build` says of the keys when all of that is taken off, and what was.
    """
    fault = StateDictError()
    removed: list[str] = []
    for removed, candidate in unwrapped(state):
        try:
            return build(candidate), removed
        except StateDictError as error:
            fault = error
    if removed:
        raise StateDictError(f"{fault} ({prefixes(removed)} taken off the keys)") from None
    raise fault


def prefixes(removed: list[str]) -> str:
    """How a message names what was taken off."""
    return " and ".join(repr(part) for part in removed)


def unwrapped(state: StateDict) -> Iterator[tuple[list[str], StateDict]]:
    """The state dict as it stands, then with one part more taken off at a time, each with what was taken off."""
    yield [], state
    removed = [f"{wrapper}." for wrapper in WRAPPERS if any(wrapper in key.split(".") for key in state)]
    names = {key: ".".join(part for part in key.split(".") if part not in WRAPPERS) for key in state}
    if removed and len(set(names.values())) == len(state):
        state = {names[key]: array for key, array in state.items()}
        yield removed, state
    while len(removed) < MOST_REMOVED and (first := _shared_first_part(state)):
        state = {key.removeprefix(first): array for key, array in state.items()}
        removed = [*removed, first]
        yield removed, state


def _shared_first_part(state: dict[str, NDArray[Any]]) -> str:
    """What all keys begin with, point included, where a layer and its part are left without it; else ""."""
    firsts = {key.partition(".")[0] for key in state}
    nested = all(key.count(".") >= 2 for key in state)
    return f"{firsts.pop()}." if nested and len(firsts) == 1 else ""

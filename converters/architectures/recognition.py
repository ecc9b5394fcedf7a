"""Which architecture a state dict is of."""

from __future__ import annotations

from dataclasses import dataclass

from spikeunet.engine.errors import SpikeunetError, StateDictError, first_few

from ..key_names import prefixes, unwrapped
from ..state_dict import StateDict
from .blueprint import Blueprint
from .registry import ARCHITECTURES, Architecture

AUTO = "auto"

NEAR = 0.5
"""Share of the keys from which on a message says what is wrong with them."""

_MENTIONED = 0.05


@dataclass(frozen=True)
class Likeness:
    """How well an architecture fits a state dict.

    Attributes
    ----------
    name : str
    share : float
        Of all keys that are there or should be, those that are both and have the right shape.
    fault : StateDictError, optional
        Why it does not fit.
    """

    name: str
    share: float
    fault: StateDictError | None


def recognised(arrays: StateDict, epsilon: float) -> str:
    """Name of the only architecture whose keys and shapes a state dict has.

    Raises
    ------
    StateDictError
        If there is none, with those that are near, or several, which keys and shapes do not tell apart.
    """
    found = [likeness(name, arrays, epsilon) for name in ARCHITECTURES]
    fitting = [each.name for each in found if each.fault is None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise StateDictError(
            "the state dict fits several architectures, which compute different things: "
            f"{first_few(map(repr, fitting))}; say which (--architecture, architecture=)"
        )
    raise _none_fits(sorted(found, key=lambda each: -each.share))


def fitting(arrays: StateDict, epsilon: float) -> list[str]:
    """Names of all architectures whose keys and shapes a state dict has."""
    return [name for name in ARCHITECTURES if likeness(name, arrays, epsilon).fault is None]


def likeness(name: str, arrays: StateDict, epsilon: float) -> Likeness:
    """How well an architecture fits, with what wrappers put before the keys, or without it."""
    best = Likeness(name, 0.0, StateDictError())
    for removed, candidate in unwrapped(arrays):
        share, fault = _trial(name, ARCHITECTURES[name], candidate, epsilon)
        if fault is None:
            return Likeness(name, share, None)
        if share > best.share:
            said = f"{fault} ({prefixes(removed)} taken off the keys)" if removed else str(fault)
            best = Likeness(name, share, StateDictError(said))
    return best


def _trial(name: str, build: Architecture, arrays: StateDict, epsilon: float) -> tuple[float, StateDictError | None]:
    """Share and fault; of an architecture that is no Blueprint, by building it."""
    try:
        if isinstance(build, Blueprint):
            survey = build.survey(arrays, epsilon)
            share = survey.share
            survey.check(name)
        else:
            share = 0.0
            build(arrays, epsilon)
    except StateDictError as fault:
        return share, fault
    except SpikeunetError as fault:
        return share, StateDictError(str(fault))
    return 1.0, None


def _none_fits(near: list[Likeness]) -> StateDictError:
    """What to say where no architecture fits; the likest first."""
    if near[0].share >= NEAR:
        others = [f"{each.name!r} ({each.share:.0%} of the keys)" for each in near[1:] if each.share >= NEAR]
        also = f"; near are also {first_few(others)}" if others else ""
        return StateDictError(f"{near[0].fault}{also}")
    mentioned = [f"{each.name!r} ({each.share:.0%} of the keys)" for each in near[:3] if each.share >= _MENTIONED]
    nearest = f"nearest are {first_few(mentioned)}" if mentioned else f"there are {', '.join(ARCHITECTURES)}"
    return StateDictError(
        f"the state dict looks like none of the architectures known by name; {nearest}; name its layers alike, export "
        "the network with its graph (examples/export_torch.py), or build its Network yourself (docs/converting.md)"
    )

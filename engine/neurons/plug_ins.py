"""Neuron models of other installed packages, found by their entry points.

A package that lists a module under `spikeunet.neurons` is imported when a model file names a neuron model that nobody
has registered; its module then registers its own. What is imported is up to what is installed, never to the file.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .registry import Registration, registered

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "spikeunet.neurons"
"""Group of entry points, each of a module (or something in it) that registers neuron models when it is imported."""


def find_registered(name: str) -> Registration | None:
    """The registration under a name; where there is none, installed packages are asked first."""
    found = registered(name)
    if found is None:
        import_plug_ins()
        found = registered(name)
    return found


@functools.cache
def import_plug_ins() -> tuple[str, ...]:
    """Import every plug-in, once; returns a line for each that failed, so that it spoils no other."""
    return import_group(ENTRY_POINTS)


def import_group(group: str) -> tuple[str, ...]:
    """Import what installed packages list under a group of entry points; returns a line for each that failed."""
    from importlib.metadata import entry_points

    return tuple(filter(None, (_failure(point) for point in entry_points(group=group))))


def _failure(point: EntryPoint) -> str | None:
    try:
        point.load()
    except Exception as error:  # noqa: BLE001 - whatever a module of somebody else raises
        reason = " ".join(str(error).split())[:200]
        return f"the plug-in {point.name!r} ({point.value}) failed: {type(error).__name__}: {reason}"
    return None

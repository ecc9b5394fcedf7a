"""Models that were read from files, kept so that using one by its name again does not read and prepare it again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from pathlib import Path

from ..graph import Network
from ..layers.registry import latest_change as latest_layer
from ..memory import called_by_clear_caches
from ..neurons.registry import latest_change as latest_neuron
from ..threads import LOCK

_MOST = 4
"""Models that are kept, those used last."""

_SETTLED = 2.0
"""Seconds since a file was written from which on a change of it is sure to change its time: clocks of file systems are
coarse."""

_kept: dict[Hashable, Network] = {}
"""By file, oldest first."""


def kept(path: Path, read: Callable[[Path], Network]) -> Network:
    """The network in a file, read where that has not been done or the file is another one since.

    Everybody who asks gets the same network.
    """
    identity = _identity(path)
    with LOCK:
        if identity in _kept:
            _kept[identity] = network = _kept.pop(identity)
            return network
    network = read(path)
    # A file that is written to just now may be another one already, or become one that looks the same.
    if identity is None or identity != _identity(path) or not _settled(path):
        return network
    with LOCK:
        network = _kept.setdefault(identity, network)
        given_up = [_kept.pop(oldest) for oldest in list(_kept)[:-_MOST]]
    del given_up
    return network


def _identity(path: Path) -> Hashable:
    """What is another one where another file lies there, or what it names has another meaning; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    file = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return (os.path.realpath(path), *file, latest_neuron(), latest_layer())


def _settled(path: Path) -> bool:
    try:
        return abs(time.time() - path.stat().st_mtime) > _SETTLED
    except OSError:
        return False


def forget_models() -> None:
    """Keep no model any more."""
    with LOCK:
        given_up = dict(_kept)
        _kept.clear()
    del given_up


called_by_clear_caches(forget_models)

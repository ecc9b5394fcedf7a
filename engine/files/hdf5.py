"""Arrays of HDF5 files (h5py) that lie in the file itself, need no plug-in and take no more memory than is said."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from . import hdf5_objects

FILTERS = {1, 2, 3}
"""Deflate, shuffle and checksums, which HDF5 itself unpacks; any other might load a plug-in."""

MAXIMUM_DEPTH = 16
MAXIMUM_OBJECTS = 2**14


class Hdf5Error(ValueError):
    """What is not read of an HDF5 file; the message does not name the file."""


def objects(h5py: Any, file: Any, left_out: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    """All but groups by their path, those of the outermost group first, without what has one of some names.

    Hdf5Error for links, and for more objects than any honest file has; ValueError for what is damaged.
    """
    waiting, seen = [("", file)], 0
    while waiting:
        path, group = waiting.pop(0)
        for key in group:
            seen += 1
            inner = f"{path}/{key}" if path else key
            check_is_here(h5py, group, key, inner)
            if seen > MAXIMUM_OBJECTS or inner.count("/") > MAXIMUM_DEPTH:
                raise Hdf5Error(f"holds more than {MAXIMUM_OBJECTS} objects, or nests them too deeply")
            if key in left_out:
                continue
            with hdf5_objects.found(inner):
                item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((inner, item))
            else:
                yield inner, item


def check_is_here(h5py: Any, group: Any, key: str, path: str) -> None:
    """Hdf5Error where a name in a group is a link to somewhere else."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise Hdf5Error(f"holds {path!r:.100}, a link, which is not followed")


def unknown_filters(dataset: Any) -> set[int]:
    """Numbers of what an array is compressed with, apart from `FILTERS`."""
    layout = dataset.id.get_create_plist()
    return {layout.get_filter(index)[0] for index in range(layout.get_nfilters())} - FILTERS


def lies_elsewhere(dataset: Any) -> bool:
    """Whether the numbers of an array are in another file."""
    return bool(dataset.is_virtual or dataset.external)


def check_pieces(path: str, dataset: Any) -> None:
    """ValueError where an array is split into pieces that take far more memory than itself."""
    if math.prod(dataset.chunks or ()) > max(2**20, 4 * math.prod(dataset.shape)):
        raise ValueError(f"{path!r:.100} is split into pieces larger than itself")

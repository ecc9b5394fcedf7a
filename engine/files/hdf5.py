"""Arrays of HDF5 files (h5py) that lie in the file itself, need no plug-in and take no more memory than is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..errors import InputError
from .archive import MAXIMUM_BYTES, MAXIMUM_RATIO

FILTERS = {1, 2, 3}
"""Deflate, shuffle and checksums, which HDF5 itself unpacks; any other might load a plug-in."""

MAXIMUM_DEPTH = 16
MAXIMUM_OBJECTS = 2**14


class Hdf5Error(InputError):
    """What is not read of an HDF5 file; the message does not name the file."""


def datasets(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Arrays by their path, those of the outermost group first; Hdf5Error for links."""
    waiting, seen = [("", file)], 0
    while waiting:
        path, group = waiting.pop(0)
        for key in group:
            seen += 1
            inner = f"{path}/{key}" if path else key
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise Hdf5Error(f"it holds {inner!r:.100}, a link, which is not followed")
            if seen > MAXIMUM_OBJECTS or inner.count("/") > MAXIMUM_DEPTH:
                raise Hdf5Error(f"it holds more than {MAXIMUM_OBJECTS} objects, or nests them too deeply")
            kind = group.get(key, getclass=True)
            if kind is h5py.Group:
                waiting.append((inner, group[key]))
            elif kind is h5py.Dataset:
                yield inner, group[key]


def check_dataset(path: str, dataset: Any, file_size: int) -> None:
    """Hdf5Error where an array cannot be read out of the file alone, or is far larger than such a file can hold."""
    layout = dataset.id.get_create_plist()
    filters = {layout.get_filter(index)[0] for index in range(layout.get_nfilters())}
    if dataset.is_virtual or dataset.external:
        raise Hdf5Error(f"the numbers of {path!r:.100} lie in another file")
    if filters - FILTERS:
        raise Hdf5Error(
            f"{path!r:.100} is compressed by a plug-in, filter {min(filters - FILTERS)}, and none is loaded; rewrite "
            "the file with h5repack -f GZIP=4"
        )
    if dataset.shape is None or math.prod(dataset.chunks or ()) > max(2**20, 4 * math.prod(dataset.shape)):
        raise Hdf5Error(f"{path!r:.100} is empty or split into pieces larger than itself")
    if math.prod(dataset.shape) * dataset.dtype.itemsize > min(MAXIMUM_BYTES, MAXIMUM_RATIO * file_size):
        raise Hdf5Error(f"{path!r:.100} declares more bytes than a file of {file_size} bytes may")

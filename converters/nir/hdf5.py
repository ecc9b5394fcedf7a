"""The content of a NIR file: groups, arrays and texts of HDF5, of which nothing lies in another file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from spikeunet.engine.files import hdf5, hdf5_objects
from spikeunet.engine.files.archive import MAXIMUM_BYTES, MAXIMUM_RATIO
from spikeunet.engine.files.hdf5_heaps import check_heaps

from ..weights.refusals import DamagedError, UnreadableError

MAXIMUM_DEPTH = 32
MAXIMUM_OBJECTS = 2**16
LONGEST_TEXT = 2**20

_REFERENCE = np.dtype([("length", "<u4"), ("address", "V8"), ("index", "<u4")])
"""A text of no fixed length as it stands in an array."""

Group = dict[str, Any]


def read_groups(path: Path) -> Group:
    """A file as dictionaries of arrays, texts and further dictionaries; UnreadableError for what is none of these."""
    try:
        import h5py
    except ImportError:
        raise UnreadableError("is a NIR file, which needs the extra: pip install spikeunet[nir]") from None
    check_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            return _Reader(h5py, path).group(file, "", 0)
    except hdf5.Hdf5Error as fault:
        raise UnreadableError(f"{fault}; export the network again") from None


class _Reader:
    """Reads groups, and counts what they take."""

    def __init__(self, h5py: Any, path: Path) -> None:
        self._h5py, self._path, self._size = h5py, path, path.stat().st_size
        self._left = min(MAXIMUM_BYTES, MAXIMUM_RATIO * self._size)
        self._objects = 0

    def group(self, group: Any, path: str, depth: int) -> Group:
        found: Group = {}
        for key in group:
            self._objects += 1
            inner = f"{path}/{key}"
            hdf5.check_is_here(self._h5py, group, key, inner)
            if self._objects > MAXIMUM_OBJECTS or depth > MAXIMUM_DEPTH:
                raise UnreadableError(f"holds more than {MAXIMUM_OBJECTS} objects, or nests them too deeply")
            with hdf5_objects.found(inner):
                item = group[key]
            if isinstance(item, self._h5py.Group):
                found[key] = self.group(item, inner, depth + 1)
            elif isinstance(item, self._h5py.Dataset):
                found[key] = self._dataset(item, inner)
            else:
                raise UnreadableError(f"holds {inner!r:.100}, which is neither a group nor an array")
        return found

    def _dataset(self, dataset: Any, path: str) -> Any:
        if hdf5.lies_elsewhere(dataset) or hdf5.unknown_filters(dataset):
            raise UnreadableError(
                f"holds {path!r:.100}, whose numbers lie elsewhere or need a plug-in; export it again"
            )
        with hdf5_objects.found(path):
            text = self._h5py.check_string_dtype(dataset.dtype) is not None
        if dataset.shape is None or (not text and (dataset.dtype.kind not in "fiub" or dataset.dtype.itemsize > 8)):
            raise UnreadableError(f"holds {path!r:.100} of the type {str(dataset.dtype)[:50]}, which is not read")
        hdf5.check_pieces(path, dataset)
        self._left -= math.prod(dataset.shape) * dataset.dtype.itemsize
        if self._left < 0:
            raise UnreadableError(f"declares more bytes of arrays up to {path!r:.100} than its size allows")
        if text and self._text_bytes(dataset, path) > min(LONGEST_TEXT, self._size):
            raise DamagedError(f"{path!r:.100} is a text longer than {LONGEST_TEXT} bytes, or than the file")
        return _text(dataset[()]) if text else np.asarray(dataset[()])

    def _text_bytes(self, dataset: Any, path: str) -> int:
        """Bytes that texts take, before HDF5 asks for as many: they lie in a heap, their lengths in a row."""
        count, width = math.prod(dataset.shape), dataset.dtype.itemsize
        if self._h5py.check_string_dtype(dataset.dtype).length is not None:
            return int(count * width)
        place, sizes = dataset.id.get_offset(), dataset.file.id.get_create_plist().get_sizes()
        if place is None or sizes[0] != _REFERENCE["address"].itemsize:
            raise UnreadableError(f"holds {path!r:.100}, texts that do not lie in a row; export the network again")
        with self._path.open("rb") as file:
            file.seek(place)
            content = file.read(count * _REFERENCE.itemsize)
        if len(content) < count * _REFERENCE.itemsize:
            raise DamagedError(f"{path!r:.100} lies beyond the end of the file")
        return int(np.frombuffer(content, _REFERENCE)["length"].sum(dtype=np.int64))


def _text(value: Any) -> Any:
    """A text, or a nested list of texts."""
    if isinstance(value, np.ndarray):
        return [_text(part) for part in value]
    return value.decode() if isinstance(value, bytes) else str(value)

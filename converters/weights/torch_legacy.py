"""PyTorch's files before 1.6: pickles one after the other, then the storages; and plain pickles of NumPy's arrays."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.files.archive import MAXIMUM_BYTES

from . import pickle_machine
from .refusals import DamagedError, UnreadableError
from .tensors import Bytes, Leaf, Storage, arrays
from .torch_names import lookup, storage_type

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
LENGTH_BYTES = 8


class TorchLegacy:
    """A file of pickles.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    root : object
        What was saved.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._storages: dict[str, Storage] = {}
        self._places: dict[str, int] = {}
        with open(path, "rb") as file:
            stream = io.BytesIO(file.read(min(pickle_machine.MAXIMUM_BYTES, self._size)))
        machine = pickle_machine.Machine(lookup, self._storage)
        first = machine.run(stream)
        if first != MAGIC_NUMBER or type(first) is not int:
            self.root = first
            return
        version = machine.run(stream)
        if version != PROTOCOL_VERSION:
            raise UnreadableError("is in another version of PyTorch's old format than 1001, which is not read")
        machine.run(stream)  # how the machine that wrote it kept its numbers; storages are little-endian all the same
        self.root = machine.run(stream)
        self._place(machine.run(stream), stream.tell())

    def arrays(self, leaves: Mapping[str, Leaf]) -> dict[str, NDArray[Any]]:
        """Arrays of tensors of this file; only their storages are read."""
        with open(self._path, "rb") as file:

            def read(storage: Storage) -> Bytes:
                size = storage.total * storage.element.size
                if storage.key not in self._places or size > MAXIMUM_BYTES:
                    raise DamagedError(f"storage {storage.key[:50]!r} is missing or too large")
                file.seek(self._places[storage.key])
                content = np.fromfile(file, np.uint8, size)
                if len(content) != size:
                    raise EOFError(f"storage {storage.key[:50]!r} ends early")
                return content

            return arrays(leaves, read, self._size)

    def _place(self, keys: object, place: int) -> None:
        """Where each storage begins; they follow in the order of the keys, each behind its count of numbers."""
        if not isinstance(keys, list):
            raise DamagedError("the list of storages is missing")
        with open(self._path, "rb") as file:
            for key in keys:
                storage = self._storages.get(key) if isinstance(key, str) else None
                if storage is None or key in self._places:
                    raise DamagedError("a storage is listed twice, or belongs to no tensor")
                file.seek(place)
                count = int.from_bytes(file.read(LENGTH_BYTES), "little", signed=True)
                size = storage.total * storage.element.size
                if count != storage.total or place + LENGTH_BYTES + size > self._size:
                    raise DamagedError(f"storage {key[:50]!r} has not the {storage.total} numbers that it should have")
                self._places[key] = place + LENGTH_BYTES
                place += LENGTH_BYTES + size

    def _storage(self, said: object) -> Storage:
        """A storage by its persistent id: ("storage", type, key, device, count, view)."""
        if isinstance(said, tuple) and said and said[0] == "module":
            raise UnreadableError(
                "holds a whole network, whose classes are not loaded; save the weights alone in PyTorch: "
                "torch.save(model.state_dict(), PATH)"
            )
        if not isinstance(said, tuple) or len(said) != 6 or said[0] != "storage":
            raise DamagedError("an object outside the pickle is no storage")
        _, kind, key, _, total, view = said
        if not isinstance(key, str) or not _is_count(total):
            raise DamagedError("a storage has no key or no length")
        whole = self._storages.setdefault(key, Storage(key, storage_type(kind), total, 0, total))
        if whole.total != total or whole.element is not kind:
            raise DamagedError("a storage has two lengths or types")
        return whole if view is None else _part(whole, view)


def _part(whole: Storage, view: object) -> Storage:
    """A part of a storage: (key of its own, first number, count)."""
    if not isinstance(view, tuple) or len(view) != 3 or not (_is_count(view[1]) and _is_count(view[2])):
        raise DamagedError("a part of a storage has no offset or no length")
    if view[1] + view[2] > whole.total:
        raise DamagedError("a part of a storage reaches beyond it")
    return Storage(whole.key, whole.element, whole.total, view[1], view[2])


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**62

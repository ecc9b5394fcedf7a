"""PyTorch's files from 1.6 on: a zip archive with a pickle `data.pkl` and a member for each storage."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.files.archive import MAXIMUM_BYTES, MAXIMUM_RATIO, member_fault, read_member

from . import pickle_machine
from .refusals import DamagedError, UnreadableError
from .tensors import ByteOrder, Bytes, Leaf, Storage, arrays
from .torch_names import lookup, storage_type

PICKLE = "data.pkl"
SCRIPT_MEMBERS = ("constants.pkl", "model.json")
"""Of a TorchScript archive, new or old."""

VERSIONS = range(1, 11)
"""Of the archive's layout; PyTorch itself reads these."""

BYTE_ORDERS: dict[bytes, ByteOrder] = {b"little": "<", b"big": ">"}
SMALL = 2**10
"""Most bytes of a member that holds a word or a number."""


class TorchZip:
    """An archive that is open.

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
        with zipfile.ZipFile(path) as archive:
            self._members = _members(archive)
            self._folder = _folder(self._members)
            self._check_version(archive)
            self._byte_order = self._read_byte_order(archive)
            content = self._read(archive, PICKLE, pickle_machine.MAXIMUM_BYTES)
        machine = pickle_machine.Machine(lookup, _storage)
        self.root = machine.run(io.BytesIO(content.tobytes()))

    def arrays(self, leaves: Mapping[str, Leaf]) -> dict[str, NDArray[Any]]:
        """Arrays of tensors of this file; only their storages are read."""
        with zipfile.ZipFile(self._path) as archive:
            left = min(MAXIMUM_BYTES, MAXIMUM_RATIO * self._size)

            def read(storage: Storage) -> Bytes:
                nonlocal left
                size = storage.total * storage.element.size
                content = self._read(archive, f"data/{storage.key}", left)
                if len(content) != size:
                    raise DamagedError(f"storage {storage.key[:50]!r} has {len(content)} bytes, not {size}")
                left -= size
                return content

            return arrays(leaves, read, self._size, self._byte_order)

    def _check_version(self, archive: zipfile.ZipFile) -> None:
        if f"{self._folder}version" not in self._members:
            return
        said = self._read(archive, "version", SMALL).tobytes().strip()
        if not said.isdigit() or int(said) not in VERSIONS:
            raise UnreadableError(
                f"is in version {said[:20].decode('latin-1')!r} of PyTorch's format, not one of 1 to 10"
            )

    def _read_byte_order(self, archive: zipfile.ZipFile) -> ByteOrder:
        """Archives that do not say are little-endian: PyTorch said so since there were others."""
        if f"{self._folder}byteorder" not in self._members:
            return "<"
        said = self._read(archive, "byteorder", SMALL).tobytes().strip()
        if said not in BYTE_ORDERS:
            raise UnreadableError(f"has its bytes in the order {said[:20].decode('latin-1')!r}, not little or big")
        return BYTE_ORDERS[said]

    def _read(self, archive: zipfile.ZipFile, name: str, most: int) -> Bytes:
        member = self._members.get(f"{self._folder}{name}")
        if member is None:
            raise DamagedError(f"{name[:50]!r} is missing")
        fault = member_fault(member)
        if fault:
            raise UnreadableError(f"{name[:50]!r} {fault}; save the file again")
        if member.file_size > most:
            raise UnreadableError(
                f"{name[:50]!r} declares {member.file_size} bytes, more than the {most} that are left to it; save the "
                "weights alone: torch.save(model.state_dict(), PATH)"
            )
        return read_member(archive, member)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by name; what would be ambiguous or lead elsewhere is refused, although nothing is written anywhere."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if name in members:
            raise UnreadableError(f"holds {name[:100]!r} twice; save the file again")
        if ".." in PurePosixPath(name).parts or name.startswith("/") or stat.S_ISLNK(member.external_attr >> 16):
            raise UnreadableError(f"holds {name[:100]!r}, which leads out of the archive; save the file again")
        members[name] = member
    return members


def _folder(members: Mapping[str, zipfile.ZipInfo]) -> str:
    """What all names begin with, "/" included."""
    found = [name.removesuffix(PICKLE) for name in members if PurePosixPath(name).name == PICKLE]
    if any(f"{folder}{script}" in members for folder in found for script in SCRIPT_MEMBERS):
        raise UnreadableError(
            "is a TorchScript archive, which holds a program; save its weights alone in PyTorch: "
            "torch.save(torch.jit.load(FILE).state_dict(), PATH)"
        )
    if len(found) != 1:
        raise DamagedError(f"holds {len(found)} times {PICKLE}")
    return found[0]


def _storage(said: object) -> Storage:
    """A storage by its persistent id: ("storage", type, key, device, count)."""
    if not isinstance(said, tuple) or len(said) != 5 or said[0] != "storage":
        raise DamagedError("an object outside the pickle is no storage")
    _, kind, key, _, count = said
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 2**62:
        raise DamagedError("a storage has no key or no length")
    return Storage(key, storage_type(kind), count, 0, count)

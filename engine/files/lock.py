"""Keep a file to one process; the system lets go of it when that process ends, however it ends."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

_LONGEST_NAME = 200  # bytes, of the 255 that most file systems allow

if sys.platform == "win32":
    import msvcrt

    _BEYOND_THE_END = 1 << 30  # what is locked there cannot be read by others

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND_THE_END, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_locked(path: Path) -> BinaryIO | None:
    """The file, made where it is missing, unbuffered, to read and to append to; None where another process has it.

    Some file systems of networks know no locks; there the file is opened all the same.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    while True:
        stream = open(path, "a+b", buffering=0)  # noqa: SIM115 - the caller closes it, and so lets go of the lock
        try:
            _lock(stream.fileno())
        except (BlockingIOError, PermissionError):
            stream.close()
            return None
        except OSError:
            return stream
        if _is_at(stream, path):
            return stream
        stream.close()  # the process that had it removed it meanwhile


@contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Let no other process do what takes long and ends in `output`, by an empty hidden file beside it.

    Raises
    ------
    InputError
        If another process does.
    OSError
        If the file cannot be made.
    """
    name = os.fsencode(output.name)
    begin = output.name if len(name) < _LONGEST_NAME else hashlib.sha256(name).hexdigest()
    path = output.with_name(f".{begin}.lock")
    stream = open_locked(path)
    if stream is None:
        raise InputError(f"{output}: another run writes there; wait for it, or choose another name")
    try:
        yield
    finally:
        if sys.platform != "win32":  # while nobody else can have it
            path.unlink(missing_ok=True)
        stream.close()


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False

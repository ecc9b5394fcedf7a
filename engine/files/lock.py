"""Keep a file to one process; the system lets go of it when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

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


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False

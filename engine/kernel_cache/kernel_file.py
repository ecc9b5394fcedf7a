"""A kernel's file: it says itself which kernel it is and whether it is whole.

magic (16 bytes), SHA-256 of the key, SHA-256 of the content, content. The key is all that decides which code is right,
and names the file, too. A file is written beside its place and moved there, so processes need neither a lock nor an
index: two that compile the same kernel write the same, and one that reads sees all of a file or none.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from .folders import is_trusted

SUFFIX = ".kernel"
TEMPORARY = ".tmp"

_MAGIC = b"spikeunet kern 1"
_DIGEST = hashlib.sha256().digest_size
_HEADER = len(_MAGIC) + 2 * _DIGEST


def read_kernel(path: Path, key: bytes) -> bytes | None:
    """The content, or None where there is no such file, or it is damaged, of another key or not to be trusted.

    Parameters
    ----------
    path : Path
    key : bytes
        SHA-256 of the kernel's key.
    """
    try:
        with open(path, "rb") as file:
            if not is_trusted(os.fstat(file.fileno())):
                return None
            data = file.read()
    except OSError:
        return None
    header, content = data[:_HEADER], data[_HEADER:]
    return content if header == _MAGIC + key + hashlib.sha256(content).digest() else None


def write_kernel(path: Path, key: bytes, content: bytes) -> None:
    """Write a file that `read_kernel` reads, at once or not at all; OSError where that is impossible."""
    temporary = path.with_name(f"{secrets.token_hex(8)}{TEMPORARY}")
    try:
        # Never writable by others, whatever the umask.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + key + hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise

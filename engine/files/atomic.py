"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream whose content appears at `path` when the block ends without an error.

    The stream is a temporary file in the same folder, which replaces `path` in one step; after an error it is removed
    and whatever was at `path` is still there. A symbolic link is followed, an existing file keeps its permissions, and
    a device such as /dev/null is written to directly.

    Parameters
    ----------
    path : path
        File to write; its folder must exist.

    Yields
    ------
    binary stream, writable and seekable

    Raises
    ------
    OSError
        If the folder is missing or not writable, the disk is full, or `path` is a folder or write-protected.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        with _named(path, None), open(target, "wb") as stream:
            yield stream
        return
    if target.exists() and not os.access(target, os.W_OK):
        # A file that may not be written to is not replaced either, although its folder would allow that.
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        stream = open(temporary, "xb")  # noqa: SIM115 - closed below, before the file moves into place
    except OSError as error:
        # The user knows the name of the file that was asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with _named(path, temporary):
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileNotFoundError):
                temporary.chmod(target.stat().st_mode & 0o7777)
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """OSError where `atomic_write` would refuse what is at `path`: better said before hours of work than after them."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.is_file() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))


@contextmanager
def _named(path: str | os.PathLike[str], temporary: Path | None) -> Iterator[None]:
    """An OSError that names no file, or the temporary one, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise

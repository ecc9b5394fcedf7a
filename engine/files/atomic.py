"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream whose content appears at `path` when the block ends without an error.

    The stream is a temporary file in the same folder, which replaces `path` in one step; after an error it is removed
    and whatever was at `path` is still there. A symbolic link is followed, and a device such as /dev/null is written to
    directly. An existing file keeps its permissions but set-user-ID, set-group-ID and sticky bits, and nobody else can
    read what replaces it at any time; a new one gets those that the umask leaves.

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
        If the folder is missing or not writable, the disk is full, or `path` is empty, a folder or write-protected.
    """
    if not os.fspath(path):
        raise FileNotFoundError(errno.ENOENT, "a file needs a name that is not empty", "")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        with _named(path, None), open(target, "wb") as device:
            yield device
        return
    if target.exists() and not os.access(target, os.W_OK):
        # A file that may not be written to is not replaced either, although its folder would allow that.
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))
    # Of the target's name, which may have all the bytes that a name can have, only as much as leaves room for the rest.
    begin = os.fsencode(target.name)[:100].decode(errors="ignore")
    temporary = target.with_name(f".{begin}.{secrets.token_hex(4)}.tmp")
    replaced = _status(target)
    stream = _created(temporary, path, 0o666 if replaced is None else 0o600)
    try:
        with _named(path, temporary):
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if replaced is not None:
                _take_over(temporary, replaced)
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _status(target: Path) -> os.stat_result | None:
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _created(temporary: Path, path: str | os.PathLike[str], mode: int) -> BinaryIO:
    """A new file, open for writing, with the permissions of `mode` that the umask leaves."""
    try:
        return open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))
    except OSError as error:
        # The user knows the name of the file that was asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None


def _take_over(temporary: Path, replaced: os.stat_result) -> None:
    """Give a file the group and the permissions of the one that it replaces; no group's where the group is another."""
    mode = replaced.st_mode & 0o777
    if hasattr(os, "chown") and temporary.stat().st_gid != replaced.st_gid:
        try:
            os.chown(temporary, -1, replaced.st_gid)
        except OSError:
            mode &= ~0o070
    temporary.chmod(mode)


@contextmanager
def input_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an error of the system about writing `path` into an InputError that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{os.fspath(path)}: cannot be written ({error.strerror or error}); choose another place"
        ) from None


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

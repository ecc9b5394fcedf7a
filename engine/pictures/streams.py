"""Where a picture comes from and where it goes: a file by its path, or a binary file object such as BytesIO."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ..errors import PictureError
from ..files.atomic import atomic_write

Place: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file by its path, or a binary file object."""


def is_path(place: object) -> bool:
    """Whether `place` is a path rather than a file object."""
    return isinstance(place, (str, bytes, os.PathLike))


def name_of(place: Any) -> str:
    """How messages name a file or a file object: its path, else its type."""
    if is_path(place):
        return os.fsdecode(place)
    name = getattr(place, "name", None)
    return name if isinstance(name, str) else f"<{type(place).__name__}>"


@contextmanager
def opened(source: Place) -> Iterator[BinaryIO]:
    """A seekable stream of a picture's bytes, those of a file object from its position to its end.

    Raises
    ------
    PictureError
        If the path leads to a pipe or a device, or `source` is neither a path nor a file object that yields bytes.
    OSError
        If the file is missing or may not be read.
    """
    if is_path(source):
        with open(_checked_path(source, reading=True), "rb") as stream:
            yield stream
    else:
        yield io.BytesIO(_content(source))


@contextmanager
def written(target: Place) -> Iterator[BinaryIO]:
    """A seekable stream to write a picture to, which goes to a file or a file object as a whole or not at all."""
    if is_path(target):
        with atomic_write(_checked_path(target)) as stream:
            yield stream
        return
    if not hasattr(target, "write"):
        raise PictureError(_no_place(target))
    buffer = io.BytesIO()
    yield buffer
    _write_all(target, buffer.getbuffer())


def check_place(place: Any) -> None:
    """PictureError where `place` is neither a path that a file can have nor a file object."""
    if is_path(place):
        _checked_path(place)
    elif not (hasattr(place, "read") or hasattr(place, "write")):
        raise PictureError(_no_place(place))


def _checked_path(path: Any, *, reading: bool = False) -> str:
    name = os.fsdecode(path)
    if "\0" in name:
        raise PictureError(f"{name!r}: a file's name cannot hold NUL; give another path")
    # Opening a pipe would wait for a writer, and a device may never end.
    if reading and not stat.S_ISREG(mode := Path(name).stat().st_mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise PictureError(f"{name}: is a pipe or a device; give a file, or in Python a file object")
    return name


def _content(source: Any) -> bytes:
    if not hasattr(source, "read"):
        raise PictureError(_no_place(source))
    try:
        content = source.read()
    except UnicodeDecodeError:
        content = ""
    except ValueError as error:  # closed, or opened for writing alone
        raise PictureError(f"{name_of(source)}: cannot be read from ({error})") from None
    if not isinstance(content, bytes):
        raise PictureError(f"{name_of(source)}: yields {type(content).__name__}, not bytes; open it in binary mode")
    return content


def _write_all(target: Any, content: memoryview) -> None:
    """Write to a file object, of which one without a buffer may take a part only."""
    try:
        while content:
            count = target.write(content)
            content = content[count if isinstance(count, int) else len(content) :]
    except (TypeError, ValueError) as error:
        raise PictureError(f"{name_of(target)}: cannot be written to ({error}); open it in binary mode") from None


def _no_place(place: object) -> str:
    return f"a picture needs a path or a binary file object (got {place!r:.80})"

"""Read the arrays of an NPZ file that nobody vouches for: no pickles, and no memory taken on the file's word alone."""

from __future__ import annotations

import copy
import io
import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import SpikeunetError
from ..quiet import without_warnings

MAXIMUM_BYTES = 4 * 2**30
"""Largest sum of array sizes that is read."""

MAXIMUM_RATIO = 100
"""Largest ratio of the arrays' size to the file's; weights hardly compress, so more is a decompression bomb."""

HEADER_BYTES = 12 + 10_000
"""Longest NPY header: NumPy itself reads no more than 10000 bytes after the twelve that say how many there are."""

PIECE_BYTES = 2**20
"""Most bytes that are unpacked at once."""

_ENCRYPTED = 1
_OTHER_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,  # zipfile on encrypted members; includes NotImplementedError for unknown compression
    OverflowError,
    KeyError,
    IndexError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,  # the parser's answer to an array header nested too deeply
    Warning,
)
"""What reading a damaged archive may raise."""


def read_arrays(
    path: str | os.PathLike[str] | BinaryIO, error: type[SpikeunetError], remedy: str
) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ file by key.

    Parameters
    ----------
    path : str, path-like or binary file object
        A file object is read from its position to its end.
    error : subclass of SpikeunetError
        Raised with a one-line message when the file cannot be read safely.
    remedy : str
        What the user can do about a damaged file; ends the message.

    Returns
    -------
    dict of str to read-only array, in the file's order; no more memory is taken than they need

    Raises
    ------
    error
        If there is no such file, it is not an NPZ file, it is truncated or damaged, an array holds Python objects, a
        member is encrypted or neither stored nor deflated, or the sizes that it declares, the sizes that there are and
        the file's own size disagree.
    """
    try:
        if not isinstance(path, (str, os.PathLike)):
            stream, path = path, Path(str(getattr(path, "name", f"<{type(path).__name__}>")))
            return _read_stream(path, stream, error, remedy)
        path = Path(path)
        if not path.exists():
            raise error(f"{path}: no such file; check the path")
        if not path.is_file():
            raise error(f"{path}: is not a file; give the path of an NPZ file")
        return _read(path, path, path.stat().st_size, error, remedy)
    except SpikeunetError:
        raise
    except PermissionError:
        raise error(f"{path}: may not be read; check the file's permissions") from None
    except DAMAGE as problem:
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise error(f"{path}: is not an NPZ file, or is truncated or damaged ({reason}); {remedy}") from None


def _read_stream(name: Path, stream: BinaryIO, error: type[SpikeunetError], remedy: str) -> dict[str, NDArray[Any]]:
    """As `_read`, of a file object, which need not be one that can be gone back in."""
    content = stream.read(MAXIMUM_BYTES + 1)
    if not isinstance(content, bytes):
        raise error(f"{name}: yields {type(content).__name__}, not bytes; open it in binary mode")
    if len(content) > MAXIMUM_BYTES:
        raise error(f"{name}: has more than {MAXIMUM_BYTES} bytes; give a smaller file")
    return _read(name, io.BytesIO(content), len(content), error, remedy)


def _read(
    path: Path, file: Path | BinaryIO, size: int, error: type[SpikeunetError], remedy: str
) -> dict[str, NDArray[Any]]:
    """The arrays of a file of so many bytes, which messages call by its path."""
    arrays: dict[str, NDArray[Any]] = {}
    with without_warnings(), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_sizes(path, size, members, error)
        for member in members:
            key = member.filename.removesuffix(".npy")
            if key == member.filename:
                raise error(f"{path}: holds {member.filename[:100]!r}, which is no array; {remedy}")
            if key in arrays:
                raise error(f"{path}: holds {key[:100]!r} twice; {remedy}")
            fault = member_fault(member)
            if fault:
                raise error(f"{path}: {key[:100]!r} {fault}; save it again with numpy.savez or numpy.savez_compressed")
            arrays[key] = _unpack(path, key[:100], archive, member, error, remedy)
    return arrays


def _check_sizes(path: Path, size: int, members: list[zipfile.ZipInfo], error: type[SpikeunetError]) -> None:
    """Refuse what declares too much before anything is unpacked; `_unpack` sees to it that no member exceeds that."""
    declared = sum(member.file_size for member in members)
    allowed = min(MAXIMUM_BYTES, MAXIMUM_RATIO * size)
    if declared > allowed:
        raise error(
            f"{path}: declares {declared} bytes of arrays, more than the {allowed} that a file of its size may hold; "
            "save it again without compression"
        )


def member_fault(member: zipfile.ZipInfo) -> str:
    """Why a member is not unpacked: NumPy stores or deflates, and only these can be unpacked in bounded pieces."""
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        name = _OTHER_METHODS.get(member.compress_type, f"method {member.compress_type}")
        return f"is compressed by {name}, which is not read"
    return ""


def _unpack(
    path: Path, key: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, error: type[SpikeunetError], remedy: str
) -> NDArray[Any]:
    """A member as an array: its header first, then piece by piece into memory of the size that the header declares."""
    with _opened(archive, member) as stream:
        head = io.BytesIO(stream.read(min(HEADER_BYTES, member.file_size)))
        shape, fortran_order, dtype = _header(path, key, head, error, remedy)
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= size == member.file_size - head.tell():
            raise error(f"{path}: the size of {key!r} contradicts its shape {str(shape)[:100]}; {remedy}")
        content = np.empty(size, np.uint8)
        _fill(content, head.read() or stream.read(min(PIECE_BYTES, size)), stream)
        if stream.read(1):
            raise error(f"{path}: {key!r} holds more than the {member.file_size} bytes that it declares; {remedy}")
    content.flags.writeable = False
    array: NDArray[Any] = content.view(dtype) if size else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.uint8]:
    """All bytes of a member, unpacked piece by piece into memory of the size that it declares.

    The caller has looked at that size, and at `member_fault`. One of `DAMAGE` is raised where the size is a lie.
    """
    content = np.empty(member.file_size, np.uint8)
    with _opened(archive, member) as stream:
        _fill(content, stream.read(min(PIECE_BYTES, len(content))), stream)
        if stream.read(1):
            raise ValueError(f"a member holds more than the {len(content)} bytes that it declares")
    return content


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A member as a stream that shows a byte beyond the declared size, if there is one.

    zipfile would silently cut off what a member holds beyond that.
    """
    longer = copy.copy(member)
    longer.file_size += 1
    return archive.open(longer)


def _fill(content: NDArray[np.uint8], begin: bytes, stream: IO[bytes]) -> None:
    """Fill an array with the bytes `begin` and then of a stream; EOFError where there are too few."""
    place, piece = 0, begin
    while piece:
        content[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
        place += len(piece)
        piece = stream.read(min(PIECE_BYTES, len(content) - place))
    if place != len(content):
        raise EOFError(f"{len(content) - place} bytes are missing")


def _header(
    path: Path, key: str, stream: io.BytesIO, error: type[SpikeunetError], remedy: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type out of an NPY header; the stream is then at the first value."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise error(f"{path}: {key!r} is in NPY version {version}, which is not read; {remedy}")
    shape, fortran_order, dtype = readers[version](stream)
    if dtype.hasobject:
        raise error(f"{path}: {key!r} holds Python objects, which are never loaded; save plain numeric arrays")
    if not dtype.itemsize or dtype.subdtype is not None:
        raise error(f"{path}: {key!r} is of the type {str(dtype)[:100]}, which is not read; save plain numeric arrays")
    return shape, fortran_order, dtype

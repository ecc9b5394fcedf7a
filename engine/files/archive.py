"""Read the arrays of an NPZ file that nobody vouches for: no pickles, and no memory taken on the file's word alone."""

from __future__ import annotations

import io
import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SpikeunetError
from ..quiet import without_warnings

MAXIMUM_BYTES = 4 * 2**30
"""Largest sum of array sizes that is read."""

MAXIMUM_RATIO = 100
"""Largest ratio of the arrays' size to the file's; weights hardly compress, so more is a decompression bomb."""

_DAMAGE = (
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


def read_arrays(path: str | os.PathLike[str], error: type[SpikeunetError], remedy: str) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ file by key.

    Parameters
    ----------
    path : str or path-like
    error : subclass of SpikeunetError
        Raised with a one-line message when the file cannot be read safely.
    remedy : str
        What the user can do about a damaged file; ends the message.

    Returns
    -------
    dict of str to read-only array, in the file's order

    Raises
    ------
    error
        If there is no such file, it is not an NPZ file, it is truncated or damaged, an array holds Python objects, or
        the sizes it declares disagree with the file's own size.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise error(f"{path}: no such file; check the path")
        if not path.is_file():
            raise error(f"{path}: is not a file; give the path of an NPZ file")
        return _read(path, error, remedy)
    except SpikeunetError:
        raise
    except PermissionError:
        raise error(f"{path}: may not be read; check the file's permissions") from None
    except _DAMAGE as problem:
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise error(f"{path}: is not an NPZ file, or is truncated or damaged ({reason}); {remedy}") from None


def _read(path: Path, error: type[SpikeunetError], remedy: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with without_warnings(), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_sizes(path, members, error)
        for member in members:
            key = member.filename.removesuffix(".npy")
            if key == member.filename:
                raise error(f"{path}: holds {member.filename!r}, which is no array; {remedy}")
            if key in arrays:
                raise error(f"{path}: holds {key!r} twice; {remedy}")
            arrays[key] = _parse(path, key, archive.read(member), error, remedy)
    return arrays


def _check_sizes(path: Path, members: list[zipfile.ZipInfo], error: type[SpikeunetError]) -> None:
    """Refuse before unpacking; zipfile never yields more than the size that a member declares."""
    declared = sum(member.file_size for member in members)
    allowed = min(MAXIMUM_BYTES, MAXIMUM_RATIO * path.stat().st_size)
    if declared > allowed:
        raise error(
            f"{path}: declares {declared} bytes of arrays, more than the {allowed} that a file of its size may hold; "
            "save it again without compression"
        )


def _parse(path: Path, key: str, content: bytes, error: type[SpikeunetError], remedy: str) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise error(f"{path}: {key!r} is in NPY version {version}, which is not read; {remedy}")
    shape, fortran_order, dtype = readers[version](stream)
    if dtype.hasobject:
        raise error(f"{path}: {key!r} holds Python objects, which are never loaded; save plain numeric arrays")
    if len(content) - stream.tell() != math.prod(shape) * dtype.itemsize:
        raise error(f"{path}: the size of {key!r} contradicts its shape {shape}; {remedy}")
    array = np.frombuffer(content, dtype, offset=stream.tell()) if math.prod(shape) else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")

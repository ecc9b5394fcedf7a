"""Objects in HDF5 files that are to be had or refused, and texts whose length is looked at before memory is taken."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ATTRIBUTE, _CONTINUATION = 12, 16
_MOST_BLOCKS = 64
_PREFIX = 40
"""Bytes at the beginning of a header that say where its messages are; version 2 has 38 at most."""
_LONGEST_HEADER = 2**20


@contextmanager
def found(path: str) -> Iterator[None]:
    """ValueError where h5py does not find or understand what lies at a path, which it calls KeyError or TypeError."""
    try:
        yield
    except (KeyError, TypeError) as fault:
        raise ValueError(f"{path!r:.100}: {fault}") from None


def text_attribute(group: Any, name: str, source: Path | io.BytesIO) -> str | None:
    """An attribute that is one text; None where there is none of that name or it is anything else.

    A text of no fixed length lies in a heap, and the attribute has its length and its place. libhdf5 believes the
    length, so it is looked for in the group's header and held against the file's size first.
    """
    import h5py

    with found(name):
        if name not in group.attrs:
            return None
        attribute = group.attrs.get_id(name)
    if attribute.shape != () or h5py.check_string_dtype(attribute.dtype) is None:
        return None
    if h5py.check_string_dtype(attribute.dtype).length is None:
        size = len(source.getvalue()) if isinstance(source, io.BytesIO) else source.stat().st_size
        lengths = list(_lengths(source, h5py.h5o.get_info(group.id).addr, name.encode()))
        if len(lengths) != 1 or lengths[0] > size:
            raise ValueError(f"an attribute {name!r} longer than the file")
    value = group.attrs[name]
    return value if isinstance(value, str) else None


def _lengths(source: Path | io.BytesIO, address: int, name: bytes) -> Iterator[int]:
    """Of the attributes of a name, the lengths of the texts that they point at."""
    for data in _attributes(source, address):
        sizes = [_whole(data, place, 2) for place in (2, 4, 6)]
        # Version 1 fills each part up to eight bytes, version 3 says first how the name is encoded.
        begin, fill = (9 if data[:1] == b"\3" else 8), (8 if data[:1] == b"\1" else 1)
        value = begin + sum(-(-size // fill) * fill for size in sizes)
        if data[begin : begin + sizes[0]].rstrip(b"\0") == name:
            yield _whole(data, value, 4)


def _attributes(source: Path | io.BytesIO, address: int) -> Iterator[bytes]:
    """The messages of an object's header that are attributes, of either version of headers."""
    header = _read(source, address, _PREFIX)
    if len(header) < _PREFIX:
        return
    second = header.startswith(b"OHDR")
    blocks, long = [_first_block(header, address)], 8 if not second else 6 if header[5] & 4 else 4
    left = _MOST_BLOCKS
    while blocks:
        start, size = blocks.pop(0)
        for kind, data in _messages(_read(source, start, min(size, _LONGEST_HEADER)), second, long):
            if kind == _ATTRIBUTE:
                yield data
            if kind == _CONTINUATION and (left := left - 1) >= 0:
                blocks.append((_whole(data, 0, 8), _whole(data, 8, 8)))


def _first_block(header: bytes, address: int) -> tuple[int, int]:
    """Where an object's messages begin, and how many bytes of them stand there."""
    if not header.startswith(b"OHDR"):
        return address + 16, _whole(header, 8, 4)
    flags = header[5]
    place, width = 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16), 1 << (flags & 3)
    return address + place + width, _whole(header, place, width)


def _messages(content: bytes, second: bool, long: int) -> Iterator[tuple[int, bytes]]:
    """Kind and data of each message; headers of messages have `long` bytes."""
    place = 4 if content.startswith(b"OCHK") else 0
    while place + long <= len(content):
        kind = _whole(content, place, 1 if second else 2)
        size = _whole(content, place + (1 if second else 2), 2)
        yield kind, content[place + long : place + long + size]
        place += long + size


def _whole(content: bytes, place: int, width: int) -> int:
    return int.from_bytes(content[place : place + width], "little")


def _read(source: Path | io.BytesIO, place: int, count: int) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[place : place + count]
    with source.open("rb") as file:
        file.seek(min(place, source.stat().st_size))
        return file.read(count)

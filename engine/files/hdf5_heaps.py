"""Heaps in HDF5 files, in which texts lie: the library walks them, and for ever where they are damaged."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

_HEAP = b"GCOL\x01"
_HEADER = 16
"""Bytes of the header of a heap and of an object in it: index (2), references (2), nothing (4), length (8)."""
_WRAPS = 2**64


def check_heaps(source: Path | io.BytesIO) -> None:
    """ValueError where an object in a heap is followed by itself, as libhdf5 counts."""
    if isinstance(source, io.BytesIO):
        _check(source.getvalue())
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check(content)


def _check(content: bytes | mmap.mmap) -> None:
    # Objects are of sixteen bytes at least and lie in one heap, so that honest files need fewer steps.
    left, place = len(content) // _HEADER + 1, content.find(_HEAP)
    while place >= 0:
        end = min(place + _number(content, place + 8), len(content))
        here = place + _HEADER
        while here + _HEADER <= end:
            step, left = _step(content, here), left - 1
            if step % _WRAPS == 0 or left < 0:
                raise ValueError("a heap of texts that has no end")
            here += step
        place = content.find(_HEAP, place + 1)


def _step(content: bytes | mmap.mmap, here: int) -> int:
    """Bytes to the next object; index 0 is what is free, of which the length counts the header."""
    length = _number(content, here + 8)
    free = content[here : here + 2] == b"\0\0"
    return length if free else _HEADER + (length + 7) // 8 * 8


def _number(content: bytes | mmap.mmap, place: int) -> int:
    return int.from_bytes(content[place : place + 8], "little")

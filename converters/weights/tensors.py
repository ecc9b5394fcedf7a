"""Tensors as a file describes them, and the arrays that they become."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.files.archive import MAXIMUM_BYTES, MAXIMUM_RATIO

from .refusals import DamagedError, UnreadableError

MAXIMUM_AXES = 32
_LARGEST = 2**62
Bytes = NDArray[np.uint8]
ByteOrder = Literal["<", ">"]


@dataclass(frozen=True)
class ElementType:
    """A type of numbers by PyTorch's name, and NumPy's name for how it lies in memory; None if it is not read."""

    name: str
    size: int
    stored: str | None


def _types(*rows: tuple[str, int, str | None]) -> dict[str, ElementType]:
    return {name: ElementType(name, size, stored) for name, size, stored in rows}


ELEMENT_TYPES = _types(
    ("float64", 8, "f8"),
    ("float32", 4, "f4"),
    ("float16", 2, "f2"),
    ("bfloat16", 2, "u2"),
    ("int64", 8, "i8"),
    ("int32", 4, "i4"),
    ("int16", 2, "i2"),
    ("int8", 1, "i1"),
    ("uint64", 8, "u8"),
    ("uint32", 4, "u4"),
    ("uint16", 2, "u2"),
    ("uint8", 1, "u1"),
    ("bool", 1, "u1"),
    ("complex32", 4, None),
    ("complex64", 8, None),
    ("complex128", 16, None),
    ("qint8", 1, None),
    ("quint8", 1, None),
    ("qint32", 4, None),
    ("quint4x2", 1, None),
    ("quint2x4", 1, None),
    ("float8_e4m3fn", 1, None),
    ("float8_e4m3fnuz", 1, None),
    ("float8_e5m2", 1, None),
    ("float8_e5m2fnuz", 1, None),
    ("float8_e8m0fnu", 1, None),
)


@dataclass(frozen=True, eq=False)
class Storage:
    """A run of numbers that lies outside the pickle: `count` from number `start` on, of `total` under a key."""

    key: str
    element: ElementType
    total: int
    start: int
    count: int


class Leaf:
    """What becomes an array."""

    def size(self) -> int:
        """Bytes of the array; UnreadableError if it cannot be read, ValueError if it contradicts itself."""
        raise NotImplementedError

    def array(self, read: Callable[[Storage], Bytes], byte_order: ByteOrder) -> NDArray[Any]:
        """The array, in the machine's order of bytes; `read` gives all bytes of a storage, in the order "<" or ">"."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Unreadable(Leaf):
    """A tensor of a kind that is not read: sparse, quantised, without values."""

    kind: str

    def size(self) -> int:
        """Refuse it."""
        raise UnreadableError(f"is {self.kind}, which is not read; save an ordinary tensor of float32")


@dataclass(frozen=True, eq=False)
class Tensor(Leaf):
    """A view of a storage: as in PyTorch, axes have strides, counted in numbers from an offset on."""

    storage: Storage
    element: ElementType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negative: bool = False

    def size(self) -> int:
        """Bytes of the array."""
        if self.element.stored is None:
            raise UnreadableError(f"has numbers of the type {self.element.name}, which is not read; save float32")
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
            raise DamagedError("sizes, strides and offsets must be whole numbers from 0 on")
        if len(self.shape) != len(self.strides) or len(self.shape) > MAXIMUM_AXES:
            raise DamagedError("sizes and strides must be as many, 32 at most")
        count = math.prod(self.shape)
        last = self.offset + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        if count and last >= self._available():
            raise DamagedError(f"reaches number {last} of a storage of {self._available()}")
        return count * (4 if self.element.name == "bfloat16" else self.element.size)

    def array(self, read: Callable[[Storage], Bytes], byte_order: ByteOrder) -> NDArray[Any]:
        """The array, read-only where it is a view of the storage."""
        storage = self.storage
        begin = storage.start * storage.element.size
        content = read(storage)[begin : begin + self._available() * self.element.size]
        numbers = content.view(np.dtype(self.element.stored).newbyteorder(byte_order))
        if not math.prod(self.shape):
            numbers, strides = numbers[:0], (0,) * len(self.shape)
        else:
            numbers, strides = numbers[self.offset :], tuple(step * self.element.size for step in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)
        array = _numbers(np.ascontiguousarray(view).reshape(self.shape), self.element.name)
        return -array if self.negative else array

    def _available(self) -> int:
        """Numbers of the tensor's type that its storage holds."""
        return self.storage.count * self.storage.element.size // self.element.size


def _numbers(stored: NDArray[Any], name: str) -> NDArray[Any]:
    """Numbers in the machine's order of bytes; bfloat16, the upper half of a float32, becomes one."""
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if name == "bfloat16":
        return (native.astype(np.uint32) << 16).view(np.float32)
    return native != 0 if name == "bool" else native


def arrays(
    leaves: Mapping[str, Leaf], read: Callable[[Storage], Bytes], file_size: int, byte_order: ByteOrder = "<"
) -> dict[str, NDArray[Any]]:
    """The arrays that tensors become.

    Parameters
    ----------
    leaves : mapping of name to Leaf
    read : function
        Gives all bytes of a storage.
    file_size : int
        Bytes; the arrays may be a hundred times as large, because a tensor may repeat its numbers.
    byte_order : "<" or ">"

    Raises
    ------
    UnreadableError
        If a tensor is of a type that is not read, contradicts itself, or all of them are too large; names it.
    """
    allowed = min(MAXIMUM_BYTES, MAXIMUM_RATIO * file_size)
    for name, leaf in leaves.items():
        try:
            allowed -= leaf.size()
        except UnreadableError as fault:
            raise UnreadableError(f"{name!r:.100} {fault}") from None
        except DamagedError as fault:
            raise UnreadableError(f"{name!r:.100} is damaged: {fault}; save the file again") from None
        if allowed < 0:
            raise UnreadableError(f"declares more bytes of arrays up to {name!r:.100} than a file of its size may hold")
    kept: dict[str, Bytes] = {}

    def read_once(storage: Storage) -> Bytes:
        if storage.key not in kept:
            kept[storage.key] = read(storage)
            kept[storage.key].flags.writeable = False
        return kept[storage.key]

    return {name: leaf.array(read_once, byte_order) for name, leaf in leaves.items()}

"""NumPy's arrays and types within a pickle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pickle_values import Inert, Named, Stateful
from .refusals import DamagedError, UnreadableError
from .tensors import MAXIMUM_AXES, Bytes, Leaf, Storage


class ArrayType(Stateful):
    """A type of numbers, such as "f4", whose order of bytes comes with its state."""

    __slots__ = ("name", "order")

    def __init__(self, name: object = "", *_: object) -> None:
        # Anything else (records, texts, objects) is refused where its array is wanted.
        self.name = name if isinstance(name, str) and len(name) < 16 else "O"
        self.order = "="

    def set_state(self, state: object) -> None:
        """Take the order of bytes out of (version, order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.order = state[1]

    def dtype(self) -> np.dtype[Any]:
        """The type; UnreadableError where it is none of plain numbers."""
        kind, size = self.name[:1], self.name[1:]
        if kind not in tuple("fiub") or size not in ("1", "2", "4", "8"):
            raise UnreadableError(f"is an array of the type {self.name!r}, which is not read; save plain numbers")
        return np.dtype(f"{self.order}{self.name}")


class Array(Leaf, Stateful):
    """An array whose bytes lie within the pickle."""

    def __init__(self) -> None:
        self.kind: object = None
        self.shape: object = ()
        self.fortran: bool = False
        self.content: object = b""

    def set_state(self, state: object) -> None:
        """Take (version, shape, type, whether in Fortran's order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise DamagedError("the state of an array is none")
        _, self.shape, self.kind, fortran, self.content = state
        self.fortran = fortran is True

    def size(self) -> int:
        """Bytes of the array."""
        if not isinstance(self.kind, ArrayType):
            raise DamagedError("an array has no type")
        shape, content = self.shape, self.content
        if not isinstance(shape, tuple) or not all(type(length) is int and 0 <= length < 2**62 for length in shape):
            raise DamagedError("an array's sizes must be whole numbers from 0 on")
        if len(shape) > MAXIMUM_AXES or not isinstance(content, (bytes, bytearray)):
            raise UnreadableError("is an array of Python objects, which is not read; save plain numbers")
        size = math.prod(shape) * self.kind.dtype().itemsize
        if size != len(content):
            raise DamagedError(f"an array of {size} bytes has {len(content)}")
        return size

    def array(self, _: Callable[[Storage], Bytes], __: str) -> NDArray[Any]:
        """The array, read-only."""
        assert isinstance(self.kind, ArrayType)
        assert isinstance(self.shape, tuple)
        assert isinstance(self.content, (bytes, bytearray))
        dtype = self.kind.dtype()
        content = np.frombuffer(self.content, np.uint8)
        numbers = (content != 0) if dtype.kind == "b" else content.view(dtype).astype(dtype.newbyteorder("="))
        return np.ascontiguousarray(numbers.reshape(self.shape, order="F" if self.fortran else "C"))


def _frombuffer(content: object, kind: object, shape: object, order: object, *_: object) -> Array:
    array = Array()
    array.set_state((1, shape, kind, order == "F", content))
    return array


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "numpy.dtype": ArrayType,
    "numpy.ndarray": lambda *_: Inert("numpy.ndarray"),
    "numpy._core.multiarray._reconstruct": lambda *_: Array(),
    "numpy._core.multiarray.scalar": lambda *_: Inert("a scalar of NumPy"),
    "numpy._core.numeric._frombuffer": _frombuffer,
}

NAMES = {name: Named(name, make) for name, make in _FUNCTIONS.items()}
"""What NumPy's pickles name."""

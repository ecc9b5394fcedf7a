"""Tensors of an ONNX file as arrays, held against the bytes that there are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from spikeunet.engine.files.archive import MAXIMUM_BYTES

from ..weights.refusals import DamagedError, UnreadableError

Array = NDArray[Any]

_FIELDS = {
    TensorProto.FLOAT: ("float_data", 4),
    TensorProto.DOUBLE: ("double_data", 8),
    TensorProto.FLOAT16: ("int32_data", 2),
    TensorProto.BFLOAT16: ("int32_data", 2),
    TensorProto.INT64: ("int64_data", 8),
    TensorProto.INT32: ("int32_data", 4),
    TensorProto.INT8: ("int32_data", 1),
    TensorProto.UINT8: ("int32_data", 1),
    TensorProto.BOOL: ("int32_data", 1),
}
"""Of each type that is read, the field that may hold its numbers in place of `raw_data`, and bytes of a number."""


class Arrays:
    """Tensors of one file, and of files of numbers beside it.

    Parameters
    ----------
    folder : Path
        Where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = MAXIMUM_BYTES

    def read(self, tensor: Any) -> Array:
        """A tensor's numbers; bfloat16 becomes float32.

        Raises
        ------
        UnreadableError
            If it has another type, or lies where it may not.
        DamagedError
            If its shape contradicts the bytes that there are.
        """
        name = tensor.name[:100]
        if tensor.data_type not in _FIELDS or tensor.HasField("segment"):
            raise UnreadableError(
                f"{name!r} has numbers of the type {_type_name(tensor.data_type)}, which is not read; "
                "export the network in float32, not quantised"
            )
        field, item = _FIELDS[tensor.data_type]
        shape = tuple(tensor.dims)
        count = math.prod(shape)
        self._left -= count * item
        if any(size < 0 for size in shape) or self._left < 0:
            raise DamagedError(f"{name!r} is said to have the shape {str(shape)[:100]}")
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._external(tensor, shape, item)
        held = len(tensor.raw_data) / item if tensor.HasField("raw_data") else len(getattr(tensor, field))
        if held != count:
            raise DamagedError(f"{name!r} of the shape {str(shape)[:100]} holds {held:g} numbers")
        return _plain(numpy_helper.to_array(tensor))

    def _external(self, tensor: Any, shape: tuple[int, ...], item: int) -> Array:
        """A tensor whose numbers lie in a file of their own, in the same folder or below it."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self._beside(entries.get("location", ""))
        offset, size = _number(entries.get("offset", "0")), math.prod(shape) * item
        length = _number(entries.get("length", str(size)))
        if length != size or offset + size > path.stat().st_size:
            raise DamagedError(
                f"{tensor.name[:100]!r} of the shape {str(shape)[:100]} does not fit into {path.name[:100]!r}"
            )
        with open(path, "rb") as stream:
            stream.seek(offset)
            content = stream.read(size)
        return _plain(numpy_helper.to_array(_with_content(tensor, content)))

    def _beside(self, location: str) -> Path:
        folder = Path(os.path.realpath(self._folder))
        path = folder / location
        inside = location and not Path(location).is_absolute() and "\0" not in location and "\\" not in location
        if not inside or not Path(os.path.realpath(path)).is_relative_to(folder):
            raise UnreadableError(
                f"keeps numbers in {location[:100]!r}, which is not in its folder and is not read; "
                "export it with its numbers in the file itself or beside it"
            )
        if not path.is_file():
            raise UnreadableError(f"keeps numbers in {location[:100]!r}, which is no file beside it; copy it there")
        return path


def _plain(array: Array) -> Array:
    return array.astype(np.float32) if str(array.dtype) == "bfloat16" else array


def _with_content(tensor: Any, content: bytes) -> Any:
    whole = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims, name=tensor.name)
    whole.raw_data = content
    return whole


def _number(text: str) -> int:
    """A whole number of bytes."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise DamagedError(f"{text[:100]!r} is no number of bytes")
    return int(text)


def _type_name(number: int) -> str:
    known: dict[int, str] = {value: name.lower() for name, value in TensorProto.DataType.items()}
    return known.get(number, str(number))

"""Safetensors files, through the library of that name (extra safetensors)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.files.archive import MAXIMUM_BYTES

from .refusals import DamagedError, UnreadableError
from .tensors import ELEMENT_TYPES, Storage, Tensor, arrays

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
SUFFIX = ".safetensors"


def is_safetensors(path: Path, begin: bytes) -> bool:
    """Whether a file, of which the first nine bytes are given, is one: a length, then a JSON object."""
    return path.suffix.lower() == SUFFIX or (len(begin) >= 9 and begin[8:9] == b"{" and begin[5:8] == b"\0\0\0")


def read(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file; bfloat16 becomes float32."""
    try:
        import safetensors
    except ImportError:
        raise UnreadableError(
            "is a safetensors file, which needs the extra: pip install spikeunet[safetensors]"
        ) from None
    library: Any = safetensors  # its annotations differ from version to version
    size = path.stat().st_size
    if size > MAXIMUM_BYTES:
        raise UnreadableError(f"is of {size} bytes, more than the {MAXIMUM_BYTES} that are read")
    try:
        found = library.deserialize(path.read_bytes())
    except library.SafetensorError as fault:
        raise DamagedError(str(fault)) from None
    leaves, contents = {}, {}
    for name, tensor in found:
        leaf = _tensor(name, tensor)
        leaves[name], contents[leaf.storage.key] = leaf, tensor["data"]
    return arrays(leaves, lambda storage: np.frombuffer(contents[storage.key], np.uint8), size)


def _tensor(name: str, tensor: Any) -> Tensor:
    """A contiguous tensor in a storage of its own."""
    kind, shape = str(tensor["dtype"]), tuple(map(int, tensor["shape"]))
    if kind not in _TYPES:
        raise UnreadableError(f"{name!r:.100} has numbers of the type {kind}, which is not read; save float32")
    element = ELEMENT_TYPES[_TYPES[kind]]
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return Tensor(Storage(name, element, count := math.prod(shape), 0, count), element, 0, shape, strides)

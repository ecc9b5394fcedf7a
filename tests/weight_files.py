"""Files of weights, and pickles, put together by hand: byte by byte what PyTorch writes, and what it never would."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from spikeunet.converters import load_weights
from spikeunet.engine.errors import StateDictError

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}

WRITTEN_BY_PYTORCH = (
    MAGIC
    + VERSION
    + b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endianq\x02\x88X\n"
    b"\x00\x00\x00"
    b"type_sizesq\x03}q\x04(X\x05\x00\x00\x00shortq\x05K\x02X\x03\x00\x00\x00intq\x06K\x04X\x04\x00\x00\x00longq\x07K\x04"
    b"uu.\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x0c\x00\x00\x00conv1.weightq\x02ctorch._utils\n"
    b"_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x0e\x00\x00\x0094483921950720"
    b"q\x06X\x03\x00\x00\x00cpuq\x07K\x04Ntq\x08QK\x00K\x02K\x02\x86q\tK\x01K\x02\x86q\n\x89h\x00)Rq\x0btq\x0cRq\rX\n\x00"
    b"\x00\x00conv1.biasq\x0eh\x03((h\x04ctorch\nHalfStorage\nq\x0fX\x0e\x00\x00\x0094483921951024q\x10h\x07K\x02Ntq\x11Q"
    b"K\x00K\x02\x85q\x12K\x01\x85q\x13\x89h\x00)Rq\x14tq\x15Rq\x16u.\x80\x02]q\x00(X\x0e\x00\x00\x0094483921950720q\x01X"
    b"\x0e\x00\x00\x0094483921951024q\x02e.\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80"
    b"@\x02\x00\x00\x00\x00\x00\x00\x00\x00\xb8\x00H"
)
"""torch.save({"conv1.weight": [[1, 2], [3, 4]] transposed, "conv1.bias": [-0.5, 8] in float16}) in the old format."""


# --- Pickles ---------------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + len(content).to_bytes(4, "little") + content


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def item(value: object) -> bytes:
    """Opcodes of a value; bytes are opcodes already."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool) or value is None:
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, tuple):
        return b"(" + b"".join(map(item, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(item(key) + item(content) for key, content in value.items()) + b"u"
    return number(value)


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(function: bytes, *arguments: object) -> bytes:
    return function + item(arguments) + b"R"


def storage(key: str, kind: str, count: int, *view: object) -> bytes:
    return item(("storage", named("torch", kind), key, "cpu", count, *view)) + b"Q"


def rebuilt(stored: bytes, offset: int, shape: object, strides: object, *rest: object) -> bytes:
    rest = rest or (False, call(named("collections", "OrderedDict")))
    return call(named("torch._utils", "_rebuild_tensor_v2"), stored, offset, shape, strides, *rest)


def tensor(key: str, array: np.ndarray, *view: object) -> bytes:
    """A contiguous array in a storage of its own."""
    strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides[-array.ndim or 99 :])
    return rebuilt(storage(key, STORAGES[array.dtype.str[1:]], array.size, *view), 0, array.shape, strides)


def pickle(value: object, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + item(value) + b"."


# --- Files -----------------------------------------------------------------------------------------------------------


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def torch_zip(root: object, storages: dict[str, bytes] | None = None, method: int = 0, **members: bytes) -> bytes:
    """A file of PyTorch since 1.6."""
    members = {"data.pkl": pickle(root), "version": b"3\n", **members}
    members |= {f"data/{key}": content for key, content in (storages or {}).items()}
    return zip_of({f"archive/{name}": content for name, content in members.items()}, method)


def torch_legacy(root: object, storages: dict[str, tuple[int, bytes]] | None = None) -> bytes:
    """A file of PyTorch before 1.6; each storage with its count of numbers."""
    storages = storages or {}
    keys = b"\x80\x02](" + b"".join(map(text, storages)) + b"e."
    tail = b"".join(count.to_bytes(8, "little", signed=True) + content for count, content in storages.values())
    return MAGIC + VERSION + pickle({"little_endian": True}) + pickle(root) + keys + tail


def saved(arrays: dict[str, np.ndarray], legacy: bool = False, within: str | None = None) -> bytes:
    """A state dict as a file, or as an entry of a checkpoint."""
    keys = {name: str(index) for index, name in enumerate(arrays)}
    view = (None,) if legacy else ()
    state: object = {name: tensor(keys[name], array, *view) for name, array in arrays.items()}
    root = state if within is None else {"epoch": 3, within: state}
    if legacy:
        return torch_legacy(root, {keys[name]: (array.size, array.tobytes()) for name, array in arrays.items()})
    return torch_zip(root, {keys[name]: array.tobytes() for name, array in arrays.items()})


# --- Reading them ----------------------------------------------------------------------------------------------------


def read(folder, content, name="weights.pth", **options):
    """What is read of a file of some content."""
    (folder / name).write_bytes(content)
    return load_weights(folder / name, **options)


def refused(folder, content, name="weights.pth", **options):
    """The line in which a file of some content is refused."""
    with pytest.raises(StateDictError) as caught:
        read(folder, content, name, **options)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 2000
    return str(caught.value)


def refused_as(path, content):
    """The same without the file's name, of a file whose messages quote little of it."""
    message = refused(path.parent, content, path.name)
    assert len(message) < 600
    return message.removeprefix(f"{path}: ")


def assert_equal(found, expected):
    """The same arrays in the same order."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype.isnative
        np.testing.assert_array_equal(found[name], array.astype(array.dtype.newbyteorder("=")), strict=True)

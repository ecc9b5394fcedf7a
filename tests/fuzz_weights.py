"""Broken files of weights: bytes and opcodes exchanged, in every format."""

from __future__ import annotations

import codecs
import functools
import importlib
import importlib.util
import io
import itertools
import json
import pickletools
import sys
import zipfile
from pathlib import Path
from typing import Any

import fuzz_inputs
import numpy as np
import weight_files as made

from spikeunet.converters import load_weights
from spikeunet.engine.errors import StateDictError

ARRAYS = {
    "conv1.weight": np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3),
    "conv1.bias": np.arange(2, dtype=np.float16),
    "steps": np.asarray(3),
}
NAMES = (
    made.named("posix", "system"),
    made.named("builtins", "eval"),
    made.named("builtins", "__import__"),
    made.named("torch", "FloatStorage"),
    made.named("torch", "float64"),
    made.named("torch._utils", "_rebuild_parameter"),
    made.named("torch._utils", "_rebuild_tensor_v3"),
    made.named("numpy.core.multiarray", "_reconstruct"),
    made.named("numpy", "dtype"),
    made.named("collections", "OrderedDict"),
    made.named("_codecs", "encode"),
    made.named("argparse", "Namespace"),
)
DANGERS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "exec")

_seen: list[str] = []
_watching = False


def _audit(event: str, _: object) -> None:
    if _watching and event in DANGERS:
        _seen.append(event)


@functools.cache
def _watch() -> None:
    """Have events told: for good, and each of them costs time, so that tests do this in a process of its own."""
    sys.addaudithook(_audit)


for encoding in ("raw_unicode_escape", "ascii", "cp437"):
    # Imported, which runs their modules, when a pickle, HDF5 or an archive first has a text of theirs.
    codecs.lookup(encoding)


KERAS_CONFIG = {
    "config": {
        "layers": [{"class_name": "Conv2D", "config": {"name": "conv2d_of_mine", "padding": "same", "strides": [1]}}]
    }
}
FORMATS = {"zip": None, "legacy": None, "npz": None, "safetensors": "safetensors", "keras": "h5py"}
"""Kinds of files, and the package that each needs."""


def formats() -> list[str]:
    """Kinds of files that can be read here."""
    return [name for name, package in FORMATS.items() if not package or importlib.util.find_spec(package)]


class Weights:
    """Broken files of every format that can be read here, or of one."""

    def __init__(self, *chosen: str) -> None:
        self.chosen = chosen or tuple(formats())
        for name in self.chosen:
            if package := FORMATS[name]:
                importlib.import_module(package)  # which runs code, as every import does: not while it is watched
        view = made.rebuilt(made.storage("0", "FloatStorage", 18), 3, (2, 3), (6, 1))
        state = {"params": {"w": view, "step": 3}, "params_ema": {"w": view, "v": view}, "optimizer": {}}
        stored = ARRAYS["conv1.weight"].tobytes()
        self.zips = [made.saved(ARRAYS), made.torch_zip(state, {"0": stored}, byteorder=b"little")]
        self.pickles = [made.saved(ARRAYS, legacy=True), made.saved(ARRAYS, legacy=True, within="model")]
        self.pickles += [made.WRITTEN_BY_PYTORCH]
        self.npz = fuzz_inputs.npz(ARRAYS)
        self.hdf5 = [_keras_2(), _keras_3()] if "keras" in self.chosen else []

    def __call__(self, random: np.random.Generator) -> bytes:
        makers = {"zip": self._zip, "legacy": self._legacy, "npz": self._npz, "keras": self._keras}
        name = self.chosen[random.integers(len(self.chosen))]
        return makers.get(name, _safetensors)(random)

    def _zip(self, random: np.random.Generator) -> bytes:
        kind = random.integers(4)
        content = self.zips[random.integers(len(self.zips))]
        if kind == 0:
            return fuzz_inputs.damage(content, random)
        return fuzz_inputs.lying_archive(content, random) if kind == 1 else _other_pickle(content, random)

    def _legacy(self, random: np.random.Generator) -> bytes:
        content = self.pickles[random.integers(len(self.pickles))]
        place = len(made.MAGIC + made.VERSION)
        change = other_opcodes if random.integers(2) else fuzz_inputs.damage
        return content[:place] + change(content[place:], random)

    def _npz(self, random: np.random.Generator) -> bytes:
        kind = random.integers(4)
        if kind == 0:
            return fuzz_inputs.changed_arrays(ARRAYS, random)
        changes = (fuzz_inputs.damage, fuzz_inputs.changed_header, fuzz_inputs.lying_archive)
        return changes[kind - 1](self.npz, random)

    def _keras(self, random: np.random.Generator) -> bytes:
        content = self.hdf5[random.integers(len(self.hdf5))]
        content = fuzz_inputs.damage(content, random) if random.integers(3) == 0 else _other_datasets(content, random)
        if random.integers(3):
            return content
        config = json.dumps(fuzz_inputs.changed_json(KERAS_CONFIG, random)).encode()
        return made.zip_of({"model.weights.h5": content, "config.json": config})


def _other_pickle(content: bytes, random: np.random.Generator) -> bytes:
    """An archive whose pickle is broken and whose checksums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(stream, "w") as broken:
        for member in whole.infolist():
            data = whole.read(member)
            if member.filename.endswith("data.pkl"):
                data = (other_opcodes if random.integers(4) else fuzz_inputs.damage)(data, random)
            elif random.integers(8) == 0:
                data = fuzz_inputs.damage(data, random)
            broken.writestr(member.filename, data)
    return stream.getvalue()


def other_opcodes(content: bytes, random: np.random.Generator) -> bytes:
    """The first pickles of some bytes with whole opcodes left out, doubled, moved, or replaced."""
    opcodes, end = _split(content)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(len(opcodes)))
        kind = random.integers(6)
        if kind == 0:
            del opcodes[place]
        elif kind == 1:
            opcodes[place:place] = opcodes[place : place + 1] * int(random.integers(1, 4))
        elif kind == 2:
            opcodes.insert(place, opcodes[random.integers(len(opcodes))])
        elif kind == 3:
            opcodes[place] = NAMES[random.integers(len(NAMES))]
        elif kind == 4:
            opcodes[place] = made.item(fuzz_inputs.EXTREMES[random.integers(len(fuzz_inputs.EXTREMES))])
        else:
            opcodes[place] = pickletools.opcodes[random.integers(len(pickletools.opcodes))].code.encode("latin-1")
    return b"".join(opcodes) + content[end:]


def _split(content: bytes) -> tuple[list[bytes], int]:
    """The opcodes of the pickles that some bytes begin with, and where they end."""
    opcodes: list[bytes] = []
    stream, end = io.BytesIO(content), 0
    while content[end : end + 1] == b"\x80":
        places = [place for _, _, place in pickletools.genops(stream)] + [stream.tell()]
        opcodes += [content[first:last] for first, last in itertools.pairwise(places)]
        end = stream.tell()
    return opcodes, end


def _safetensors(random: np.random.Generator) -> bytes:
    """A file whose header or whose bytes are broken; mostly its header's length is right."""
    arrays = {"conv1.weight": ("F32", ARRAYS["conv1.weight"]), "conv1.bias": ("F16", ARRAYS["conv1.bias"])}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (kind, array) in arrays.items():
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end := end + array.nbytes]}
    numbers = b"".join(array.tobytes() for _, array in arrays.values())
    if random.integers(4) == 0:
        return fuzz_inputs.damage(_with_header(header, numbers), random)
    for _ in range(random.integers(1, 3)):
        header = _changed_header(header, random)
    return _with_header(header, numbers)


def _changed_header(header: object, random: np.random.Generator) -> object:
    if not isinstance(header, dict) or not isinstance(chosen := header.get("conv1.weight"), dict) or random.integers(2):
        return fuzz_inputs.changed_json(header, random)
    kinds = ("F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "U16", "")
    return {**header, "conv1.weight": {**chosen, "dtype": kinds[random.integers(len(kinds))]}}


def _with_header(header: object, numbers: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def _keras_2() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["conv1/conv1/kernel:0"] = np.zeros((3, 3, 1, 2), np.float32)
        file.create_dataset("conv1/conv1/bias:0", data=np.zeros(2, np.float32), compression="gzip", chunks=(1,))
        file["wide/wide/depthwise_kernel:0"] = np.zeros((3, 3, 2, 1), np.float32)
    return stream.getvalue()


def _keras_3() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, shapes in {"conv2d": [(3, 3, 1, 2), (2,)], "batch_normalization": [(2,)] * 4}.items():
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = f"{name}_of_mine"
            for index, shape in enumerate(shapes):
                group[str(index)] = np.ones(shape, np.float32)
    return stream.getvalue()


def _other_datasets(content: bytes, random: np.random.Generator) -> bytes:
    """The file with arrays left out, renamed, linked, or of another shape, type or layout; its structure is right."""
    import h5py

    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        for _ in range(random.integers(1, 4)):
            paths: list[str] = []
            file.visititems(lambda path, item, paths=paths: paths.append(path) if hasattr(item, "shape") else None)
            if paths:
                _change_dataset(file, paths[random.integers(len(paths))], random)
    return stream.getvalue()


def _change_dataset(file: Any, path: str, random: np.random.Generator) -> None:
    dataset, kind = file[path], random.integers(9)
    if dataset.shape is None or dataset.size > 1000 or dataset.dtype.kind not in "fiub":
        return
    array, folder = np.asarray(dataset[()]), path.rpartition("/")[0]
    if kind == 0:
        other = f"{folder}/{random.choice(['0', '1', '4', '99', 'gamma', 'kernel', 'é'])}"
        if other not in file:
            file[other] = array
        return
    if kind == 1:
        names = ("", "../x", "a" * 300, "conv1", array)
        file[folder].attrs["name"] = names[random.integers(len(names))]
        return
    del file[path]
    if kind < 6:
        (_link, _declare, _empty, _other_type)[kind - 2](file, path, array, random)
    elif kind == 6:
        file[path] = array.reshape(-1) if array.ndim > 1 else array[None]
    elif kind == 7 and array.size and array.ndim:
        packed = {"compression": "lzf"} if random.integers(2) else {"compression": "gzip", "fletcher32": True}
        file.create_dataset(path, data=array, chunks=array.shape, **packed)
    else:
        file.create_group(path)["inner"] = array


def _link(file: Any, path: str, _: object, random: np.random.Generator) -> None:
    import h5py

    links = (h5py.SoftLink("/"), h5py.SoftLink(path), h5py.ExternalLink("/etc/passwd", "/"), file)
    file[path] = links[random.integers(len(links))]


def _declare(file: Any, path: str, _: object, random: np.random.Generator) -> None:
    """As many numbers as nobody wrote."""
    shape = tuple(int(size) for size in random.choice((0, 1, 2, 1000, 100_000), size=random.integers(0, 5)))
    chunks = tuple(min(4, size) for size in shape)
    file.create_dataset(path, shape, np.float32, chunks=chunks if chunks and all(chunks) else None)


def _empty(file: Any, path: str, _: object, __: object) -> None:
    import h5py

    file.create_dataset(path, data=h5py.Empty("f4"))


def _other_type(file: Any, path: str, array: np.ndarray, random: np.random.Generator) -> None:
    import h5py

    types = ("f2", ">f4", "f8", "u1", "?", "c8", "S3", "i8", h5py.string_dtype())
    file.create_dataset(path, array.shape, types[random.integers(len(types))])


def read_broken_weights(content: bytes) -> str:
    """Arrays or a refusal in one line, and nothing that a file asks for is done."""
    global _watching  # noqa: PLW0603 - an audit hook stays for good
    path = Path("input.pth").resolve()
    path.write_bytes(content)
    _watch()
    _seen.clear()
    _watching = True
    try:
        found = load_weights(path)
    except StateDictError as error:
        found = None
        refusal = str(error)
    finally:
        _watching = False
    if _seen:
        raise AssertionError(f"did {_seen[:3]}")
    if found is None:
        if "\n" in refusal or not refusal.startswith(str(path)) or len(refusal) > 2000:
            raise AssertionError(f"a refusal of another form: {refusal[:300]!r}")
        return "refused: StateDictError"
    if not found.arrays or sum(array.nbytes for array in found.arrays.values()) > 100 * max(len(content), 1):
        raise AssertionError("gave no arrays or too many")
    return "read"

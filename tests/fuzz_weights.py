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

import fuzz_inputs
import numpy as np
import weight_files as made
from hostile_archives import with_fields

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


codecs.lookup("raw_unicode_escape")  # imported when a pickle first has a text of protocol 0


class Weights:
    """Broken files of every format that can be read here."""

    def __init__(self) -> None:
        view = made.rebuilt(made.storage("0", "FloatStorage", 18), 3, (2, 3), (6, 1))
        state = {"params": {"w": view, "step": 3}, "params_ema": {"w": view, "v": view}, "optimizer": {}}
        stored = ARRAYS["conv1.weight"].tobytes()
        self.zips = [made.saved(ARRAYS), made.torch_zip(state, {"0": stored}, byteorder=b"little")]
        self.pickles = [made.saved(ARRAYS, legacy=True), made.saved(ARRAYS, legacy=True, within="model")]
        self.pickles += [made.WRITTEN_BY_PYTORCH]
        self.others: list[bytes] = [fuzz_inputs.npz(ARRAYS)]
        if importlib.util.find_spec("safetensors"):
            importlib.import_module("safetensors")  # which runs code, as every import does: not while it is watched
            self.others.append(_safetensors())
        if importlib.util.find_spec("h5py"):
            self.others += [_hdf5()]

    def __call__(self, random: np.random.Generator) -> bytes:
        kind = random.integers(6)
        if kind == 0:
            return fuzz_inputs.damage(self.others[random.integers(len(self.others))], random)
        if kind == 1:
            return fuzz_inputs.damage(self.zips[random.integers(len(self.zips))], random)
        if kind == 2:
            return self._lying(random)
        if kind == 3:
            return self._other_pickle(random)
        content = self.pickles[random.integers(len(self.pickles))]
        place = len(made.MAGIC + made.VERSION)
        if kind == 4:
            return content[:place] + fuzz_inputs.damage(content[place:], random)
        return content[:place] + other_opcodes(content[place:], random)

    def _other_pickle(self, random: np.random.Generator) -> bytes:
        """An archive whose pickle is broken and whose checksums are right."""
        stream = io.BytesIO()
        content = self.zips[random.integers(len(self.zips))]
        with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(stream, "w") as broken:
            for member in whole.infolist():
                data = whole.read(member)
                if member.filename.endswith("data.pkl"):
                    data = (other_opcodes if random.integers(4) else fuzz_inputs.damage)(data, random)
                elif random.integers(8) == 0:
                    data = fuzz_inputs.damage(data, random)
                broken.writestr(member.filename, data)
        return stream.getvalue()

    def _lying(self, random: np.random.Generator) -> bytes:
        content = self.zips[random.integers(len(self.zips))]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.namelist()
        field = str(random.choice(("size", "packed", "crc", "method", "flags")))
        value = fuzz_inputs.EXTREMES[random.integers(len(fuzz_inputs.EXTREMES))]
        return with_fields(content, members[random.integers(len(members))], **{field: value})


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


def _safetensors() -> bytes:
    array = ARRAYS["conv1.weight"]
    header = json.dumps({"w": {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}})
    return len(header).to_bytes(8, "little") + header.encode() + array.tobytes()


def _hdf5() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["conv1/conv1/kernel:0"] = np.zeros((3, 3, 1, 2), np.float32)
        file.create_dataset("conv1/conv1/bias:0", data=np.zeros(2, np.float32), compression="gzip", chunks=(1,))
    return stream.getvalue()


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

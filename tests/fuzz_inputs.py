"""Inputs that are nearly right: files with bytes or fields exchanged, and command lines with odd arguments.

Each maker is called with a random generator and gives one input. A part of the damage is repaired again (checksums,
archive structure, JSON syntax), so that it gets past the first check and reaches the code behind.
"""

from __future__ import annotations

import copy
import io
import json
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hostile_archives import METHODS, with_bomb, with_fields
from PIL import Image
from small_denoiser import small_denoiser, spiking_unet_state

from spikeunet.engine import save_model, write_picture

EXTREMES = (0, 1, -1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 10**30, -(2**31))
ODD_VALUES = (
    *EXTREMES,
    None,
    True,
    "",
    "input",
    "\x00",
    "../x",
    1e308,
    0.5,
    [],
    {},
    [[]],
    {"a": 1},
    "9" * 400,
    [1, 2, 3],
    "\x1b[2J",
    "\ud800",
    float("inf"),
    float("nan"),
)
HOSTILE_TEXTS = (
    '"{0}": 1e999',
    '"{0}": -1e999',
    '"{0}": NaN',
    '"{0}\\ud800": 1',
    '"{0}": "\\udfff"',
    '"\\u001b]0;{0}\\u0007": "\\u001b[2J\\u202e"',
    '"{0}": 1, "{0}": 2',
    '"{0}": {1}',
    '"{0}": 1e400000000',
)
"""Items of a JSON object that readers disagree on, that cannot be written again, or that a terminal would obey."""

BOMB = 2**30
"""Bytes that a deflated bomb unpacks to; others are smaller, because they take longer to make."""
HEADERS = ("<f4", "<f8", "<f2", ">f4", "|u1", "<i8", "|b1", "<c8", "|S3", "<U2", "|O", "|V4")


# --- Bytes -----------------------------------------------------------------------------------------------------------


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """One to four small changes: bytes set, cut, doubled, shifted, numbers made extreme."""
    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        if not data:
            break
        place = int(random.integers(len(data)))
        length = int(min(random.geometric(0.05), len(data) - place))
        kind = random.integers(7)
        if kind == 0:
            data[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[place] = int(random.integers(256))
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length] * int(random.integers(1, 4))
        elif kind == 4:
            data[place : place + length] = random.bytes(length)
        elif kind == 5:
            size = int(random.choice((2, 4, 8)))
            value = EXTREMES[random.integers(len(EXTREMES))] % 2 ** (8 * size)
            data[place : place + size] = value.to_bytes(size, str(random.choice(("little", "big"))))
        else:
            del data[place:]
    return bytes(data)


# --- NPZ files -------------------------------------------------------------------------------------------------------


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    # numpy.savez takes no array called "file".
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return stream.getvalue()


def arrays_of(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def changed_arrays(arrays: dict[str, np.ndarray], random: np.random.Generator) -> bytes:
    """The archive with an array left out, added, renamed, or of another shape, type or value."""
    arrays = dict(arrays)
    name = list(arrays)[random.integers(len(arrays))]
    array = arrays[name]
    kind = random.integers(8)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[str(random.choice(("extra", "../x", "weights/none.weight", "file", "conv1.weight.npy", "")))] = array
    elif kind == 2:
        arrays[name + str(random.choice((".", "x", "\n", "é")))] = arrays.pop(name)
    elif kind == 3:
        arrays[name] = array.reshape(-1) if array.ndim != 1 else array[None]
    elif kind == 4:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays[name] = array.astype(str(random.choice(("f2", ">f4", "f8", "i8", "u1", "c8", "S3", "U2", "?"))))
    elif kind == 5 and array.dtype.kind == "f":
        arrays[name] = array.copy()
        arrays[name].reshape(-1)[random.integers(max(1, array.size))] = random.choice(
            (np.nan, np.inf, -np.inf, 3e38, 1e-45)
        )
    elif kind == 6:
        arrays[name] = array[: len(array) // 2] if array.ndim else array[None]
    else:
        arrays[name] = np.zeros((0, *array.shape[1:]), array.dtype)
    return npz(arrays)


def changed_header(content: bytes, random: np.random.Generator) -> bytes:
    """The archive with one NPY header that declares another shape or type; checksums are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(stream, "w") as broken:
        members = whole.infolist()
        chosen = random.integers(len(members))
        for number, member in enumerate(members):
            data = whole.read(member)
            if number == chosen:
                data = _other_header(data, random)
            broken.writestr(member.filename, data, int(random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
    return stream.getvalue()


def _other_header(data: bytes, random: np.random.Generator) -> bytes:
    if random.integers(3) == 0:
        return damage(data, random)
    body = data[10 + int.from_bytes(data[8:10], "little") :]
    shape = tuple(EXTREMES[random.integers(len(EXTREMES))] for _ in range(random.integers(0, 4)))
    if random.integers(8) == 0:
        body = bytes(2**24)
    header = {
        "descr": HEADERS[random.integers(len(HEADERS))],
        "fortran_order": bool(random.integers(2)),
        "shape": shape,
    }
    text = f"{header!r}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def lying_archive(content: bytes, random: np.random.Generator) -> bytes:
    """The archive with a bomb, or with a member whose sizes, checksum, method or flags are others than they were."""
    if random.integers(2):
        method = list(METHODS)[random.integers(len(METHODS))]
        return with_bomb(content, method, BOMB if method == zipfile.ZIP_DEFLATED else BOMB // 64)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    member = members[random.integers(len(members))]
    near = [member.file_size + shift for shift in (-1, 1, 100)]
    field = str(random.choice(("size", "packed", "crc", "method", "flags")))
    few = {"method": (0, 1, 8, 9, 12, 14, 93, 99), "flags": (1, 8, 32, 64, 2048, 8192)}.get(field, (*EXTREMES, *near))
    return with_fields(content, member.filename, **{field: few[random.integers(len(few))]})


def hostile_text(text: bytes, random: np.random.Generator) -> bytes:
    """A JSON object with one more item that is hostile, its first or its last."""
    item = HOSTILE_TEXTS[random.integers(len(HOSTILE_TEXTS))]
    depth = int(random.choice((65, 500, 50_000)))
    item = item.replace("{0}", str(random.choice(("task", "steps", "x")))).replace("{1}", "[" * depth + "]" * depth)
    body = text.decode().strip()[1:-1]
    parts = [item, body] if random.integers(2) else [body, item]
    return f"{{{', '.join(part for part in parts if part)}}}".encode()


class Models:
    """Broken model files."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.npz"
            save_model(small_denoiser(), path)
            self.whole = path.read_bytes()
        self.arrays = arrays_of(self.whole)

    def __call__(self, random: np.random.Generator) -> bytes:
        kind = random.integers(6)
        if kind == 0:
            return damage(self.whole, random)
        if kind == 1:
            return changed_arrays(self.arrays, random)
        if kind == 2:
            return changed_header(self.whole, random)
        if kind == 3:
            return lying_archive(self.whole, random)
        return self._changed_text(random)

    def _changed_text(self, random: np.random.Generator) -> bytes:
        arrays = dict(self.arrays)
        key = str(random.choice(("topology", "topology", "topology", "metadata", "normalization")))
        text = arrays[key].tobytes()
        kind = random.integers(4)
        if kind == 0:
            text = damage(text, random)
        elif kind == 1:
            key = str(random.choice(("metadata", "normalization")))
            text = hostile_text(arrays[key].tobytes(), random)
        else:
            value = json.loads(text)
            for _ in range(random.integers(1, 3)):
                value = changed_json(value, random)
            text = json.dumps(value).encode()
        arrays[key] = np.frombuffer(text, np.uint8)
        return npz(arrays)


def changed_json(value: object, random: np.random.Generator) -> object:
    """The value with a random leaf, key or item exchanged, left out or doubled."""
    value = copy.deepcopy(value)
    if isinstance(value, dict) and value:
        key = list(value)[random.integers(len(value))]
        kind = random.integers(6)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[f"{key}2"] = value[key]
        else:
            value[key] = changed_json(value[key], random)
        return value
    if isinstance(value, list) and value:
        place = int(random.integers(len(value)))
        kind = random.integers(8)
        if kind == 0:
            del value[place]
        elif kind == 1:
            value.insert(place, value[random.integers(len(value))])
        elif kind == 2:
            value.reverse()
        else:
            value[place] = changed_json(value[place], random)
        return value
    return ODD_VALUES[random.integers(len(ODD_VALUES))]


class States:
    """Broken state dicts."""

    def __init__(self) -> None:
        self.arrays = spiking_unet_state()
        self.whole = npz(self.arrays)

    def __call__(self, random: np.random.Generator) -> bytes:
        kind = random.integers(4)
        if kind == 0:
            return damage(self.whole, random)
        if kind == 1:
            return lying_archive(self.whole, random)
        return changed_header(self.whole, random) if kind == 2 else changed_arrays(self.arrays, random)


# --- Pictures --------------------------------------------------------------------------------------------------------


TIFFS = (
    ("L", None),
    ("L", "tiff_lzw"),
    ("L", "packbits"),
    ("RGB", "jpeg"),
    ("RGB", "tiff_lzw"),
    ("P", "tiff_deflate"),
    ("P", None),
    ("1", "group4"),
    ("1", None),
    ("LA", "zstd"),
)


def tiff(mode: str, compression: str | None) -> bytes:
    """A TIFF as Pillow writes it."""
    stream = io.BytesIO()
    samples = np.random.default_rng(0).integers(0, 256, (9, 11, 4), dtype=np.uint8)
    image = Image.fromarray(samples).convert("RGB")
    (image if mode == "RGB" else image.convert(mode)).save(stream, "TIFF", compression=compression)
    return stream.getvalue()


class Pictures:
    """Broken PNG, TIFF, JPEG and PGM files."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.whole: list[bytes] = []
        with tempfile.TemporaryDirectory() as folder:
            for suffix, dtype in ((".png", "u1"), (".png", "u2"), (".tif", "f4"), (".tif", "u2"), (".jpg", "u1")):
                for shape in ((9, 11), (9, 11, 3)):
                    path = Path(folder) / f"picture{suffix}"
                    samples = random.random(shape)
                    limit = 1 if dtype == "f4" else np.iinfo(dtype).max
                    write_picture(path, (samples * limit).astype(dtype))
                    self.whole.append(path.read_bytes())
        self.whole.append(b"P5\n# gray\n4 3\n255\n" + bytes(range(12)))
        self.whole += [tiff(mode, compression) for mode, compression in TIFFS]

    def __call__(self, random: np.random.Generator) -> bytes:
        content = self.whole[random.integers(len(self.whole))]
        if content.startswith(b"\x89PNG") and random.integers(2):
            return _changed_chunk(content, random)
        return damage(content, random)


def _changed_chunk(content: bytes, random: np.random.Generator) -> bytes:
    """A PNG with a damaged chunk whose checksum is right."""
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    chosen = int(random.integers(len(chunks)))
    name, data = chunks[chosen]
    chunks[chosen] = (name, damage(data, random))
    if random.integers(4) == 0:
        chunks.insert(chosen, chunks[random.integers(len(chunks))])
    parts = [
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    ]
    return content[:8] + b"".join(parts)


# --- Command lines ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """Arguments, and files that lie in the working folder."""

    arguments: tuple[str, ...]
    files: dict[str, bytes]


OPTION_VALUES = (
    "",
    "0",
    "-1",
    "1",
    "3",
    "2.5",
    "nan",
    "inf",
    "1e400",
    "9" * 30,
    "x",
    "good.png",
    "out",
    "é",
    "\x07",
    "--",
)


class Jobs:
    """Command lines: right ones with damage to arguments or files.

    Parameters
    ----------
    good : dict of bytes
        Files that the command lines name, in working order.
    makers : dict of functions
        For some of these files, what makes a broken one.
    lines : sequence of command lines
    options : sequence of str
        To add to the lines, each with some value.
    """

    def __init__(
        self,
        good: Mapping[str, bytes],
        makers: Mapping[str, Callable[[np.random.Generator], bytes]],
        lines: Sequence[Sequence[str]],
        options: Sequence[str],
    ) -> None:
        self._good, self._makers, self._lines, self._options = good, makers, lines, options

    def __call__(self, random: np.random.Generator) -> Job:
        files = dict(self._good)
        if random.integers(2):
            name = list(self._makers)[random.integers(len(self._makers))]
            files[name] = self._makers[name](random)
        arguments = list(self._lines[random.integers(len(self._lines))])
        for _ in range(random.integers(0, 3)):
            self._change(arguments, random)
        return Job(tuple(arguments), files)

    def _change(self, arguments: list[str], random: np.random.Generator) -> None:
        place = int(random.integers(len(arguments))) if arguments else 0
        kind = random.integers(4)
        if kind == 0 and arguments:
            del arguments[place]
        elif kind == 1 and arguments:
            arguments[place] = str(random.choice(OPTION_VALUES))
        elif kind == 2 and arguments:
            arguments.insert(place, arguments[random.integers(len(arguments))])
        else:
            arguments += [str(random.choice(self._options)), str(random.choice(OPTION_VALUES))]


def command_lines() -> Jobs:
    """Of denoise, convert, quantize, info and models."""
    models, states, pictures = Models(), States(), Pictures()
    good = {"good.png": pictures.whole[0], "model.npz": models.whole, "state.npz": states.whole}
    good |= {"folder/a.png": pictures.whole[0], "folder/b.tif": pictures.whole[6]}
    makers = {"good.png": pictures, "model.npz": models, "state.npz": states, "folder/a.png": pictures}
    lines = (
        ["denoise", "good.png", "-o", "out.png", "--model", "model.npz", "--steps", "1"],
        ["denoise", "good.png", "-o", "out.tif", "--model", "model.npz", "--steps", "2", "--report", "report.json"],
        ["denoise", "good.png", "-o", "out.png", "--model", "model.npz", "--add-noise", "25", "--clean", "good.png"],
        ["denoise", "folder", "-o", "out", "--model", "model.npz", "--steps", "1", "--report", "report.json"],
        ["convert", "state.npz", "-o", "out.npz", "--normalization", "none"],
        ["convert", "state.npz", "-o", "out.npz", "--normalization", "none", "--predicts", "picture", "--epsilon", "1"],
        ["convert", "state.npz", "-o", "out.npz", "--normalization", "none", "--neuron", "BurstNeuron"],
        ["quantize", "model.npz", "-o", "out.npz"],
        ["info", "model.npz"],
        ["info", "model.npz", "--shape", "32x32"],
        ["models"],
    )
    options = (
        "--model",
        "--steps",
        "--add-noise",
        "--seed",
        "--clean",
        "--report",
        "--threads",
        "--order",
        "-o",
        "--shape",
        "--epsilon",
        "--predicts",
        "--neuron",
        "--parameter",
    )
    return Jobs(good, makers, lines, options)


def calibrations() -> Jobs:
    """Of convert with a folder of calibration pictures."""
    states, pictures = States(), Pictures()
    good = {"state.npz": states.whole, "other.npz": Models().whole}
    good |= {f"folder/{index}": content for index, content in enumerate(pictures.whole)}
    good |= {
        "pictures/a.png": pictures.whole[0],
        "pictures/b.png": pictures.whole[1],
        "pictures/c.tif": pictures.whole[6],
    }
    makers = {"pictures/a.png": pictures, "pictures/b.png": pictures, "pictures/c.tif": pictures, "state.npz": states}
    line = ["convert", "state.npz", "-o", "out.npz", "--calibration", "pictures"]
    lines = (
        line,
        [*line, "--add-noise", "5:50", "--pictures", "2"],
        [*line, "--percentile", "99", "--thresholds", "1,0.5"],
        [*line, "--normalization", "layer", "--neuron", "if"],
        ["convert", "state.npz", "-o", "out.npz", "--calibration", "folder"],
    )
    options = (
        "--add-noise",
        "--pictures",
        "--percentile",
        "--normalization",
        "--neuron",
        "--thresholds",
        "--calibration",
    )
    return Jobs(good, makers, lines, (*options, "--initial", "--reset", "--decay", "--steps", "--dtype", "-o"))

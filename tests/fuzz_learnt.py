"""Broken files of what is learnt and to learn from: networks of spike times, STDP's filters, CIFAR-10, IDX."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import fuzz_inputs
import numpy as np
from PIL import Image

from spikeunet.engine.errors import InputError, ModelFileError, SpikeunetError
from spikeunet.engine.learning.data_files import read_cifar10, read_idx_pair
from spikeunet.engine.learning.spike_times import (
    TimesNetwork,
    load_times_network,
    save_times_network,
    simulate_times,
)
from spikeunet.engine.learning.stdp import StdpModel, load_stdp_model, random_filters, save_stdp_model

PICTURES = np.random.default_rng(0).random((2, 1, 4, 4))


def times_file(path: Path) -> None:
    save_times_network(TimesNetwork((np.ones((3, 4)), np.ones((2, 3))), facts={"training": {"layers": [3]}}), path)


def stdp_file(path: Path) -> None:
    readout = {"mean": np.zeros(12), "deviation": np.ones(12), "weight": np.ones((2, 12)), "bias": np.zeros(2)}
    filters = random_filters(np.random.default_rng(0), 3, 2, 3, 2.0)
    save_stdp_model(StdpModel(filters, readout, cells=2, facts={"task": "classify"}), path)


def cifar10_file(path: Path) -> None:
    files = []
    for colour in ((250, 0, 0), (0, 0, 250), (0, 250, 0)):
        stream = io.BytesIO()
        Image.new("RGB", (32, 32), colour).save(stream, "JPEG")
        files.append(stream.getvalue())
    np.savez(
        path,
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offset=np.cumsum([0, *map(len, files)]),
        label=np.array([0, 2, 1]),
        is_test=np.array([False, True, False]),
        classes=np.array(["red", "green", "blue"]),
    )


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


WRITERS = {"times.npz": times_file, "stdp.npz": stdp_file, "cifar10_jpeg.npz": cifar10_file}


@dataclass
class Learnt:
    """(name, content) of broken files."""

    whole: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, write in WRITERS.items():
                write(Path(folder) / name)
                self.whole[name] = (Path(folder) / name).read_bytes()
        random = np.random.default_rng(0)
        self.whole["t10k-images-idx3-ubyte"] = idx(random.integers(0, 256, (5, 4, 4)))
        self.whole["t10k-labels-idx1-ubyte"] = idx(np.arange(5))

    def __call__(self, random: np.random.Generator) -> tuple[str, bytes]:
        name = list(self.whole)[random.integers(len(self.whole))]
        content = self.whole[name]
        return name, broken_npz(content, random) if name.endswith(".npz") else fuzz_inputs.damage(content, random)


def broken_npz(whole: bytes, random: np.random.Generator) -> bytes:
    """An archive with damage to its bytes, its numbers, their headers or its JSON."""
    kind, arrays = random.integers(6), fuzz_inputs.arrays_of(whole)
    texts = [name for name, array in arrays.items() if array.dtype.kind == "U" and str(array).startswith("{")]
    if kind == 0 or (kind > 3 and not texts):
        return fuzz_inputs.damage(whole, random)
    if kind == 1:
        numbers = {name: array for name, array in arrays.items() if array.dtype.kind != "U"}
        others = {name: array for name, array in arrays.items() if array.dtype.kind == "U"}
        changed = fuzz_inputs.arrays_of(fuzz_inputs.changed_arrays(numbers, random))
        return fuzz_inputs.npz({**others, **changed})
    if kind == 2:
        return fuzz_inputs.changed_header(whole, random)
    if kind == 3:
        return fuzz_inputs.lying_archive(whole, random)
    text = str(arrays[texts[0]])
    if kind == 4:
        # Half of a character is not to be written into an array of text.
        value = fuzz_inputs.changed_json(json.loads(text), random)
        return fuzz_inputs.npz({**arrays, texts[0]: np.array(json.dumps(value))})
    return fuzz_inputs.npz({**arrays, texts[0]: np.array(fuzz_inputs.hostile_text(text.encode(), random).decode())})


def read_broken(learnt: Learnt, name: str, content: bytes) -> str:
    """A file is refused by its name, or what was read can be used, and what was learnt be written and read again."""
    for other, whole in learnt.whole.items():
        Path(other).write_bytes(content if other == name else whole)
    try:
        if name == "times.npz":
            network = load_times_network(name)
            simulate_times(network, np.zeros(network.sources), threads=1)
            save_times_network(network, "again.npz")
            load_times_network("again.npz")
        elif name == "stdp.npz":
            model = load_stdp_model(name)
            model.scores(PICTURES) if model.readout else model.features(PICTURES)
            save_stdp_model(model, "again.npz")
            load_stdp_model("again.npz")
        elif name == "cifar10_jpeg.npz":
            read_cifar10(Path(name))
        else:
            read_idx_pair(Path(), "t10k")
    except (ModelFileError, InputError) as error:
        return refused(name, error)
    return f"{name} read"


def refused(name: str, error: SpikeunetError) -> str:
    message = str(error)
    about = ("filters take",) if name == "stdp.npz" else ()
    if "\n" in message or not any(part in message for part in (name, *about)):
        raise AssertionError(f"the message is no line that names {name}: {message!r}")
    return f"refused: {type(error).__name__}"

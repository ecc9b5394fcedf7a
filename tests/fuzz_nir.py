"""Broken NIR files: bytes, numbers, shapes, types and edges exchanged."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fuzz_inputs
import h5py
import nir
import numpy as np

from spikeunet.converters import read_nir
from spikeunet.engine import load_model, save_model
from spikeunet.engine.errors import StateDictError

KINDS = ("Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLIF", "Delay", "I", "IF", "LI", "LIF", "NIRGraph", "Threshold")
TEXTS = ("{", "[]", '{"reset": "zero"}', '{"type": "Lapicque"}', '{"initial": 1e39}', "\x00", '{"dt": -1}')


def graph() -> nir.NIRGraph:
    """A classifier with every kind of node, and a nested graph with a loop."""
    ones, four = np.ones((2, 4, 4), np.float32), np.ones(4, np.float32)
    pair = [np.array((2, 2)), np.array((2, 2)), np.array((0, 0))]
    matrix = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([4])}),
            "cuba": nir.CubaLIF(
                0.01 * four, 0.02 * four, four, 0 * four, four, metadata={"spikeunet": '{"dt": 0.001}'}
            ),
            "back": nir.Linear(matrix),
            "output": nir.Output({"output": np.array([4])}),
        },
        [("input", "cuba"), ("cuba", "back"), ("back", "cuba"), ("cuba", "output")],
    )
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "scale": nir.Scale(np.full((1, 8, 8), 2, np.float32)),
        "conv": nir.Conv2d((8, 8), np.ones((2, 1, 3, 3), np.float32), (2, 2), (1, 1), (1, 1), 1, np.zeros(2)),
        "if": nir.IF(ones, ones),
        "wait": nir.Delay(0.001 * ones),
        "sum": nir.SumPool2d(*pair),
        "average": nir.AvgPool2d(*pair),
        "flat": nir.Flatten({"input": np.array((2, 2, 2))}, 0, -1),
        "affine": nir.Affine(np.ones((4, 8), np.float32), four),
        "inner": inner,
        "lif": nir.LIF(0.01 * np.arange(1, 5), four, 0 * four, four),
        "last": nir.Linear(matrix),
        "li": nir.LI(four, four, four),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "scale"), ("scale", "conv"), ("conv", "if"), ("if", "wait"), ("wait", "sum"), ("sum", "flat"),
             ("if", "average"), ("average", "flat"), ("flat", "affine"), ("affine", "inner"), ("inner", "lif"),
             ("lif", "last"), ("last", "li"), ("li", "output")]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


class Graphs:
    """Broken files of one graph."""

    def __init__(self) -> None:
        stream = io.BytesIO()
        nir.write(stream, graph())
        self.whole = stream.getvalue()

    def __call__(self, random: np.random.Generator) -> bytes:
        if random.integers(3) == 0:
            return fuzz_inputs.damage(self.whole, random)
        stream = io.BytesIO(self.whole)
        with h5py.File(stream, "r+") as file:
            for _ in range(random.integers(1, 4)):
                _change(file, random)
        return stream.getvalue()


def _change(file: Any, random: np.random.Generator) -> None:
    """Another array, text or edge, or none at all."""
    paths: list[str] = []
    file.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
    path = paths[random.integers(len(paths))]
    value = file[path][()]
    del file[path]
    if random.integers(8) == 0:
        return
    if isinstance(value, bytes):
        file[path] = str(random.choice(TEXTS if path.endswith("spikeunet") else KINDS))
    elif path.endswith("edges"):
        names = ["input", "if", "flat", "inner", "lif", "nobody", "output", "sum"]
        value = value.copy()
        value[random.integers(len(value)), random.integers(2)] = str(random.choice(names))
        file.create_dataset(path, data=value, dtype=h5py.string_dtype())
    else:
        file[path] = _other(np.asarray(value), random)


def _other(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    kind = random.integers(4)
    if kind == 0:
        return array.reshape(-1)[: random.integers(array.size + 1)]
    if kind == 1:
        return np.stack([array] * 2)
    number = random.choice([np.nan, np.inf, 0, -1, 1e38, 1e-45, 2**31, 3, 0.5])
    other = array.astype(np.float64)
    if kind == 2:
        return np.full_like(other, number)
    other.reshape(-1)[random.integers(array.size) if array.size else slice(0)] = number
    return other


def read_broken_graph(content: bytes) -> str:
    """Refused in one line, or a network that can be saved."""
    import fuzz

    Path("input.nir").write_bytes(content)
    try:
        network = read_nir("input.nir", 0.001)
    except StateDictError as error:
        return fuzz.refused(error)
    save_model(network, "made.npz")
    load_model("made.npz")
    return "read"

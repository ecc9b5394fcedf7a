"""Kill a process while it writes, again and again: every file it writes is the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz_training import trainer
from small_denoiser import small_denoiser

from spikeunet.engine import load_model, read_picture, save_model, simulate, write_picture
from spikeunet.engine.command_line import main as command
from spikeunet.engine.command_line import training_files
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.files.archive import read_arrays
from spikeunet.engine.learning.finetune import Trainer
from spikeunet.engine.operations import Operations

ROWS = 400
"""Lines of a log, so that it does not fit into one write."""


@dataclass(frozen=True)
class Kind:
    """An output: how version 1 or 2 of it is written to a path, and how the version is read back."""

    name: str
    write: Callable[[Path, int], object]
    version: Callable[[Path], int]


@functools.cache
def operations(version: int) -> Operations:
    return simulate(small_denoiser(), np.ones((1, 8, 8), np.float32), steps=16 * version, threads=1).operations


def write_ledger(path: Path, version: int) -> None:
    ledger = operations(version)
    ledger.to_json(path) if path.suffix == ".json" else ledger.to_csv(path, by="step")


def run_denoise(path: Path, version: int) -> None:
    """The whole command; `path` is its report."""
    line = ["denoise", "input.png", "-o", "denoised.png", "--model", "denoiser.npz", "--threads", "1", "--steps"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        command([*line, str(16 * version), "--report", str(path)])


def version_of_report(path: Path) -> int:
    """The report's, and the picture beside it is whole."""
    height_of(Path("denoised.png"))
    (model,) = json.loads(path.read_text("utf-8"))["models"].values()
    return int(model["steps"]) // 16


def steps_of_json(path: Path) -> int:
    content = json.loads(path.read_text("utf-8"))
    return int(content["steps"]) // 16


def steps_of_csv(path: Path) -> int:
    with open(path, newline="", encoding="utf-8") as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream)]
    return (max(steps) + 1) // 16 if steps.count(0) == steps.count(max(steps)) else 0


@functools.cache
def begun(version: int) -> Trainer:
    run = trainer()
    run.iteration = version
    return run


def iteration_of(path: Path) -> int:
    arrays = read_arrays(path, ModelFileError, "write it again")
    return int(json.loads(arrays["state"].tobytes())["iteration"])


def log_rows(version: int) -> list[training_files.Row]:
    row = dict.fromkeys(training_files.COLUMNS, float(version))
    return [{**row, "iteration": float(index)} for index in range(ROWS * version)]


def length_of_log(path: Path) -> int:
    return len(training_files.read_log(path, ROWS * 3)) // ROWS


def height_of(path: Path) -> int:
    picture = read_picture(path)
    return len(picture) // 40 if picture.shape[1] == 50 else 0


def drawn(path: Path) -> int:
    """A curve has no version to read; that it is decoded to its end is all that there is."""
    return 1 if read_picture(path).size else 0


def picture(version: int, dtype: type) -> np.ndarray:
    values = np.random.default_rng(version).random((40 * version, 50, 3))
    return (values * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)


def kinds() -> list[Kind]:
    """Every kind of file that a command or a function writes."""
    pictures = {".png": np.uint8, ".tif": np.float32, ".jpg": np.uint8, ".webp": np.uint8, ".bmp": np.uint8}
    found = [
        Kind(f"picture{suffix}", lambda path, version, t=dtype: write_picture(path, picture(version, t)), height_of)
        for suffix, dtype in (*pictures.items(), ("16.png", np.uint16))
    ]
    found += [
        Kind("model.npz", lambda path, version: save_model(small_denoiser(version=version), path),
             lambda path: load_model(path).metadata["version"]),
        Kind("checkpoint.npz", lambda path, version: begun(version).checkpoint(path), iteration_of),
        Kind("log.csv", lambda path, version: training_files.write_log(path, log_rows(version)), length_of_log),
        Kind("ledger.csv", write_ledger, steps_of_csv),
        Kind("ledger.json", write_ledger, steps_of_json),
        Kind("report.json", run_denoise, version_of_report),
    ]  # fmt: skip
    if training_files.can_plot():
        draw = training_files.draw_curve
        found.append(Kind("curve.png", lambda path, version: draw(path, log_rows(version), "title"), drawn))
    return found


class Killer:
    """Exchanges a file for its other version in a child, over and over, and kills the child at a random moment."""

    def __init__(self) -> None:
        self.kinds = kinds()
        self.seconds: dict[str, float] = {}

    def __call__(self, random: np.random.Generator) -> str:
        kind = self.kinds[random.integers(len(self.kinds))]
        path = Path(kind.name).resolve()
        if not path.exists():
            self._begin(kind, path)
        child = os.fork()
        if child == 0:
            while True:
                for version in (2, 1):
                    kind.write(path, version)
        # A moment anywhere in the first two writes.
        time.sleep(random.uniform(0, 2 * self.seconds[kind.name]))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for temporary in Path().glob(".*.tmp"):
            temporary.unlink()
        version = kind.version(path)
        if version not in (1, 2):
            raise AssertionError(f"{kind.name} is neither the old file nor the new one, but {version}")
        return f"whole: {kind.name}"

    def _begin(self, kind: Kind, path: Path) -> None:
        """Both versions are written once, and told apart."""
        write_picture("input.png", picture(1, np.uint8)[..., 0])
        save_model(small_denoiser(), "denoiser.npz")
        for version in (2, 1):
            begin = time.perf_counter()
            kind.write(path, version)
            self.seconds[kind.name] = time.perf_counter() - begin
            if kind.version(path) != (1 if kind.version is drawn else version):
                raise AssertionError(f"{kind.name}: version {version} is read as {kind.version(path)}")

"""Broken command lines of segment and evaluate: models with odd classes, palettes and preprocessing, label pictures,
and journals of interrupted evaluations."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import fuzz_inputs
import numpy as np
from small_segmenter import small_segmenter

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main as command
from spikeunet.engine.pictures.labels import write_labels

METADATA = {
    "classes": ["dark", "bright"],
    "palette": [[0, 0, 0], [255, 255, 255]],
    "preprocessing": [{"name": "adjust_gamma", "gamma": 0.9}],
    "source": {"url": "https://example.org", "weights": [1, 2.5]},
}
JOURNAL = "out/journal.jsonl"
EVALUATE = ("evaluate", "model.npz", "folder:labels", "--threads", "1", "--steps", "1")


class Segmenters:
    """Model files of a segmenter whose metadata are broken."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_model(small_segmenter(**METADATA), Path(folder) / "model.npz")
            self.whole = (Path(folder) / "model.npz").read_bytes()
        self.arrays = fuzz_inputs.arrays_of(self.whole)

    def __call__(self, random: np.random.Generator) -> bytes:
        text = self.arrays["metadata"].tobytes()
        metadata = json.loads(text)
        for _ in range(random.integers(1, 4)):
            metadata = fuzz_inputs.changed_json(metadata, random)
        hostile = random.integers(4) == 0
        text = fuzz_inputs.hostile_text(text, random) if hostile else json.dumps(metadata).encode()
        return fuzz_inputs.npz({**self.arrays, "metadata": np.frombuffer(text, np.uint8)})


def label_picture() -> bytes:
    """An indexed PNG as `segment` writes it."""
    labels = np.random.default_rng(0).integers(0, 2, (9, 11))
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder) / "labels.png", labels, METADATA["palette"])
        return (Path(folder) / "labels.png").read_bytes()


def broken_journal(whole: bytes, random: np.random.Generator) -> bytes:
    """A journal with damaged bytes, or a line whose JSON has changed."""
    if random.integers(3) == 0:
        return fuzz_inputs.damage(whole, random)
    lines = whole.splitlines()
    place = int(random.integers(len(lines)))
    lines[place] = json.dumps(fuzz_inputs.changed_json(json.loads(lines[place]), random)).encode()
    return b"\n".join(lines) + b"\n"


def interrupted(files: dict[str, bytes]) -> bytes:
    """The journal that stays where one picture cannot be read."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, content in files.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(content)
        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), contextlib.suppress(SystemExit):
            command([*EVALUATE, "-o", "out"])
        return Path(JOURNAL).read_bytes()


def segmentations() -> fuzz_inputs.Jobs:
    """Command lines of segment and evaluate."""
    models, pictures, labels = Segmenters(), fuzz_inputs.Pictures(), label_picture()
    good = {"model.npz": models.whole, "denoiser.npz": fuzz_inputs.Models().whole, "good.png": pictures.whole[0]}
    for name in ("a.png", "b.png"):
        good |= {f"folder/{name}": pictures.whole[0], f"labels/{name}": labels}
    good |= {"folder/c.png": b"no picture", "labels/c.png": labels}
    journal = interrupted(good)
    good[JOURNAL] = journal
    makers = {
        "model.npz": models,
        "good.png": pictures,
        "labels/a.png": lambda random: fuzz_inputs.damage(labels, random),
        "labels/b.png": pictures,
        JOURNAL: lambda random: broken_journal(journal, random),
    }
    line = ["segment", "good.png", "-o", "out.png", "--model", "model.npz", "--steps", "1"]
    lines = (
        line,
        [*line, "--overlay", "seen.png", "--probabilities", "maps.npz"],
        ["segment", "folder", "-o", "labelled", "--model", "model.npz", "--report", "report.json"],
        ["info", "model.npz"],
        [*EVALUATE, "-o", "out"],
        [*EVALUATE, "-o", "out"],
        [*EVALUATE, "--ann"],
        ["evaluate", "denoiser.npz", "folder", "-o", "results", "--steps", "1,2", "--add-noise", "15"],
    )
    # Not --workers and --scheduler, which start processes and wait for machines.
    options = ("--model", "--steps", "--overlay", "--probabilities", "--report", "--threads", "--order", "--tile", "-o")
    more = ("--data", "--split", "--ann", "--add-noise", "--seed", "--void", "--limit")
    return fuzz_inputs.Jobs(good, makers, lines, (*options, *more))

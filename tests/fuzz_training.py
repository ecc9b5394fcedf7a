"""Broken checkpoints and command lines of fine-tuning."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import fuzz_inputs
import numpy as np
from small_denoiser import small_denoiser

from spikeunet.engine.command_line import main as command
from spikeunet.engine.errors import ModelFileError, SpikeunetError
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainer

ITERATIONS = 3
LINE = (
    "finetune", "model.npz", "--train", "pictures", "-o", "tuned.npz", "--crop", "8", "--batch", "2",
    "--iterations", str(ITERATIONS), "--interval", "1", "--steps", "1", "--threads", "1",
)  # fmt: skip
OPTIONS = (
    "--train", "--validate", "-o", "--task", "--add-noise", "--validate-noise", "--crop", "--batch", "--steps",
    "--method", "--iterations", "--rate", "--loss", "--penalty", "--optimizer", "--momentum", "--schedule", "--warmup",
    "--clip", "--surrogate", "--width", "--train-thresholds", "--seed", "--interval", "--checkpoint", "--log",
    "--threads",
)  # fmt: skip


def trainer() -> Trainer:
    """At its beginning; every one is the same."""
    pictures = [np.random.default_rng(0).random((9, 11, 1), np.float32)]
    batches = DenoisingBatches(pictures, (5, 50), crop=8, batch=2)
    return Trainer(small_denoiser(), batches, Settings(steps=1, iterations=ITERATIONS), threads=1)


class Checkpoints:
    """Broken checkpoints of `trainer`."""

    def __init__(self) -> None:
        begun = trainer()
        begun.step()
        with tempfile.TemporaryDirectory() as folder:
            begun.checkpoint(Path(folder) / "checkpoint.npz")
            self.whole = (Path(folder) / "checkpoint.npz").read_bytes()
        self.arrays = fuzz_inputs.arrays_of(self.whole)

    def __call__(self, random: np.random.Generator) -> bytes:
        return broken_checkpoint(self.whole, random)


def broken_checkpoint(whole: bytes, random: np.random.Generator) -> bytes:
    """A checkpoint with damage to its bytes, its arrays, their headers or its JSON."""
    kind, arrays = random.integers(6), fuzz_inputs.arrays_of(whole)
    if kind == 0:
        return fuzz_inputs.damage(whole, random)
    if kind == 1:
        return fuzz_inputs.changed_arrays(arrays, random)
    if kind == 2:
        return fuzz_inputs.changed_header(whole, random)
    if kind == 3:
        return fuzz_inputs.lying_archive(whole, random)
    text = arrays["state"].tobytes()
    change = random.integers(5)
    if change == 0:
        text = fuzz_inputs.damage(text, random)
    elif change == 1:
        text = fuzz_inputs.hostile_text(text, random)
    else:
        text = json.dumps(fuzz_inputs.changed_json(json.loads(text), random)).encode()
    return fuzz_inputs.npz({**arrays, "state": np.frombuffer(text, np.uint8)})


def resume_broken(content: bytes) -> str:
    """A checkpoint is refused, or training goes on to its end with it, in as many steps as are left."""
    Path("checkpoint.npz").write_bytes(content)
    resumed = trainer()
    try:
        resumed.resume(Path("checkpoint.npz"))
    except ModelFileError as error:
        return f"refused: {checked_message(error)}"
    if not 0 <= resumed.iteration <= ITERATIONS:
        raise AssertionError(f"goes on at iteration {resumed.iteration} of {ITERATIONS}")
    try:
        while not resumed.finished:
            resumed.step()
        network = resumed.result()
    except SpikeunetError as error:
        return f"diverged: {checked_message(error)}"
    if not all(np.isfinite(node.weight).all() for node in network.nodes if hasattr(node, "weight")):
        raise AssertionError("the weights are not finite")
    return "resumed"


def checked_message(error: Exception) -> str:
    message = str(error)
    if "\n" in message or not message.strip():
        raise AssertionError(f"the message is not one line: {message!r}")
    return type(error).__name__


def trainings() -> fuzz_inputs.Jobs:
    """Command lines of finetune: new runs, and runs that go on from a checkpoint with its log."""
    models, pictures = fuzz_inputs.Models(), fuzz_inputs.Pictures()
    good = {"model.npz": models.whole}
    for folder in ("pictures", "held-out"):
        good |= {f"{folder}/{index}.png": pictures.whole[index] for index in range(3)}
    checkpoint, log = interrupted(good)
    good |= {"begun.checkpoint.npz": checkpoint, "begun.csv": log}
    makers = {
        "model.npz": models,
        "pictures/0.png": pictures,
        "held-out/0.png": pictures,
        "begun.checkpoint.npz": lambda random: broken_checkpoint(checkpoint, random),
        "begun.csv": lambda random: fuzz_inputs.damage(log, random),
    }
    go_on = [*("begun.npz" if word == "tuned.npz" else word for word in LINE), "--resume"]
    lines = (LINE, [*LINE, "--validate", "held-out"], [*LINE, "--method", "bptt"], go_on, go_on)
    return fuzz_inputs.Jobs(good, makers, lines, OPTIONS)


def interrupted(files: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Checkpoint and log of a run that stopped after its first step."""
    step = Trainer.step

    def once(self: Trainer) -> object:
        if self.iteration:
            raise KeyboardInterrupt
        return step(self)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), mock.patch.object(Trainer, "step", once):
        for name, content in files.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(content)
        with without_curves(), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            command(list(LINE))
        return Path("tuned.checkpoint.npz").read_bytes(), Path("tuned.csv").read_bytes()


@contextlib.contextmanager
def without_curves() -> Iterator[None]:
    """As if matplotlib were not installed: drawing takes longer than all the rest."""
    absent = object()
    before = sys.modules.get("matplotlib", absent)
    sys.modules["matplotlib"] = None
    try:
        yield
    finally:
        del sys.modules["matplotlib"]
        if before is not absent:
            sys.modules["matplotlib"] = before

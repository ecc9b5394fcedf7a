"""Throw broken input at everything that reads files or arguments: a named error or a right result, and nothing else.

    python tests/fuzz.py [TARGET ...] [--inputs 10000] [--seed 0] [--keep FOLDER]

tries so many mutated inputs on each target (model, state-dict, weights, weights-zip, weights-legacy, weights-npz,
weights-safetensors, weights-keras, onnx, nir, picture, command-line, calibration, segmentation, checkpoint, finetune,
learnt)
and prints how each ended; the target kill interrupts so many writers of every kind of output.
Anything but a refusal in one line or a result is a finding: it is printed, its input kept, and the status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fuzz_inputs
import fuzz_kill
import fuzz_learnt
import fuzz_segmentation
import fuzz_training
import fuzz_weights
import numpy as np

from spikeunet.converters import convert
from spikeunet.engine import Network, load_model, read_picture, save_model
from spikeunet.engine.command_line import main as command
from spikeunet.engine.errors import ModelFileError, PictureError, PictureWarning, SpikeunetError, StateDictError

LONGEST = 20.0
"""Seconds after which an input counts as a hang."""

LARGEST_GROWTH = 700 * 2**20
"""Bytes that one input may add to the largest resident size so far."""


class HangError(BaseException):
    """Raised by the alarm; no handler of ordinary errors catches it."""


class FindingError(Exception):
    """What an input should not have done."""


def read_broken_model(content: bytes) -> str:
    Path("input.npz").write_bytes(content)
    try:
        network = load_model(Path("input.npz").resolve())
    except ModelFileError as error:
        return refused(error)
    if not isinstance(network, Network):
        raise FindingError(f"gave {type(network)}")
    save_model(network, "again.npz")
    if len(load_model(Path("again.npz").resolve()).nodes) != len(network.nodes):
        raise FindingError("is not the same after saving and loading")
    return "read"


def read_broken_state(content: bytes) -> str:
    Path("input.npz").write_bytes(content)
    try:
        network = convert(Path("input.npz"), normalization="none")
    except StateDictError as error:
        return refused(error)
    if not all(np.isfinite(node.weight).all() for node in network.nodes if hasattr(node, "weight")):
        raise FindingError("weights are not finite")
    return "read"


def read_broken_picture(content: bytes) -> str:
    Path("input").write_bytes(content)
    try:
        with nothing_on_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", PictureWarning)  # what was assumed of it
            picture = read_picture("input")
    except PictureError as error:
        return refused(error)
    if picture.ndim not in (2, 3) or not picture.size:
        raise FindingError(f"gave a picture of the shape {picture.shape}")
    return "read"


def run_broken_command(job: fuzz_inputs.Job) -> str:
    """The exit status is 0 or 2; a refusal is one line and leaves no file behind."""
    for name, content in job.files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    before = listing()
    try:
        return run_command(job, before)
    finally:
        for path in Path().iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run_command(job: fuzz_inputs.Job, before: dict[str, int]) -> str:
    output, errors = io.StringIO(), io.StringIO()
    status: object = None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), nothing_on_stderr():
        try:
            command(list(job.arguments))
        except SystemExit as stop:
            status = stop.code
    if odd := {character for character in output.getvalue() if not character.isprintable()} - set("\n\t"):
        raise FindingError(f"printed {odd!r}")
    if status not in (0, None, 2):
        raise FindingError(f"exit status {status!r}: {errors.getvalue()[-300:]}")
    if status == 2:
        lines = errors.getvalue().splitlines()
        # Without any argument, the command prints its help.
        if not lines or not lines[0].startswith("Usage: " if not job.arguments else "spikeunet: "):
            raise FindingError(f"status 2 without a line that says why: {errors.getvalue()[-300:]!r}")
    left = sorted(name for name in listing() if name.endswith(".tmp"))
    # The other pictures of a folder, or of several inputs, are written all the same; a training run leaves a log and a
    # checkpoint to go on from, an evaluation its journal.
    partial = {"folder", "finetune", "evaluate"} & set(job.arguments) or any(
        "/" in new for new in {*listing()} - {*before}
    )
    if left or (status == 2 and len(lines) == 1 and not partial and listing() != before):
        raise FindingError(f"left files behind: {left or sorted(set(listing()) ^ set(before))}")
    return "refused: status 2" if status == 2 else "done"


def run_broken_training(job: fuzz_inputs.Job) -> str:
    with fuzz_training.without_curves():
        return run_broken_command(job)


def listing() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


@contextlib.contextmanager
def nothing_on_stderr() -> Iterator[None]:
    """FindingError where a library writes to the file descriptor behind Python's back."""
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        caught.seek(0)
        if lines := caught.read(300):
            raise FindingError(f"a library wrote to stderr: {lines!r}")


def refused(error: SpikeunetError) -> str:
    message = str(error)
    if "\n" in message or not message.strip():
        raise FindingError(f"the message is not one line: {message!r}")
    return f"refused: {type(error).__name__}"


@dataclass
class Target:
    """What is fuzzed: makes an input from a random generator, and tries it."""

    make: Callable[[np.random.Generator], object]
    attempt: Callable[..., str]


def targets() -> dict[str, Callable[[], Target]]:
    """Everything that can be fuzzed here, to be made when it is asked for.

    Scores of segmentations need scikit-learn, graphs the package onnx or nir.
    """
    found: dict[str, Callable[[], Target]] = {
        "model": lambda: Target(fuzz_inputs.Models(), read_broken_model),
        "state-dict": lambda: Target(fuzz_inputs.States(), read_broken_state),
        "picture": lambda: Target(fuzz_inputs.Pictures(), read_broken_picture),
        "command-line": lambda: Target(fuzz_inputs.command_lines(), run_broken_command),
        "calibration": lambda: Target(fuzz_inputs.calibrations(), run_broken_command),
        "checkpoint": lambda: Target(fuzz_training.Checkpoints(), fuzz_training.resume_broken),
        "finetune": lambda: Target(fuzz_training.trainings(), run_broken_training),
        "learnt": learnt,
        "weights": weights,
        "kill": lambda: Target(lambda random: random, fuzz_kill.Killer()),
    }
    found |= {f"weights-{name}": functools.partial(weights, name) for name in fuzz_weights.formats()}
    if importlib.util.find_spec("sklearn") is not None:
        found["segmentation"] = lambda: Target(fuzz_segmentation.segmentations(), run_broken_command)
    if importlib.util.find_spec("onnx") is not None:
        found["onnx"] = onnx_graphs
    if importlib.util.find_spec("nir") is not None and importlib.util.find_spec("h5py") is not None:
        found["nir"] = nir_graphs
    return found


def learnt() -> Target:
    whole = fuzz_learnt.Learnt()
    return Target(whole, lambda broken: fuzz_learnt.read_broken(whole, *broken))


def weights(*formats: str) -> Target:
    return Target(fuzz_weights.Weights(*formats), fuzz_weights.read_broken_weights)


def onnx_graphs() -> Target:
    import fuzz_onnx

    return Target(fuzz_onnx.Graphs(), fuzz_onnx.read_broken_graph)


def nir_graphs() -> Target:
    import fuzz_nir

    return Target(fuzz_nir.Graphs(), fuzz_nir.read_broken_graph)


@dataclass
class Report:
    """How the inputs of a target ended."""

    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common())
        return f"{self.ends.total()} inputs in {self.seconds:.0f} s (slowest {self.slowest:.2f} s): {ends}"


def fuzz(target: Target, inputs: int, seed: int, keep: Path | None = None) -> Report:
    """Try `inputs` inputs in the working folder; the k-th depends on the seed and k alone."""
    report, begin = Report(), time.perf_counter()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for number in range(inputs):
        content = target.make(np.random.default_rng([seed, number]))
        start = time.perf_counter()
        try:
            end = with_alarm(target.attempt, content)
        except (Exception, HangError) as error:  # noqa: BLE001 - whatever comes is a finding
            end = f"FINDING {type(error).__name__}"
            report.findings.append(f"input {number}: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}")
        report.slowest = max(report.slowest, time.perf_counter() - start)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if now > largest + LARGEST_GROWTH:
            end = "FINDING memory"
            report.findings.append(f"input {number}: took {(now - largest) / 2**20:.0f} MiB more")
        largest = max(largest, now)
        if end.startswith("FINDING") and keep is not None and isinstance(content, bytes):
            (keep / f"{number}.bin").write_bytes(content)
        report.ends[end] += 1
    report.seconds = time.perf_counter() - begin
    return report


def with_alarm(attempt: Callable[..., str], content: object) -> str:
    def stop(*_: object) -> None:
        raise HangError(f"still busy after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        return attempt(content)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: list[str]) -> int:
    available = targets()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(available))
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that found something")
    options = parser.parse_args(arguments)
    if options.keep is not None:
        options.keep = options.keep.resolve()
        options.keep.mkdir(parents=True, exist_ok=True)
    found = 0
    for name in options.targets or available:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            report = fuzz(available[name](), options.inputs, options.seed, options.keep)
        print(f"{name}: {report}", flush=True)
        for finding in report.findings[:20]:
            print(finding, flush=True)
        found += len(report.findings)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Time of the very first run (compiling included), of a warm start, and of the engine alone.

    python benchmarks/start_up.py

Denoises a 256x256 crop of the example picture at T = 8 in fresh processes: first with an empty kernel cache, then with
a warm one. Prints medians with the range.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _common as common
import click

PROGRAM = """
import sys, time
begin = time.perf_counter()
from spikeunet.engine import denoise, load_model, read_picture
picture = read_picture(sys.argv[1])[:256, :256]
network = load_model(sys.argv[2])
loaded = time.perf_counter() - begin
result = denoise(picture, network, steps=8, threads=int(sys.argv[3])).result
once = time.perf_counter() - begin
seconds = []
for _ in range(int(sys.argv[4])):
    seconds.append(denoise(picture, network, steps=8, threads=int(sys.argv[3])).result.seconds)
print(loaded, once, *seconds)
"""


def timed(picture: Path, model: str, threads: int, repeats: int, cache: str) -> tuple[float, list[float]]:
    """Wall-clock time of a process, and what it printed."""
    command = [sys.executable, "-c", PROGRAM, str(picture), model, str(threads), str(repeats)]
    begin = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "SPIKEUNET_CACHE": cache}, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - begin, [float(word) for word in done.stdout.split()]


def summary(name: str, seconds: list[float]) -> str:
    """A line with the median and the range."""
    return f"{name:58s} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})"


@click.command()
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(model: str, threads: int, repeats: int) -> None:
    """Measure cold start, warm start and engine time."""
    picture = Path(__file__).parents[1] / "examples" / "pictures" / "camera.png"
    with tempfile.TemporaryDirectory() as cache:
        cold, _ = timed(picture, model, threads, 0, cache)
        warm = [timed(picture, model, threads, 0, cache) for _ in range(repeats)]
        _, (_, _, *engine) = timed(picture, model, threads, repeats, cache)
    print(f"{model}, 256x256, T = 8, {threads} threads; {common.machine()}")
    print(summary("very first run, kernels compiled, whole process", [cold]))
    print(summary("warm start, whole process, picture denoised", [process for process, _ in warm]))
    print(summary("  of which imports and model", [printed[0] for _, printed in warm]))
    print(summary("engine time, network in memory", engine))


if __name__ == "__main__":
    main()

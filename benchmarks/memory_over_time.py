"""Memory over many calls: 1,000 mixed ones in one thread, and as many in a server of eight threads.

    python benchmarks/memory_over_time.py [--calls 1000] [--threads 8]

The calls are of every kind that a server would get: several sizes of pictures, gray and colour, models by name, from a
file and in memory, in one piece and in tiles, segmentation. Memory is what the operating system says that the
process has (VmRSS), noted after every tenth call. Prints a Markdown table; writes `memory_over_time.md`, `.csv` and
`.png`. Needs Linux and no data.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import _common as common
import click

PROGRAM = """
import itertools, json, sys, tempfile, threading
from pathlib import Path
import numpy as np
from spikeunet.engine import clear_caches, denoise, load_model, save_model, segment

calls, threads = int(sys.argv[1]), int(sys.argv[2])
generator = np.random.default_rng(0)
sizes = [(32, 32), (48, 32), (64, 64), (50, 70), (80, 48), (96, 96)]
gray = [generator.integers(0, 256, size, np.uint8) for size in sizes]
colour = [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes[:3]]
network = load_model("denoise-gray-fast")
file = Path(tempfile.mkdtemp()) / "model.npz"
save_model(network, file)
kinds = [
    lambda number: denoise(gray[number % len(gray)], steps=1),
    lambda number: denoise(gray[number % len(gray)], network, steps=1),
    lambda number: denoise(gray[number % len(gray)], file, steps=1),
    lambda number: denoise(gray[number % len(gray)], steps=1, tile=32),
    lambda number: denoise(gray[number % len(gray)], load_model("denoise-gray-fast"), steps=1),
    lambda number: denoise(colour[number % len(colour)], steps=1),
    lambda number: segment(gray[number % 2], steps=1),
    lambda number: denoise(gray[number % len(gray)], steps=2, threads=1),
]

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024

numbers, noted = itertools.count(), []

def work():
    while (number := next(numbers)) < calls:
        kinds[number % len(kinds)](number // len(kinds))
        if number % 10 == 9:
            noted.append((number + 1, resident()))

begun = resident()
others = [threading.Thread(target=work) for _ in range(threads - 1)]
for other in others:
    other.start()
work()
for other in others:
    other.join()
clear_caches()
print(json.dumps(dict(begun=begun, noted=sorted(noted), cleared=resident())))
"""


def measure(calls: int, threads: int) -> dict:
    """What a process of its own says of its memory, in MiB."""
    command = [sys.executable, "-c", PROGRAM, str(calls), str(threads)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{threads} threads: status {done.returncode}\n{done.stderr}")
    return {"threads": threads, **json.loads(done.stdout.splitlines()[-1])}


def table(runs: list[dict], calls: int) -> list[str]:
    """A line for each number of threads; memory after so many calls, and the mean of the middle and the last third."""
    parts = [calls // 10, calls // 2, calls]
    head = ["threads of the program", "before the first call, MiB"]
    head += [f"after {part} calls" for part in parts]
    head += ["most", "mean of the middle third", "of the last third", "after `clear_caches()`"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for run in runs:
        memory = dict(run["noted"])
        after = [memory[max(number for number in memory if number <= part)] for part in parts]
        thirds = [mean_of_third(memory, calls, number) for number in (1, 2)]
        numbers = [run["begun"], *after, max(memory.values()), *thirds, run["cleared"]]
        lines.append("| " + " | ".join([str(run["threads"]), *(f"{number:.0f}" for number in numbers)]) + " |")
    return lines


def mean_of_third(memory: dict[int, float], calls: int, third: int) -> float:
    """Mean over a third of the calls, from 0."""
    return fmean(noted for number, noted in memory.items() if third * calls < 3 * number <= (third + 1) * calls)


def plot(runs: list[dict], path: Path) -> None:
    """Memory against calls."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for run in runs:
        numbers, memory = zip(*run["noted"], strict=True)
        label = "one thread" if run["threads"] == 1 else f"{run['threads']} threads"
        axes.plot(numbers, memory, label=label)
    axes.set(xlabel="calls", ylabel="memory of the process / MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--calls", type=click.IntRange(100), default=1000, show_default=True)
@click.option("--threads", default=8, show_default=True, help="Of the server.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(calls, threads, out):
    """Measure memory over many calls."""
    runs = [measure(calls, number) for number in (1, threads)]
    text = "\n".join([f"{calls} calls; {common.machine()}", "", *table(runs, calls)])
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory_over_time.md").write_text(text + "\n")
    with open(out / "memory_over_time.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["threads", "calls", "MiB"])
        writer.writerows((run["threads"], *row) for run in runs for row in run["noted"])
    plot(runs, out / "memory_over_time.png")


if __name__ == "__main__":
    main()

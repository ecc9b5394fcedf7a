"""Peak memory and time of denoising square pictures from 256 to 4096 pixels, tile by tile and in one piece.

    python benchmarks/memory.py [--sizes 256,512,1024,2048,4096] [--steps 1,2,4] [--whole-up-to 1024]

Each picture in a process of its own: memory is what the operating system says that the process took at most
(ru_maxrss), Python, libraries, model, picture and result included. A digest of the result shows that tiles change
nothing. Prints a Markdown table; writes `memory.md`, `memory.csv` and `memory.png`. Needs no data.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import _common as common
import click
from rich.console import Console

PROGRAM = """
import hashlib, json, resource, sys, time
sys.path.insert(0, sys.argv[1])
task = json.loads(sys.argv[2])
from _peer_pictures import noisy_picture
from spikeunet.engine import denoise, load_model
from spikeunet.engine.binding import build_program
from spikeunet.engine.simulation.tiles.tile_size import choose_tile

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

size, steps, threads = task["size"], task["steps"], task["threads"]
network = load_model(task["model"])
denoise(noisy_picture(64)[0], network, steps=steps, threads=threads)  # kernels are loaded, weights packed
multiple = network.size_multiple
padded = -(-size // multiple) * multiple
tile = task["tile"] or choose_tile(build_program(network, (network.input.channels, padded, padded)), padded, steps)
picture = noisy_picture(size)[0]
before, begin, busy = peak(), time.perf_counter(), time.process_time()
denoised = denoise(picture, network, steps=steps, threads=threads, tile=task["tile"])
seconds, processor = time.perf_counter() - begin, time.process_time() - busy
digest = hashlib.sha256(denoised.restored.tobytes()).hexdigest()
counts = denoised.result.total_accumulates
print(json.dumps(dict(tile=min(tile, padded), seconds=seconds, processor=processor, before=before, peak=peak(),
                      digest=digest, accumulates=counts)))
"""
FIELDS = (
    "model",
    "size",
    "steps",
    "threads",
    "tile",
    "seconds",
    "processor",
    "before",
    "peak",
    "accumulates",
    "digest",
)
ONE_PIECE = 1 << 24
"""A tile of more rows than any picture here has."""


def measure(task: dict) -> dict:
    """What a process of its own says of one picture."""
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), json.dumps(task)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task}: status {done.returncode}\n{done.stderr}")
    return {**task, **json.loads(done.stdout.splitlines()[-1])}


def table(rows: list[dict]) -> list[str]:
    """A line for each size and number of steps."""
    head = ["picture", "T", "rows of a tile", "peak, MiB", "before the run, MiB", "seconds", "s a megapixel"]
    head += ["in one piece: peak, MiB", "seconds", "same result"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    pieces = {(row["size"], row["steps"]): row for row in rows if row["one_piece"]}
    for row in rows:
        if row["one_piece"]:
            continue
        megapixels = row["size"] ** 2 / 1e6
        piece = pieces.get((row["size"], row["steps"]))
        cells = ["-"] * 3
        if piece is not None:
            same = all(piece[name] == row[name] for name in ("digest", "accumulates"))
            cells = [f"{piece['peak']:.0f}", f"{piece['seconds']:.2f}", "yes" if same else "**no**"]
        tile = "all" if row["tile"] >= row["size"] else str(row["tile"])
        numbers = [f"{row['peak']:.0f}", f"{row['before']:.0f}", f"{row['seconds']:.2f}"]
        size = f"{row['size']}x{row['size']}"
        cells = [size, str(row["steps"]), tile, *numbers, f"{row['seconds'] / megapixels:.2f}", *cells]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def plot(rows: list[dict], path: Path) -> None:
    """Peak memory and time against pixels."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for one_piece, style in ((False, "o-"), (True, "x:")):
        for steps in sorted({row["steps"] for row in rows}):
            shown = [row for row in rows if (row["steps"], row["one_piece"]) == (steps, one_piece)]
            pixels = [row["size"] ** 2 / 1e6 for row in shown]
            label = f"T = {steps}" + (", in one piece" if one_piece else "")
            left.plot(pixels, [row["peak"] for row in shown], style, label=label)
            right.plot(pixels, [row["seconds"] for row in shown], style)
    left.set(xlabel="megapixels", ylabel="peak memory / MiB", xscale="log", ylim=(0, None))
    right.set(xlabel="megapixels", ylabel="seconds", xscale="log", yscale="log")
    left.legend(fontsize="small")
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--sizes", default="256,512,1024,2048,4096", callback=common.whole_numbers, show_default=True)
@click.option("--steps", default="1,2,4", callback=common.whole_numbers, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--tile", type=int, help="Rows of a tile.  [default: as the engine chooses]")
@click.option("--whole-up-to", default=1024, show_default=True, help="Largest picture to run in one piece, too.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(model, sizes, steps, threads, tile, whole_up_to, out):
    """Measure peak memory and time."""
    rows = []
    with Console(stderr=True).status("") as status:
        for size in sizes:
            for number in steps:
                status.update(f"{size}x{size}, T = {number}")
                task = {"model": model, "size": size, "steps": number, "threads": threads}
                rows.append({**measure({**task, "tile": tile}), "one_piece": False})
                if size <= whole_up_to and rows[-1]["tile"] < size:
                    rows.append({**measure({**task, "tile": ONE_PIECE}), "one_piece": True})
    text = "\n".join([f"{model}, {threads} threads; {common.machine()}", "", *table(rows)])
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory.md").write_text(text + "\n")
    with open(out / "memory.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, out / "memory.png")


if __name__ == "__main__":
    main()

"""This engine beside dense simulations of the same spiking network, other simulators, and the artificial network.

    python benchmarks/peers.py [--model NAME]... [--sizes 256,512] [--steps 1,2,4,8] [--threads 1,2]

First checks that all of them compute the same (see _peer_check.py), then measures them side by side: one process for
each number of threads, pinned to as many processors, the simulators taking turns. Prints Markdown tables and writes
`peers.md`, `peers.csv` and `peers.png`. Needs the extra `benchmarks`, no data.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

import _common as common
import click
from rich.console import Console

from spikeunet.engine import Conv2d, ConvTranspose2d, Linear, load_model

NAMES = {
    "engine": "this engine",
    "optimised": "dense simulation, optimised (PyTorch)",
    "straightforward": "dense simulation, straightforward (PyTorch)",
    "ann-torch": "artificial network, PyTorch",
    "ann-onnxruntime": "artificial network, ONNX Runtime",
    "if-engine": "integrate-and-fire: this engine",
    "if-optimised": "integrate-and-fire: dense simulation, optimised",
    "if-spikingjelly": "integrate-and-fire: SpikingJelly",
    "if-snntorch": "integrate-and-fire: snnTorch",
}
SLOW = ("straightforward", "if-spikingjelly", "if-snntorch")
RATIOS = (
    ("straightforward", "engine", "straightforward / engine"),
    ("optimised", "engine", "optimised / engine"),
    ("ann-onnxruntime", "engine", "ANN in ONNX Runtime / engine"),
    ("if-spikingjelly", "if-engine", "SpikingJelly / engine"),
    ("if-snntorch", "if-engine", "snnTorch / engine"),
)
MODELS = ("denoise-gray-converted", "denoise-gray-fast")
FIELDS = ("model", "threads", "size", "steps", "simulator", "repeat", "seconds")


def work(task: dict):
    """JSON lines of a worker process, as they come."""
    command = [sys.executable, str(Path(__file__).with_name("_peer_worker.py")), json.dumps(task)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"a worker ended with status {process.returncode}; its message stands above")


def check(model: str, simulators: list[str], size: int, steps: int, threads: int) -> list[str]:
    """Lines that say what agrees; SystemExit where spikes differ that must not."""
    task = {"kind": "check", "model": model, "simulators": simulators, "size": size, "steps": steps}
    lines = []
    for found in work({**task, "threads": threads}):
        if "share" in found and found["kind"] == "twin":
            text = f"{found['different']:,} of {found['compared']:,} differ from the engine's, output {found['gap']:g}"
            lines.append(
                f"- {NAMES[found['simulator']]}: exact twin (weights of {found['bits']} binary digits, density "
                f"{found['density']:.3f}): spikes {text}"
            )
            if found["different"] or found["gap"]:
                raise SystemExit(f"{lines[-1]}\nthe simulations do not compute the same")
        elif "share" in found:
            lines.append(
                f"  The model as it is, where sums round (density {found['density']:.3f}): {found['different']:,} of "
                f"{found['compared']:,} differ ({found['share']:.2%}), the output by up to {found['gap']:.2g}"
            )
        elif "gap" in found:
            lines.append(f"- {NAMES[found['simulator']]}: output as `forward`'s up to {found['gap']:.1e}")
            if found["gap"] > 1e-3 * max(1.0, found["largest"]):
                raise SystemExit(f"{lines[-1]}\nthe artificial networks do not compute the same")
    return lines


def table(rows: list[dict], steps: list[int], simulators: list[str]) -> list[str]:
    """Median and range in seconds; the artificial networks, which have no steps, over all their runs."""
    seconds = defaultdict(list)
    for row in rows:
        number = 0 if row["simulator"].startswith("ann") else row["steps"]
        seconds[row["simulator"], number].append(row["seconds"])
    lines = ["| seconds, median (range) | " + " | ".join(f"T = {number}" for number in steps) + " |"]
    lines.append("|---|" + "---|" * len(steps))
    for name in simulators:
        numbers = [0] * len(steps) if name.startswith("ann") else steps
        cells = [_cell(seconds[name, number]) for number in numbers]
        lines.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
    for slow, fast, title in RATIOS:
        if slow in simulators and fast in simulators:
            over = [0] * len(steps) if slow.startswith("ann") else steps
            ratios = [
                median(seconds[slow, high]) / median(seconds[fast, low]) for high, low in zip(over, steps, strict=True)
            ]
            lines.append(f"| **{title}** | " + " | ".join(f"**{ratio:.2f}**" for ratio in ratios) + " |")
    return lines


def _cell(seconds: list[float]) -> str:
    return f"{median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


def plot(rows: list[dict], simulators: list[str], path: Path) -> None:
    """Time against steps, a panel for each model, size and number of threads."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys((row["model"], row["size"], row["threads"]) for row in rows))
    columns = min(len(panels), 4)
    lines = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(4.5 * columns, 3.8 * lines), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (model, size, threads) in zip(grid.flat, panels, strict=False):
        shown = [row for row in rows if (row["model"], row["size"], row["threads"]) == (model, size, threads)]
        steps = sorted({row["steps"] for row in shown})
        for name in simulators:
            of = {number: [row["seconds"] for row in shown if (row["simulator"], row["steps"]) == (name, number)]
                  for number in steps}  # fmt: skip
            style = {
                "linestyle": ":" if name.startswith("if") else "-",
                "marker": "" if name.startswith("ann") else "o",
            }
            width = 2.5 if name.endswith("engine") else 1.2
            axes.plot(steps, [median(of[number]) for number in steps], label=NAMES[name], linewidth=width, **style)
        axes.set(title=f"{model}, {size}x{size}, {threads} thread{'s' * (threads > 1)}", xlabel="time steps")
        axes.set(ylabel="seconds", xscale="log", yscale="log")
        axes.set_xticks(steps, [str(number) for number in steps])
        axes.minorticks_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)


def chosen(_context, _parameter, value: str) -> list[str]:
    """Names of simulators."""
    names = list(NAMES) if value == "all" else value.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: unknown; there are {', '.join(NAMES)}")
    return names


@click.command()
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True, help="Name or file.")
@click.option("--sizes", default="256,512", callback=common.whole_numbers, show_default=True)
@click.option("--steps", default="1,2,4,8", callback=common.whole_numbers, show_default=True)
@click.option("--threads", default="1,2", callback=common.whole_numbers, show_default=True)
@click.option("--simulators", default="all", callback=chosen, show_default=True, help=", ".join(NAMES))
@click.option("--repeats", default=7, show_default=True)
@click.option("--slow-repeats", default=3, show_default=True, help=f"Of {', '.join(SLOW)}.")
@click.option("--check-size", default=256, show_default=True, help="0 leaves the check out.")
@click.option("--check-steps", default=4, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(models, sizes, steps, threads, simulators, repeats, slow_repeats, check_size, check_steps, out):
    """Check and measure."""
    console = Console(stderr=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "spikingjelly", "snntorch"))
    text = [f"{common.machine()}; {packages}"]
    rows = []
    for model in models:
        network, label = load_model(model), Path(model).stem
        if any(isinstance(node, Linear) for node in network.nodes):
            raise SystemExit(f"{model} has a full connection, which the simulations here do not know")
        macs = common.macs_per_pixel(network)
        layers = sum(isinstance(node, (Conv2d, ConvTranspose2d)) for node in network.nodes)
        text += ["", f"## {label}: {layers} convolutions, {macs / 1e3:.0f} k multiply-accumulates per pixel (ANN)", ""]
        if check_size:
            with console.status(f"{label}: checking"):
                text += check(model, simulators, check_size, check_steps, max(threads))
        for number in threads:
            times = {name: slow_repeats if name in SLOW else repeats for name in simulators}
            task = {"kind": "measure", "model": model, "simulators": simulators, "sizes": sizes, "steps": steps}
            with console.status("") as status:
                for found in work({**task, "threads": number, "repeats": times}):
                    if "processors" in found:
                        pinned = f"{number} thread(s) on processor(s) {', '.join(map(str, found['processors']))}"
                    else:
                        rows.append({"model": label, "threads": number, **found})
                        status.update(f"{label}, {pinned}: {found['size']}x{found['size']}, T = {found['steps']}")
            for size in sizes:
                shown = [row for row in rows if (row["model"], row["threads"], row["size"]) == (label, number, size)]
                text += ["", f"{label}, {size}x{size}, {pinned}:", "", *table(shown, steps, simulators)]
    print("\n".join(text))
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.md").write_text("\n".join(text) + "\n")
    with open(out / "peers.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, simulators, out / "peers.png")


if __name__ == "__main__":
    main()

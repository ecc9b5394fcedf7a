"""This engine beside dense simulations of the same spiking network, other simulators, and the artificial network.

    python benchmarks/peers.py [--model NAME]... [--sizes 256,512] [--steps 1,4,8,16] [--threads 1,2]

First checks that all of them compute the same (see _peer_check.py), then measures them side by side: one process for
each number of threads, pinned to as many processors, the simulators taking turns. Integrate-and-fire runs only with
the first model's weights, and the slow simulators only where a run has no more than `--slow-pixels` pixels times
steps. Prints Markdown tables and writes `peers.md`, `peers.csv`, `peers.png` (seconds) and `peers_ratios.png` (how many
times faster than the others the engine is). Needs the extra `benchmarks`, no data.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

import _common as common
import click
from _peer_pictures import SIGMA
from rich.console import Console

from spikeunet.engine import Conv2d, ConvTranspose2d, Linear, Network, load_model
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels.dot import host_dots
from spikeunet.engine.tasks.inference import task_of

NAMES = {
    "engine": "this engine",
    "engine-vnni": "this engine, integers on AVX-512 VNNI instead of AMX",
    "engine-events": "this engine, event-driven kernels alone, float32",
    "engine-event-integers": "this engine, event-driven kernels alone, integers",
    "optimised": "dense simulation, optimised (PyTorch)",
    "straightforward": "dense simulation, straightforward (PyTorch)",
    "ann-torch": "artificial network, PyTorch",
    "ann-onnxruntime": "artificial network, ONNX Runtime",
    "ann-onnxruntime-int8": "artificial network, ONNX Runtime, 8 bits",
    "ann-torch-bf16": "artificial network, PyTorch, bfloat16",
    "ann-openvino": "artificial network, OpenVINO",
    "ann-openvino-bf16": "artificial network, OpenVINO, bfloat16",
    "ann-openvino-int8": "artificial network, OpenVINO, 8 bits",
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
    ("ann-onnxruntime-int8", "engine", "ANN in ONNX Runtime, 8 bits / engine"),
    ("ann-openvino", "engine", "ANN in OpenVINO / engine"),
    ("ann-openvino-bf16", "engine", "ANN in OpenVINO, bfloat16 / engine"),
    ("ann-openvino-int8", "engine", "ANN in OpenVINO, 8 bits / engine"),
    ("straightforward", "engine-events", "straightforward / engine, event-driven alone"),
    ("optimised", "engine-events", "optimised / engine, event-driven alone"),
    ("ann-onnxruntime", "engine-events", "ANN in ONNX Runtime / engine, event-driven alone"),
    ("ann-openvino", "engine-events", "ANN in OpenVINO / engine, event-driven alone"),
    ("if-spikingjelly", "if-engine", "SpikingJelly / engine"),
    ("if-snntorch", "if-engine", "snnTorch / engine"),
)
MODELS = ("denoise-gray-converted", "denoise-gray-fast")
PACKAGES = ("torch", "onnxruntime", "openvino", "spikingjelly", "snntorch")
FIELDS = ("model", "threads", "size", "steps", "simulator", "repeat", "seconds")
QUALITY_FIELDS = ("model", "size", "steps", "simulator", "psnr")

LARGEST_ERROR = 0.1
"""Of an artificial network in 8 or 16 bits, root mean square, as a share of the output's."""

_AVX2 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2"
_AVX512 = f"{_AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
INSTRUCTIONS = {
    "all": {},
    "vnni": {
        "NUMBA_CPU_NAME": "cascadelake",
        "NUMBA_CPU_FEATURES": f"{_AVX512},+avx512vnni",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
    },
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": _AVX2,
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
}
"""Environment in which the engine, PyTorch and OpenVINO use no more than these instructions; ONNX Runtime has no such
setting."""


def work(task: dict):
    """JSON lines of a worker process, as they come."""
    command = [sys.executable, str(Path(__file__).with_name("_peer_worker.py")), json.dumps(task)]
    allowed = os.environ | INSTRUCTIONS[task.get("instructions", "all")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=allowed) as process:
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"a worker ended with status {process.returncode}; its message stands above")


def check(model: str, simulators: list[str], size: int, steps: int, threads: int, instructions: str) -> list[str]:
    """Lines that say what agrees; SystemExit where spikes differ that must not."""
    task = {"kind": "check", "model": model, "simulators": simulators, "size": size, "steps": steps}
    lines = []
    for found in work({**task, "threads": threads, "instructions": instructions}):
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
            wrong = found["gap"] > 1e-3 * max(1.0, found["largest"])
            if found["simulator"].endswith(("int8", "bf16")):
                lines[-1] += f", root mean square {found['error']:.1%} of the output's"
                wrong = found["error"] > LARGEST_ERROR
            if wrong:
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
    for title, found in ratios(rows, steps):
        cells = [f"**{found[number]:.2f}**" if number in found else "-" for number in steps]
        lines.append(f"| **{title}** | " + " | ".join(cells) + " |")
    return lines


def ratios(rows: list[dict], steps: list[int]) -> list[tuple[str, dict[int, float]]]:
    """Title and, by steps, ratio of medians, for each of RATIOS of which there is one."""
    seconds = defaultdict(list)
    for row in rows:
        seconds[row["simulator"], row["steps"]].append(row["seconds"])
        if row["simulator"].startswith("ann"):
            seconds[row["simulator"], 0].append(row["seconds"])
    lines = []
    for slow, fast, title in RATIOS:
        pairs = {number: (seconds[slow, 0 if slow.startswith("ann") else number], seconds[fast, number])
                 for number in steps}  # fmt: skip
        found = {number: median(high) / median(low) for number, (high, low) in pairs.items() if high and low}
        if found:
            lines.append((title, found))
    return lines


def quality_table(rows: list[dict], steps: list[int]) -> list[str]:
    """PSNR in dB of one picture; those that have no steps have the same everywhere."""
    found = {(row["simulator"], row["steps"]): row["psnr"] for row in rows}
    title = f"picture quality on this picture, sigma {SIGMA:g}, PSNR in dB"
    lines = [f"| {title} | " + " | ".join(f"T = {number}" for number in steps) + " |"]
    lines.append("|---|" + "---|" * len(steps))
    for name in dict.fromkeys(row["simulator"] for row in rows):
        cells = [f"{found.get((name, number), found.get((name, 0))):.2f}" for number in steps]
        lines.append(f"| {NAMES.get(name, 'the noisy picture')} | " + " | ".join(cells) + " |")
    return lines


def _cell(seconds: list[float]) -> str:
    return f"{median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})" if seconds else "-"


def panels_of(rows: list[dict]):
    """A figure with axes for each model, size and number of threads: figure, (axes, rows), ..."""
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
    parts = []
    for axes, (model, size, threads) in zip(grid.flat, panels, strict=False):
        shown = [row for row in rows if (row["model"], row["size"], row["threads"]) == (model, size, threads)]
        steps = sorted({row["steps"] for row in shown})
        axes.set(title=f"{model}, {size}x{size}, {threads} thread{'s' * (threads > 1)}", xlabel="time steps")
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(steps, [str(number) for number in steps])
        axes.minorticks_off()
        parts.append((axes, shown, steps))
    return figure, parts


def plot(rows: list[dict], simulators: list[str], path: Path) -> None:
    """Time against steps."""
    figure, parts = panels_of(rows)
    for axes, shown, steps in parts:
        for name in simulators:
            of = {number: [row["seconds"] for row in shown if (row["simulator"], row["steps"]) == (name, number)]
                  for number in steps}  # fmt: skip
            points = [(number, median(found)) for number, found in of.items() if found]
            style = {
                "linestyle": ":" if name.startswith("if") else "-",
                "marker": "" if name.startswith("ann") else "o",
            }
            width = 2.5 if "engine" in name else 1.2
            if points:
                axes.plot(*zip(*points, strict=True), label=NAMES[name], linewidth=width, **style)
        axes.set(ylabel="seconds")
    figure.legend(*parts[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)


def plot_ratios(rows: list[dict], path: Path) -> None:
    """How many times faster than others the engine is, against steps."""
    figure, parts = panels_of(rows)
    for axes, shown, steps in parts:
        for title, found in ratios(shown, steps):
            axes.plot(list(found), list(found.values()), "o-", label=title)
        axes.axhline(1, color="gray", linewidth=0.8)
        low, high = axes.get_ylim()
        ticks = [tick for power in range(-2, 5) for tick in (10**power, 2 * 10**power, 5 * 10**power)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set(ylabel="time of the other / time of the engine")
    figure.legend(*parts[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)


def measurable(model: str) -> Network:
    """The network of a model; SystemExit where the simulations or the picture do not suit it."""
    network = load_model(model)
    if any(isinstance(node, Linear) for node in network.nodes):
        raise SystemExit(f"{model} has a full connection, which the simulations here do not know")
    if network.input.channels != 1:
        raise SystemExit(f"{model} takes {network.input.channels} channels; the picture here is gray")
    return network


def picture_quality(model: str, task: dict) -> list[dict]:
    """PSNR of the picture, by simulator, size and steps; none where the model is no denoiser."""
    if task_of(load_model(model)) != "denoise":
        return []
    return [row for row in work({**task, "kind": "quality", "model": model}) if "psnr" in row]


def chosen(_context, _parameter, value: str) -> list[str]:
    """Names of simulators."""
    special = ("engine-vnni", "engine-event-integers")
    names = [name for name in NAMES if name not in special] if value == "all" else value.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: unknown; there are {', '.join(NAMES)}")
    if "engine-vnni" in names and "vnni" not in host_dots():
        raise click.BadParameter("engine-vnni: this processor has no AVX-512 VNNI; leave it out")
    if "engine-event-integers" in names and "event-integers" not in host_kernels():
        raise click.BadParameter("engine-event-integers: this processor has no AVX-512 VNNI; leave it out")
    return names


@click.command()
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True, help="Name, or path of a file.")
@click.option("--sizes", default="256,512", callback=common.whole_numbers, show_default=True)
@click.option("--steps", default="1,4,8,16", callback=common.whole_numbers, show_default=True)
@click.option("--threads", default="1,2", callback=common.whole_numbers, show_default=True)
@click.option("--simulators", default="all", callback=chosen, show_default=True, help=", ".join(NAMES))
@click.option(
    "--instructions",
    type=click.Choice(INSTRUCTIONS),
    default="all",
    show_default=True,
    help="No more than these, but ONNX Runtime, which has no such setting and is left out.",
)
@click.option("--repeats", default=7, show_default=True)
@click.option("--slow-repeats", default=3, show_default=True, help=f"Of {', '.join(SLOW)}.")
@click.option("--slow-pixels", default=8 << 18, show_default=True, help="Most pixels times steps of slow simulators.")
@click.option("--check-size", default=256, show_default=True, help="0 leaves the check out.")
@click.option("--check-steps", default=4, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(
    models, sizes, steps, threads, simulators, instructions, repeats, slow_repeats, slow_pixels, check_size,
    check_steps, out,
):  # fmt: skip
    """Check and measure."""
    console = Console(stderr=True)
    if instructions != "all":
        simulators = [name for name in simulators if "onnxruntime" not in name]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    text = [f"{common.machine()}; instructions: {instructions}; {packages}"]
    rows, scores = [], []
    for position, model in enumerate(models):
        shown_here = [name for name in simulators if position == 0 or not name.startswith("if")]
        network, label = measurable(model), Path(model).stem
        macs = common.macs_per_pixel(network)
        layers = sum(isinstance(node, (Conv2d, ConvTranspose2d)) for node in network.nodes)
        text += ["", f"## {label}: {layers} convolutions, {macs / 1e3:.0f} k multiply-accumulates per pixel (ANN)", ""]
        if check_size:
            with console.status(f"{label}: checking"):
                text += check(model, shown_here, check_size, check_steps, max(threads), instructions)
        task = {"simulators": shown_here, "sizes": sizes, "steps": steps, "instructions": instructions}
        with console.status(f"{label}: picture quality"):
            found = picture_quality(model, {**task, "threads": max(threads)})
        scores += [{"model": label, **row} for row in found]
        for number in threads:
            times = {name: slow_repeats if name in SLOW else repeats for name in shown_here}
            most = {name: slow_pixels if name in SLOW else None for name in shown_here}
            measured = {**task, "kind": "measure", "model": model, "threads": number, "repeats": times, "pixels": most}
            with console.status("") as status:
                for found in work(measured):
                    if "processors" in found:
                        pinned = f"{number} thread(s) on processor(s) {', '.join(map(str, found['processors']))}"
                    else:
                        rows.append({"model": label, "threads": number, **found})
                        status.update(f"{label}, {pinned}: {found['size']}x{found['size']}, T = {found['steps']}")
            for size in sizes:
                shown = [row for row in rows if (row["model"], row["threads"], row["size"]) == (label, number, size)]
                text += ["", f"{label}, {size}x{size}, {pinned}:", "", *table(shown, steps, shown_here)]
                scored = [row for row in scores if (row["model"], row["size"]) == (label, size)]
                text += ["", *quality_table(scored, steps)] if scored else []
    print("\n".join(text))
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.md").write_text("\n".join(text) + "\n")
    for name, fields, written in (("peers", FIELDS, rows), ("peers_quality", QUALITY_FIELDS, scores)):
        with open(out / f"{name}.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, fields)
            writer.writeheader()
            writer.writerows(written)
    plot(rows, simulators, out / "peers.png")
    plot_ratios(rows, out / "peers_ratios.png")


if __name__ == "__main__":
    main()

"""The quantised twin beside the artificial and the spiking network: quality, operations, energy and time.

    python benchmarks/quantised_twin.py --data FOLDER [--limit 7] [--plot docs/twin.png] [--markdown FILE]

FOLDER holds `set12`. The twin is the artificial network whose activations have as many levels as the neurons have in T
steps (`spikeunet.engine.quantised_twin`). It is charged twice: with all its products, as dense hardware makes them, and
with those of activations that are not zero, as hardware that skips zeros does. The converted network is measured at
each number of --steps, a fine-tuned one at its own. Noise of sigma 25, the seed is the picture's index. Energies are
means for a picture: of the float32 network by models of 32 bits, of the others by models of 8 bits. Times are the
shortest of --repeats, of one thread for the first picture, taken in turn: the artificial network in float32 and in 8
bits in ONNX Runtime, the spiking one in this engine; they need the extra `benchmarks`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import Network, load_model, psnr, quantised_twin, simulate, twin_bits
from spikeunet.engine.command_line.console import progress
from spikeunet.engine.graph import Projection
from spikeunet.engine.operations import Operations
from spikeunet.engine.operations.energy import estimate_energy
from spikeunet.engine.operations.readings import MULTIPLY_ACCUMULATE, SHIFT_ADDS
from spikeunet.engine.pictures.padding import crop, pad_to_multiple
from spikeunet.engine.tasks.inference import recommended_steps
from spikeunet.engine.tasks.restorers import prediction_in, restore

SIGMA = 25.0
BYTES = ("45nm-8bit", "lemaire-8bit", "spikingjelly-8bit")
WORDS = ("45nm", "lemaire", "spikingjelly")
"""Energy models of the same operations and memories in 8 and in 32 bits."""

ANN, DENSE, SKIPPING, SPIKING, SHIFTED = (
    "ANN, float32",
    "quantised twin",
    "quantised twin, zeros skipped",
    "spiking, multiply-accumulates",
    "spiking, shift-adds",
)
MARKS = {
    DENSE: ("s", "tab:blue"),
    SKIPPING: ("D", "tab:cyan"),
    SPIKING: ("o", "tab:red"),
    SHIFTED: ("^", "tab:orange"),
}
HEADER = (
    "network",
    "",
    "T",
    "bits",
    "PSNR",
    "operations per pixel",
    *(f"{name[:-5]}, mJ" for name in BYTES),
    "time, ms",
)


def restored(network: Network, noisy: np.ndarray, output: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """The picture without what the network took for noise."""
    return restore(noisy, crop(output, origin, noisy.shape)[None], prediction_in(network.metadata))


def products(network: Network, activations: dict[str, np.ndarray], shape: tuple[int, int, int]) -> int:
    """Products of activations that are not zero and weights, borders and strides respected, as `synops` counts them."""
    shapes, found = network.shapes(shape), 0
    for node in network.nodes:
        if not isinstance(node, Projection):
            continue
        fan = node.fan_out(shapes[node.source])
        for leaf in network.leaves(node.source):
            if leaf in activations:
                active = np.count_nonzero(activations[leaf], axis=0)
                found += int(fan.rows @ active @ fan.columns) * fan.channels
    return found


def measure(network: Network, picture: common.Noisy, steps: int) -> dict[str, tuple[float, int, list[float | None]]]:
    """PSNR, operations and joules (BYTES; of the ANN, WORDS) of each kind of network on one picture."""
    padded, origin = pad_to_multiple(picture.noisy[None], network.size_multiple)
    result = simulate(network, padded, steps)
    ledger, dense = result.operations, int(result.operations.totals["dense_macs"])
    output, activations = quantised_twin(network, padded, steps, record="all")
    quality = [
        psnr(picture.clean, version)
        for version in (
            common.restored_by_ann(network, picture.noisy),
            restored(network, picture.noisy, output, origin),
            restored(network, picture.noisy, result.output, origin),
        )
    ]
    kept = products(network, activations, padded.shape) + ledger.totals["macs"]
    spiking = ledger.totals["synops"] + ledger.totals["macs"]
    shifted = ledger.readings[SHIFT_ADDS]
    found = {
        ANN: (quality[0], dense, [ledger.energy(model).dense for model in WORDS]),
        DENSE: (quality[1], dense, [ledger.energy(model).dense for model in BYTES]),
        SKIPPING: (quality[1], kept, [estimate_energy(0, kept, BYTES[0]), None, None]),
        SPIKING: (quality[2], spiking, joules(ledger, MULTIPLY_ACCUMULATE)),
    }
    if shifted is not None:
        found[SHIFTED] = (quality[2], shifted.accumulates + ledger.totals["macs"], joules(ledger, SHIFT_ADDS))
    return found


def joules(ledger: Operations, reading: str) -> list[float]:
    """Of a run, by the models of 8 bits."""
    return [ledger.energy(model, reading).spiking for model in BYTES]


def times(network: Network, picture: common.Noisy, steps: int, repeats: int) -> dict[str, float]:
    """Milliseconds by kind; without ONNX Runtime, of the engine alone."""
    padded, _ = pad_to_multiple(picture.noisy[None], network.size_multiple)
    padded = np.ascontiguousarray(padded, np.float32)
    runs: dict[str, Callable[[], object]] = {SPIKING: lambda: simulate(network, padded, steps, threads=1)}
    try:
        from _peer_ann import OnnxAnn
        from _peer_int8 import Int8Ann

        floating, integer = OnnxAnn(network, 1), Int8Ann(network, 1)
    except ImportError as error:
        print(f"no times of the artificial network: {error}")
    else:
        runs |= {ANN: lambda: floating.run(padded), DENSE: lambda: integer.run(padded)}
    taken: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(1 + repeats):
        for kind, run in runs.items():
            begin = time.perf_counter()
            run()
            taken[kind].append(1e3 * (time.perf_counter() - begin))
    return {kind: min(each[1:]) for kind, each in taken.items()}


def rows_of(name: str, steps: int, pictures: list[common.Noisy], repeats: int) -> list[dict]:
    """A line of the table for each kind: means over the pictures."""
    network = load_model(name)
    found = [measure(network, each, steps) for each in progress(pictures, description=f"{name}, T = {steps}")]
    milliseconds = times(network, pictures[0], steps, repeats) if repeats else {}
    pixels = np.mean([each.clean.size for each in pictures])
    bits = {ANN: 32, **dict.fromkeys((DENSE, SKIPPING), twin_bits(network.neurons[0].model, steps))}
    lines = []
    for kind in found[0]:
        quality, operations, energies = zip(*(each[kind] for each in found), strict=True)
        means = [None if None in column else 1e3 * float(np.mean(column)) for column in zip(*energies, strict=True)]
        lines.append(
            {
                "network": name,
                "kind": kind,
                "steps": steps if kind != ANN else None,
                "bits": bits.get(kind, twin_bits(network.neurons[0].model)),
                "psnr": float(np.mean(quality)),
                "operations": float(np.mean(operations) / pixels),
                "energies": means,
                "time": milliseconds.get(kind),
            }
        )
    return lines


def markdown(rows: list[dict]) -> str:
    """The table."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    for row in rows:
        energies = ["" if value is None else f"{value:.3g}" for value in row["energies"]]
        steps, taken = ("" if row[name] is None else f"{row[name]:.0f}" for name in ("steps", "time"))
        cells = [row["network"], row["kind"], steps, str(row["bits"]), f"{row['psnr']:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{row['operations'] / 1e3:.1f} k", *energies, taken]) + " |")
    return "\n".join(lines)


def plot(rows: list[dict], path: Path) -> None:
    """Quality against energy, operations alone and with memory."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for axis, number, title in zip(axes, (0, 1), ("operations alone", "with memory, Lemaire et al."), strict=True):
        for kind, (marker, colour) in MARKS.items():
            shown = [row for row in rows if row["kind"] == kind and row["energies"][number] is not None]
            places = [(row["energies"][number], row["psnr"]) for row in shown] or [(np.nan, np.nan)]
            axis.scatter(*zip(*places, strict=True), marker=marker, color=colour, label=kind, alpha=0.7)
        best = max(row["psnr"] for row in rows if row["kind"] == ANN)
        axis.axhline(best, color="gray", lw=0.8, label=ANN)
        axis.set(xscale="log", xlabel="mJ a picture, 45 nm, 8 bits", title=title)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.margins(x=0.15, y=0.1)
    spiking = [row for row in rows if row["kind"] == SPIKING]
    for row in spiking:
        label = f"T = {row['steps']}" + ", fine-tuned" * row["network"].endswith("fast")
        for axis in axes:
            axis.axhline(row["psnr"], color="gray", lw=0.5, ls=":", zorder=0)
        place = (1, row["psnr"])
        across = {"xycoords": axes[1].get_yaxis_transform(), "textcoords": "offset points"}
        axes[1].annotate(label, place, (5, 0), fontsize=8, va="center", **across)
    axes[0].set_ylabel("PSNR / dB, Set12, sigma 25")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option(
    "--steps", default="1,2,4", callback=common.whole_numbers, show_default=True, help="Of the converted one."
)
@click.option("--tuned", multiple=True, default=("denoise-gray-fast",), show_default=True)
@click.option("--limit", type=int, help="Only the first pictures.")
@click.option("--repeats", default=5, show_default=True, help="Of each time; 0 for none.")
@click.option("--markdown", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here, too.")
@click.option("--plot", "figure", type=click.Path(dir_okay=False, path_type=Path), help="Write the plot here.")
def main(data, model, steps, tuned, limit, repeats, path, figure):
    """Print the table."""
    pictures = list(common.noisy_pictures(data / "set12", SIGMA, limit))
    asked = [*((name, recommended_steps(load_model(name))) for name in tuned), *((model, number) for number in steps)]
    rows = [row for name, number in asked for row in rows_of(name, number, pictures, repeats)]
    print(common.machine())
    print(markdown(rows))
    if path is not None:
        path.write_text(markdown(rows) + "\n")
    if figure is not None:
        plot(rows, figure)


if __name__ == "__main__":
    main()

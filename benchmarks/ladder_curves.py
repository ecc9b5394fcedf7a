"""PSNR against steps and against accumulates, for several threshold ladders and initial potentials.

    python benchmarks/ladder_curves.py --data FOLDER

FOLDER holds `set12`. The weights are those of the model; only its neurons are exchanged. Prints a Markdown table and
writes `ladder_curves.csv`, `ladder_curves.md` and `ladder_curves.png`. This is how the ladder of the shipped denoiser
was chosen.
"""

from __future__ import annotations

import csv
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import IntegrateAndFire, MultiThreshold, load_model
from spikeunet.engine.command_line.console import progress
from spikeunet.engine.pictures.metrics import psnr


def binary_ladder(top, levels, initial):
    """Thresholds top, top / 2, ...; initial potential as a share of the smallest."""
    thresholds = tuple(top / 2**level for level in range(levels))
    return MultiThreshold(thresholds, initial=initial * thresholds[-1])


CANDIDATES = {
    "2 ... 1/4 (the paper's), v0 = 0": binary_ladder(2, 4, 0),
    "2 ... 1/4, v0 = 1/8": binary_ladder(2, 4, 0.5),
    "1 ... 1/8, v0 = 1/16": binary_ladder(1, 4, 0.5),
    "1 ... 1/16, v0 = 0": binary_ladder(1, 5, 0),
    "1 ... 1/16, v0 = 1/32": binary_ladder(1, 5, 0.5),
    "1/2 ... 1/8, v0 = 1/16": binary_ladder(0.5, 3, 0.5),
    "1/2 ... 1/16, v0 = 1/32": binary_ladder(0.5, 4, 0.5),
    "1/2 ... 1/64, v0 = 1/128": binary_ladder(0.5, 6, 0.5),
    "1 ... 1/64, v0 = 1/128": binary_ladder(1, 7, 0.5),
    "1 ... 1/32, v0 = 1/64": binary_ladder(1, 6, 0.5),
    "IF, threshold 1, v0 = 1/2": IntegrateAndFire(1.0, initial=0.5),
}


def curves(network, folder, sigma, steps, limit):
    """For each candidate the mean PSNR and accumulates per pixel at each number of steps; and the ANN's PSNR."""
    pictures = list(common.noisy_pictures(folder, sigma, limit))
    ann = np.mean([psnr(each.clean, common.restored_by_ann(network, each.noisy)) for each in pictures])
    table = {}
    for name, model in progress(CANDIDATES.items(), description="ladders", total=len(CANDIDATES)):
        candidate = network.with_neurons(model)
        scores, costs = [], []
        for each in pictures:
            restored = common.restored_by_steps(candidate, each.noisy, steps).values()
            scores.append([psnr(each.clean, picture) for picture, _ in restored])
            costs.append([accumulates / each.clean.size for _, accumulates in restored])
        table[name] = (np.mean(scores, axis=0), np.mean(costs, axis=0))
    return table, ann


def plot(table, ann, macs, steps, path):
    """PSNR against steps, and against accumulates per pixel beside the ANN's multiply-accumulates."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 4.5), layout="constrained", sharey=True)
    for name, (scores, costs) in table.items():
        left.plot(steps, scores, "o-", label=name)
        right.plot(costs / 1e3, scores, "o-")
    for axes in (left, right):
        axes.axhline(ann, color="black", linestyle="--", linewidth=1)
        axes.set_ylim(ann - 6, ann + 0.3)
    right.set_xlim(left=10)
    right.axvline(macs / 1e3, color="black", linestyle=":", linewidth=1)
    left.set(xlabel="time steps", ylabel="PSNR / dB", xscale="log")
    left.set_xticks(steps, [str(number) for number in steps])
    left.minorticks_off()
    right.set(xlabel="thousand accumulates per pixel (dotted: the ANN's multiply-accumulates)", xscale="log")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--sigma", default=25.0, show_default=True)
@click.option("--steps", default="1,2,4,8,16", callback=common.whole_numbers, show_default=True)
@click.option("--limit", type=int, help="Only the first pictures of the set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(data, model, sigma, steps, limit, out):
    """Compare threshold ladders on Set12."""
    network = load_model(model)
    macs = common.macs_per_pixel(network)
    table, ann = curves(network, data / "set12", sigma, steps, limit)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "ladder_curves.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("neuron", "steps", "psnr", "accumulates_per_pixel"))
        for name, (scores, costs) in table.items():
            writer.writerows((name, *row) for row in zip(steps, scores, costs, strict=True))
    lines = [
        "| neuron | " + " | ".join(f"T = {number}" for number in steps) + " |",
        "|---|" + "---|" * len(steps),
    ]
    for name, (scores, costs) in table.items():
        cells = (f"{score:.2f} ({cost / 1e3:.0f} k)" for score, cost in zip(scores, costs, strict=True))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    (out / "ladder_curves.md").write_text(text + "\n")
    plot(table, ann, macs, steps, out / "ladder_curves.png")
    print(f"{model} on Set12, sigma {sigma:g}: PSNR in dB (thousand accumulates per pixel)")
    print(f"ANN {ann:.2f} dB, {macs / 1e3:.0f} k multiply-accumulates per pixel; {common.machine()}")
    print(text)


if __name__ == "__main__":
    main()

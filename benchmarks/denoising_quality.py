"""PSNR and SSIM of noisy pictures, the ANN and the spiking network, with operations per pixel.

    python benchmarks/denoising_quality.py --data FOLDER --tuned denoise-gray-fast --tuned denoise-gray
    python benchmarks/denoising_quality.py --data FOLDER --sets cbsd68 --model half-size-colour-converted \
        --tuned denoise-colour

FOLDER holds `set12`, `bsd68` and `cbsd68`. --model is a converted network; one that was fine-tuned or rounded from it
is measured at the number of steps that it was made for, or at --tuned-steps; with --self-ensemble the first of them
also on so many views of each picture, each for the first of these numbers of steps. Prints a Markdown table and writes
`denoising_quality.csv` (a line for each picture), `denoising_quality.md` and `denoising_quality.png`.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import _common as common
import click
import numpy as np

from spikeunet.engine import denoise, load_model
from spikeunet.engine.command_line.console import progress
from spikeunet.engine.pictures.metrics import psnr, ssim

FIELDS = ("set", "sigma", "picture", "method", "steps", "psnr", "ssim", "operations_per_pixel")


def measure(network, folder, name, sigma, steps, limit, macs, method="spiking"):
    """Rows of one data set at one noise level; those of the noisy pictures and the ANN where `macs` are given."""
    pictures = list(common.noisy_pictures(folder / name, sigma, limit))
    for each in progress(pictures, description=f"{name}, sigma {sigma:g}"):
        versions = {}
        if macs is not None:
            versions["noisy", 0] = (each.noisy, 0.0)
            versions["ANN", 0] = (common.restored_by_ann(network, each.noisy), macs)
        for number, (restored, accumulates) in common.restored_by_steps(network, each.noisy, steps).items():
            versions[method, number] = (restored, accumulates / math.prod(each.clean.shape[:2]))
        for (kind, number), (restored, operations) in versions.items():
            scores = psnr(each.clean, restored), ssim(each.clean, restored)
            yield dict(zip(FIELDS, (name, sigma, each.name, kind, number, *scores, operations), strict=True))


def measure_views(network, folder, name, sigma, number, limit, views, method):
    """Rows of one data set at one noise level, the mean over so many views of each picture."""
    for each in progress(common.noisy_pictures(folder / name, sigma, limit), f"{name}, sigma {sigma:g}, {views} views"):
        found = denoise(each.noisy, network, number, sample_range=(0, 1), self_ensemble=views)
        scores = psnr(each.clean, found.restored), ssim(each.clean, found.restored)
        values = (name, sigma, each.name, method, number, *scores, found.accumulates_per_pixel)
        yield dict(zip(FIELDS, values, strict=True))


def summarise(rows):
    """Mean scores and operations for each (set, sigma, method, steps)."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["set"], row["sigma"], row["method"], row["steps"]].append(row)
    return {
        key: tuple(float(np.mean([row[field] for row in group])) for field in FIELDS[5:])
        for key, group in groups.items()
    }


def markdown(means, sets, sigmas, steps, tuned):
    """The table of the README: a line for each set and noise level, PSNR / SSIM in each column."""
    methods = [("noisy", 0), ("ANN", 0), *(("spiking", number) for number in steps), *tuned]
    titles = ["noisy", "ANN", *(f"T = {number}" for number in steps)]
    titles += [f"{name}, T = {number}" for name, number in tuned]
    lines = ["| set | sigma | " + " | ".join(titles) + " |", "|---|---|" + "---|" * len(titles)]
    for name in sets:
        for sigma in sigmas:
            cells = [means[name, sigma, *method] for method in methods]
            line = " | ".join(f"{decibels:.2f} / {similarity:.3f}" for decibels, similarity, _ in cells)
            lines.append(f"| {name} | {sigma:g} | {line} |")
    costs = [np.mean([means[name, sigma, *method][2] for name in sets for sigma in sigmas]) for method in methods[1:]]
    lines.append("| operations per pixel | | | " + " | ".join(f"{cost / 1e3:.0f} k" for cost in costs) + " |")
    return "\n".join(lines)


def plot(means, sets, sigmas, steps, path):
    """PSNR against steps, a panel for each set; the ANN as a dashed line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(sets), figsize=(5 * len(sets), 4), layout="constrained", squeeze=False)
    for name, axes in zip(sets, panels[0], strict=True):
        for color, sigma in zip(plt.cm.viridis(np.linspace(0.1, 0.8, len(sigmas))), sigmas, strict=True):
            scores = [means[name, sigma, "spiking", number][0] for number in steps]
            axes.plot(steps, scores, "o-", color=color, label=f"sigma {sigma:g}")
            axes.axhline(means[name, sigma, "ANN", 0][0], color=color, linestyle="--", linewidth=1)
        axes.set(title=name, xlabel="time steps", ylabel="PSNR / dB", xscale="log", xticks=steps)
        axes.set_xticks(steps, [str(number) for number in steps], minor=False)
        axes.minorticks_off()
        axes.legend()
    figure.savefig(path, dpi=120)


def _whole_numbers_if_any(context, parameter, value):
    return None if value is None else common.whole_numbers(context, parameter, value)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--model", default="denoise-gray-converted", show_default=True)
@click.option("--tuned", multiple=True, help="A model that was made of it, to set beside it.")
@click.option(
    "--tuned-steps", callback=_whole_numbers_if_any, help="Numbers of steps of --tuned.  [default: their own]"
)
@click.option("--self-ensemble", callback=_whole_numbers_if_any, help="Numbers of views, of the first --tuned.")
@click.option("--sets", default="set12,bsd68", show_default=True)
@click.option("--sigmas", default="15,25,35,50", show_default=True)
@click.option("--steps", default="1,2,4,8", callback=common.whole_numbers, show_default=True)
@click.option("--limit", type=int, help="Only the first pictures of each set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(data, model, tuned, tuned_steps, self_ensemble, sets, sigmas, steps, limit, out):
    """Measure a denoiser on pictures with noise of several levels."""
    sets = sets.split(",")
    sigmas = [float(sigma) for sigma in sigmas.split(",")]
    network = load_model(model)
    macs = common.macs_per_pixel(network)
    rows = [row for name in sets for sigma in sigmas for row in measure(network, data, name, sigma, steps, limit, macs)]
    columns = []
    for other in tuned:
        candidate, title = load_model(other), Path(other).stem
        numbers = tuned_steps or [candidate.metadata["steps"]]
        columns += [(title, number) for number in numbers]
        for name in sets:
            for sigma in sigmas:
                rows += measure(candidate, data, name, sigma, numbers, limit, None, title)
        for views in (self_ensemble or ()) if other == tuned[0] else ():
            method = f"{title}, {views} views"
            columns.append((method, numbers[0]))
            for name in sets:
                for sigma in sigmas:
                    rows += measure_views(candidate, data, name, sigma, numbers[0], limit, views, method)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "denoising_quality.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    means = summarise(rows)
    table = markdown(means, sets, sigmas, steps, columns)
    (out / "denoising_quality.md").write_text(table + "\n")
    plot(means, sets, sigmas, steps, out / "denoising_quality.png")
    print(f"{model}; PSNR in dB / SSIM, means over the pictures; {common.machine()}")
    print(table)


if __name__ == "__main__":
    main()

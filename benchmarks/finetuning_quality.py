"""ANN, converted and fine-tuned networks side by side, quality against operations, and flow against backpropagation.

    python benchmarks/finetuning_quality.py --data FOLDER --train PICTURES --work ARMS -- --iterations 2000
    python benchmarks/finetuning_quality.py --data FOLDER --train PICTURES --work ARMS --methods -- --iterations 2000
    python benchmarks/finetuning_quality.py --data FOLDER --frontier --tuned fast.npz --tuned other.npz

FOLDER holds `set12` and `bsd68`. Each arm (a method, a number of steps, a seed) is a run of `spikeunet finetune` on
PICTURES, with the options after `--`. Its model, log, curve and scores stay in ARMS: a finished arm is not run again,
an interrupted one goes on from its checkpoint. Prints Markdown tables and writes `finetuning_quality.csv` and
`finetuning_quality.md`, with --methods `finetuning_methods.*`, with --frontier `frontier.*` and the plot
`docs/frontier.png`.
"""

from __future__ import annotations

import csv
import itertools
import json
import statistics
from pathlib import Path

import _common as common
import click
import numpy as np
from denoising_quality import FIELDS, measure, summarise

from spikeunet.engine import load_model
from spikeunet.engine.command_line.finetune import finetune as command
from spikeunet.engine.files.atomic import atomic_write

ARM_FIELDS = ("method_of_training", "seed", "seconds_per_iteration", *FIELDS)


def train_arms(model, work, options, methods, steps, seeds):
    """Models of all arms by (method, steps, seed), and the seconds that an iteration took; trains what is missing."""
    work.mkdir(parents=True, exist_ok=True)
    check_settings(work, {"model": model, "options": list(options)})
    arms = {}
    for method in methods:
        for number in steps:
            for seed in seeds:
                path = work / f"{method}-T{number}-seed{seed}.npz"
                if not path.exists():
                    train_arm(model, path, options, method, number, seed)
                arms[method, number, seed] = path
    return arms


def train_arm(model, path, options, method, steps, seed):
    """One run of `spikeunet finetune`."""
    resume = ["--resume"] if path.with_suffix(".checkpoint.npz").exists() else []
    own = ["--method", method, "--steps", str(steps), "--seed", str(seed), "-o", str(path)]
    print(f"training {path.stem}{' (resumed)' if resume else ''}", flush=True)
    command.main([model, *options, *own, *resume], standalone_mode=False)


def check_settings(work, settings):
    """Refuse a folder whose arms were trained otherwise."""
    path = work / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise SystemExit(f"{path}: the arms here were trained with other options; take those, or another --work")
    with atomic_write(path) as stream:
        stream.write(json.dumps(settings, indent=1).encode())


def seconds_per_iteration(model_path):
    """From the log of a run: the median over its lines, so that a pause does not count."""
    with open(model_path.with_suffix(".csv"), newline="") as stream:
        rows = [(float(row["iteration"]), float(row["seconds"])) for row in csv.DictReader(stream)]
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(rows) if b[1] > a[1]]
    return statistics.median(rates) if rates else float("nan")


def scores(path, data, sets, sigma, steps, limit):
    """Rows of denoising_quality.measure for a model, from the file beside it where it was measured before."""
    measured = Path(path).with_suffix(".scores.json") if Path(path).exists() else None
    key = [list(sets), sigma, list(steps), limit, Path(path).stat().st_mtime if measured else None]
    if measured and measured.exists():
        kept = json.loads(measured.read_text())
        if kept["key"] == key:
            return kept["rows"]
    network = load_model(path)
    macs = common.macs_per_pixel(network)
    rows = [row for name in sets for row in measure(network, data, name, sigma, steps, limit, macs)]
    if measured:
        with atomic_write(measured) as stream:
            stream.write(json.dumps({"key": key, "rows": rows}).encode())
    return rows


def mean_and_spread(values):
    """`mean ± standard deviation`, the latter where there are several."""
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def quality_table(base, arms, sets, steps, sigma):
    """Lines of PSNR / SSIM and accumulates: the ANN, the converted network, each method's fine-tuned ones."""
    methods = list(dict.fromkeys(method for method, _, _ in arms))
    lines = ["| set | network | " + " | ".join(f"T = {number}" for number in steps) + " |"]
    lines.append("|---|---|" + "---|" * len(steps))
    for name in sets:
        decibels, similarity, macs = base[name, sigma, "ANN", 0]
        cells = [f"{decibels:.2f} / {similarity:.4f} ({macs / 1e3:.0f} k MACs)"] + [""] * (len(steps) - 1)
        lines.append(f"| {name} | ANN, no steps | " + " | ".join(cells) + " |")
        found = [base[name, sigma, "spiking", number] for number in steps]
        cells = [f"{psnr:.2f} / {ssim:.4f} ({cost / 1e3:.0f} k)" for psnr, ssim, cost in found]
        lines.append(f"| {name} | converted | " + " | ".join(cells) + " |")
        for method in methods:
            cells = []
            for number in steps:
                runs = [means[name, sigma, "spiking", number] for (m, n, _), means in arms.items()
                        if (m, n) == (method, number)]  # fmt: skip
                psnr, ssim, cost = zip(*runs, strict=True)
                ssim, cost = statistics.mean(ssim), statistics.mean(cost) / 1e3
                cells.append(f"{mean_and_spread(psnr)} / {ssim:.4f} ({cost:.0f} k)")
            lines.append(f"| {name} | fine-tuned, {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def time_table(seconds, steps):
    """Seconds per iteration, the median over the seeds, for each method."""
    lines = ["| seconds per iteration | " + " | ".join(f"T = {number}" for number in steps) + " |"]
    lines.append("|---|" + "---|" * len(steps))
    for method in dict.fromkeys(method for method, _, _ in seconds):
        runs = [[value for (m, n, _), value in seconds.items() if (m, n) == (method, number)] for number in steps]
        lines.append(f"| {method} | " + " | ".join(f"{statistics.median(run):.3f}" for run in runs) + " |")
    return "\n".join(lines)


def write_rows(path, fields, rows):
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, fields)
        writer.writeheader()
        writer.writerows(rows)


def compare_arms(model, arms, data, sets, sigma, steps, limit, out, title, by_time):
    """Measure all arms and the base model; print and write tables."""
    base = scores(model, data, sets, sigma, steps, limit)
    rows = [dict.fromkeys(ARM_FIELDS, "") | row for row in base]
    means, seconds = {}, {}
    for (method, number, seed), path in arms.items():
        found = [row for row in scores(path, data, sets, sigma, [number], limit) if row["method"] == "spiking"]
        means[method, number, seed] = summarise(found)
        seconds[method, number, seed] = seconds_per_iteration(path)
        rows += [dict(zip(ARM_FIELDS, (method, seed, seconds[method, number, seed]), strict=False)) | row
                 for row in found]  # fmt: skip
    text = quality_table(summarise(base), means, sets, steps, sigma)
    if by_time:
        text += "\n\n" + time_table(seconds, steps)
    seeds = len({seed for _, _, seed in arms})
    heading = f"sigma {sigma:g}; PSNR in dB / SSIM (operations per pixel); mean ± standard deviation over {seeds} seeds"
    write_rows(out / f"{title}.csv", ARM_FIELDS, rows)
    (out / f"{title}.md").write_text(f"{heading}\n\n{text}\n")
    print(f"{model}; {heading}; {common.machine()}\n\n{text}")


def frontier(model, tuned, data, sets, sigma, steps, limit):
    """Rows (network, kind, set, steps, PSNR, accumulates per pixel) of the converted and the fine-tuned networks."""
    rows, ann = [], {}
    for path in (model, *tuned):
        trained_for = load_model(path).metadata.get("steps") if path != model else None
        numbers = sorted({*steps, trained_for}) if trained_for else steps
        means = summarise(scores(path, data, sets, sigma, numbers, limit))
        for name in sets:
            if path == model:
                ann[name] = means[name, sigma, "ANN", 0]
            kind = "converted" if path == model else "fine-tuned"
            for number in numbers:
                psnr, _, cost = means[name, sigma, "spiking", number]
                rows.append((Path(path).stem, kind, name, number, number == trained_for, psnr, cost))
    return rows, ann


def frontier_table(rows, ann, sets):
    """For each set, all networks by their cost; those that no cheaper one equals are marked."""
    lines = ["| set | network | T | PSNR | below the ANN | accumulates per pixel | share of the ANN's MACs | |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in sets:
        best, (top, _, macs) = -np.inf, ann[name]
        lines.append(f"| {name} | ANN | | {top:.2f} | | {macs / 1e3:.0f} k MACs | | |")
        here = [row for row in rows if row[2] == name]
        for network, kind, _, number, _, psnr, cost in sorted(here, key=lambda row: row[6]):
            mark = "on the frontier" if psnr > best else ""
            best = max(best, psnr)
            cells = (f"{psnr:.2f}", f"{top - psnr:.2f}", f"{cost / 1e3:.0f} k", f"{cost / macs:.2f}", mark)
            lines.append(f"| {name} | {network}, {kind} | {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot_frontier(rows, ann, sets, path):
    """PSNR against accumulates per pixel, a panel for each set; the ANN's PSNR and multiply-accumulates as lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(sets), figsize=(6 * len(sets), 4.2), layout="constrained", squeeze=False)
    for name, axes in zip(sets, panels[0], strict=True):
        for network in dict.fromkeys(row[0] for row in rows):
            points = [row for row in rows if row[0] == network and row[2] == name]
            costs, scores_ = [row[6] / 1e3 for row in points], [row[5] for row in points]
            converted = points[0][1] == "converted"
            style = {"color": "black", "marker": "s"} if converted else {"marker": "o"}
            axes.plot(costs, scores_, label=f"{network} ({points[0][1]})", **style)
            for row in points:
                axes.annotate(str(row[3]), (row[6] / 1e3, row[5]), textcoords="offset points", xytext=(4, -10), size=7)
        top, _, macs = ann[name]
        axes.axhline(top, color="gray", linestyle="--", linewidth=1, label="the ANN's PSNR")
        axes.axvline(macs / 1e3, color="gray", linestyle=":", linewidth=1, label="the ANN's MACs")
        axes.set(title=name, xlabel="thousand accumulates per pixel (numbers: T)", ylabel="PSNR / dB", xscale="log")
        axes.set_ylim(bottom=max(top - 1.5, min(row[5] for row in rows if row[2] == name) - 0.05))
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=120)


def run_frontier(model, tuned, data, sets, sigma, steps, limit, out, picture):
    rows, ann = frontier(model, tuned, data, sets, sigma, steps, limit)
    text = frontier_table(rows, ann, sets)
    fields = ("network", "kind", "set", "steps", "trained_for_these_steps", "psnr", "accumulates_per_pixel")
    write_rows(out / "frontier.csv", fields, [dict(zip(fields, row, strict=True)) for row in rows])
    (out / "frontier.md").write_text(text + "\n")
    plot_frontier(rows, ann, sets, picture)
    print(f"{model}, sigma {sigma:g}; {common.machine()}\n\n{text}")


def numbers(text):
    return [int(word) for word in text.split(",")]


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--train", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Pictures to train on.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Where the arms are kept.")
@click.option("--model", default="denoise-gray", show_default=True, help="The converted network to start from.")
@click.option("--steps", default="1,2,4,8", show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--method", default="flow", show_default=True, help="Of the arms, without --methods.")
@click.option("--methods", is_flag=True, help="Compare flow with bptt: quality and time per iteration.")
@click.option("--frontier", "draw", is_flag=True, help="Quality against accumulates, for --model and all --tuned.")
@click.option("--tuned", multiple=True, help="A fine-tuned model for --frontier.")
@click.option("--sets", default="set12,bsd68", show_default=True)
@click.option("--sigma", default=25.0, show_default=True)
@click.option("--limit", type=int, help="Only the first pictures of each set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), default=Path("docs/frontier.png"))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(data, train, work, model, steps, seeds, method, methods, draw, tuned, sets, sigma, limit, out, plot, options):
    """Fine-tune and measure. OPTIONS, after --, are options of `spikeunet finetune`."""
    sets, steps, seeds = sets.split(","), numbers(steps), numbers(seeds)
    out.mkdir(parents=True, exist_ok=True)
    if draw:
        run_frontier(model, tuned, data, sets, sigma, steps, limit, out, plot)
        return
    if train is None or work is None:
        raise click.UsageError("training needs --train and --work")
    compared = ["flow", "bptt"] if methods else [method]
    arms = train_arms(model, work, ("--train", str(train), *options), compared, steps, seeds)
    title = "finetuning_methods" if methods else "finetuning_quality"
    compare_arms(model, arms, data, sets, sigma, steps, limit, out, title, by_time=methods)


if __name__ == "__main__":
    main()

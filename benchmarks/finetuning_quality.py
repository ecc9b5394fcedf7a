"""ANN, converted and fine-tuned networks side by side, and accumulated flow against backpropagation through time.

    python benchmarks/finetuning_quality.py --data FOLDER --train PICTURES --work ARMS -- --iterations 2000
    python benchmarks/finetuning_quality.py --data FOLDER --train PICTURES --work ARMS --methods -- --iterations 2000

FOLDER holds `set12` and `bsd68`. Each arm (a method, a number of steps, a seed) is a run of `spikeunet finetune` on
PICTURES, with the options after `--`. Its model, log, curve and scores stay in ARMS: a finished arm is not run again,
an interrupted one goes on from its checkpoint. --ladder gives the network other thresholds first.
Prints Markdown tables and writes `finetuning_quality.csv` and `finetuning_quality.md`, with --methods
`finetuning_methods.*`.
"""

from __future__ import annotations

import csv
import itertools
import json
import statistics
from pathlib import Path

import _common as common
import click
from denoising_quality import FIELDS, measure, summarise

from spikeunet.engine import load_model, save_model
from spikeunet.engine.command_line.finetune import finetune as command
from spikeunet.engine.command_line.finetune import with_thresholds
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


def with_ladder(model, ladder, work):
    """Path of a copy of the model, in `work`, whose neurons have these thresholds."""
    path = work / f"{Path(model).stem}-{ladder.replace(',', '-')}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        save_model(with_thresholds(load_model(model), ladder), path)
    return str(path)


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


def scores(path, data, sets, sigma, steps, limit, ann=True):
    """Rows of denoising_quality.measure for a model, from the file beside it where it was measured before."""
    measured = Path(path).with_suffix(".scores.json") if Path(path).exists() else None
    key = [list(sets), sigma, list(steps), limit, ann, Path(path).stat().st_mtime if measured else None]
    if measured and measured.exists():
        kept = json.loads(measured.read_text())
        if kept["key"] == key:
            return kept["rows"]
    network = load_model(path)
    macs = common.macs_per_pixel(network) if ann else None
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
        found = scores(path, data, sets, sigma, [number], limit, ann=False)
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


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--train", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--model", default="denoise-gray-converted", show_default=True, help="The converted network to start from."
)
@click.option("--steps", default="1,2,4,8", callback=common.whole_numbers, show_default=True)
@click.option("--seeds", default="0,1,2", callback=common.whole_numbers, show_default=True)
@click.option("--method", default="flow", show_default=True, help="Of the arms, without --methods.")
@click.option("--methods", is_flag=True, help="Compare flow with bptt: quality and time per iteration.")
@click.option("--ladder", metavar="A,B,...", help="Thresholds to give the network first.")
@click.option("--sets", default="set12,bsd68", show_default=True)
@click.option("--sigma", default=25.0, show_default=True)
@click.option("--limit", type=int, help="Only the first pictures of each set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(data, train, work, model, steps, seeds, method, methods, ladder, sets, sigma, limit, out, options):
    """Fine-tune and measure. OPTIONS, after --, are options of `spikeunet finetune`."""
    sets = sets.split(",")
    out.mkdir(parents=True, exist_ok=True)
    model = with_ladder(model, ladder, work) if ladder else model
    compared = ["flow", "bptt"] if methods else [method]
    arms = train_arms(model, work, ("--train", str(train), *options), compared, steps, seeds)
    title = "finetuning_methods" if methods else "finetuning_quality"
    compare_arms(model, arms, data, sets, sigma, steps, limit, out, title, by_time=methods)


if __name__ == "__main__":
    main()

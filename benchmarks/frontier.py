"""Quality against operations: converted networks with several ladders of thresholds, and fine-tuned ones.

    python benchmarks/frontier.py --data FOLDER --work FOLDER --ladder 0.5,0.25,0.125 --tuned denoise-gray-fast

--data holds `set12` and `bsd68`. The converted network is measured as it is and with each ladder, a fine-tuned one at
the number of steps that it was trained for. Scores are kept in --work. Prints a Markdown table; writes `frontier.csv`,
`frontier.md` and the plot `docs/frontier.png`.
"""

from __future__ import annotations

from pathlib import Path

import _common as common
import click
import numpy as np
from denoising_quality import summarise
from finetuning_quality import scores, with_ladder, write_rows

from spikeunet.engine import load_model

TICKS = (20, 50, 100, 200, 500)
"""Thousand accumulates per pixel."""
SHOWN = 3.0
"""dB below the ANN that the plot shows."""


def named(model, ladders, tuned, work):
    """Names in table and plot, and paths: the converted network as it is and with each ladder, the fine-tuned ones."""
    thresholds = load_model(model).neurons[0].model.thresholds
    names = {f"converted, thresholds {thresholds[0]:g} ... {thresholds[-1]:g}": model}
    names |= {
        f"converted, thresholds {ladder.replace(',', ' ')}": with_ladder(model, ladder, work) for ladder in ladders
    }
    return names | {Path(path).stem: path for path in tuned}


def frontier(models, data, sets, sigma, steps, limit):
    """Rows (network, set, steps, PSNR, accumulates per pixel) of all networks, and the first one's ANN for each set."""
    rows, ann = [], {}
    for index, (network, path) in enumerate(models.items()):
        metadata = load_model(path).metadata
        numbers = [metadata["steps"]] if "fine_tuning" in metadata else steps
        means = summarise(scores(path, data, sets, sigma, numbers, limit, ann=index == 0))
        for name in sets:
            if index == 0:
                ann[name] = means[name, sigma, "ANN", 0]
            for number in numbers:
                psnr, _, cost = means[name, sigma, "spiking", number]
                rows.append((network, name, number, psnr, cost))
    return rows, ann


def frontier_table(rows, ann, sets):
    """For each set, all networks by their cost; those that no cheaper one equals are marked."""
    lines = ["| set | network | T | PSNR | below the ANN | accumulates per pixel | share of the ANN's MACs | |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in sets:
        best, (top, _, macs) = -np.inf, ann[name]
        lines.append(f"| {name} | ANN | | {top:.2f} | | {macs / 1e3:.0f} k MACs | | |")
        here = [row for row in rows if row[1] == name]
        for network, _, number, psnr, cost in sorted(here, key=lambda row: row[4]):
            mark = "on the frontier" if psnr > best else ""
            best = max(best, psnr)
            cells = (f"{psnr:.2f}", f"{top - psnr:.2f}", f"{cost / 1e3:.0f} k", f"{cost / macs:.2f}", mark)
            lines.append(f"| {name} | {network} | {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot_frontier(rows, ann, sets, path):
    """PSNR against accumulates per pixel, a panel for each set; the ANN's PSNR and multiply-accumulates as lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(sets), figsize=(6 * len(sets), 4.2), layout="constrained", squeeze=False)
    for name, axes in zip(sets, panels[0], strict=True):
        for network in dict.fromkeys(row[0] for row in rows):
            points = [row for row in rows if row[0] == network and row[1] == name]
            costs, scores_ = [row[4] / 1e3 for row in points], [row[3] for row in points]
            style = {"marker": "s", "linestyle": "--"} if network.startswith("converted") else {"marker": "o"}
            axes.plot(costs, scores_, label=network, **style)
            for row in points:
                axes.annotate(str(row[2]), (row[4] / 1e3, row[3]), textcoords="offset points", xytext=(4, -10), size=7)
        top, _, macs = ann[name]
        axes.axhline(top, color="gray", linestyle="--", linewidth=1, label="the ANN's PSNR")
        axes.axvline(macs / 1e3, color="gray", linestyle=":", linewidth=1, label="the ANN's multiply-accumulates")
        axes.set(title=name, xlabel="thousand accumulates per pixel (numbers: T)", ylabel="PSNR / dB", xscale="log")
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlim(TICKS[0] * 0.9, max(TICKS[-1], max(row[4] for row in rows) / 1e3) * 1.1)
        axes.set_ylim(top - SHOWN, top + SHOWN / 20)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=120)


def run_frontier(models, data, sets, sigma, steps, limit, out, picture):
    rows, ann = frontier(models, data, sets, sigma, steps, limit)
    text = frontier_table(rows, ann, sets)
    fields = ("network", "set", "steps", "psnr", "accumulates_per_pixel")
    write_rows(out / "frontier.csv", fields, [dict(zip(fields, row, strict=True)) for row in rows])
    (out / "frontier.md").write_text(text + "\n")
    plot_frontier(rows, ann, sets, picture)
    print(f"sigma {sigma:g}; {common.machine()}\n\n{text}")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--model", default="denoise-gray-converted", show_default=True, help="The converted network.")
@click.option("--ladder", "ladders", multiple=True, metavar="A,B,...", help="Thresholds to give it.")
@click.option("--tuned", multiple=True, help="A fine-tuned model.")
@click.option(
    "--steps", default="1,2,4,8", callback=common.whole_numbers, show_default=True, help="Of the converted networks."
)
@click.option("--sets", default="set12,bsd68", show_default=True)
@click.option("--sigma", default=25.0, show_default=True)
@click.option("--limit", type=int, help="Only the first pictures of each set.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), default=Path("docs/frontier.png"))
def main(data, work, model, ladders, tuned, steps, sets, sigma, limit, out, plot):
    """Measure quality and accumulates of all networks."""
    out.mkdir(parents=True, exist_ok=True)
    models = named(model, ladders, tuned, work)
    run_frontier(models, data, sets.split(","), sigma, steps, limit, out, plot)


if __name__ == "__main__":
    main()

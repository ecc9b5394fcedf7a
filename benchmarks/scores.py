"""Scores of the artificial network, the converted and the shipped one on all six data sets, in one table.

    python benchmarks/scores.py --data FOLDER --out SCORES

FOLDER holds `drive`, `em`, `camseq01` and `denoise`; the converted networks lie in the checkout's `models`. Everything
is measured by what `spikeunet evaluate` is made of: whole test splits, noise of sigma 25. What is finished is kept in
SCORES and read from there, as long as the model is the same; an interrupted run goes on after its last picture. Prints
and writes `scores.md`, and `NETWORK-SET.json` with the rows and all that is needed to reproduce them.
"""

from __future__ import annotations

import json
from pathlib import Path

import _common as common
import click

from spikeunet.engine import load_model
from spikeunet.engine.command_line.console import progress
from spikeunet.engine.evaluation import Workplace, evaluate, plan_evaluation
from spikeunet.engine.evaluation.one_picture import ANN
from spikeunet.engine.evaluation.results import write_json
from spikeunet.engine.operations.readings import MULTIPLY_ACCUMULATE, READING_COSTS, SHIFT_ADDS

GRAY = (("half-size-gray-converted", ("denoise-gray",)), ("denoise-gray-converted", ("denoise-gray-fast",)))
COLOUR = (("half-size-colour-converted", ("denoise-colour",)), ("denoise-colour-converted", ("denoise-colour-fast",)))
SETS = {
    "set12": GRAY,
    "bsd68": GRAY,
    "cbsd68": COLOUR,
    "drive": (("segment-vessels-converted", ("segment-vessels",)),),
    "em": (("segment-membranes-converted", ("segment-membranes",)),),
    "camseq01": (("segment-street-converted", ("segment-street",)),),
}
"""Converted networks of each data set, and those that were fine-tuned or rounded from them."""

SCORES = {
    "set12": {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.3f}"},
    "bsd68": {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.3f}"},
    "cbsd68": {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.3f}"},
    "drive": {"f1": "F1 {:.4f}", "auc": "AUC {:.4f}", "jaccard": "Jaccard {:.4f}"},
    "em": {"f1": "F1 {:.4f}", "auc": "AUC {:.4f}", "jaccard": "Jaccard {:.4f}"},
    "camseq01": {"mean_iou": "mean IoU {:.4f}", "accuracy": "accuracy {:.4f}"},
}


def summaries(model, dataset, data, steps, ann, out, work):
    """Lines of `spikeunet evaluate`'s summary for a model on a data set, from SCORES where they are there."""
    plan = plan_evaluation(model, [dataset], data=data, steps=steps, ann=ann)
    path = out / f"{model}-{dataset}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["signature"] == json.loads(json.dumps(plan.signature)):
            return kept["summary"]
    observe = lambda outcomes, count: progress(outcomes, description=path.stem, total=count)  # noqa: E731
    journal = path.with_suffix(".jsonl")
    evaluation = evaluate(plan, Workplace(workers=work), journal=journal, observe=observe)
    if evaluation.failures:
        raise SystemExit(f"{path.stem}: {evaluation.failures[0].error}")
    write_json(path, {"signature": plan.signature, **evaluation.as_json()})
    journal.unlink(missing_ok=True)
    return list(evaluation.summary)


def line(dataset, network, summary, macs):
    """A line of the table; `macs` are the ANN's multiply-accumulates per pixel."""
    pooled, mean = summary.get("pooled", {}), summary["mean"]
    scores = ", ".join(form.format({**mean, **pooled}[name]) for name, form in SCORES[dataset].items())
    if summary["method"] == ANN:
        cost = f"{macs / 1e3:.1f} k multiply-accumulates"
        cells = [dataset, f"{network}, ANN", "", scores, cost, f"{1e3 * mean['dense_energy_joules']:.1f}", ""]
    else:
        cost = f"{mean['accumulates_per_pixel'] / 1e3:.1f} k"
        multiplied, shifted = (_millijoules(mean[READING_COSTS[name]]) for name in (MULTIPLY_ACCUMULATE, SHIFT_ADDS))
        cells = [dataset, network, str(summary["steps"]), scores, cost, multiplied, shifted]
    return "| " + " | ".join(cells) + " |"


def _millijoules(joules):
    return "not true" if joules is None else f"{1e3 * joules:.2f}"


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--steps", default="1,2,4", callback=common.whole_numbers, show_default=True, help="Of converted ones.")
@click.option("--sets", default=",".join(SETS), show_default=True)
@click.option("--workers", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results/scores"))
def main(data, steps, sets, workers, out):
    """Measure every shipped network, and those that they come from, on the data set that it is for."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [
        "| set | network | T | scores | operations per pixel | energy, multiply-accumulates / mJ | shift-adds / mJ |",
        "|---|---|---|---|---|---|---|",
    ]
    for dataset in sets.split(","):
        for converted, tuned in SETS[dataset]:
            found = summaries(converted, dataset, data, steps, True, out, workers)
            found.sort(key=lambda summary: summary["method"] != ANN)
            macs = common.macs_per_pixel(load_model(converted))
            lines += [line(dataset, f"`{converted}`", summary, macs) for summary in found]
            for model in tuned:
                found = summaries(model, dataset, data, None, False, out, workers)
                lines += [line(dataset, f"`{model}`", summary, macs) for summary in found]
    table = "\n".join(lines)
    (out / "scores.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()

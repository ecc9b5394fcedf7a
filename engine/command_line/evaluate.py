"""`spikeunet evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from ..operations.readings import READING_COSTS
from .claims import Claims
from .class_names import read_class_names
from .confusion import confusion_files, print_confusion, write_confusion
from .console import print_rows, progress
from .energy_lines import COLUMNS
from .guard import STATUS_ERROR, remark, report_error
from .jobs import made_folders, tell_skipped, tell_skipped_by_class
from .neuron_options import numbers
from .options import FILE, no_sigma
from .piped_models import MODEL

if TYPE_CHECKING:
    from ..evaluation import Evaluation, Workplace
    from ..evaluation.evaluate import Plan
    from ..evaluation.picture_task import Outcome

JOURNAL = "journal.jsonl"
RESULTS = "results.json"
ROWS = "pictures.csv"

_WITHOUT_AUTHENTICATION = (
    "spikeunet: warning: {} takes orders from whoever reaches it, who so can run programs as you, here and in the "
    "workers; use a scheduler with TLS, tls://HOST:PORT"
)


@click.command()
@click.argument("model", metavar="MODEL", type=MODEL)
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--data", metavar="FOLDER", type=FILE, help="Where data sets lie that have a name.")
@click.option(
    "--split", type=click.Choice(["test", "train", "all"]), default="test", show_default=True, help="Of such data sets."
)
@click.option("-o", "--output", metavar="FOLDER", type=FILE, help="For results and the journal.")
@click.option("--steps", metavar="T,...", help="Time steps, each 1 to 1000.  [default: the model's own]")
@click.option(
    "--ann", is_flag=True, help="Also the ANN: the same weights with ReLUs for neurons (nothing for signed ones)."
)
@click.option(
    "--self-ensemble",
    type=int,
    metavar="N",
    default=1,
    show_default=True,
    help="How many times a denoiser sees each picture, turned and mirrored: 1, 2, 4 or 8. Costs are sums over them.",
)
@click.option(
    "--add-noise", "sigma", metavar="S,...", default="25", show_default=True, help="To clean pictures, 0-255."
)
@no_sigma
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="K", default=0, show_default=True, help="Of its first picture."
)
@click.option("--void", type=click.IntRange(min=0), metavar="LABEL", help="Label that does not count, in own folders.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print scores and counts as JSON, these under the names of NeuroBench's metrics.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the first N pictures of each data set; of pictures by class, N evenly spread.",
)
@click.option("--classes", metavar="FILE", type=FILE, help="Names of a classifier's classes.  [default: its own]")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", default=1, show_default=True, help="Processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler to use instead, tls://HOST:PORT.")
@click.option("--timeout", type=float, metavar="SECONDS", default=10.0, show_default=True, help="To wait for it.")
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="For a picture.  [default: shared out]")
@click.pass_context
def evaluate(
    context: click.Context,
    model: str,
    datasets: tuple[str, ...],
    data: Path | None,
    split: str,
    output: Path | None,
    steps: str | None,
    ann: bool,
    self_ensemble: int,
    sigma: str,
    seed: int,
    void: int | None,
    as_json: bool,
    limit: int | None,
    classes: Path | None,
    workers: int,
    scheduler: str | None,
    timeout: float,
    threads: int | None,
) -> None:
    """Measure a model on data sets: quality, events, operations and energy of every picture.

    A DATASET is the name of a known layout in --data (set12, bsd68, cbsd68; em, drive, camseq01), NAME=FOLDER for one
    elsewhere, PICTURES:REFERENCES for two folders whose files have the same names, with a third folder of masks if
    need be, or, for a denoiser, a FOLDER of clean pictures, to which noise is added. For a classifier it is a FOLDER
    that has a folder of pictures for each class, called by its name (--classes: as of spikeunet classify).

    Denoisers are measured by PSNR and SSIM, segmentations by accuracy, mean IoU and, for class 1 of two, Jaccard index,
    F1 and area under the ROC curve, of all pixels together that are not void and inside the mask, classifiers by
    accuracy, top-5 accuracy (the class is among the five largest of more outputs) and confusion matrix.

    With -o, results.json says everything that it takes to make the figures again, and pictures.csv has a line for
    every picture; confusion.csv and, with matplotlib, confusion.png have a classifier's confusion matrix. Energy is an
    estimate (45 nm CMOS, float32, memory left out) for each of three readings of an event that are true of the network;
    "reading" names the one that is charged by default. Until then finished pictures stand in journal.jsonl, and the
    same command goes on after them.

    \b
    Examples:
      spikeunet evaluate denoise-gray set12 bsd68 --data datasets/ --add-noise 15,25,50 --steps 1,2,4 --ann -o results/
      spikeunet evaluate vessels.npz drive=datasets/drive --ann --workers 4 -o results/
      spikeunet evaluate digits.npz digits/test --steps 1,2,4,8 --ann -o results/
      spikeunet evaluate model.npz noisy/:clean/ --scheduler tls://head:8786 -o results/
    """
    from ..evaluation import Workplace, plan_evaluation

    workplace = Workplace(workers, scheduler, timeout)
    plan = plan_evaluation(
        model,
        datasets,
        data=data,
        split=split,
        steps=None if steps is None else _whole_numbers("--steps", steps),
        sigmas=numbers("--add-noise", sigma, ","),
        seed=seed,
        ann=ann,
        self_ensemble=self_ensemble,
        void=void,
        limit=limit,
        classes=None if classes is None else read_class_names(classes),
    )
    _tell_skipped(plan)
    if output is not None:
        _prepare(output, plan, classes)
    if not workplace.authenticated:
        remark(_WITHOUT_AUTHENTICATION.format(workplace.scheduler))
    evaluation = _run(plan, workplace, output, threads)
    (_print_json if as_json else _print)(evaluation)
    if evaluation.failures:
        context.exit(STATUS_ERROR)


def _run(plan: Plan, workplace: Workplace, output: Path | None, threads: int | None) -> Evaluation:
    """Run a plan, on after what the journal has, and write the results, if to a folder."""
    from ..evaluation import evaluate as evaluate_plan
    from ..evaluation.journal import Journal

    # Until the results are written, so that of two evaluations into one folder the second is refused.
    with Journal(None if output is None else output / JOURNAL, plan.signature) as journal:
        try:
            evaluation = evaluate_plan(plan, workplace, journal=journal, threads=threads, observe=_observe)
        except KeyboardInterrupt:
            if output is None:
                raise
            raise KeyboardInterrupt(f"finished pictures are in {output / JOURNAL}, the same command goes on") from None
        if output is not None and evaluation.rows:
            _write(output, evaluation)
        if not evaluation.failures:
            journal.remove()
    return evaluation


def _prepare(folder: Path, plan: Plan, classes: Path | None) -> None:
    """Make the folder for the results, where each of them can be written and none would replace what is read."""
    from ..files.atomic import check_replaceable

    names = (RESULTS, ROWS, *(confusion_files() if plan.task == "classify" else ()))
    _check_output(folder, plan, (JOURNAL, *names), classes)
    click.get_current_context().with_resource(made_folders([folder]))
    for name in names:
        check_replaceable(folder / name)


def _write(folder: Path, evaluation: Evaluation) -> None:
    """Write the results, what says everything last."""
    from ..evaluation.results import write_csv, write_json

    write_csv(folder / ROWS, evaluation.rows, evaluation.plan.task)
    if evaluation.plan.task == "classify":
        write_confusion(folder, evaluation)
    write_json(folder / RESULTS, evaluation.as_json())


def _check_output(folder: Path, plan: Plan, names: Sequence[str], classes: Path | None) -> None:
    """InputError where a file of results would replace the model or a picture, through a link for instance."""
    claims = Claims()
    claims.reads_model(plan.model)
    claims.reads("the names of the classes", *([] if classes is None else [classes]))
    for example in (example for dataset in plan.datasets for example in dataset.examples):
        files = (example.picture, example.reference, example.mask)
        claims.reads("the picture", *(path for path in files if path is not None))
    for name in names:
        claims.writes("the results", folder / name)


def _tell_skipped(plan: Plan) -> None:
    """Name the files of own folders that are no pictures; known layouts have others by design."""
    from ..datasets import LAYOUTS

    for dataset in plan.datasets:
        if dataset.split == "all" and dataset.name not in LAYOUTS:
            (tell_skipped_by_class if dataset.task == "classify" else tell_skipped)(Path(dataset.name))


def _whole_numbers(option: str, text: str) -> list[int]:
    values = numbers(option, text, ",")
    if any(value != int(value) for value in values):
        raise InputError(f"{option} must be whole numbers with ',' between them (got {text!r})")
    return [int(value) for value in values]


def _observe(outcomes: Iterator[Outcome], count: int) -> Iterator[Outcome]:
    """Show the progress, and each failure as it comes."""
    for outcome in progress(outcomes, "Evaluating", count):
        if outcome.error is not None:
            report_error(outcome.error)
        yield outcome


_DENOISING = {
    "PSNR noisy": ("psnr_noisy", ".2f"),
    "PSNR": ("psnr", ".2f"),
    "SSIM noisy": ("ssim_noisy", ".4f"),
    "SSIM": ("ssim", ".4f"),
}
_SEGMENTATION = {
    "accuracy": ("accuracy", ".4f"),
    "Jaccard": ("jaccard", ".4f"),
    "F1": ("f1", ".4f"),
    "AUC": ("auc", ".4f"),
    "mean IoU": ("mean_iou", ".4f"),
}
_CLASSIFICATION = {"accuracy": ("accuracy", ".4f"), "top-5": ("top5", ".4f")}
_SCORES = {"denoise": _DENOISING, "segment": _SEGMENTATION, "classify": _CLASSIFICATION}
"""By task and name in the table, which score, and how it is shown."""

_COSTS = {
    "events": ("events", ".0f"),
    "operations": ("accumulates", ".0f"),
    "per pixel": ("accumulates_per_pixel", ".0f"),
    **{COLUMNS[name]: (cost, ".3g") for name, cost in READING_COSTS.items()},
    "seconds": ("seconds", ".2f"),
}


def _print_json(evaluation: Evaluation) -> None:
    """An entry for each data set, noise level, method and number of steps."""
    if not evaluation.rows:
        return
    click.echo(json.dumps(evaluation.summary, indent=2, allow_nan=False))


def _print(evaluation: Evaluation) -> None:
    """A line for each data set, noise level, method and number of steps; costs are means for a picture."""
    if not evaluation.rows:
        return
    denoising = evaluation.plan.task == "denoise"
    scores = _SCORES[evaluation.plan.task]
    header = ["data set", *(["sigma"] if denoising else []), "method", "steps", "pictures", *scores, *_COSTS, "reading"]
    lines = []
    for entry in evaluation.summary:
        found = entry["mean"] if denoising else entry["pooled"]
        lines.append(
            [
                entry["dataset"],
                *([_text(entry["sigma"], "g")] if denoising else []),
                entry["method"],
                _text(entry["steps"], "d"),
                str(entry["pictures"]),
                *(_text(found[name], form) for name, form in scores.values()),
                *(_text(entry["mean"][name], form) for name, form in _COSTS.values()),
                entry["reading"],
            ]
        )
    print_rows(header, lines)
    if evaluation.plan.task == "classify":
        print_confusion(evaluation)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

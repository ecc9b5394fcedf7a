"""What `study.py` measures: every arm on every picture, kept as it goes, and one entry for each number of steps."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from PIL import Image

from spikeunet.engine.command_line.console import progress
from spikeunet.engine.evaluation import evaluate, plan_evaluation
from spikeunet.engine.evaluation.one_picture import ANN, SPIKING
from spikeunet.engine.evaluation.results import write_json
from spikeunet.engine.evaluation.summary import summarise

SCORES = {
    "drive": ("f1", "F1 / %"),
    "em": ("f1", "F1 of cells / %"),
    "camseq01": ("mean_iou", "mean IoU / %"),
    "set12": ("psnr", "PSNR / dB"),
    "bsd68": ("psnr", "PSNR / dB"),
    "cbsd68": ("psnr", "PSNR / dB"),
}
"""Score that each data set is judged by: column and title."""

CLOSE = {"segment": 0.5, "denoise": 0.1}
"""As close as this to the ANN counts as equal: points of F1 or IoU, decibels."""


@dataclass(frozen=True)
class Entry:
    """An arm (None for the ANN) at a number of steps: score of the data set, costs per picture, score by picture."""

    arm: object
    steps: int
    score: float
    by_picture: dict
    means: dict


@dataclass(frozen=True)
class Measuring:
    """What all arms of a data set have in common; `crop` and `limit` may be None."""

    folder: Path
    sigma: float
    crop: int | None
    limit: int | None
    threads: int | None


def measure(source, arm, model, steps, how):
    """Entries of an arm by number of steps, from the file of a finished measurement where it was the same one."""
    plan = _plan(source, model, steps, how, ann=False)
    rows = [row for row in _rows(plan, f"{source.name}-{arm.name}", how) if row["method"] == SPIKING]
    return [_entry(source, arm, entry, rows) for entry in summarise(rows, source.task)]


def measure_ann(source, model, how):
    """The ANN's entry: the weights of any converted network with ReLUs for neurons."""
    plan = _plan(source, model, [1], how, ann=True)
    rows = [row for row in _rows(plan, f"{source.name}-ann", how) if row["method"] == ANN]
    return _entry(source, None, summarise(rows, source.task)[0], rows)


def _plan(source, model, steps, how, ann):
    data = f"{source.name}={source.folder}"
    plan = plan_evaluation(model, [data], steps=steps, sigmas=[how.sigma], ann=ann, limit=how.limit)
    if how.crop is None:
        return plan
    folder = how.folder / "crops" / f"{source.name}-{how.crop}"
    (dataset,) = plan.datasets
    examples = tuple(_cropped(example, how.crop, folder) for example in dataset.examples)
    return replace(plan, datasets=(replace(dataset, examples=examples),))


def _cropped(example, side, folder):
    """The middle of a picture and of what belongs to it, as PNG files, which keep every sample and palette."""
    files = {}
    for kind in ("picture", "reference", "mask"):
        path = getattr(example, kind)
        if path is None:
            continue
        files[kind] = (folder / kind / f"{path.stem}.png").resolve()
        if not files[kind].exists():
            files[kind].parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                left, top = (max(0, (size - side) // 2) for size in image.size)
                box = (left, top, min(image.size[0], left + side), min(image.size[1], top + side))
                part = files[kind].with_suffix(".part")
                image.crop(box).save(part, format="PNG")
                part.replace(files[kind])
    return replace(example, **files)


def _rows(plan, name, how):
    """Rows of a plan; its finished pictures stand in a journal until all are there."""
    folder = how.folder / "arms"
    folder.mkdir(parents=True, exist_ok=True)
    finished, journal = folder / f"{name}.json", folder / f"{name}.jsonl"
    tasks = plan.tasks(how.threads)
    key = {**plan.signature, "pictures": [[task.example.name, task.sigma, task.digests()] for task in tasks]}
    if finished.exists():
        kept = json.loads(finished.read_text())
        if kept["key"] == key:
            return kept["rows"]
    evaluation = evaluate(plan, journal=journal, threads=how.threads, observe=lambda *each: _observe(name, *each))
    if evaluation.failures:
        raise SystemExit(f"{name}: {evaluation.failures[0].error}")
    write_json(finished, {"key": key, **evaluation.as_json(), "rows": list(evaluation.rows)})
    journal.unlink(missing_ok=True)
    return list(evaluation.rows)


def _observe(name, outcomes, count):
    return progress(outcomes, description=name, total=count)


def _entry(source, arm, summary, rows):
    column, _ = SCORES[source.name]
    factor = 100.0 if source.task == "segment" else 1.0
    found = (summary["pooled"] if source.task == "segment" else summary["mean"])[column]
    steps, means = summary["steps"], dict(summary["mean"])
    means["dense_macs_per_pixel"] = fmean(row["dense_macs"] / (row["height"] * row["width"]) for row in rows)
    by_picture = {
        row["picture"]: factor * row[column] for row in rows if row["steps"] == steps and row[column] is not None
    }
    score = float("nan") if found is None else factor * found
    return Entry(arm, steps or 0, score, by_picture, means)


@contextmanager
def pinned(threads):
    """Keep this process on as many processors as it has threads, where the system can do that."""
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

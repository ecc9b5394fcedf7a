"""Means over the pictures of a data set, and scores of all their pixels together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ..operations.neurobench import mean_metrics
from ..operations.readings import READING_COSTS
from ..pictures.metrics import class_ious
from .picture_task import Row
from .scores import (
    DENOISING_SCORES,
    SEGMENTATION_SCORES,
    pooled_area,
    segmentation_scores,
    unpack_histograms,
)

COSTS = (
    "events",
    "density",
    "accumulates",
    "accumulates_per_pixel",
    "macs",
    "energy_joules",
    *READING_COSTS.values(),
    "dense_macs",
    "dense_energy_joules",
    "seconds",
)
"""Columns that say what a picture cost."""

GROUP = ("dataset", "split", "sigma", "method", "steps")
"""Columns that pictures are grouped by."""


def summarise(rows: Iterable[Row], task: str) -> list[dict[str, Any]]:
    """One entry for each data set, noise level, method and number of steps, in the order of the rows.

    `mean` holds the means over the pictures that have a value, `pooled` the scores of all pixels together, for a
    segmentation, `neurobench` the counts under the names of NeuroBench's metrics, none of the ANN.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return [_entry(key, members, task) for key, members in groups.items()]


def _entry(key: tuple[Any, ...], rows: Sequence[Row], task: str) -> dict[str, Any]:
    scores = DENOISING_SCORES if task == "denoise" else SEGMENTATION_SCORES
    entry = dict(zip(GROUP, key, strict=True)) | {"pictures": len(rows)}
    entry["reading"] = rows[0]["reading"]
    metrics = [row["neurobench"] for row in rows if row["neurobench"] is not None]
    entry["neurobench"] = mean_metrics(metrics) if metrics else None
    entry["mean"] = {name: _mean(row[name] for row in rows) for name in (*scores, *COSTS)}
    if task == "segment":
        entry["pooled"] = pooled_scores(rows)
    return entry


def pooled_scores(rows: Sequence[Row]) -> dict[str, Any]:
    """Scores of all pixels of the rows' pictures together, and the IoU of each class."""
    matrix = np.asarray([row["confusion"] for row in rows], np.int64).sum(axis=0)
    histograms = [row["histogram"] for row in rows]
    area = None if None in histograms else pooled_area(unpack_histograms(histograms))
    return {**segmentation_scores(matrix, area), "class_iou": class_ious(matrix), "confusion": matrix.tolist()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

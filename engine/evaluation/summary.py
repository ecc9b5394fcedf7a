"""Means over the pictures of a data set, and scores of all their pixels together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from ..operations.neurobench import mean_metrics
from ..operations.readings import READING_COSTS
from .picture_task import Row
from .scored_tasks import SCORED

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
    segmentation, or of all pictures, for a classification; `neurobench` the counts under the names of NeuroBench's
    metrics, none of the ANN.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return [_entry(key, members, task) for key, members in groups.items()]


def _entry(key: tuple[Any, ...], rows: Sequence[Row], task: str) -> dict[str, Any]:
    scored = SCORED[task]
    entry = dict(zip(GROUP, key, strict=True)) | {"pictures": len(rows)}
    entry["reading"] = rows[0]["reading"]
    metrics = [row["neurobench"] for row in rows if row["neurobench"] is not None]
    entry["neurobench"] = mean_metrics(metrics) if metrics else None
    entry["mean"] = {name: _mean(row[name] for row in rows) for name in (*scored.scores, *COSTS)}
    if scored.pool is not None:
        entry["pooled"] = scored.pool(rows)
    return entry


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

"""The confusion matrix of a classifier: in the terminal, as CSV, and as a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import first_few
from ..quiet import without_warnings
from .console import print_line, print_rows
from .training_files import can_plot

if TYPE_CHECKING:
    from ..evaluation import Evaluation

TABLE = "confusion.csv"
PLOT = "confusion.png"

MOST_SHOWN = 20
"""Classes of a matrix that is printed; beyond them the pairs are named that are taken for each other most often."""
MOST_PAIRS = 8
MOST_NAMED = 60
"""Classes of a plot whose axes name them."""

Entry = dict[str, Any]


def confusion_files() -> tuple[str, ...]:
    """Names of the files that `write_confusion` writes."""
    return (TABLE, PLOT) if can_plot() else (TABLE,)


def write_confusion(folder: Path, evaluation: Evaluation) -> None:
    """Write the matrices as CSV and, where matplotlib is installed, as a picture, each completely or not at all."""
    from ..files.atomic import atomic_write
    from ..files.csv_text import csv_text

    names, entries = class_names(evaluation), evaluation.summary
    rows = (
        {
            **{name: entry[name] for name in ("dataset", "method", "steps")},
            "class": true,
            "taken_for": taken,
            "pictures": n,
        }
        for entry in entries
        for true, counts in zip(names, entry["pooled"]["confusion"], strict=True)
        for taken, n in zip(names, counts, strict=True)
    )
    with atomic_write(folder / TABLE) as stream:
        stream.write(csv_text(("dataset", "method", "steps", "class", "taken_for", "pictures"), rows).encode())
    if can_plot():
        content = _plot(entries, names)
        with atomic_write(folder / PLOT) as stream:
            stream.write(content)


def print_confusion(evaluation: Evaluation) -> None:
    """The matrix of the spiking network at the largest number of steps, a row for each true class that occurs."""
    names = class_names(evaluation)
    spiking = [entry for entry in evaluation.summary if entry["steps"] is not None]
    for entry in spiking if len(spiking) == 1 else _last_of_each(spiking):
        matrix = entry["pooled"]["confusion"]
        print_line()
        print_line(
            f"{entry['dataset']}, {entry['steps']} steps: true classes by row, what they were taken for by column"
        )
        if len(names) > MOST_SHOWN:
            print_line(f"most often {first_few(_pairs(matrix, names), MOST_PAIRS) or 'none taken for another'}")
            continue
        rows = [[name, *map(str, counts)] for name, counts in zip(names, matrix, strict=True) if any(counts)]
        print_rows(("class", *names), rows)


def class_names(evaluation: Evaluation) -> list[str]:
    """Names of the classes, or their numbers."""
    count = len(evaluation.summary[0]["pooled"]["confusion"]) if evaluation.rows else 0
    return list(evaluation.plan.metadata.get("classes") or map(str, range(count)))


def _last_of_each(entries: Sequence[Entry]) -> list[Entry]:
    """Of each data set the entry with the most steps, which are the last."""
    return list({entry["dataset"]: entry for entry in entries}.values())


def _pairs(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Iterator[str]:
    """What was taken for what how often, most often first."""
    found = [
        (count, true, taken)
        for true, counts in enumerate(matrix)
        for taken, count in enumerate(counts)
        if count and true != taken
    ]
    return (f"{names[true]} for {names[taken]} {count} times" for count, true, taken in sorted(found, reverse=True))


def _plot(entries: Sequence[Entry], names: Sequence[str]) -> bytes:
    """PNG with a matrix for each entry, shares of each true class."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side = min(9.0, 2.4 + 0.18 * len(names))
    figure = Figure(figsize=(side * len(entries), side), layout="constrained")
    FigureCanvasAgg(figure)
    for place, entry in enumerate(entries, start=1):
        counts = np.asarray(entry["pooled"]["confusion"], np.float64)
        axes = figure.add_subplot(1, len(entries), place)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        steps = "" if entry["steps"] is None else f", T = {entry['steps']}"
        title = f"{entry['method']}{steps}: {entry['pooled']['accuracy']:.2%}"
        axes.set(title=title, xlabel="taken for", ylabel="class")
        if len(names) <= MOST_NAMED:
            axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7, parse_math=False)
            axes.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
        figure.colorbar(image, ax=axes, shrink=0.8)
    buffer = io.BytesIO()
    with without_warnings():  # of characters in a name that the font lacks
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()

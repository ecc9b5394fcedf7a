"""The files of a training run: model, checkpoint, CSV log and the curve as a picture."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files.atomic import atomic_write, check_replaceable
from ..files.csv_text import csv_text

COLUMNS = (
    "iteration",
    "seconds",
    "loss",
    "penalty",
    "gradient_norm",
    "rate",
    "accumulates_per_pixel",
    "validation_psnr",
    "validation_accuracy",
    "validation_mean_iou",
    "validation_accumulates_per_pixel",
)
CURVE_SUFFIXES = (".png", ".svg", ".pdf")

Row = dict[str, float | None]


@dataclass(frozen=True)
class Files:
    """Where a training run writes; `wants_log` and `wants_curve` tell whether the user named these files."""

    output: Path
    checkpoint: Path
    log: Path
    curve: Path
    wants_curve: bool
    wants_log: bool = False

    @classmethod
    def beside(cls, output: Path, checkpoint: Path | None, log: Path | None, curve: Path | None) -> Files:
        """The files named, and the others beside the model."""
        return cls(
            output,
            checkpoint or output.with_suffix(".checkpoint.npz"),
            log or output.with_suffix(".csv"),
            curve or output.with_suffix(".png"),
            curve is not None,
            log is not None,
        )

    def check(self, resume: bool) -> None:
        """InputError where the run cannot start: a forgotten checkpoint, none to resume from, no library for curves.

        OSError where a file could not be written at the end.
        """
        for path in (self.output, self.checkpoint, self.log, self.curve):
            check_replaceable(path)
        if self.curve.suffix.lower() not in CURVE_SUFFIXES:
            raise InputError(f"{self.curve}: a curve ends in {', '.join(CURVE_SUFFIXES)}; choose another name")
        if self.wants_curve and not can_plot():
            raise InputError("--curve needs matplotlib, which is missing; pip install 'spikeunet[plots]'")
        self._check_defaults()
        check_checkpoint(self.checkpoint, resume)

    def _check_defaults(self) -> None:
        """InputError where a file that nobody named would replace one that is not from an earlier run."""
        is_log = self.log.is_file() and log_columns(self.log) == COLUMNS
        for option, path, named in (("--log", self.log, self.wants_log), ("--curve", self.curve, self.wants_curve)):
            if not named and path.is_file() and not is_log:
                raise InputError(
                    f"{path}: is there, and not from an earlier run; name another file by {option}, or this one to "
                    "replace it"
                )


def check_checkpoint(path: Path, resume: bool) -> None:
    """InputError where there is none to resume from, or one that a new run would replace."""
    if resume and not path.is_file():
        raise InputError(f"{path}: no checkpoint to resume from; start without --resume")
    if not resume and path.exists():
        raise InputError(f"{path}: an interrupted run left this checkpoint; go on with --resume, or remove it")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_log(path: Path, rows: list[Row]) -> None:
    """Write all rows as CSV, completely or not at all."""
    shown = ({name: "" if value is None else f"{value:.7g}" for name, value in row.items()} for row in rows)
    text = csv_text(COLUMNS, shown)
    with atomic_write(path) as stream:
        stream.write(text.encode())


def log_columns(path: Path) -> tuple[str, ...]:
    """Columns of a CSV file, nothing where it is none."""
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            return tuple(csv.DictReader(stream).fieldnames or ())
    except (ValueError, csv.Error):
        return ()


def read_log(path: Path, most_iterations: int) -> list[Row]:
    """Rows of an earlier log up to an iteration, none where there is no log; InputError where it is another file."""
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            found = tuple(reader.fieldnames or ())
            rows = (
                []
                if found != COLUMNS
                else [{name: float(value) if value else None for name, value in row.items()} for row in reader]
            )
    except (ValueError, TypeError, csv.Error):
        found = ()
    if found != COLUMNS:
        raise InputError(f"{path}: is not the log of a training run; choose another --log")
    return [row for row in rows if (row["iteration"] or 0) <= most_iterations]


def draw_curve(path: Path, rows: list[Row], title: str) -> None:
    """Loss, validation PSNR and operations over the iterations, as a picture whose format the suffix names."""
    panels = {
        "loss": ("loss",),
        "PSNR / dB": ("validation_psnr",),
        "accuracy, mean IoU": ("validation_accuracy", "validation_mean_iou"),
        "operations / pixel": ("accumulates_per_pixel", "validation_accumulates_per_pixel"),
    }
    draw_panels(path, rows, panels, "iteration", title)


def draw_panels(
    path: Path,
    rows: Sequence[Mapping[str, float | None]],
    panels: Mapping[str, Sequence[str]],
    over: str,
    title: str,
) -> None:
    """Curves side by side, as a picture whose format the suffix names.

    Parameters
    ----------
    path : Path
    rows : sequence of mappings
    panels : mapping of str to sequence of str
        By the label of its axis, the columns that a panel shows; those that no row has are left out.
    over : str
        Column along the horizontal axis.
    title : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {label: [name for name in names if _has(rows, name)] for label, names in panels.items()}
    shown = {label: names for label, names in shown.items() if names}
    figure = Figure(figsize=(4.2 * max(1, len(shown)), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for position, (label, names) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), position)
        for name in names:
            points = [(row[over], row[name]) for row in rows if row.get(name) is not None]
            axes.plot(*zip(*points, strict=True), marker=".", label=name.replace("_", " ").removesuffix(" per pixel"))
        axes.set(xlabel=over, ylabel=label)
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=120)
    with atomic_write(path) as stream:
        stream.write(buffer.getbuffer())


def _has(rows: Sequence[Mapping[str, float | None]], name: str) -> bool:
    return any(row.get(name) is not None for row in rows)

"""A run of `spikeunet train`: a line for each epoch, progress on a terminal, and the curves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.json_text import format_json
from ..learning import LabelledPictures, Trainer
from ..learning import train as train_network
from ..learning.run import Course, Row, course_of
from ..learning.trainer import Figures
from .output import is_quiet, shows_text
from .training_files import CURVE_SUFFIXES, can_plot, draw_panels

NUMBERS_SUFFIX = ".json"
_WIDTH = 10
"""Characters of a column on a terminal."""


class LearningRun:
    """Drives a trainer to its end.

    Parameters
    ----------
    trainer : Trainer
    test : LabelledPictures
        Told apart after each epoch.
    checkpoint : Path
    """

    def __init__(self, trainer: Trainer[Any], test: LabelledPictures, checkpoint: Path) -> None:
        self.trainer = trainer
        self.test = test
        self.checkpoint = checkpoint
        self._columns: list[str] = []

    def to_the_end(self) -> None:
        """Train until all epochs are done, and print a line for each."""
        for row in course_of(self.trainer):
            self._print(row)
        try:
            with _progress(self.trainer) as show:
                train_network(
                    self.trainer, self.test, checkpoint=self.checkpoint, observe=self._print, observe_step=show
                )
        except KeyboardInterrupt:
            if not self.checkpoint.is_file():
                raise
            raise KeyboardInterrupt(f"{self.checkpoint} has the run so far, --resume goes on from it") from None

    def write_curves(self, path: Path, title: str) -> None:
        """The figures of all epochs, as the suffix says."""
        if path.suffix.lower() == NUMBERS_SUFFIX:
            with atomic_write(path) as stream:
                stream.write(format_json(self.facts()).encode())
            return
        course = course_of(self.trainer)
        draw_panels(path, course, _panels(course), "epoch", title)

    def facts(self) -> dict[str, Any]:
        """Settings and the figures of all epochs, as JSON values."""
        return {"settings": self.trainer.settings.as_json(), "epochs": course_of(self.trainer)}

    def summary(self) -> list[tuple[str, str]]:
        """What to print at the end: the last epoch's figures."""
        last = course_of(self.trainer)[-1]
        figures = {name: value for name, value in last.items() if name not in ("epoch", "seconds")}
        lines = [("epochs", str(self.trainer.epoch)), ("time", f"{last['seconds']:.0f} s")]
        return [*lines, *((_spoken(name), _text(name, value)) for name, value in figures.items())]

    def _print(self, row: Row) -> None:
        if not shows_text():
            return
        if not self._columns:
            self._columns = list(row)
            self._print_line([_spoken(name) for name in self._columns])
        self._print_line([_text(name, row[name]) if name in row else "" for name in self._columns])

    def _print_line(self, cells: Sequence[str]) -> None:
        if not sys.stdout.isatty():
            click.echo("\t".join(cells))
            return
        widths = [max(_WIDTH, len(_spoken(name))) for name in self._columns]
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))


def check_curves(paths: Sequence[Path]) -> None:
    """InputError where curves cannot be written as their names say."""
    for path in paths:
        suffix = path.suffix.lower()
        if suffix not in (*CURVE_SUFFIXES, NUMBERS_SUFFIX):
            known = ", ".join((*CURVE_SUFFIXES, NUMBERS_SUFFIX))
            raise InputError(f"{path}: curves end in {known}; choose another name")
        if suffix != NUMBERS_SUFFIX and not can_plot():
            raise InputError(f"{path}: needs matplotlib, which is missing; pip install 'spikeunet[plots]'")


def _panels(course: Course) -> dict[str, tuple[str, ...]]:
    """A panel for each figure, with that of the validation in it."""
    names = [name for row in course for name in row if name not in ("epoch", "seconds")]
    plain = dict.fromkeys(name.removeprefix("validation_") for name in names)
    return {name.replace("_", " "): (name, f"validation_{name}") for name in plain}


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _text(name: str, value: float) -> str:
    if name == "epoch":
        return f"{value:.0f}"
    if name.endswith("accuracy"):
        return f"{value:.2%}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.4g}"


@contextmanager
def _progress(trainer: Trainer[Any]) -> Iterator[Callable[[Figures], None]]:
    """A function that shows a step's figures beside a progress bar on a terminal, and nothing elsewhere."""
    if is_quiet() or not sys.stderr.isatty():
        yield lambda _figures: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=trainer.iterations, completed=trainer.iteration)

        def show(figures: Figures) -> None:
            shown = "  ".join(f"{_spoken(name)} {_text(name, value)}" for name, value in figures.items())
            bar.update(task, completed=trainer.iteration, description=shown)

        yield show

"""A training run from the command line: progress on a terminal, log lines, validations and checkpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..learning.finetune import StepReport, Trainer
from .guard import remark
from .output import is_quiet
from .training_files import COLUMNS, Files, Row, can_plot, draw_curve, read_log, write_log

if TYPE_CHECKING:
    from .training_tasks import TrainingTask


class TrainingRun:
    """Drives a trainer to its end.

    Parameters
    ----------
    trainer : Trainer
    files : Files
    task : TrainingTask
        Its validation.
    interval : int
        Iterations between validations, log lines and checkpoints.
    """

    def __init__(self, trainer: Trainer, files: Files, task: TrainingTask, interval: int) -> None:
        self.trainer = trainer
        self.files = files
        self.task = task
        self.interval = interval
        self.rows: list[Row] = []
        self._reports: list[StepReport] = []
        self._begin = time.monotonic()
        self._earlier = 0.0

    def resume(self) -> None:
        """Go on from the checkpoint and its log."""
        self.trainer.resume(self.files.checkpoint)
        self.rows = read_log(self.files.log, self.trainer.iteration)
        self._earlier = float(self.rows[-1]["seconds"] or 0) if self.rows else 0.0

    def to_the_end(self) -> None:
        """Train until all iterations are done."""
        try:
            self._train()
        except KeyboardInterrupt:
            if not self.files.checkpoint.is_file():
                raise
            raise KeyboardInterrupt(f"{self.files.checkpoint} has the run so far, --resume goes on from it") from None

    def _train(self) -> None:
        if not self.rows:
            self._log()
        with _progress(self.trainer) as show:
            while not self.trainer.finished:
                self._reports.append(self.trainer.step())
                if self.trainer.iteration % self.interval == 0 or self.trainer.finished:
                    self._log()
                    # The log first: after an interruption in between, --resume cuts it to the checkpoint.
                    self.trainer.checkpoint(self.files.checkpoint)
                show(self._message())

    def draw(self) -> None:
        """Draw the curve; what was trained should be saved before."""
        if can_plot():
            settings = self.trainer.settings
            draw_curve(self.files.curve, self.rows, f"{settings.method}, T = {settings.steps}")
        else:
            remark("no curve was drawn: matplotlib is missing; pip install 'spikeunet[plots]'")

    def summary(self) -> list[tuple[str, str]]:
        """What to print at the end."""
        last = self.rows[-1]
        fields = [
            ("iterations", str(self.trainer.iteration)),
            ("time", f"{last['seconds']:.0f} s"),
            ("loss", _number(last["loss"], ".6g")),
            ("operations", f"{_number(last['accumulates_per_pixel'], ',.0f')} per pixel in training"),
        ]
        if self.task.validate:
            fields += [
                ("validation", f"{self._score(last)} (before: {self._score(self.rows[0])})"),
                ("", f"{_number(last['validation_accumulates_per_pixel'], ',.0f')} operations per pixel"),
            ]
        return [*fields, ("log", str(self.files.log)), *([("curve", str(self.files.curve))] if can_plot() else [])]

    def facts(self) -> dict[str, Any]:
        """What `summary` says, as numbers: the first and the last line of the log, and where it lies."""
        return {
            "iterations": self.trainer.iteration,
            "before": self.rows[0],
            "after": self.rows[-1],
            "log": str(self.files.log),
            "curve": str(self.files.curve) if can_plot() else None,
        }

    def _log(self) -> None:
        """Validate and write a line: means over the iterations since the last one."""
        names = ("loss", "penalty", "gradient_norm", "rate", "accumulates_per_pixel")
        means = {name: _mean([getattr(report, name) for report in self._reports]) for name in names}
        self._reports.clear()
        scores: Row = {name: None for name in COLUMNS if name.startswith("validation_")}
        if self.task.validate:
            scores |= self.trainer.validate(self.task.validate)
        seconds = self._earlier + time.monotonic() - self._begin
        self.rows.append({"iteration": float(self.trainer.iteration), "seconds": seconds, **means, **scores})
        write_log(self.files.log, self.rows)

    def _message(self) -> str:
        """The newest figures, for the progress bar."""
        last = self._reports[-1] if self._reports else None
        loss = last.loss if last else self.rows[-1]["loss"]
        cost = last.accumulates_per_pixel if last else self.rows[-1]["accumulates_per_pixel"]
        shown = f"loss {_number(loss, '.5g')}  {_number(cost, ',.0f')} operations/pixel"
        return f"{shown}  validation {self._score(self.rows[-1])}" if self.task.validate else shown

    def _score(self, row: Row) -> str:
        value = row[self.task.score]
        return "-" if value is None else self.task.form.format(value)


@contextmanager
def _progress(trainer: Trainer) -> Iterator[Any]:
    """A function that shows a message beside a progress bar on a terminal, and nothing elsewhere."""
    if is_quiet() or not sys.stderr.isatty():
        yield lambda _message: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TextColumn("left"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=trainer.settings.iterations, completed=trainer.iteration)
        yield lambda message: bar.update(task, completed=trainer.iteration, description=message)


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

"""A training run: epoch after epoch, with validations, checkpoints and the course of all figures."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

from ..threads import using_threads
from .pictures import LabelledPictures
from .trainer import Figures, Trainer, check_alike

Row = dict[str, float]
"""An epoch: "epoch", "seconds" since the run began, means of a step's figures, and "validation_..." of the others."""

Course = list[Row]
"""The rows of all epochs."""

_COURSE = "course"


def train(
    trainer: Trainer[Any],
    validation: LabelledPictures | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    observe: Callable[[Row], None] | None = None,
    observe_step: Callable[[Figures], None] | None = None,
) -> Course:
    """Train until all epochs are done.

    Parameters
    ----------
    trainer : Trainer
        A fresh one, or one that has resumed.
    validation : LabelledPictures, optional
        Pictures that are told apart after each epoch.
    checkpoint : path, optional
        File that is written after each epoch: an interrupted run loses at most one.
    observe, observe_step : function, optional
        Called with each epoch's row, and with the figures of each step.

    Returns
    -------
    Course
        Of epochs before a checkpoint that was resumed, too.

    Raises
    ------
    InputError
        If training diverges, or the pictures to validate on differ from those to learn from.
    """
    if validation is not None:
        check_alike(trainer.pictures, validation)
    course = course_of(trainer)
    begin = time.monotonic() - (course[-1]["seconds"] if course else 0.0)
    found: list[Figures] = []
    while not trainer.finished:
        found.append(trainer.step())
        if observe_step is not None:
            observe_step(found[-1])
        if trainer.iteration % trainer.batches:
            continue
        row: Row = {"epoch": float(trainer.epoch), "seconds": time.monotonic() - begin, **_means(found)}
        found.clear()
        if validation is not None:
            with using_threads(trainer.threads):
                scores = trainer.validate(validation)
            row |= {f"validation_{name}": value for name, value in scores.items()}
        course.append(row)
        trainer.notes[_COURSE] = course
        if checkpoint is not None:
            trainer.checkpoint(checkpoint)
        if observe is not None:
            observe(row)
    return course


def course_of(trainer: Trainer[Any]) -> Course:
    """The rows of the epochs that are done."""
    return list(trainer.notes.get(_COURSE, []))


def _means(found: list[Figures]) -> Figures:
    """Mean of each figure, over the steps that have it."""
    names = dict.fromkeys(name for figures in found for name in figures)
    values = {name: [figures[name] for figures in found if name in figures] for name in names}
    return {name: math.fsum(numbers) / len(numbers) for name, numbers in values.items()}

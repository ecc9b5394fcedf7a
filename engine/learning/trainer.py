"""What every training method is behind: a trainer that steps, validates, and writes checkpoints and a model."""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, first_few
from ..threads import using_threads
from .finetune.checkpoint import read_checkpoint, write_checkpoint
from .finetune.optimizers import Optimizer
from .pictures import LabelledPictures
from .settings import TrainingSettings

Figures = dict[str, float]
"""What a step or a validation found, by name: "loss", "accuracy" (a share from 0 to 1), and what else there is."""

Settings_ = TypeVar("Settings_", bound=TrainingSettings)


class Trainer(ABC, Generic[Settings_]):
    """State of a training run.

    A method derives from it, says what its settings are (`settings_type`), makes `parameters` in its `__init__`, and
    writes `learn`, `validate` and `save`. All that later steps depend on must be in `parameters`, `averages`, the
    optimiser, `generator` or `notes` (JSON values): a checkpoint keeps these, and goes on from them bit for bit.

    Parameters
    ----------
    pictures : LabelledPictures
        To learn from.
    settings : TrainingSettings
    threads : int, optional
        Worker threads; by default all processors. The numbers do not depend on how many there are.
    """

    settings_type: ClassVar[type[Any]] = TrainingSettings
    method: ClassVar[str] = ""
    """What model files call the method."""
    starts_from = "method or data set"

    def __init__(self, pictures: LabelledPictures, settings: Settings_, threads: int | None = None) -> None:
        self.pictures = pictures
        self.settings = settings
        self.threads = threads
        self.generator = np.random.default_rng(settings.seed)
        self.iteration = 0
        self.parameters: dict[str, NDArray[Any]] = {}
        self.averages: dict[str, NDArray[Any]] = {}
        self.optimizer: Optimizer | None = None
        self.notes: dict[str, Any] = {}

    @property
    def batches(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return math.ceil(len(self.pictures) / self.settings.batch)

    @property
    def iterations(self) -> int:
        """Length of the run, in batches."""
        return self.settings.epochs * self.batches

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.iteration // self.batches

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.iteration >= self.iterations

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the parameters that an optimiser changes."""
        return tuple(self.parameters)

    @property
    def fingerprint(self) -> str:
        """Digest of the method and the pictures."""
        return hashlib.sha256(f"{type(self).__name__} {self.pictures.fingerprint()}".encode()).hexdigest()

    def next_batch(self) -> LabelledPictures:
        """The pictures of the next step: each epoch has all of them, in an order of its own that the seed decides."""
        settings, (epoch, place) = self.settings, divmod(self.iteration, self.batches)
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(self.pictures))
        batch = self.pictures.part(order[place * settings.batch : (place + 1) * settings.batch])
        if not settings.shift:
            return batch
        return batch.shifted(settings.shift, np.random.default_rng((settings.seed, epoch, place)))

    def step(self, batch: LabelledPictures | None = None) -> Figures:
        """Learn from a batch, by default the next one.

        Raises
        ------
        InputError
            If what was found is no longer finite, or the batch differs from the pictures to learn from in shape or
            classes.
        """
        if batch is not None:
            check_alike(self.pictures, batch, "pictures of a batch")
        with using_threads(self.threads):
            figures = self.learn(self.next_batch() if batch is None else batch)
        if not all(map(math.isfinite, figures.values())):
            shown = ", ".join(f"{name} {value:g}" for name, value in figures.items())
            raise InputError(
                f"training diverged at iteration {self.iteration + 1} ({shown}); start again with a smaller rate"
            )
        self.iteration += 1
        return figures

    @abstractmethod
    def learn(self, batch: LabelledPictures) -> Figures:
        """Change `parameters` in place by a batch, and say what was found before that."""

    @abstractmethod
    def validate(self, pictures: LabelledPictures) -> Figures:
        """How well pictures are told apart that were not learnt from: "accuracy", and what else there is."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained model, completely or not at all."""

    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that is needed to go on, completely or not at all; InputError where that is not possible."""
        write_checkpoint(path, self)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint: every number that follows is the one that an uninterrupted run would have given.

        Raises
        ------
        ModelFileError
            If the file cannot be read, or belongs to another method, other pictures or other settings.
        """
        read_checkpoint(path, self)

    def facts(self) -> dict[str, Any]:
        """Metadata of a model file for `spikeunet classify`."""
        settings = {name: list(v) if isinstance(v, tuple) else v for name, v in self.settings.as_json().items()}
        training = {"method": self.method, "iterations": self.iteration, **settings}
        _, height, width = self.pictures.shape
        return {
            "task": "classify",
            "classes": list(self.pictures.classes),
            "conversion": {"input_size": [height, width]},
            "training": training,
        }


def check_alike(train: LabelledPictures, other: LabelledPictures, what: str = "pictures to validate on") -> None:
    """InputError where other pictures differ from those to learn from in shape or classes."""
    if train.shape != other.shape:
        sizes = ["x".join(map(str, each.shape)) for each in (other, train)]
        raise InputError(
            f"{what} are {sizes[0]} (channels x height x width), those to learn from {sizes[1]}; give such of one size"
        )
    if train.classes != other.classes:
        raise InputError(
            f"{what} have the classes {first_few(other.classes)}, those to learn from "
            f"{first_few(train.classes)}; give the same classes"
        )

"""Trainers that follow a loss downhill; a method says what the loss of a batch is, and its gradients."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .finetune.losses import cross_entropy
from .finetune.optimizers import OPTIMIZERS, clip_factor, gradient_norm, optimizer_named
from .finetune.schedules import SCHEDULES, Schedule
from .pictures import LabelledPictures
from .settings import TrainingSettings, option
from .trainer import Figures, Trainer

Array = NDArray[Any]


@dataclass(frozen=True)
class GradientSettings(TrainingSettings):
    """Settings of all methods that follow gradients."""

    optimizer: str = option("adam", "How gradients become changes.", choices=OPTIMIZERS)
    rate: float = option(1e-3, "Largest learning rate.", above=0)
    momentum: float = option(0.9, "Of sgd, and Adam's first decay.", least=0, below=1)
    schedule: str = option("cosine", "Course of the learning rate.", choices=SCHEDULES)
    warmup: float = option(0.0, "Share of the run in which the rate rises.", least=0, below=1)
    decay: float = option(0.0, "Share of the weights, times the rate, that a step takes away.", least=0)
    clip: float = option(1.0, "Largest norm of all gradients together; 0 for any.", least=0)


GradientSettings_ = TypeVar("GradientSettings_", bound=GradientSettings)


class GradientTrainer(Trainer[GradientSettings_]):
    """A trainer whose method gives a loss and its gradients; `constrain` may put parameters back into their range.

    Raises
    ------
    InputError
        If all pictures are of one class.
    """

    settings_type: ClassVar[type[Any]] = GradientSettings

    def __init__(self, pictures: LabelledPictures, settings: GradientSettings_, threads: int | None = None) -> None:
        if (pictures.labels == pictures.labels[0]).all():
            raise InputError(
                f"pictures to learn from are all of the class {pictures.classes[pictures.labels[0]]!r}, so that there "
                "is nothing to tell apart; give pictures of two classes or more"
            )
        super().__init__(pictures, settings, threads)
        self.optimizer = optimizer_named(settings.optimizer, settings.momentum)
        self._schedule = Schedule(settings.schedule, settings.warmup)

    @abstractmethod
    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """Figures of a batch, "loss" among them, and the gradients of the loss by the names of the parameters."""

    def constrain(self) -> None:
        """Put parameters that a step took out of their range back into it, in place."""

    def decays(self, name: str) -> bool:
        """Whether a parameter is among the weights that `decay` makes smaller."""
        return name.endswith("weight")

    def learn(self, batch: LabelledPictures) -> Figures:
        """Take a step of the optimiser."""
        with np.errstate(over="ignore", invalid="ignore"):  # training may overflow, as the check of the figures says
            figures, gradients = self.gradients(batch)
            norm = gradient_norm(gradients)
        if not math.isfinite(norm):
            raise InputError(
                f"training diverged at iteration {self.iteration + 1} (gradient norm {norm:g}); start again with a "
                "smaller rate"
            )
        settings = self.settings
        rate = settings.rate * self._schedule(self.iteration, self.iterations)
        if settings.decay:
            for name in filter(self.decays, gradients):
                array = self.parameters[name]
                array *= array.dtype.type(1 - rate * settings.decay)
        assert self.optimizer is not None
        self.optimizer.step(self.parameters, gradients, rate, clip_factor(norm, settings.clip or None))
        self.constrain()
        return figures


def classification_loss(scores: Array, labels: NDArray[np.int64]) -> tuple[Figures, Array]:
    """Cross-entropy and accuracy of scores (N, K), and the gradient of the former by them."""
    loss, gradient = cross_entropy(scores[:, None, None], labels[:, None, None])
    right = float((scores.argmax(axis=1) == labels).mean())
    return {"loss": loss, "accuracy": right}, gradient[:, 0, 0]

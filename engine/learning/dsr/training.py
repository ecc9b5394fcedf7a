"""The trainer of networks by their spike representation."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...files.model_file import save_model
from ...graph import Network
from ...threads import limited_blas, using_threads
from ..connected import Fired
from ..gradient_trainer import GradientTrainer, classification_loss
from ..pictures import LabelledPictures
from ..trainer import Figures
from .connections import Connections
from .convolutions import Convolutions
from .form import Form
from .settings import DsrSettings

Array = NDArray[Any]

VALIDATION_BATCH = 250


class DsrTrainer(GradientTrainer[DsrSettings]):
    """Trains full connections, with convolutions before them or without, and spiking populations between them."""

    settings_type: ClassVar[type[Any]] = DsrSettings
    method = "dsr"

    def __init__(self, pictures: LabelledPictures, settings: DsrSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        kind = Convolutions if settings.convolutions else Connections
        self.form: Form[Any] = kind(settings, pictures.shape, len(pictures.classes))
        self.parameters = self.form.first_parameters(self.generator)

    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """Cross-entropy of the readout's representation, and its gradients."""
        with limited_blas(1):
            tape = self.represent(batch.pictures)
            figures, gradient = classification_loss(tape.scores, batch.labels)
            gradients = self.form.gradients(self.parameters, tape, gradient)
        if not self.settings.train_thresholds:
            gradients = {name: array for name, array in gradients.items() if not name.endswith(".threshold")}
        return figures, gradients

    @property
    def trained(self) -> tuple[str, ...]:
        """All parameters, but the thresholds where they are fixed."""
        fixed = () if self.settings.train_thresholds else (".threshold",)
        return tuple(name for name in self.parameters if not name.endswith(fixed))

    def constrain(self) -> None:
        """Keep thresholds above the floor."""
        for name, array in self.parameters.items():
            if name.endswith(".threshold"):
                np.maximum(array, np.float32(self.settings.floor), out=array)

    def represent(self, pictures: Array) -> Any:
        """Representations of all populations: counted, or those of the artificial network where T is 0."""
        return self.form.represent(self.parameters, pictures)

    def spikes(self, pictures: Array) -> list[Fired]:
        """What each population emits, as the engine's simulation of `network` has it."""
        return self.form.spikes(self.parameters, pictures)

    def validate(self, pictures: LabelledPictures) -> Figures:
        """Accuracy by the readout that the engine has, and the share of steps in which a neuron fires."""
        right, rates = 0, list[float]()
        with using_threads(self.threads):
            for first in range(0, len(pictures), VALIDATION_BATCH):
                part = pictures.part(slice(first, first + VALIDATION_BATCH))
                scores, rate = self._scores(part.pictures)
                right += int((scores.argmax(axis=1) == part.labels).sum())
                rates += [rate] * len(part)
        figures = {"accuracy": right / len(pictures)}
        return figures | ({"firing_rate": float(np.mean(rates))} if self.settings.steps else {})

    def _scores(self, pictures: Array) -> tuple[Array, float]:
        """Scores (N, K), and the share of steps in which a neuron fires."""
        if not self.settings.steps:
            return self.represent(pictures).scores, 0.0
        return self.form.scores(self.parameters, pictures)

    def network(self) -> Network:
        """The network as it is now, for the engine."""
        facts = self.facts() | ({"steps": self.settings.steps} if self.settings.steps else {})
        return self.form.network(self.parameters, facts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file."""
        save_model(self.network(), path)


TRAINER = DsrTrainer

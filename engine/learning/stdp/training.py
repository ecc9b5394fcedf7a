"""Training of filters without labels, by competitions in patches of pictures at random places."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import InputError
from ...threads import limited_blas, using_threads
from ..pictures import LabelledPictures
from ..settings import TrainingSettings, option
from ..trainer import Figures, Trainer
from .filters import StdpFilters, StdpRule, drawn_patches, pooled, random_filters, readout
from .front import Times
from .model import FRONTS, MOST_CELLS, StdpModel, front_times, read, save_stdp_model

ENOUGH = 64
"""Patches of a batch of which one at least should make a neuron spike."""


@dataclass(frozen=True)
class StdpSettings(TrainingSettings):
    """Settings of STDP."""

    epochs: int = option(5, "Times that every picture is learnt from.", least=1, most=10**6)
    filters: int = option(32, "Filters that compete.", least=1, most=4096)
    side: int = option(5, "Pixels along a side of a filter.", least=1, most=64)
    patches: int = option(8, "Patches of a picture to learn from each time.", least=1, most=10**4)
    rate: float = option(0.1, "Largest change of a weight.", above=0, most=1)
    threshold_rate: float = option(1.0, "Largest change of a threshold.", least=0)
    annealing: float = option(0.95, "What both are multiplied by after each epoch.", above=0, most=1)
    window: float = option(0.1, "Time over which a spike's influence on a weight falls to 1/e.", above=0)
    wanted: float = option(0.7, "Time at which neurons should spike, from 0 to 1.", least=0, most=1)
    threshold: float = option(8.0, "Mean of the first thresholds, none of which is ever below 1.", least=1)
    front: str = option("contrast", "Differences of Gaussians, or the pictures as they are.", choices=FRONTS)
    least: float = option(0.05, "Values that are not above it never spike.", least=0, below=1)
    inhibit: bool = option(True, "The first spike at a place silences the other filters there.")
    cells: int = option(4, "Cells along a side of the grid in which spikes are added up.", least=1, most=MOST_CELLS)


class StdpTrainer(Trainer[StdpSettings]):
    """Trains filters by STDP; labels are for the readout alone."""

    settings_type: ClassVar[type[Any]] = StdpSettings

    def __init__(self, pictures: LabelledPictures, settings: StdpSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        channels, *size = pictures.shape
        if min(size) - settings.side + 1 < settings.cells:
            raise InputError(
                f"side and cells must fit pictures of {size[0]}x{size[1]} pixels, of cells + side - 1 or more a side "
                f"(got side {settings.side} and cells {settings.cells})"
            )
        channels *= 2 if settings.front == "contrast" else 1
        drawn = random_filters(self.generator, settings.filters, channels, settings.side, settings.threshold)
        self.parameters = {"filters": drawn.weights, "thresholds": drawn.thresholds}

    @property
    def filters(self) -> StdpFilters:
        """The filters as they are now, on the parameters themselves."""
        return StdpFilters(self.parameters["filters"], self.parameters["thresholds"])

    def learn(self, batch: LabelledPictures) -> Figures:
        """Learn from patches of the pictures; how many neurons spiked, and how far the weights are from 0 and 1."""
        settings = self.settings
        times = self._times(batch)
        patches = drawn_patches(times, settings.side, settings.patches, self.generator)
        # A patch of an even area has nothing to say.
        patches = patches[np.isfinite(patches).any(axis=(1, 2, 3))]
        share = settings.annealing**self.epoch
        rule = StdpRule(settings.window, settings.wanted)
        winners = self.filters.learn(patches, rule, settings.rate * share, settings.threshold_rate * share)
        if len(winners) >= ENOUGH and (winners < 0).all():
            raise InputError(
                f"no neuron spiked in {len(winners)} patches at iteration {self.iteration + 1}, so none learns; start "
                f"again with a smaller threshold, threshold_rate or wanted (they are {settings.threshold:g}, "
                f"{settings.threshold_rate:g} and {settings.wanted:g}; thresholds rise until neurons spike at the time "
                "that is wanted, which inputs that all come sooner never let them)"
            )
        weights = self.parameters["filters"]
        spiked = float((winners >= 0).mean()) if len(winners) else 0.0
        return {"spiked": spiked, "undecided": float((weights * (1 - weights)).mean()) * 4}

    def validate(self, pictures: LabelledPictures) -> Figures:
        """Accuracy of a linear readout, fitted to the pictures that were learnt from; operations a picture."""
        model = self.model()
        found, operations = self._features(pictures)
        right = read(model.readout, found).argmax(axis=1) == pictures.labels
        return {"accuracy": float(right.mean()), "operations": operations / len(pictures)}

    def model(self) -> StdpModel:
        """The filters as they are now, with a readout fitted to the pictures that were learnt from."""
        settings = self.settings
        with limited_blas(1):
            fitted = readout(self._features(self.pictures)[0], self.pictures.labels, len(self.pictures.classes), 0)
        return StdpModel(
            self.filters, fitted, settings.front, settings.least, settings.inhibit, settings.cells, self.facts()
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the filters and the readout."""
        save_stdp_model(self.model(), path)

    def _features(self, pictures: LabelledPictures) -> tuple[Times, int]:
        with using_threads(self.threads):
            found, operations = self.filters.respond(self._times(pictures), self.settings.inhibit)
        return pooled(found, self.settings.cells), operations

    def _times(self, pictures: LabelledPictures) -> Times:
        return front_times(pictures.pictures, self.settings.front, self.settings.least)


TRAINER = StdpTrainer

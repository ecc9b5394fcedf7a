"""Search thresholds, initial potential and scales for the spiking network that is closest to the ANN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.dense import forward
from spikeunet.engine.errors import GraphError, InputError
from spikeunet.engine.graph import Network
from spikeunet.engine.neurons import MultiThreshold
from spikeunet.engine.simulation import simulate

from .calibration import seen
from .convert import convert
from .normalization import Normalization, ScaleChoice

Array = NDArray[np.float32]

PICTURES = 4
SIDE = 96
"""So many pictures of this side, the middles of those given, stand for all of them."""

LADDERS = (8, 7, 6, 5, 4)
"""Numbers of thresholds that are tried, each half of the one before: 1, 1/2 ..."""

STEPS = (1, 2, 4, 8)
"""Numbers of steps that are tried where the accumulates are given."""

INITIAL = (0.5, 0.25, 0.0)
"""Initial potentials that are tried, in smallest thresholds."""

RULES: tuple[tuple[Normalization, ScaleChoice, float | None], ...] = (
    ("channel", "least-squares", None),
    ("channel", "percentile", 99.9),
    ("channel", "percentile", 99.99),
    ("channel", "iteration", None),
    ("connection", "least-squares", None),
    ("connection", "percentile", 99.9),
)


@dataclass(frozen=True)
class Settings:
    """What is searched.

    Parameters
    ----------
    neuron : MultiThreshold
    normalization, scales, percentile
        As of `convert`.
    steps : int
    """

    neuron: MultiThreshold
    normalization: Normalization = "channel"
    scales: ScaleChoice = "least-squares"
    percentile: float | None = None
    steps: int = 1

    def with_thresholds(self, count: int) -> Settings:
        """With so many thresholds, and the same initial potential in smallest ones."""
        share = self.neuron.initial / self.neuron.thresholds[-1]
        thresholds = tuple(2.0**-number for number in range(count))
        return replace(self, neuron=MultiThreshold(thresholds, share * thresholds[-1]))

    def with_initial(self, share: float) -> Settings:
        """With this initial potential, in smallest thresholds."""
        return replace(self, neuron=replace(self.neuron, initial=share * self.neuron.thresholds[-1]))

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `convert`; the steps go to the metadata."""
        names = ("neuron", "normalization", "scales", "percentile")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Trial:
    """What came of some settings.

    Parameters
    ----------
    settings : Settings
    error : float
        Root mean square of the difference between spiking output and the ANN's, divided by that of the ANN's.
    accumulates : float
        For each pixel.
    """

    settings: Settings
    error: float
    accumulates: float


class Tuner:
    """A search that ends with the settings of the least error, one thing after the other.

    First how scales are chosen, then the number of thresholds, for each number of steps that is allowed, then the
    initial potential. Iterate to run it; each trial is yielded.

    Parameters
    ----------
    network : Network
        Before normalisation, such as `convert` gives with normalization="none".
    pictures : sequence of (C, H, W) float32
        Of `calibration_pictures`. The first ones are taken, and their middles.
    steps : int, optional
        Time steps; 1 unless accumulates are given, which then decide.
    accumulates : float, optional
        How many accumulates for each pixel the network may take.
    """

    def __init__(
        self, network: Network, pictures: Sequence[Array], steps: int | None = None, accumulates: float | None = None
    ) -> None:
        if len(network.outputs) > 1:
            raise InputError(f"the search compares one output (got a network with {len(network.outputs)})")
        if accumulates is not None and not accumulates > 0:
            raise InputError(f"the accumulates for each pixel must be above 0 (got {accumulates:g})")
        self._network = network
        self._pictures = [_middle(network, picture) for picture in islice(seen(network, pictures), PICTURES)]
        self._steps = STEPS if steps is None and accumulates is not None else (steps or 1,)
        self._limit = np.inf if accumulates is None else accumulates
        self._wanted = [forward(network, picture)[0].astype(np.float64) for picture in self._pictures]
        self.trials: list[Trial] = []

    @property
    def most(self) -> int:
        """Number of trials, at most."""
        return len(RULES) + len(self._steps) * len(LADDERS) + len(INITIAL)

    @property
    def first(self) -> Trial:
        """That of the defaults."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The least error, of those within the accumulates; InputError where there is none."""
        within = [trial for trial in self.trials if trial.accumulates <= self._limit]
        if not within:
            least = min(trial.accumulates for trial in self.trials)
            raise InputError(
                f"no settings need as few as {self._limit:g} accumulates for each pixel, the least that was found is "
                f"{least:.0f}; allow more, or fine-tune with a penalty (spikeunet finetune --penalty)"
            )
        return min(within, key=lambda trial: (trial.error, trial.accumulates))

    def __iter__(self) -> Iterator[Trial]:
        start = Settings(MultiThreshold.rounding(), steps=self._steps[0])
        for normalization, scales, percentile in RULES:
            yield from self._try(replace(start, normalization=normalization, scales=scales, percentile=percentile))
        chosen = min(self.trials, key=lambda trial: trial.error).settings
        for steps in self._steps:
            for count in LADDERS:
                yield from self._try(replace(chosen.with_thresholds(count), steps=steps))
        chosen = self.best.settings
        for share in INITIAL:
            yield from self._try(chosen.with_initial(share))

    def _try(self, settings: Settings) -> Iterator[Trial]:
        """Run some settings, unless that was done before."""
        if any(trial.settings == settings for trial in self.trials):
            return
        self.trials.append(self._run(settings))
        yield self.trials[-1]

    def _run(self, settings: Settings) -> Trial:
        metadata = {"steps": settings.steps}
        converted = convert(self._network, calibration=self._pictures, metadata=metadata, **settings.options)
        difference, squares, accumulates, pixels = 0.0, 0.0, 0, 0
        for picture, wanted in zip(self._pictures, self._wanted, strict=True):
            result = simulate(converted, picture, settings.steps)
            difference += float(np.square(result.output - wanted).sum())
            squares += float(np.square(wanted).sum())
            accumulates += result.total_accumulates
            pixels += picture.shape[1] * picture.shape[2]
        return Trial(settings, float(np.sqrt(difference / (squares or 1.0))), accumulates / pixels)


def _middle(network: Network, picture: Array) -> Array:
    """The middle of a picture, the whole one where the network takes no other size."""
    side = max(SIDE // network.size_multiple, 1) * network.size_multiple
    top, left = (max(0, length - side) // 2 for length in picture.shape[1:])
    middle = picture[:, top : top + side, left : left + side]
    try:
        network.shapes((len(middle), middle.shape[1], middle.shape[2]))
    except (GraphError, InputError):
        return picture
    return np.ascontiguousarray(middle)

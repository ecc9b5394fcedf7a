"""Training of spike times (ReL-PSP): cross-entropy of the negative times of the last layer, gradients in closed form.

The class is that of the neuron that spikes first. A neuron whose weights are too small never spikes, and then no
gradient tells it how to: a penalty on weights whose sum over a neuron's inputs stays below a margin keeps them alive.
In the loss, an output neuron that never spikes counts as one that spikes at a late time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..connected import check_widths
from ..gradient_trainer import GradientSettings, GradientTrainer, classification_loss
from ..pictures import LabelledPictures
from ..settings import option
from ..trainer import Figures
from .gradients import latency, network_gradients
from .layers import TimesNetwork, save_times_network
from .simulation import TimesResult, simulate_times

Array = NDArray[Any]


@dataclass(frozen=True)
class SpikeTimesSettings(GradientSettings):
    """Settings of training by spike times."""

    layers: tuple[int, ...] = option((100,), "Widths of the hidden layers.", least=1, most=65536)
    rate: float = option(3e-3, "Largest learning rate.", above=0)
    sharpness: float = option(10.0, "Scores are minus this times the spike times.", above=0)
    late: float = option(4.0, "Time that counts in the loss for an output that never spikes.", above=0)
    margin: float = option(1.0, "Least sum of a neuron's weights, which are pushed up to it.", least=0)
    push: float = option(1.0, "Weight of that push in the loss.", least=0)
    least_slope: float = option(0.2, "Smaller slopes at a threshold count as this one in gradients.", least=0)
    drive: float = option(4.0, "Sum of a neuron's first weights.", above=0)
    spread: float = option(1.0, "Deviation of first weights, times the root of their number.", above=0)

    def check(self) -> None:
        """InputError where there is no hidden layer."""
        check_widths(self.layers)


class SpikeTimesTrainer(GradientTrainer[SpikeTimesSettings]):
    """Trains full connections between neurons that spike once."""

    settings_type: ClassVar[type[Any]] = SpikeTimesSettings

    def __init__(self, pictures: LabelledPictures, settings: SpikeTimesSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        widths = (int(np.prod(pictures.shape)), *settings.layers, len(pictures.classes))
        for index in range(1, len(widths)):
            sources = widths[index - 1]
            drawn = self.generator.normal(
                settings.drive / sources, settings.spread / sources**0.5, (widths[index], sources)
            )
            self.parameters[f"fc{index}.weight"] = drawn.astype(np.float32)

    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """Cross-entropy of the negative spike times, and its gradients."""
        network, times, settings = self.network(), latency(batch.pictures), self.settings
        result = simulate_times(network, times)
        figures, gradient = classification_loss(self.scores(result), batch.labels)
        found = network_gradients(network, times, result, -settings.sharpness * gradient, settings.least_slope)
        pushed = [self._push(weight, into) for weight, into in zip(network.weights, found, strict=True)]
        figures["loss"] += sum(pushed)
        silent = 1 - float(np.mean([np.isfinite(each).mean() for each in result.times]))
        figures["silent"] = silent
        return figures, {f"fc{i}.weight": each.astype(np.float32) for i, each in enumerate(found, start=1)}

    def scores(self, result: TimesResult) -> Array:
        """(N, K) float64: minus the spike times, scaled; of outputs that never spike that of a late time."""
        last = result.times[-1]
        return -self.settings.sharpness * np.where(np.isfinite(last), last, self.settings.late)

    def _push(self, weight: Array, into: Array) -> float:
        """The penalty of sums of weights below the margin; its gradient is added to `into`."""
        missing = np.maximum(self.settings.margin - weight.sum(axis=1), 0)
        into -= (2 * self.settings.push * missing)[:, None]
        return float(self.settings.push * np.square(missing).sum())

    def validate(self, pictures: LabelledPictures) -> Figures:
        """Accuracy by the first spike; spikes a neuron, and synaptic operations a picture."""
        result = simulate_times(self.network(), latency(pictures.pictures), self.threads)
        right = (result.times[-1].argmin(axis=1) == pictures.labels) & np.isfinite(result.times[-1]).any(axis=1)
        neurons = sum(each.shape[1] for each in result.times)
        spikes = sum(float(each.mean()) for each in result.spikes)
        synops = result.operations / len(pictures)
        return {"accuracy": float(right.mean()), "spikes": spikes / neurons, "operations": synops}

    def network(self) -> TimesNetwork:
        """The network as it is now."""
        return TimesNetwork(tuple(self.parameters.values()), facts=self.facts())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network's file."""
        save_times_network(self.network(), path)


TRAINER = SpikeTimesTrainer

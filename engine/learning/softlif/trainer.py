"""Training of a small network as rates, for leaky integrate-and-fire neurons to run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...files.model_file import save_model
from ...graph import Network
from ...neurons import InterpolatedLeakyIntegrateAndFire
from ...pictures.resizing import MOST_SIDE, resize
from ...simulation import simulate
from ..finetune.trainable import Trainable
from ..gradient_trainer import GradientSettings, GradientTrainer, classification_loss
from ..pictures import LabelledPictures
from ..settings import option
from ..trainer import Figures
from .passes import rate_gradients, rates, run_rates
from .small_network import KINDS, RETINA, WIDTHS, small_network

Array = NDArray[Any]

_TOGETHER = 100
"""Pictures that are told apart in one go."""


@dataclass(frozen=True)
class SoftLIFSettings(GradientSettings):
    """Settings of networks that are trained as SoftLIF rates."""

    batch: int = option(64, "Pictures in a batch.", least=1, most=65536)
    epochs: int = option(30, "Times that every picture is learnt from.", least=1, most=10**6)
    rate: float = option(3e-3, "Largest learning rate.", above=0)
    widths: tuple[int, ...] = option(WIDTHS, "Channels of the convolutions, each of which halves the picture.", least=1)
    cells: str = option("none", "Cells of the retina before the network.", choices=tuple(KINDS))
    enlarge: int = option(1, "Times that a picture's sides are enlarged first.", least=1, most=64)
    sigma: float = option(0.02, "How far about the threshold the rate is smoothed.", above=0)
    steps: int = option(60, "Time steps to run the trained network for.", least=1, most=10**6)
    dt: float = option(0.001, "Seconds of a step.", above=0)
    tau_mem: float = option(0.02, "Time constant of the membrane, in seconds.", above=0)
    tau_ref: float = option(0.002, "Refractory period, in seconds.", above=0)
    tau_syn: float = option(0.005, "Time constant of the synapses, in seconds; 0 for no filter.", least=0)

    def check(self) -> None:
        """There is a network, and neurons."""
        if not self.widths:
            raise InputError("widths must name a convolution's channels at least (got none)")
        self.neuron()

    def neuron(self) -> InterpolatedLeakyIntegrateAndFire:
        """The model of all neurons; they begin half way, where a neuron is found in the mean."""
        times = (self.tau_mem, self.tau_ref, self.tau_syn)
        return InterpolatedLeakyIntegrateAndFire(*times, dt=self.dt, initial=0.5)


class SoftLIFTrainer(GradientTrainer[SoftLIFSettings]):
    """Cross-entropy of a network of rates; its neurons then fire at these rates.

    `validate` tells pictures apart by the neurons' rates; when the run is done, by their spikes, too.
    """

    settings_type: ClassVar[type[Any]] = SoftLIFSettings
    method: ClassVar[str] = "softlif"

    def __init__(self, pictures: LabelledPictures, settings: SoftLIFSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        channels, *sides = pictures.shape
        height, width = (side * settings.enlarge for side in sides)
        if max(height, width) > MOST_SIDE:
            raise InputError(f"enlarge {settings.enlarge} makes pictures of {height}x{width}; take a smaller one")
        self._size = (height, width)
        shape = (channels, height, width)
        start = small_network(
            shape, len(pictures.classes), settings.widths, settings.cells, settings.neuron(), settings.seed
        )
        self._trainable = Trainable(start)
        everything = self._trainable.parameters()
        self._fixed = {name: array for name, array in everything.items() if name.startswith(f"{RETINA}.")}
        self.parameters = {name: array for name, array in everything.items() if name not in self._fixed}

    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """See `GradientTrainer.gradients`."""
        shown = self._enlarged(batch.pictures)
        network = self._trainable.network({**self._fixed, **self.parameters})
        tape = run_rates(network, np.ascontiguousarray(shown.transpose(0, 2, 3, 1)), self.settings.sigma)
        figures, gradient = classification_loss(tape.output[:, 0, 0], batch.labels)
        found = rate_gradients(network, tape, gradient[:, None, None])
        return figures, {name: found[name] for name in self.parameters}

    def network(self) -> Network:
        """The network as it is now, of neurons that spike."""
        facts = {**self.facts(), "steps": self.settings.steps}
        facts["conversion"] = {"input_size": list(self._size)}
        if self.settings.enlarge > 1:
            height, width = self._size
            facts["preprocessing"] = [{"name": "resize", "height": height, "width": width}]
        network = self._trainable.export({**self._fixed, **self.parameters})
        return network.replace(metadata={**network.metadata, **facts})

    def validate(self, pictures: LabelledPictures) -> Figures:
        """Accuracy of the rates; of a run that is done of the spikes, too."""
        network = self.network()
        shown = self._enlarged(pictures.pictures)
        found = {"accuracy": _accuracy(rates(network, shown), pictures)}
        if self.finished:
            found["spiking_accuracy"] = _accuracy(self._spiking(network, shown), pictures)
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network of spiking neurons as a model file."""
        save_model(self.network(), path)

    def _spiking(self, network: Network, shown: Array) -> Array:
        parts = (shown[start : start + _TOGETHER] for start in range(0, len(shown), _TOGETHER))
        outputs = [simulate(network, part, self.settings.steps, threads=self.threads).output for part in parts]
        return np.concatenate(outputs)

    def _enlarged(self, pictures: Array) -> Array:
        """(N, C, H, W) float32, as `spikeunet classify` resizes them."""
        planes = np.moveaxis(pictures.reshape(-1, *pictures.shape[2:]), 0, 2)
        return np.moveaxis(resize(planes, *self._size), 2, 0).reshape(*pictures.shape[:2], *self._size)


def _accuracy(outputs: Array, pictures: LabelledPictures) -> float:
    return float((outputs[:, :, 0, 0].argmax(axis=1) == pictures.labels).mean())


TRAINER = SoftLIFTrainer

r"""Training on the spike representation (DSR; Meng et al., CVPR 2022, arXiv 2205.00459).

Forward, T steps of integrate-and-fire neurons, with a leak or without one, which are

    v <- decay v + current;    fire where v >= alpha theta;    v <- v - theta;    emit theta

What a population emitted is represented by one number a neuron: the mean of the values over the steps, of a leaky
neuron weighted by decay^(T - t). The same mean of its input, r, and that of its output, o, differ by what is left on
the membrane: o = r - v_T / sum of the weights. So o is close to clip(r, 0, theta), and the backward pass is that of a
network of such clips, at the representations that were counted: do/dr = 1 where 0 <= r <= theta, do/dtheta = 1 where
r > theta. Thresholds are trained, one for each population, and kept above a floor.

In the engine, alpha is an initial potential: firing at alpha theta is firing at theta from (1 - alpha) theta on; where
the potential decays, a bias current of (1 - decay) (1 - alpha) theta keeps that up. The paper's discretisation of the
leak (time constant, step) differs from this one in the scales of weights and thresholds only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..files.model_file import save_model
from ..graph import Network
from ..neurons import IntegrateAndFire, LeakyIntegrateAndFire
from ..threads import limited_blas
from .connected import Fired, Model, chain, check_widths, fire, first_currents, first_weights, step_shares
from .gradient_trainer import GradientSettings, GradientTrainer, classification_loss
from .pictures import LabelledPictures
from .settings import option
from .trainer import Figures

Array = NDArray[Any]

VALIDATION_BATCH = 250


@dataclass(frozen=True)
class DsrSettings(GradientSettings):
    """Settings of DSR."""

    steps: int = option(
        10, "Time steps T; 0 trains the artificial network with clipped activations.", least=0, most=1000
    )
    layers: tuple[int, ...] = option((128,), "Widths of the populations.", least=1, most=65536)
    neuron: str = option("if", "Integrate-and-fire, or with a leak.", choices=("if", "lif"))
    leak: float = option(0.9, "Share of a lif neuron's potential that is left after a step.", above=0, below=1)
    threshold: float = option(1.0, "First threshold of all populations.", above=0)
    alpha: float = option(0.5, "Share of the threshold at which a neuron fires.", above=0, most=1)
    train_thresholds: bool = option(True, "Train a threshold for each population.")
    floor: float = option(0.01, "Smallest threshold.", above=0)

    def check(self) -> None:
        """InputError where there is no population."""
        check_widths(self.layers)

    @property
    def kept(self) -> float:
        """What is left of a potential after a step."""
        return self.leak if self.neuron == "lif" else 1.0


class DsrTrainer(GradientTrainer[DsrSettings]):
    """Trains full connections with spiking populations between them."""

    settings_type: ClassVar[type[Any]] = DsrSettings
    method = "dsr"

    def __init__(self, pictures: LabelledPictures, settings: DsrSettings, threads: int | None = None) -> None:
        super().__init__(pictures, settings, threads)
        widths = (int(np.prod(pictures.shape)), *settings.layers, len(pictures.classes))
        self.parameters = dict(first_weights(self.generator, widths))
        for index in range(1, len(settings.layers) + 1):
            self.parameters[f"neurons{index}.threshold"] = np.array([settings.threshold], np.float32)

    def gradients(self, batch: LabelledPictures) -> tuple[Figures, dict[str, Array]]:
        """Cross-entropy of the readout's representation, and its gradients."""
        with limited_blas(1):
            tape = self.represent(batch.pictures)
            figures, gradient = classification_loss(tape.scores, batch.labels)
            gradients = representation_gradients(self.parameters, tape, gradient)
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

    def represent(self, pictures: Array) -> Tape:
        """Representations of all populations: counted, or those of the artificial network where T is 0."""
        if not self.settings.steps:
            return clipped_tape(self.parameters, pictures)
        return spiking_tape(self.parameters, pictures, self.spikes(pictures))

    def spikes(self, pictures: Array) -> list[Fired]:
        """What each population emits, as the engine's simulation of `network` has it."""
        parameters, models = self._exported()
        shares = step_shares(self.settings.steps, self.settings.kept)
        weight, bias = parameters["fc1.weight"], parameters["fc1.bias"]
        fired = [fire(first_currents(pictures, weight, bias), models[0], shares)]
        for index, model in enumerate(models[1:], start=2):
            weight, bias = parameters[f"fc{index}.weight"], parameters[f"fc{index}.bias"]
            fired.append(fire(bias[None], model, shares, fired[-1], weight))
        return fired

    def validate(self, pictures: LabelledPictures) -> Figures:
        """Accuracy by the readout that the engine has, and the share of steps in which a neuron fires."""
        right, rates = 0, list[float]()
        for first in range(0, len(pictures), VALIDATION_BATCH):
            part = pictures.part(slice(first, first + VALIDATION_BATCH))
            scores, rate = self._scores(part.pictures)
            right += int((scores.argmax(axis=1) == part.labels).sum())
            rates += [rate] * len(part)
        figures = {"accuracy": right / len(pictures)}
        return figures | ({"firing_rate": float(np.mean(rates))} if self.settings.steps else {})

    def _scores(self, pictures: Array) -> tuple[Array, float]:
        """Scores (N, K), and the share of steps in which a neuron fires."""
        last = f"fc{len(self.settings.layers) + 1}"
        if not self.settings.steps:
            return self.represent(pictures).scores, 0.0
        fired = self.spikes(pictures)
        scores = fired[-1].mean @ self.parameters[f"{last}.weight"].T + self.parameters[f"{last}.bias"]
        return scores, sum(each.spikes.sum() for each in fired) / sum(each.spikes.size for each in fired)

    def network(self) -> Network:
        """The network as it is now, for the engine."""
        parameters, models = self._exported()
        facts = self.facts() | ({"steps": self.settings.steps} if self.settings.steps else {})
        return chain(parameters, models, self.pictures.shape[0], facts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file."""
        save_model(self.network(), path)

    def _exported(self) -> tuple[dict[str, Array], list[Model]]:
        """Parameters and neuron models of the engine's network, in which alpha is a potential and a bias."""
        settings, parameters = self.settings, dict(self.parameters)
        models: list[Model] = []
        for index in range(1, len(settings.layers) + 1):
            threshold = float(self.parameters[f"neurons{index}.threshold"][0])
            ahead = (1 - settings.alpha) * threshold
            if settings.neuron == "if":
                models.append(IntegrateAndFire(threshold, initial=ahead))
                continue
            models.append(LeakyIntegrateAndFire(threshold, settings.leak, initial=ahead))
            name = f"fc{index}.bias"
            parameters[name] = parameters[name] + np.float32((1 - settings.leak) * ahead)
        return parameters, models


TRAINER = DsrTrainer


@dataclass(frozen=True, eq=False)
class Tape:
    """What the backward pass needs.

    Parameters
    ----------
    values : list of (N, J)
        The pictures, flattened, and the representation of what each population emits.
    driven : list of (N, J)
        Representation of each population's input, r.
    scores : (N, K)
    """

    values: list[Array]
    driven: list[Array]
    scores: Array


def clipped_tape(parameters: Mapping[str, Array], pictures: Array) -> Tape:
    """That of the artificial network: o = clip(r, 0, theta)."""
    return _tape(parameters, pictures, lambda index, driven: np.clip(driven, 0, _threshold(parameters, index)))


def spiking_tape(parameters: Mapping[str, Array], pictures: Array, fired: list[Fired]) -> Tape:
    """That of a spiking network: o as it was counted."""
    return _tape(parameters, pictures, lambda index, _driven: fired[index - 1].rates)


def _tape(parameters: Mapping[str, Array], pictures: Array, emit: Any) -> Tape:
    values, driven = (
        [pictures.reshape(len(pictures), -1).astype(parameters["fc1.weight"].dtype, copy=False)],
        list[Array](),
    )
    depth = sum(name.endswith(".threshold") for name in parameters)
    for index in range(1, depth + 2):
        current = values[-1] @ parameters[f"fc{index}.weight"].T + parameters[f"fc{index}.bias"]
        if index > depth:
            return Tape(values, driven, current)
        driven.append(current)
        values.append(emit(index, current))
    raise AssertionError


def representation_gradients(parameters: Mapping[str, Array], tape: Tape, gradient: Array) -> dict[str, Array]:
    """Gradients of all parameters from that of the scores (N, K)."""
    found: dict[str, Array] = {}
    for index in range(len(tape.values), 0, -1):
        name = f"fc{index}"
        found[f"{name}.weight"] = gradient.T @ tape.values[index - 1]
        found[f"{name}.bias"] = gradient.sum(axis=0)
        if index == 1:
            break
        flow = gradient @ parameters[f"{name}.weight"]
        driven, threshold = tape.driven[index - 2], _threshold(parameters, index - 1)
        beyond = driven > threshold
        found[f"neurons{index - 1}.threshold"] = np.array([flow[beyond].sum()], flow.dtype)
        gradient = np.where((driven >= 0) & ~beyond, flow, 0)
    return dict(reversed(found.items()))


def _threshold(parameters: Mapping[str, Array], index: int) -> Any:
    return parameters[f"neurons{index}.threshold"][0]

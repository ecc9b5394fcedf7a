"""Full connections: their spikes by kernels of their own, their gradients by products of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network
from ..connected import Fired, Model, chain, fire, first_currents, first_weights, step_shares
from .form import Form, Parameters, clip_backward, threshold_of

Array = NDArray[Any]


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


class Connections(Form[Tape]):
    """Full connections with populations between them."""

    def first_parameters(self, generator: np.random.Generator) -> Parameters:
        """See `Form.first_parameters`."""
        widths = (int(np.prod(self.shape)), *self.settings.layers, self.classes)
        found: Parameters = dict(first_weights(generator, widths))
        for index in range(1, len(self.settings.layers) + 1):
            found[f"neurons{index}.threshold"] = np.array([self.settings.threshold], np.float32)
        return found

    def clipped(self, parameters: Mapping[str, Array], pictures: Array) -> Tape:
        """See `Form.clipped`."""
        return clipped_tape(parameters, pictures)

    def counted(self, parameters: Mapping[str, Array], pictures: Array) -> Tape:
        """See `Form.counted`."""
        return spiking_tape(parameters, pictures, self.spikes(parameters, pictures))

    def gradients(self, parameters: Mapping[str, Array], tape: Tape, gradient: Array) -> Parameters:
        """See `Form.gradients`."""
        return representation_gradients(parameters, tape, gradient)

    def spikes(self, parameters: Mapping[str, Array], pictures: Array) -> list[Fired]:
        """See `Form.spikes`."""
        exported, models = self._exported(parameters)
        shares = step_shares(self.settings.steps, self.settings.kept)
        weight, bias = exported["fc1.weight"], exported["fc1.bias"]
        fired = [fire(first_currents(pictures, weight, bias), models[0], shares)]
        for index, model in enumerate(models[1:], start=2):
            weight, bias = exported[f"fc{index}.weight"], exported[f"fc{index}.bias"]
            fired.append(fire(bias[None], model, shares, fired[-1], weight))
        return fired

    def scores(self, parameters: Mapping[str, Array], pictures: Array) -> tuple[Array, float]:
        """See `Form.scores`."""
        last = f"fc{len(self.settings.layers) + 1}"
        fired = self.spikes(parameters, pictures)
        scores = fired[-1].mean @ parameters[f"{last}.weight"].T + parameters[f"{last}.bias"]
        return scores, sum(each.spikes.sum() for each in fired) / sum(each.spikes.size for each in fired)

    def network(self, parameters: Mapping[str, Array], metadata: Mapping[str, Any]) -> Network:
        """See `Form.network`."""
        exported, models = self._exported(parameters)
        return chain(exported, models, self.shape[0], metadata)

    def _exported(self, parameters: Mapping[str, Array]) -> tuple[Parameters, list[Model]]:
        """Parameters and neuron models of the engine's network."""
        found, models = dict(parameters), list[Model]()
        for index in range(1, len(self.settings.layers) + 1):
            model, rise = self.settings.model(float(threshold_of(parameters, f"neurons{index}")))
            models.append(model)
            if rise:
                found[f"fc{index}.bias"] = found[f"fc{index}.bias"] + np.float32(rise)
        return found, models


def clipped_tape(parameters: Mapping[str, Array], pictures: Array) -> Tape:
    """That of the artificial network: o = clip(r, 0, theta)."""

    def emit(index: int, driven: Array) -> Array:
        return np.clip(driven, 0, threshold_of(parameters, f"neurons{index}"))

    return _tape(parameters, pictures, emit)


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


def representation_gradients(parameters: Mapping[str, Array], tape: Tape, gradient: Array) -> Parameters:
    """Gradients of all parameters from that of the scores (N, K)."""
    found: Parameters = {}
    for index in range(len(tape.values), 0, -1):
        name = f"fc{index}"
        found[f"{name}.weight"] = gradient.T @ tape.values[index - 1]
        found[f"{name}.bias"] = gradient.sum(axis=0)
        if index == 1:
            break
        flow, before = gradient @ parameters[f"{name}.weight"], f"neurons{index - 1}"
        gradient, by_threshold = clip_backward(flow, tape.driven[index - 2], threshold_of(parameters, before))
        found[f"{before}.threshold"] = by_threshold
    return dict(reversed(found.items()))

"""Networks of full connections and spiking populations for training: their parameters, spikes and model files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import Input, Network, Neurons, Node, Output
from ..kernels.connected import OneThreshold, constant_currents, fire_connected
from ..kernels.float_mode import flushing
from ..layers import Linear
from ..memory import worked_out_once
from ..neurons import IntegrateAndFire, LeakyIntegrateAndFire
from ..threads import on_threads

Array = NDArray[Any]
Model = IntegrateAndFire | LeakyIntegrateAndFire

_PICTURES = 16
"""Pictures that a thread takes at a time."""
_NONE = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Fired:
    """What a population did.

    Parameters
    ----------
    spikes : (N, T, J) uint8
    rates : (N, J) float32
        Mean over the steps of the values emitted, weighted by the steps' shares.
    value : float
        Of a spike.
    """

    spikes: NDArray[np.uint8]
    rates: NDArray[np.float32]
    value: float

    @property
    def mean(self) -> NDArray[np.float32]:
        """(N, J) float32: plain mean over the steps of the values emitted, as the engine's readout takes it."""
        return np.asarray(self.spikes.mean(axis=1, dtype=np.float32) * np.float32(self.value), np.float32)


def step_shares(steps: int, decay: float) -> NDArray[np.float32]:
    """(T,) float32 that add up to 1: what counts of each step, the last one most where a potential decays."""
    weights = float(decay) ** np.arange(steps - 1, -1, -1.0)
    return np.asarray(weights / weights.sum(), np.float32)


def first_currents(pictures: Array, weight: Array, bias: Array) -> NDArray[np.float32]:
    """(N, J) float32: current of pictures (N, C, H, W) by full connections (J, C H W), to the engine's bits."""
    order = _engine_order(pictures.shape[1:])
    inputs = np.ascontiguousarray(pictures.reshape(len(pictures), -1)[:, order], np.float32)
    currents = np.empty((len(pictures), len(weight)), np.float32)
    by_source = np.ascontiguousarray(weight.T[order])

    def work(part: slice) -> None:
        constant_currents(inputs[part], by_source, bias, currents[part])

    on_threads(flushing(work), _parts(len(pictures)))
    return currents


def fire(
    base: Array,
    model: Model,
    shares: NDArray[np.float32],
    before: Fired | None = None,
    weight: Array | None = None,
    feedback: Array | None = None,
    pictures: int | None = None,
) -> Fired:
    """Run a population behind full connections for all steps, to the engine's bits.

    Parameters
    ----------
    base : (N, J) or (1, J) float32
        What the current begins with at each step: that of the pictures, or the bias.
    model : IntegrateAndFire or LeakyIntegrateAndFire
        With a reset by subtraction.
    shares : (T,) float32
    before : Fired, optional
        The population that is read through `weight`, (J, I).
    feedback : (J, J) float32, optional
        Weights by target and source of a connection of the population to itself, with a delay of one step.
    pictures : int, optional
        N, where neither `base` nor `before` tells.
    """
    number = len(before.spikes) if before is not None else pictures or len(base)
    width = base.shape[1]
    spikes, rates = np.empty((number, len(shares), width), np.uint8), np.empty((number, width), np.float32)
    constants = model.firing_constants()
    numbers = (constants.decay, constants.compare[0], constants.subtract[0], constants.initial)
    neuron = OneThreshold(*map(np.float32, numbers))
    read = np.zeros((number, len(shares), 0), np.uint8) if before is None else before.spikes
    value = np.float32(0 if before is None else before.value)
    by_source = _NONE.reshape(0, width) if weight is None else np.ascontiguousarray(weight.T)
    returned = _NONE.reshape(0, width) if feedback is None else np.ascontiguousarray(feedback.T)

    def work(part: slice) -> None:
        start = base[part] if len(base) > 1 else base
        fire_connected(start, read[part], value, by_source, returned, neuron, shares, spikes[part], rates[part])

    on_threads(flushing(work), _parts(number))
    rates *= neuron.subtract
    return Fired(spikes, rates, float(neuron.subtract))


def first_weights(
    generator: np.random.Generator, widths: Sequence[int], names: Sequence[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Weights "NAME.weight" (out, in) between widths, normal of variance 2 / in, and biases "NAME.bias" of zeros."""
    found: dict[str, NDArray[np.float32]] = {}
    for index in range(len(widths) - 1):
        name = f"fc{index + 1}" if names is None else names[index]
        into, out = widths[index], widths[index + 1]
        found[f"{name}.weight"] = generator.normal(0, (2 / into) ** 0.5, (out, into)).astype(np.float32)
        found[f"{name}.bias"] = np.zeros(out, np.float32)
    return found


def chain(
    parameters: Mapping[str, Array], models: Sequence[Model], channels: int, metadata: Mapping[str, Any]
) -> Network:
    """The network input - fc1 - neurons1 - fc2 - ... - output, with a model for each population."""
    nodes: list[Node] = [Input("input", channels)]
    source = "input"
    for index in range(1, len(models) + 2):
        name = f"fc{index}"
        nodes.append(Linear(name, source, parameters[f"{name}.weight"], parameters[f"{name}.bias"]))
        if index <= len(models):
            source = f"neurons{index}"
            nodes.append(Neurons(source, name, models[index - 1]))
    return Network([*nodes, Output("output", nodes[-1].name)], dict(metadata))


def check_widths(widths: Sequence[int]) -> None:
    """InputError where there is no hidden population."""
    if not widths:
        raise InputError("layers must have at least one width of a population (got none)")


@worked_out_once()
def _engine_order(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Features (channel, row, column) in the order in which the engine adds them: column, row, channel."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(2, 1, 0).ravel()


def _parts(pictures: int) -> list[slice]:
    return [slice(first, first + _PICTURES) for first in range(0, pictures, _PICTURES)]

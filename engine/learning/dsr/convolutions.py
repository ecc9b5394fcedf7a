"""Convolutions and pools before the full connections: spikes by the engine, gradients by a walk through its graph.

A pool hands on what a population emitted, and has a population behind it, as everywhere in the engine. Sums are what
the representation is made of, so that what an average pool's neurons take in is represented by the average of its
window's representations; and by their largest, where a max pool puts out the largest sum at every step (lateral
inhibition, Li and Zeng, arXiv 2204.13271). So backward a pool is what it is in any other network.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...graph import Input, Network, Neurons, Node, Output, Shape
from ...layers import AvgPool2d, Conv2d, Linear, MaxPool2d
from ...simulation import Result, simulate
from ...threads import on_threads
from ..connected import Fired, Model, step_shares
from ..finetune.flow import run_flow
from ..finetune.passes import Kept, run_backward, run_forward
from ..finetune.trainable import Trainable
from .form import Form, Parameters, clip_backward, threshold_of
from .settings import DsrSettings

Array = NDArray[Any]

_PICTURES = 8
"""That a thread simulates at a time."""


@dataclass(frozen=True, eq=False)
class GraphTape:
    """What the backward pass needs.

    Parameters
    ----------
    network : Network
        With the parameters as they were.
    values : dict of (N, H, W, C)
        The pictures, and the representation of what each population emits.
    driven : dict of (N, H, W, C)
        Representation of each population's input, r.
    output : (N, 1, 1, K)
    kept : dict
        What the backward pass can use again.
    """

    network: Network
    values: dict[str, Array]
    driven: dict[str, Array]
    output: Array
    kept: Kept = field(default_factory=dict)

    @property
    def scores(self) -> Array:
        """(N, K)."""
        return self.output[:, 0, 0]


class Convolutions(Form[GraphTape]):
    """Convolutions that each halve the picture, and full connections."""

    def __init__(self, settings: DsrSettings, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(settings, shape, classes)
        start, self._shapes = _network(settings, shape, classes)
        self._nodes = Trainable(start)

    @property
    def populations(self) -> tuple[Neurons, ...]:
        """In the order in which they fire."""
        return tuple(self._nodes.source.neurons)

    def first_parameters(self, generator: np.random.Generator) -> Parameters:
        """See `Form.first_parameters`."""
        found = self._nodes.parameters()
        for node in self._nodes.weighted:
            array = found[f"{node.name}.weight"]
            inputs = array[0].size
            array[:] = generator.normal(0, (2 / inputs) ** 0.5, array.shape)
        return found | {
            f"{n.name}.threshold": np.array([self.settings.threshold], np.float32) for n in self.populations
        }

    def clipped(self, parameters: Mapping[str, Array], pictures: Array) -> GraphTape:
        """See `Form.clipped`."""

        def emit(name: str, driven: Array) -> Array:
            return np.clip(driven, 0, threshold_of(parameters, name))

        return self._tape(parameters, pictures, emit)

    def counted(self, parameters: Mapping[str, Array], pictures: Array) -> GraphTape:
        """See `Form.counted`."""
        rates = self._rates(parameters, pictures)
        return self._tape(parameters, pictures, lambda name, driven: rates[name].astype(driven.dtype, copy=False))

    def gradients(self, parameters: Mapping[str, Array], tape: GraphTape, gradient: Array) -> Parameters:
        """See `Form.gradients`."""
        thresholds: Parameters = {}

        def fire_backward(node: Neurons, flow: Array | None) -> Array | None:
            assert flow is not None  # each population is read by what comes next
            threshold = threshold_of(parameters, node.name)
            into, thresholds[f"{node.name}.threshold"] = clip_backward(flow, tape.driven[node.name], threshold)
            return into

        found = run_backward(tape.network, tape.values, gradient[:, None, None], fire_backward, tape.kept)
        found |= thresholds
        return {name: found[name] for name in parameters}

    def spikes(self, parameters: Mapping[str, Array], pictures: Array) -> list[Fired]:
        """See `Form.spikes`."""
        shares = step_shares(self.settings.steps, self.settings.kept)
        runs = self._runs(parameters, pictures, ("spikes",))
        found = []
        for node in self.populations:
            value = float(np.float32(threshold_of(parameters, node.name)))
            emitted = np.concatenate([run.spikes[node.name] for run in runs])
            flat = (emitted > 0).reshape(*emitted.shape[:2], -1).astype(np.uint8)
            rates = np.tensordot(flat.astype(np.float32), shares, axes=(1, 0)) * np.float32(value)
            found.append(Fired(flat, rates, value))
        return found

    def scores(self, parameters: Mapping[str, Array], pictures: Array) -> tuple[Array, float]:
        """See `Form.scores`."""
        runs = self._runs(parameters, pictures, ())
        fired = sum(float(layer.spikes.sum()) for run in runs for layer in run.operations.neurons.values())
        possible = sum(math.prod(self._shapes[node.name]) for node in self.populations) * len(pictures)
        return np.concatenate([run.output[:, :, 0, 0] for run in runs]), fired / (possible * self.settings.steps)

    def _runs(self, parameters: Mapping[str, Array], pictures: Array, record: tuple[str, ...]) -> list[Result]:
        """The engine's simulation, some pictures at a time, which are shared out to threads."""
        network = self.network(parameters, {})
        parts = [pictures[first : first + _PICTURES] for first in range(0, len(pictures), _PICTURES)]
        return on_threads(lambda part: simulate(network, part, self.settings.steps, threads=1, record=record), parts)

    def network(self, parameters: Mapping[str, Array], metadata: Mapping[str, Any]) -> Network:
        """See `Form.network`."""
        found, models = dict(parameters), dict[str, Model]()
        for node in self.populations:
            models[node.name], rise = self.settings.model(float(threshold_of(parameters, node.name)))
            if rise:
                found[f"{node.source}.bias"] = found[f"{node.source}.bias"] + np.float32(rise)
        made = self._nodes.export(found)
        nodes = [dataclasses.replace(n, model=models[n.name]) if isinstance(n, Neurons) else n for n in made.nodes]
        return made.replace(nodes, metadata=dict(metadata))

    def _tape(self, parameters: Mapping[str, Array], pictures: Array, emit: Any) -> GraphTape:
        network, driven, kept = self._nodes.network(parameters), dict[str, Array](), Kept()

        def fire(node: Neurons, current: Array) -> Array:
            driven[node.name] = current
            return np.asarray(emit(node.name, current))

        weight = parameters[f"{self._nodes.weighted[0].name}.weight"]
        batch = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1), weight.dtype)
        values, output = run_forward(network, batch, fire, kept)
        return GraphTape(network, values, driven, output, kept)

    def _rates(self, parameters: Mapping[str, Array], pictures: Array) -> dict[str, Array]:
        """What represents each population, (N, H, W, C)."""
        steps = self.settings.steps
        if self.settings.neuron == "if" and steps > 1:
            batch = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1), np.float32)
            sums = run_flow(self.network(parameters, {}), batch, steps).values
            return {node.name: sums[node.name] / np.float32(steps) for node in self.populations}
        found = {}
        for node, each in zip(self.populations, self.spikes(parameters, pictures), strict=True):
            rates = each.rates.reshape(len(pictures), *self._shapes[node.name])
            found[node.name] = np.ascontiguousarray(rates.transpose(0, 2, 3, 1))
        return found


def _network(settings: DsrSettings, shape: Shape, classes: int) -> tuple[Network, dict[str, Shape]]:
    """The network with weights of zeros, and the shape that each node puts out."""
    nodes: list[Node] = [Input("input", shape[0])]
    for index, (into, out) in enumerate(itertools.pairwise((shape[0], *settings.convolutions)), start=1):
        stride = (2, 2) if settings.pool == "stride" else (1, 1)
        weight, bias = np.zeros((out, into, 3, 3), np.float32), np.zeros(out, np.float32)
        nodes.append(Conv2d(f"conv{index}", nodes[-1].name, weight, bias, stride=stride, padding=(1, 1)))
        _fire(nodes)
        if settings.pool != "stride":
            name, source = f"pool{index}", nodes[-1].name
            nodes.append(MaxPool2d(name, source) if settings.pool == "max" else AvgPool2d(name, source))
            _fire(nodes)
    features = math.prod(_shapes(nodes, settings, shape)[nodes[-1].name])
    for index, (into, out) in enumerate(itertools.pairwise((features, *settings.layers, classes)), start=1):
        nodes.append(Linear(f"fc{index}", nodes[-1].name, np.zeros((out, into), np.float32), np.zeros(out, np.float32)))
        if index <= len(settings.layers):
            _fire(nodes)
    network = Network([*nodes, Output("output", nodes[-1].name)])
    return network, network.shapes(shape)


def _fire(nodes: list[Node]) -> None:
    """Add a population behind the last node."""
    number = sum(isinstance(node, Neurons) for node in nodes) + 1
    nodes.append(Neurons(f"neurons{number}", nodes[-1].name))


def _shapes(nodes: list[Node], settings: DsrSettings, shape: Shape) -> dict[str, Shape]:
    """Shapes up to the last population; InputError where pictures are too small to be halved so often."""
    try:
        return Network([*nodes, Output("output", nodes[-2].name)]).shapes(shape)
    except InputError:
        raise InputError(
            f"pictures of {shape[1]}x{shape[2]} cannot be halved {len(settings.convolutions)} times; give fewer "
            "convolutions"
        ) from None

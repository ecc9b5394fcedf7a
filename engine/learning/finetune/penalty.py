"""The spike-count penalty: events times their fan-out, as a share of the ANN's multiply-accumulates.

Each event costs as many accumulates as it has targets. The number of a neuron's events in T steps has no useful
gradient, but what it emits in all, O, has. The penalty takes T * s(O / T) for the number of events, with

    s(r) = (1 + e) * r / (r + e)

where e is four times the smallest value that the neuron emits. A neuron with one threshold is counted almost in
proportion to its rate; one with a fine ladder, which fires whenever it emits anything at all, almost by whether it is
silent (as in reweighted l1 minimisation: Candes, Wakin and Boyd, J. Fourier Anal. Appl. 14, 2008). So small outputs,
which cost as much as large ones and say less, are pushed to silence, and large ones are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network, Neurons, Projection, Shape
from ...kernels.penalty import count_fired, saturated_sums
from ...neurons import level_table
from ...threads import on_threads

Array = NDArray[Any]

_KNEE = 4
"""The penalty's e, in smallest emitted values."""


class SpikePenalty:
    """Cost of what each neuron emits.

    Parameters
    ----------
    network : Network
    shape : (C, H, W)
        Of the pictures.
    """

    def __init__(self, network: Network, shape: Shape) -> None:
        shapes = network.shapes(shape)
        synapses = [node for node in network.nodes if isinstance(node, Projection)]
        self.macs = max(1, sum(node.dense_macs(shapes[node.source]) for node in synapses))
        self.costs: dict[str, Array] = {}
        self.knees = {node.name: _KNEE * level_table(node.model).unit for node in network.neurons}
        for node in synapses:
            fan = node.fan_out(shapes[node.source])
            cost = fan.rows[:, None] * fan.columns * (fan.channels / self.macs)
            for name in network.leaves(node.source):
                if isinstance(network[name], Neurons):
                    self.costs[name] = self.costs.get(name, 0.0) + cost

    def value(self, accumulated: Mapping[str, Array], steps: int) -> float:
        """The penalty: mean over the pictures, from what each layer emitted in all steps together, (N, H, W, C)."""
        return sum((self._value(name, accumulated[name], steps) for name in self.costs), 0.0)

    def _value(self, name: str, output: Array, steps: int) -> float:
        """One layer's share of `value`."""
        cost, knee = self.costs[name], output.dtype.type(self.knees[name] * steps)

        def of_picture(emitted: Array) -> float:
            return float(saturated_sums(np.ascontiguousarray(emitted), knee, cost).sum())

        return steps * (1 + self.knees[name]) * sum(on_threads(of_picture, output)) / len(output)

    def accumulates(self, emitted: Mapping[str, Array]) -> int:
        """Accumulates of a run, from what each layer emitted at every step, (T * N, H, W, C)."""
        fired = {name: _fired(emitted[name]) for name in self.costs}
        return round(sum(float((fired[name] * cost).sum()) for name, cost in self.costs.items()) * self.macs)

    def gradients(self, weight: float, accumulated: Mapping[str, Array], steps: int) -> dict[str, Array]:
        """Gradient of `weight` times the penalty, by what each layer emitted in all, (N, H, W, C); 0 where nothing."""
        return {name: self._gradient(name, weight, accumulated[name], steps) for name in self.costs}

    def _gradient(self, name: str, weight: float, output: Array, steps: int) -> Array:
        """One layer's part of `gradients`."""
        knee = self.knees[name]
        factor = weight * (1 + knee) * knee * steps**2 / len(output)
        scaled = (self.costs[name] * factor)[..., None].astype(output.dtype)
        offset = output.dtype.type(knee * steps)
        result = np.empty_like(output)

        def of_picture(picture: int) -> None:
            distance = np.abs(output[picture]) + offset
            np.divide(scaled, distance * distance, out=result[picture])
            result[picture] *= np.sign(output[picture])

        on_threads(of_picture, range(len(output)))
        return result


def _fired(emitted: Array) -> Array:
    """How many channels, in all pictures together, emit something at each pixel, (H, W) int64, of (M, H, W, C)."""

    def of_picture(values: Array) -> Array:
        return np.asarray(count_fired(np.ascontiguousarray(values)))

    return np.asarray(np.sum(on_threads(of_picture, emitted), axis=0))

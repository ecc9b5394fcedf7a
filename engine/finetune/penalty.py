"""The spike-count penalty: what is emitted, weighted by its fan-out, as a share of the ANN's multiply-accumulates.

Each event costs as many accumulates as it has targets. The number of events has no useful gradient, but the value that
is emitted has: the penalty is the sum of fan-out times emitted value over all neurons and steps, divided by the ANN's
multiply-accumulates. With thresholds around 1 it is close to the ratio of accumulates to multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..build.fan_out import dense_macs, fan_out
from ..graph import Network, Neurons, Shape, Synapses
from .passes import leaves

Array = NDArray[Any]


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
        synapses = [node for node in network.nodes if isinstance(node, Synapses)]
        self.macs = max(1, sum(dense_macs(node, shapes[node.source], shapes[node.name]) for node in synapses))
        self.costs: dict[str, Array] = {}
        for node in synapses:
            fan = fan_out(node, shapes[node.source], shapes[node.name])
            cost = fan.rows[:, None] * fan.columns * (fan.channels / self.macs)
            for name in leaves(network, node.source):
                if isinstance(network[name], Neurons):
                    self.costs[name] = self.costs.get(name, 0.0) + cost

    def value(self, emitted: Mapping[str, Array], pictures: int) -> float:
        """The penalty: mean over the pictures, from what each layer emitted, (M, H, W, C), at one or all steps."""
        sums = [float((emitted[name].sum((0, 3), dtype=np.float64) * cost).sum()) for name, cost in self.costs.items()]
        return sum(sums) / pictures

    def accumulates(self, emitted: Mapping[str, Array]) -> int:
        """Accumulates of a run, from what each layer emitted at every step, (T * N, H, W, C)."""
        fired = {name: np.count_nonzero(emitted[name], axis=(0, 3)) for name in self.costs}
        return round(sum(float((fired[name] * cost).sum()) for name, cost in self.costs.items()) * self.macs)

    def gradients(self, weight: float, pictures: int, dtype: Any) -> dict[str, Array]:
        """Gradient (H, W, 1) of `weight` times the penalty, by what the neurons of each layer emit."""
        return {name: (cost * (weight / pictures))[..., None].astype(dtype) for name, cost in self.costs.items()}

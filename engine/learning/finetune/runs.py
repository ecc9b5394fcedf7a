"""A run over examples in training: forward, what it cost, and the way back, whichever method there is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network
from .bptt import run_through_time, time_gradients
from .flow import flow_gradients, run_flow
from .penalty import SpikePenalty
from .settings import Settings

Array = NDArray[Any]
Gradients = dict[str, Array]
"""By "node.weight", "node.bias" and, for Neurons nodes, "node.initial"."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a forward run found.

    Parameters
    ----------
    output : (N, H, W, O)
        Readout divided by T.
    accumulates : function
        Of all examples and steps together.
    penalty : function
        The spike-count penalty without its weight.
    gradients : function of the loss's gradient by `output`
        Those of weights, biases and initial potentials, penalty included.
    """

    output: Array
    accumulates: Callable[[], int]
    penalty: Callable[[], float]
    gradients: Callable[[Array], Gradients]


class Runner:
    """Runs a network as `settings` say.

    Parameters
    ----------
    network : Network
        What is fine-tuned; `run` is given it with the weights of the moment.
    settings : Settings
    """

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self._penalties: dict[tuple[int, ...], SpikePenalty] = {}

    def run(self, network: Network, batch: Array, share: float = 1.0) -> Run:
        """Run a batch (N, H, W, C) float32, which is such a share of what a penalty is the mean of."""
        settings, penalty = self.settings, self._penalty(batch)
        accumulated: Callable[[], Mapping[str, Array]]
        if settings.method == "flow":
            tape = run_flow(network, batch, settings.steps, settings.saturating)
            output, accumulated, accumulates = tape.output, lambda: tape.values, lambda: tape.accumulates
            back = functools.partial(flow_gradients, network, tape)
        else:
            through = run_through_time(network, batch, settings.steps, settings.surrogate)
            output, accumulated = through.output, functools.cache(through.accumulated)
            accumulates = functools.partial(penalty.accumulates, through.values)
            back = functools.partial(time_gradients, network, through)

        def gradients(gradient: Array) -> Gradients:
            weight = settings.penalty * share
            found = back(gradient, penalty.gradients(weight, accumulated(), settings.steps) if weight else {})
            # As fine as the parameters, whatever examples are in: those of other processes come back so, too.
            return {name: array.astype(np.float32, copy=False) for name, array in found.items()}

        return Run(output, accumulates, lambda: share * penalty.value(accumulated(), settings.steps), gradients)

    def _penalty(self, batch: Array) -> SpikePenalty:
        _, height, width, channels = batch.shape
        if batch.shape[1:] not in self._penalties:
            self._penalties[batch.shape[1:]] = SpikePenalty(self.network, (channels, height, width))
        return self._penalties[batch.shape[1:]]


def numbers_may_leave_their_range() -> np.errstate:
    """Numbers may leave their range where training diverges, which it says itself."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")

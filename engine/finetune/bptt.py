"""Backpropagation through time with surrogate derivatives (Neftci et al., IEEE Signal Processing Magazine 36(6), 2019).

The network is feed-forward within a step and recurrent over the steps through the membranes, so that each layer can be
run over all steps before the next: its synapses see all steps as one large batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Neurons
from ..kernels.surrogate import backward_through_time, fire_through_time
from .passes import leaves, run_backward, run_forward
from .surrogates import Surrogate
from .workers import on_threads, slices

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class TimeTape:
    """What the backward pass needs of a forward run.

    Parameters
    ----------
    steps : int
    surrogate : Surrogate
    values : dict of (T * N, H, W, C)
        What each Neurons node emits, step by step, and the analog input (N, H, W, C).
    before : dict of (T, N * H * W * C)
        Potentials before firing.
    constant : frozenset of str
        Neurons nodes whose current is the same at every step.
    output : (N, H, W, O)
        Readout divided by T.
    """

    steps: int
    surrogate: Surrogate
    values: dict[str, Array]
    before: dict[str, Array]
    constant: frozenset[str]
    output: Array


def run_through_time(network: Network, batch: Array, steps: int, surrogate: Surrogate) -> TimeTape:
    """Simulate a batch (N, H, W, C), float32 or float64, for `steps` steps, densely, keeping every potential."""
    before: dict[str, Array] = {}
    constant: set[str] = set()
    pictures = len(batch)

    def fire(node: Neurons, current: Array) -> Array:
        if len(current) == pictures and steps > 1:
            constant.add(node.name)
        rows = np.ascontiguousarray(current).reshape(len(current) // pictures, -1)
        before[node.name] = np.empty((steps, rows.shape[1]), batch.dtype)
        emitted = np.empty_like(before[node.name])
        neuron = surrogate.neuron(node.model, batch.dtype)
        start = batch.dtype.type(node.model.initial)
        arguments = (rows, start, neuron, surrogate.options, before[node.name], emitted)
        on_threads(lambda share: fire_through_time(*arguments, *share), slices(rows.shape[1]))
        return emitted.reshape(steps * pictures, *current.shape[1:])

    values, current = run_forward(network, batch, fire)
    by_step = current.reshape(-1, pictures, *current.shape[1:])
    readout = by_step.sum(0) * batch.dtype.type(steps if len(by_step) < steps else 1)
    return TimeTape(steps, surrogate, values, before, frozenset(constant), readout / batch.dtype.type(steps))


def time_gradients(
    network: Network,
    tape: TimeTape,
    gradient: Array,
    emitted: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Gradients by "node.weight", "node.bias" and, for Neurons nodes, "node.initial".

    Parameters
    ----------
    network : Network
    tape : TimeTape
    gradient : (N, H, W, O)
        Gradient of the loss by `tape.output`.
    emitted : mapping of str to (H, W, C)
        Further gradient by what Neurons nodes emit, the same for each picture and step.
    """
    initial: dict[str, Array] = {}
    pictures = len(gradient)

    def fire_backward(node: Neurons, flow: Array | None) -> Array | None:
        extra = (emitted or {}).get(node.name)
        if flow is None and extra is None:
            return None
        before = tape.before[node.name]
        shape = tape.values[node.name].shape
        rows = np.zeros((1, before.shape[1]), before.dtype) if flow is None else flow
        rows = np.ascontiguousarray(rows).reshape(-1, before.shape[1])
        more = np.zeros(1, before.dtype)
        if extra is not None:
            more = np.ascontiguousarray(np.broadcast_to(extra, (pictures, *shape[1:])), before.dtype).reshape(-1)
        currents = np.empty_like(before)
        neuron = tape.surrogate.neuron(node.model, before.dtype)
        arguments = (before, rows, more, neuron, tape.surrogate.options, currents)
        sums = on_threads(lambda share: backward_through_time(*arguments, *share), slices(before.shape[1]))
        initial[f"{node.name}.initial"] = np.array([sum(sums)], before.dtype)
        by_step = currents.reshape(tape.steps, pictures, *shape[1:])
        return by_step.sum(0) if node.name in tape.constant else by_step.reshape(shape)

    return run_backward(network, tape.values, _readout_gradient(network, tape, gradient), fire_backward) | initial


def _readout_gradient(network: Network, tape: TimeTape, gradient: Array) -> Array:
    """Gradient of the readout's current at each step, or over all steps where that current is constant."""
    sources = network[network.output.source].sources
    spiking = any(isinstance(network[name], Neurons) for name in leaves(network, sources[0]))
    if not spiking:
        return gradient
    return np.tile(gradient / gradient.dtype.type(tape.steps), (tape.steps, 1, 1, 1))

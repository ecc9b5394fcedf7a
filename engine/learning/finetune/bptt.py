"""Backpropagation through time with surrogate derivatives (Neftci et al., IEEE Signal Processing Magazine 36(6), 2019).

The network is feed-forward within a step and recurrent over the steps through the membranes, so that each layer can be
run over all steps before the next: its synapses see all steps as one large batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Network, Neurons
from ...kernels.float_mode import flushing
from ...kernels.surrogate import backward_through_time, fire_through_time
from ...neurons import LadderModel, SteppedModel
from ...threads import on_threads, slices
from . import stepped
from .passes import refuse_untrainable, run_backward, run_forward
from .stepped import SteppedTape
from .surrogates import Surrogate

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
    before : dict of (T, N * H * W * C), or of SteppedTape for registered neuron models
        Potentials before firing.
    constant : frozenset of str
        Neurons nodes whose current is the same at every step.
    output : (N, H, W, O)
        Readout divided by T.
    """

    steps: int
    surrogate: Surrogate
    values: dict[str, Array]
    before: dict[str, Array | SteppedTape]
    constant: frozenset[str]
    output: Array

    def accumulated(self) -> dict[str, Array]:
        """What each Neurons node emits in all steps together, (N, H, W, C)."""
        return {
            name: values.reshape(self.steps, -1, *values.shape[1:]).sum(0)
            for name, values in self.values.items()
            if name in self.before
        }


def run_through_time(network: Network, batch: Array, steps: int, surrogate: Surrogate) -> TimeTape:
    """Simulate a batch (N, H, W, C), float32 or float64, for `steps` steps, densely, keeping every potential."""
    refuse_untrainable(network)
    before: dict[str, Array | SteppedTape] = {}
    constant: set[str] = set()
    pictures = len(batch)

    def fire(node: Neurons, current: Array) -> Array:
        if len(current) == pictures and steps > 1:
            constant.add(node.name)
        rows = np.ascontiguousarray(current).reshape(len(current) // pictures, -1)
        if isinstance(node.model, LadderModel):
            before[node.name], emitted = _fire(node.model, rows, steps, surrogate)
        else:
            before[node.name], emitted = stepped.fire(node.model, rows, steps, surrogate)
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
    emitted : mapping of str to (N, H, W, C)
        Further gradient by what Neurons nodes emit, the same at each step.
    """
    initial: dict[str, Array] = {}
    pictures = len(gradient)

    def fire_backward(node: Neurons, flow: Array | None) -> Array | None:
        extra = (emitted or {}).get(node.name)
        if flow is None and extra is None:
            return None
        before, dtype = tape.before[node.name], tape.values[node.name].dtype
        shape = tape.values[node.name].shape
        neurons = pictures * math.prod(shape[1:])
        rows = np.zeros((1, neurons), dtype) if flow is None else flow
        rows = np.ascontiguousarray(rows).reshape(-1, neurons)
        more = np.zeros(1, dtype)
        if extra is not None:
            more = np.ascontiguousarray(np.broadcast_to(extra, (pictures, *shape[1:])), dtype).reshape(-1)
        if isinstance(before, SteppedTape):
            assert isinstance(node.model, SteppedModel)
            currents, total = stepped.backward(node.model, before, tape.surrogate, rows, more)
        else:
            assert isinstance(node.model, LadderModel)
            currents, total = _fire_backward(node.model, before, tape.surrogate, rows, more)
        initial[f"{node.name}.initial"] = np.array([total], dtype)
        by_step = currents.reshape(tape.steps, pictures, *shape[1:])
        return by_step.sum(0) if node.name in tape.constant else by_step.reshape(shape)

    return run_backward(network, tape.values, _readout_gradient(network, tape, gradient), fire_backward) | initial


def _fire(model: LadderModel, rows: Array, steps: int, surrogate: Surrogate) -> tuple[Array, Array]:
    """Potentials before firing and emitted values, (T, E), of neurons that are a ladder of thresholds."""
    before = np.empty((steps, rows.shape[1]), rows.dtype)
    emitted = np.empty_like(before)
    start = rows.dtype.type(model.initial)
    arguments = (rows, start, surrogate.neuron(model, rows.dtype), surrogate.options, before, emitted)
    on_threads(flushing(lambda share: fire_through_time(*arguments, *share)), slices(rows.shape[1]))
    return before, emitted


def _fire_backward(
    model: LadderModel, before: Array, surrogate: Surrogate, rows: Array, more: Array
) -> tuple[Array, float]:
    """Gradient of the currents (T, E), and of the initial potential, summed over the neurons."""
    currents = np.empty_like(before)
    arguments = (before, rows, more, surrogate.neuron(model, before.dtype), surrogate.options, currents)
    sums = on_threads(flushing(lambda share: backward_through_time(*arguments, *share)), slices(before.shape[1]))
    return currents, sum(sums)


def _readout_gradient(network: Network, tape: TimeTape, gradient: Array) -> Array:
    """Gradient of the readout's current at each step, or over all steps where that current is constant."""
    read = [name for node in network.projections(network.output.source) for name in network.leaves(node.source)]
    if not any(isinstance(network[name], Neurons) for name in read):
        return gradient
    return np.tile(gradient / gradient.dtype.type(tape.steps), (tape.steps, 1, 1, 1))

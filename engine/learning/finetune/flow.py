"""Accumulated spiking flow: spikes forward, one pass as through ReLUs backward (Li et al., arXiv 2307.10974, III-D).

Over T steps, I is a layer's accumulated input and O its accumulated output. A neuron without leak emits what it takes
in, up to what is left on its membrane, so dO/dI = 1 where I > 0, as for a ReLU; everywhere if it emits negative values
too, as for the identity. Since I = W O_before + T b, gradients of biases count T times. The loss sees readout / T.

A neuron that emits the most that it can at every step would emit no more of a larger input. As a ReLU it is pushed on
all the same; where that matters, `saturating` has dO/dI = 0 there, as for a ReLU that is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer, Program, build_program
from ...errors import InputError
from ...events import EventQueue
from ...graph import Network, Neurons, Synapses
from ...kernels.surrogate import accumulate_rows, fire_once, mark_charged
from ...neurons import LadderModel, LevelTable, conserves_charge, level_table, rectifies
from ...simulation.picture_run import PictureRun
from ...threads import WorkerThreads, on_threads, slices
from .passes import Kept, added, read, refuse_untrainable, run_backward, run_forward
from .penalty import SpikePenalty
from .sums import exact_sum

Array = NDArray[Any]

_TOLERANCE = 1e-5
"""Share by which what is added up in float32 may miss the most that a neuron can emit."""


@dataclass(frozen=True, eq=False)
class FlowTape:
    """What the backward pass needs of a forward run.

    Parameters
    ----------
    steps : int
    values : dict of (N, H, W, C)
        Accumulated output O of each Neurons node, and T times the analog input.
    charged : dict of (N, H, W, C) bool
        For each Neurons node, where dO/dI = 1: where the accumulated input I is positive, or everywhere; with
        `saturating` only where more can be emitted.
    output : (N, H, W, O)
        Readout divided by T.
    accumulates : int
        Of the whole batch and all steps.
    kept : dict
        What the backward pass can use again of a dense forward one.
    """

    steps: int
    values: dict[str, Array]
    charged: dict[str, Array]
    output: Array
    accumulates: int
    kept: Kept = field(default_factory=dict)


def run_flow(network: Network, batch: Array, steps: int, saturating: bool = False) -> FlowTape:
    """Simulate a batch (N, H, W, C) float32 for `steps` steps, keeping accumulated inputs and outputs.

    With `saturating`, neurons that emit the most they can at every step are marked as if they took in nothing.

    Event-driven, except for a single step of neurons that are a ladder of thresholds: there a dense pass is faster,
    whose products are laid out as the backward pass reads them. It adds in another order than the engine, so that a
    potential within a rounding error of a threshold may end on its other side.
    """
    refuse_untrainable(network)
    _refuse_products(network, steps)
    ladders = all(isinstance(node.model, LadderModel) for node in network.neurons)
    tape = _run_once(network, batch) if steps == 1 and ladders else _run_steps(network, batch, steps)
    if saturating:
        _unmark_saturated(network, tape)
    return tape


def _run_steps(network: Network, batch: Array, steps: int) -> FlowTape:
    """All steps, from event to event."""
    pictures, height, width, channels = batch.shape
    program = build_program(network, (channels, height, width))
    _prepare(program)
    spiking = [layer for layer in program.layers if layer.neurons is not None]
    values = {layer.name: _zeros(layer, pictures, np.float32) for layer in spiking}
    rectified = [layer for layer in spiking if _rectifies(layer)]
    charged = {layer.name: _zeros(layer, pictures, np.bool_) for layer in rectified if _conserves_charge(layer)}

    def run(index: int) -> tuple[Array, int]:
        views = {name: array[index] for name, array in values.items()}
        marks = {name: array[index] for name, array in charged.items()}
        picture = PictureRun(program, batch[index].transpose(2, 0, 1), steps, frozenset(), WorkerThreads(1))
        picture.recorder = _Accumulator(views, marks)  # type: ignore[assignment]
        result = picture.run()
        return result.output, result.total_accumulates

    runs = on_threads(run, range(pictures))
    values[network.input.name] = batch * np.float32(steps)
    for layer in spiking:
        if layer not in rectified:
            charged[layer.name] = np.ones_like(values[layer.name], np.bool_)
        elif layer.name not in charged:
            charged[layer.name] = _accumulated_input(network, layer, values, steps) > 0
    output = np.stack([readout.transpose(1, 2, 0) for readout, _ in runs])
    return FlowTape(steps, values, charged, output, sum(count for _, count in runs))


def flow_gradients(
    network: Network, tape: FlowTape, gradient: Array, emitted: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Gradients by "node.weight", "node.bias" and, for Neurons nodes, "node.initial".

    Parameters
    ----------
    network : Network
    tape : FlowTape
    gradient : (N, H, W, O)
        Gradient of the loss by `tape.output`.
    emitted : mapping of str to (N, H, W, C)
        Further gradient by the accumulated output of Neurons nodes.
    """
    initial: dict[str, Array] = {}

    def fire_backward(node: Neurons, flow: Array | None) -> Array | None:
        extra = (emitted or {}).get(node.name)
        if flow is None and extra is None:
            return None
        total = np.empty(tape.charged[node.name].shape, gradient.dtype)
        ones = np.ones(math.prod(total.shape[1:3]), gradient.dtype)

        def work(picture: int) -> float:
            parts = ([] if flow is None else [flow[picture]]) + ([] if extra is None else [extra[picture]])
            part = parts[0] if len(parts) == 1 else parts[0] + parts[1]
            np.multiply(part, tape.charged[node.name][picture], out=total[picture])
            return exact_sum(ones @ total[picture].reshape(len(ones), -1))

        sums = on_threads(work, range(len(total)))
        initial[f"{node.name}.initial"] = np.array([exact_sum(sums)], gradient.dtype)
        return total

    found = run_backward(network, tape.values, gradient / gradient.dtype.type(tape.steps), fire_backward, tape.kept)
    biases = {name: array * gradient.dtype.type(tape.steps) for name, array in found.items() if name.endswith(".bias")}
    return found | biases | initial


def _refuse_products(network: Network, steps: int) -> None:
    """InputError where sums over several steps say nothing of what a layer puts out in all."""
    other = next((node for node in network.nodes if isinstance(node, Synapses) and not node.homogeneous), None)
    if other is not None and steps > 1:
        raise InputError(
            f"{type(other).__name__} {other.name!r} multiplies events of a step with one another, but accumulated flow "
            "knows their sums over all steps alone; fine-tune through time (--method bptt), or with one step"
        )


def _run_once(network: Network, batch: Array) -> FlowTape:
    """A single step, densely."""
    charged: dict[str, Array] = {}
    kept: Kept = {}

    def fire(node: Neurons, current: Array) -> Array:
        assert isinstance(node.model, LadderModel)
        flat = np.ascontiguousarray(current).reshape(-1)
        emitted, marks = np.empty_like(flat), np.empty(flat.shape, np.bool_)
        constants = node.model.firing_constants()
        values = constants.emit[[1 << bit for bit in range(len(constants.compare))]]
        ladder = np.stack((constants.compare, constants.subtract, values), axis=1).astype(np.float32)
        start = np.float32(constants.decay) * np.float32(node.model.initial)

        def work(share: tuple[int, int]) -> None:
            part = slice(*share)
            fire_once(flat[part], start, np.float32(constants.keep), ladder, emitted[part], marks[part])

        on_threads(work, slices(flat.size))
        charged[node.name] = marks.reshape(current.shape) if rectifies(node.model) else np.ones_like(current, np.bool_)
        return emitted.reshape(current.shape)

    values, output = run_forward(network, batch, fire, kept)
    _, height, width, channels = batch.shape
    accumulates = SpikePenalty(network, (channels, height, width)).accumulates(values)
    return FlowTape(1, values, charged, output, accumulates, kept)


def _unmark_saturated(network: Network, tape: FlowTape) -> None:
    """Unmark neurons that would emit nothing else if their input went on in the direction that it has."""
    for node in network.neurons:
        saturated = level_table(node.model).saturated(tape.values[node.name], tape.steps, _TOLERANCE)
        tape.charged[node.name] &= ~saturated


class _Accumulator:
    """Takes a recorder's place in a simulation: adds up what is emitted, and marks where the input was positive."""

    def __init__(self, values: dict[str, Array], charged: dict[str, Array]) -> None:
        self._values = values
        self._charged = charged
        self.recorded: dict[str, object] = {}

    def wants(self, kind: str) -> bool:
        """Membranes are to be kept."""
        return kind == "membrane"

    wants_queues = True

    def add_queue(self, name: str, table: LevelTable, queue: EventQueue, _steps: slice) -> None:
        """Add a group of steps."""
        entries = (queue.start, queue.channels, queue.levels, table.emit, queue.steps)
        accumulate_rows(*entries, self._values[name], 0, queue.shape[1])

    def readout_memory(self, _name: str, _steps: slice) -> None:
        """Sums after each step are not noted."""

    def add_membrane(self, layer: Layer, membrane: NDArray[np.float32]) -> None:
        """Compare the potentials after the last step with what was emitted."""
        if layer.name in self._charged:
            assert layer.neurons is not None
            initial = np.float32(layer.neurons.model.initial)
            charge = (membrane, layer.padded_channels, initial, self._values[layer.name])
            mark_charged(*charge, self._charged[layer.name], 0, layer.outgoing[1])


def _prepare(program: Program) -> None:
    """Compute what a layer keeps for all runs here, before several threads would do it at once."""
    on_threads(lambda layer: layer.prepare(), program.layers)


def _zeros(layer: Layer, pictures: int, dtype: Any) -> Array:
    channels, height, width = layer.outgoing
    return np.zeros((pictures, height, width, channels), dtype)


def _conserves_charge(layer: Layer) -> bool:
    return layer.neurons is not None and conserves_charge(layer.neurons.model)


def _rectifies(layer: Layer) -> bool:
    return layer.neurons is not None and rectifies(layer.neurons.model)


def _accumulated_input(network: Network, layer: Layer, values: Mapping[str, Array], steps: int) -> Array:
    """I of a layer whose neurons lose charge: its current for what its sources put out in all, biases T times."""
    currents = []
    for node in network.projections(layer.node.name):
        current = node.forward(read(network, values, node.source))
        bias = getattr(node, "bias", None)
        currents.append(current if bias is None else current + bias * current.dtype.type(steps - 1))
    return added(currents)

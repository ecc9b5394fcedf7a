"""The specification: a dense, step-by-step simulation in plain NumPy.

Slow and readable on purpose; it shares no code with the engine but the description of the network. All sums are done
in float64. On dyadic networks (weights, inputs and thresholds that are multiples of a power of two) no sum is ever
rounded, neither here nor in float32, so the engine has to give the same numbers bit for bit, in whatever order it adds.

Numbers below 2**-126 count as zeros: currents, readouts, potentials, what leaks. That holds of every product and sum in
the engine; here those inside a current are not looked at.

Shapes, strides, padding, dilation and groups follow PyTorch's Conv2d, ConvTranspose2d, AvgPool2d and Linear.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import CurrentSum, Input, Join, Network, Neurons, Node, Synapses
from ..neurons import (
    Heterogeneous,
    IntegrateAndFire,
    LadderModel,
    LeakyIntegrateAndFire,
    MultiThreshold,
    NeuronModel,
    SignedMultiThreshold,
    SteppedModel,
    initial_state,
    layer_key,
    level_table,
    random_number,
    registration_behind,
)
from ..operations import Operations
from .brute_force import count_operations, count_reads
from .reference_encoders import encode
from .reference_synapses import STATEFUL, SYNAPSES, own_synapses

Array = NDArray[Any]
Fired = tuple[Array, Array, Array]

# --- Neurons: (state after, value emitted, spikes of each kind), element by element ----------------------------------


@dataclass(frozen=True)
class Moment:
    """What a step knows beside the neuron itself: the layer's name and the index of the step; see `STEP_INPUTS`.

    `neurons` has the number of each neuron, by which random numbers are told apart; by default those of the shape.
    """

    layer: str = "neurons"
    step: int = 0
    neurons: Array | None = None


FIRST = Moment()
"""The first step of a layer "neurons"."""


def at_rest(model: NeuronModel, shape: tuple[int, ...]) -> Array:
    """(S, ...) float64: each of a model's S state variables before the first step, the membrane potential first."""
    if isinstance(model, Heterogeneous):
        rows = [tuple(initial_state(each).values()) for each in model.models(shape).ravel()]
        return np.array(rows, np.float64).T.reshape(-1, *shape)
    return np.stack([np.full(shape, np.float64(value)) for value in initial_state(model).values()])


def advance(model: NeuronModel, state: Array, current: Array, moment: Moment = FIRST) -> Fired:
    """One step of neurons of any model.

    Parameters
    ----------
    state : (S, ...) float64
    current : (...) float64
    moment : Moment

    Returns
    -------
    state : (S, ...) float64
    emitted : (...) float64
    crossed : (K, ...), how many spikes of each kind each neuron fired: of each threshold, or of each level
    """
    if type(model) not in RULES and not isinstance(model, LadderModel):
        return follow_step(model, state, current, moment)
    membrane, emitted, crossed = RULES.get(type(model), fire)(model, state[0], current)
    return membrane[None], emitted, crossed


def fire(model: LadderModel, membrane: Array, current: Array) -> Fired:
    """One step of neurons that are a ladder of thresholds; arrays of any one shape.

    A model of one's own is specified by a method `step(membrane, current)`, which returns what this function returns;
    a model without one follows its `firing_constants`, as engine/neurons/firing.py describes them.

    Returns
    -------
    membrane, emitted : arrays of the shape of `membrane`, float64
    crossed : (K, ...) bool, which thresholds each neuron crossed, in the order of the firing constants
    """
    if type(model) in RULES:
        return RULES[type(model)](model, membrane, current)
    step = getattr(model, "step", None)
    return step(membrane, current) if step is not None else follow_constants(model, membrane, current)


def multi_threshold(model: MultiThreshold, membrane: Array, current: Array) -> Fired:
    """For each theta, largest first: if v > theta (>= when not strict), v -= theta and theta is emitted."""
    membrane = membrane + current
    emitted, crossed = np.zeros(membrane.shape), []
    for theta in np.asarray(model.thresholds, np.float32).astype(np.float64):
        crossed.append(membrane > theta if model.strict else membrane >= theta)
        membrane = membrane - np.where(crossed[-1], theta, 0.0)
        emitted += np.where(crossed[-1], theta, 0.0)
    return without_subnormals(membrane), emitted, np.stack(crossed)


def signed_multi_threshold(model: SignedMultiThreshold, membrane: Array, current: Array) -> Fired:
    """For each theta, largest first: if v + offset > theta (>= when not strict), v -= theta and theta is emitted.

    Where none was crossed, the same downwards: if offset - v > theta, v += theta and -theta is emitted. Which sets of
    thresholds were crossed is returned, the positive sets first, in the order of the numbers whose bits they are.
    """
    membrane = membrane + exact_float32(current)
    offset, silent, crossed, emitted = float(np.float32(model.offset)), True, [], np.zeros(membrane.shape)
    for sign, ladder in ((1, model.thresholds), (-1, model.negative_thresholds or ())):
        distance, number = offset + sign * membrane, np.zeros(membrane.shape, np.int64)
        for theta in np.asarray(ladder, np.float32).astype(np.float64):
            over = (distance > theta if model.strict else distance >= theta) & silent
            distance, number = np.where(over, distance - theta, distance), 2 * number + over
            emitted += np.where(over, sign * theta, 0.0)
        silent = number == 0
        sets = np.arange(1, 2 ** len(ladder)).reshape(-1, *[1] * number.ndim)
        crossed.append(np.where(number == sets, np.bitwise_count(sets), 0).astype(np.int16))
    after = without_subnormals(membrane - emitted).astype(np.float32).astype(np.float64)
    return after, emitted.astype(np.float32).astype(np.float64), np.concatenate(crossed)


def integrate_and_fire(model: IntegrateAndFire | LeakyIntegrateAndFire, membrane: Array, current: Array) -> Fired:
    """If v >= theta (> when strict), theta is emitted and v is reset, by subtraction of theta or to zero."""
    membrane, theta = membrane + current, float(np.float32(model.threshold))
    crossed = membrane > theta if model.strict else membrane >= theta
    after = {"subtract": membrane - theta, "zero": np.zeros(membrane.shape)}[model.reset]
    return without_subnormals(np.where(crossed, after, membrane)), np.where(crossed, theta, 0.0), crossed[None]


def leaky_integrate_and_fire(model: LeakyIntegrateAndFire, membrane: Array, current: Array) -> Fired:
    """v = decay * v + input, then as the integrate-and-fire neuron."""  # noqa: D403
    return integrate_and_fire(model, without_subnormals(float(np.float32(model.decay)) * membrane), current)


def follow_step(model: SteppedModel, state: Array, current: Array, moment: Moment = FIRST) -> Fired:
    """A registered model's step as plain Python, neuron by neuron; its state is rounded to float32 by definition."""
    registration, table = registration_behind(model), level_table(model)
    step = getattr(registration.step, "py_func", registration.step)
    inputs = zip(exact_float32(current).ravel().tolist(), *(part.ravel().tolist() for part in state), strict=True)
    parameters = _parameters(model, current.shape, moment)
    columns = np.array([step(*values, *own) for values, own in zip(inputs, parameters, strict=True)], np.float64).T
    level = columns[0].reshape(current.shape).astype(np.int64)
    kinds = 1 + np.arange(table.kinds).reshape(-1, *[1] * level.ndim)
    after = without_subnormals(columns[1:]).astype(np.float32).astype(np.float64).reshape(state.shape)
    # Small integers, because there may be 255 levels.
    crossed = np.where(level == kinds, table.spikes[kinds], 0).astype(np.int16)
    return after, table.emit.astype(np.float64)[level], crossed


def _parameters(model: SteppedModel, shape: tuple[int, ...], moment: Moment) -> Iterator[tuple[Any, ...]]:
    """The last arguments of each neuron's step."""
    registration = registration_behind(model)
    alike = np.array([model], object) if not isinstance(model, Heterogeneous) else model.models(shape).ravel()
    if len(alike) == 1 and not registration.inputs:
        yield from itertools.repeat(registration.arguments(alike[0]), math.prod(shape))
        return
    numbers = neuron_numbers(shape) if moment.neurons is None else moment.neurons
    key = layer_key(moment.layer, getattr(model, "seed", 0))
    for each, number in zip(np.broadcast_to(alike, math.prod(shape)), numbers.ravel().tolist(), strict=True):
        given = {"step_index": moment.step, "random": random_number(key, moment.step, number)}
        yield registration.arguments(each, given)


def neuron_numbers(shape: tuple[int, ...]) -> Array:
    """The number of each neuron of a layer of the shape (C, H, W), channels innermost; of (N,) as they come."""
    if len(shape) != 3:
        return np.arange(math.prod(shape)).reshape(shape)
    channels, height, width = shape
    return np.arange(math.prod(shape)).reshape(height, width, channels).transpose(2, 0, 1)


def follow_constants(model: LadderModel, membrane: Array, current: Array) -> Fired:
    """The rule that engine/neurons/firing.py gives for any firing constants."""
    constants = model.firing_constants()
    membrane = without_subnormals(float(np.float32(constants.decay)) * membrane) + current
    level, crossed = np.zeros(membrane.shape, np.int64), []
    for bit, (compare, subtract) in enumerate(zip(constants.compare, constants.subtract, strict=True)):
        crossed.append(membrane > np.float64(compare))
        membrane = np.where(crossed[-1], float(np.float32(constants.keep)) * membrane - np.float64(subtract), membrane)
        level |= crossed[-1].astype(np.int64) << bit
    return without_subnormals(membrane), constants.emit.astype(np.float64)[level], np.stack(crossed)


RULES: Mapping[type, Callable[[Any, Array, Array], Fired]] = {
    MultiThreshold: multi_threshold,
    IntegrateAndFire: integrate_and_fire,
    LeakyIntegrateAndFire: leaky_integrate_and_fire,
    SignedMultiThreshold: signed_multi_threshold,
}
"""The rule of each model of the package that is a ladder, or two."""


# --- Simulation ------------------------------------------------------------------------------------------------------


@dataclass
class ReferenceResult:
    """What `simulate` returns with everything recorded, for a single picture, and the brute-force counts."""

    steps: int
    outputs: dict[str, Array]
    readouts: dict[str, Array]
    spikes: dict[str, Array]
    membrane: dict[str, Array]
    spike_count: dict[str, Array]
    operations: Operations
    count_reads: Callable[[], dict[str, int]]

    @property
    def output(self) -> Array:
        """Of a network with one Output."""
        (output,) = self.outputs.values()
        return output

    @property
    def readout(self) -> Array:
        """Of a network with one Output."""
        (readout,) = self.readouts.values()
        return readout

    @property
    def events(self) -> dict[str, Array]:
        """(T,) events by layer."""
        return {name: layer.events for name, layer in self.operations.neurons.items()}

    @property
    def neurons(self) -> dict[str, int]:
        """Number of neurons by layer."""
        return {name: layer.neurons for name, layer in self.operations.neurons.items()}

    @property
    def accumulates(self) -> dict[str, Array]:
        """(T,) accumulates by synapse node that reads events."""
        return {name: node.synops for name, node in self.operations.synapses.items() if node.sources}

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates by synapse node that reads the analog input."""
        return {name: node.macs for name, node in self.operations.synapses.items() if node.reads_input}

    @property
    def dense_macs(self) -> dict[str, int]:
        """Multiply-accumulates of the artificial network by node that has weights, or products of what it reads."""
        nodes = self.operations.synapses
        return {name: node.dense_macs for name, node in nodes.items() if node.weights or node.dense_macs > 0}


def simulate(network: Network, x: NDArray[np.float32], steps: int, picture: int = 0) -> ReferenceResult:
    """Run `network` on the picture x, (C, H, W), for `steps` steps, all layers of a step before the next step.

    Input that changes is (T, C, H, W), T being `steps`. Of several inputs, `x` has the channels of one after the other,
    in the order of `network.inputs`. What an Input emits that takes events is what `x` has there, at each step.
    `picture` is the number of the picture in its batch, on which random spikes depend.

    Layers act in topological order within a step: what a layer emits at step t reaches the next layer at step t.
    """
    shapes = network.shapes(x.shape[-3:])
    states = {node.name: at_rest(node.model, shapes[node.name]) for node in network.neurons}
    per_step: dict[str, list[Array]] = {node.name: [] for node in network.nodes}
    crossings: dict[str, list[Array]] = {node.name: [] for node in (*network.neurons, *network.inputs)}
    kept: dict[str, Array] = {}
    put_out = {name: np.zeros(shape) for name, shape in shapes.items()}
    for step in range(steps):
        before, put_out = put_out, {}
        shown = x[step] if x.ndim == 4 else x
        for node in network.nodes:
            incoming = _incoming(node, before, put_out)
            if isinstance(node, Neurons):
                moment = Moment(node.name, step)
                advanced = advance(node.model, states[node.name], incoming[0], moment)
                states[node.name], put_out[node.name], crossed = advanced
                crossings[node.name].append(crossed)
                exact_float32(states[node.name])
            elif isinstance(node, Input) and node.encoder is not None:
                own = shown[network.input_channels[node.name]]
                put_out[node.name], counted = encode(node.encoder, own, step, picture, kept, node.name)
                crossings[node.name].append(counted)
            else:
                put_out[node.name] = _put_out(node, shown, network.input_channels, incoming, kept)
            per_step[node.name].append(put_out[node.name])
    recorded = {name: np.stack(values) for name, values in per_step.items()}
    crossed_by_layer = {name: np.stack(values) for name, values in crossings.items() if values}
    encoded = (node for node in network.inputs if node.encoder is not None)
    fired = {node.name: crossed_by_layer[node.name] for node in (*network.neurons, *encoded)}
    readouts = {node.name: exact_float32(_running_sum(recorded[node.name])) for node in network.outputs}
    return ReferenceResult(
        steps=steps,
        outputs={name: readout[-1] / np.float32(steps) for name, readout in readouts.items()},
        readouts=readouts,
        spikes={name: exact_float32(recorded[name]) for name in fired},
        membrane={name: exact_float32(state[0]) for name, state in states.items()},
        spike_count={name: values.sum(axis=(0, 1), dtype=np.int64) for name, values in fired.items()},
        operations=count_operations(network, recorded, crossed_by_layer),
        count_reads=lambda: count_reads(network, recorded, crossed_by_layer),
    )


def _incoming(node: Node, before: Mapping[str, Array], now: Mapping[str, Array]) -> list[Array]:
    """What a node reads at a step; through a delay, what was put out at the step before."""
    late = isinstance(node, Synapses) and node.delay
    return [(before if late else now)[source] for source in node.sources]


def _put_out(node: Node, x: Array, inputs: Mapping[str, slice], incoming: list[Array], kept: dict[str, Array]) -> Array:
    """What any node but neurons puts out at a step; `kept` is what synapses keep from step to step."""
    if isinstance(node, Input):
        return x[inputs[node.name]].astype(np.float64)
    if isinstance(node, Join):
        return np.concatenate(incoming)
    if isinstance(node, CurrentSum):
        return without_subnormals(np.asarray(sum(incoming[1:], incoming[0])))
    if not isinstance(node, Synapses):
        return incoming[0]
    if type(node) in STATEFUL:
        state = kept.get(node.name, np.zeros(incoming[0].shape))
        kept[node.name], current = STATEFUL[type(node)](node, state, incoming[0])
        return without_subnormals(current)
    rule = SYNAPSES.get(type(node))
    return without_subnormals(own_synapses(node, incoming[0], kept) if rule is None else rule(node, incoming[0]))


def _running_sum(currents: Array) -> Array:
    total, sums = np.zeros(currents.shape[1:]), []
    for current in currents:
        total = without_subnormals(total + current)
        sums.append(total)
    return np.stack(sums)


class InexactError(AssertionError):
    """A case in which float32 rounds, about which the reference says nothing."""


def without_subnormals(values: Array) -> Array:
    """`values` with zeros instead of what is subnormal in float32, and therefore counts as zero."""
    return np.where(np.abs(values) < 2.0**-126, 0.0, values)


def exact_float32(values: Array) -> NDArray[np.float32]:
    """`values` as float32; an InexactError if that would round them, because then nothing is bit for bit."""
    rounded = values.astype(np.float32)
    try:
        np.testing.assert_array_equal(rounded.astype(np.float64), values, "the case is not exact in float32")
    except AssertionError as error:
        raise InexactError(*error.args) from None
    return rounded


def currents(network: Network, x: Array, spikes: Mapping[str, Array]) -> dict[str, Array]:
    """Input current (T, C, H, W) of every synapse node, given what every layer of neurons emitted."""
    steps = len(next(iter(spikes.values()))) if spikes else 1
    shapes = network.shapes(x.shape)
    found: dict[str, list[Array]] = {node.name: [] for node in network.nodes if isinstance(node, Synapses)}
    kept: dict[str, Array] = {}
    put_out = {name: np.zeros(shape) for name, shape in shapes.items()}
    for step in range(steps):
        before, put_out = put_out, {}
        for node in network.nodes:
            incoming = _incoming(node, before, put_out)
            if isinstance(node, Neurons):
                put_out[node.name] = spikes[node.name][step].astype(np.float64)
            else:
                put_out[node.name] = _put_out(node, x, network.input_channels, incoming, kept)
            if node.name in found:
                found[node.name].append(put_out[node.name])
    return {name: np.stack(values) for name, values in found.items()}

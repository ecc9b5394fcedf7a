"""The ledger of operations by brute force: every product of every loop is looked at and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Neurons, Node, Projection, Rows, Synapses, Weighted
from ..layers import (
    Attention,
    AttentionGates,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    PixelShuffle,
    Scale,
    SumPool2d,
    Upsample,
)
from ..layers.registry import name_of
from ..neurons import LevelTable, arithmetic_of, initial_state, level_table
from ..operations import InputOperations, NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .reference_synapses import neighbours
from .updates import arriving_at, updates_of

Array = NDArray[Any]
Shape = tuple[int, ...]

SLIDING = (Conv1d, Conv2d, ConvTranspose2d, AvgPool2d, SumPool2d, MaxPool2d)
"""Kinds that are a kernel that slides."""


def count_operations(network: Network, recorded: Mapping[str, Array], crossed: Mapping[str, Array]) -> Operations:
    """The ledger of a run of one picture.

    Parameters
    ----------
    recorded : dict of (T, C, H, W)
        What every node put out at each step.
    crossed : dict of (T, K, C, H, W) bool or int
        Thresholds that every neuron crossed, or spikes of each level that it fired, at each step; likewise the spikes
        of each level of an Input with an encoder.
    """
    steps = len(recorded[network.outputs[0].name])
    neurons = {node.name: _of_neurons(network, node, recorded, crossed) for node in network.neurons}
    synapses = {}
    for node in network.nodes:
        if isinstance(node, Projection):
            synapses[node.name] = _of_synapses(network, node, recorded, crossed)
    inputs = {name: _of_input(network, name, recorded[name], crossed[name]) for name in network.encoded}
    return Operations(steps, 1, neurons, synapses, inputs)


def _of_input(network: Network, name: str, emitted: Array, crossed: Array) -> InputOperations:
    table = network.encoded[name].level_table()
    return InputOperations(
        name=name,
        sites=emitted[0].size,
        thresholds=table.values,
        events=np.array([np.count_nonzero(of_step) for of_step in emitted], np.int64),
        spikes=crossed.sum(axis=(2, 3, 4), dtype=np.int64),
        shifts=_shifts(table),
        bits=table.bits,
    )


def count_reads(network: Network, recorded: Mapping[str, Array], crossed: Mapping[str, Array]) -> dict[str, int]:
    """Reads and writes of weights, biases, potentials and events, by visiting every event and every update.

    Parameters are those of `count_operations`; the keys are names of the ledger's totals.
    """
    reads = dict.fromkeys(("event_reads", "event_writes", "weight_reads", "bias_reads", "potential_reads"), 0)
    for node in network.nodes:
        if isinstance(node, Projection):
            _visit(network, node, recorded, crossed, reads)
    for layer in network.neurons:
        updated = updates_of(network, layer, recorded, crossed)
        for of_step, of_updates in zip(crossed[layer.name], updated, strict=True):
            reads["event_writes"] += int(np.count_nonzero(of_step.any(axis=0)))
            reads["potential_reads"] += len(initial_state(layer.model)) * int(of_updates)
    return {**reads, "potential_writes": reads["potential_reads"]}


def _visit(
    network: Network,
    node: Projection,
    recorded: Mapping[str, Array],
    crossed: Mapping[str, Array],
    reads: dict[str, int],
) -> None:
    """Add the reads of one node, step by step and event by event."""
    shape, out_shape = recorded[node.source].shape[1:], recorded[node.name].shape[1:]
    reach, weighted = targets(node, shape, out_shape), isinstance(node, Weighted)
    spiking = False
    met = _products(node, recorded)
    for name, first in _parts(network, node.source, recorded):
        part = reach[first : first + recorded[name].shape[1]]
        spiking |= name in crossed
        if name not in crossed:
            reads["weight_reads"] += int(part.sum()) * weighted * len(_changes(network, recorded))
            continue
        for step, of_step in enumerate(arriving_at(crossed[name], node.delay)):
            own = met[step, first : first + len(part)]
            for site in zip(*np.nonzero(of_step.any(axis=0)), strict=True):
                reads["event_reads"] += 1
                reads["weight_reads"] += int(part[site]) * weighted
                reads["potential_reads"] += int(part[site] + own[site])
    if weighted:
        reads["bias_reads"] += (len(recorded[node.name]) if spiking else 1) * int(np.prod(out_shape))


def _of_neurons(
    network: Network, node: Neurons, recorded: Mapping[str, Array], all_crossed: Mapping[str, Array]
) -> NeuronOperations:
    crossed = all_crossed[node.name]
    count, table = crossed[0, 0].size, level_table(node.model)
    return NeuronOperations(
        name=node.name,
        neurons=count,
        thresholds=table.values,
        events=np.array([np.count_nonzero(of_step.any(axis=0)) for of_step in crossed], np.int64),
        spikes=crossed.sum(axis=(2, 3, 4), dtype=np.int64),
        updates=updates_of(network, node, recorded, all_crossed),
        state_bytes=4 * count * len(initial_state(node.model)),
        variables=len(initial_state(node.model)),
        shifts=_shifts(table),
        bits=table.bits,
        arithmetic=arithmetic_of(node.model),
        most_spikes=table.kinds if table.masks else int(table.spikes.max()),
    )


def _shifts(table: LevelTable) -> bool:
    """Whether each kind of spike is worth as many powers of two as it counts for, times the smallest of all values."""
    for kind, value in enumerate(table.values):
        rest, parts = abs(value) / min(map(abs, table.values)), 0
        while rest >= 1:  # the largest power of two that is left, again and again
            rest, parts = rest - 2.0 ** np.floor(np.log2(rest)), parts + 1
        if rest or parts > (1 if table.masks else table.spikes[kind + 1]):
            return False
    return True


def _of_synapses(
    network: Network, node: Projection, recorded: Mapping[str, Array], crossed: Mapping[str, Array]
) -> SynapseOperations:
    shape, out_shape = recorded[node.source].shape[1:], recorded[node.name].shape[1:]
    reach, effective = targets(node, shape, out_shape), effective_targets(node, shape, out_shape)
    sources: dict[str, SynapticEvents] = {}
    macs = macs_effective = dense_synops = 0
    steps = len(recorded[node.name])
    met, every = _products(node, recorded), products(node, np.ones(shape))
    for name, first in _parts(network, node.source, recorded):
        part = slice(first, first + recorded[name].shape[1])
        if name in crossed:
            dense_synops += steps * int(reach[part].sum() + every[part].sum())
            arriving = arriving_at(crossed[name], node.delay)
            found = _of_events(arriving, reach[part] + met[:, part], effective[part] + met[:, part])
            sources[name] = sources[name] + found if name in sources else found
        else:
            # An input that stays the same is multiplied once.
            for step in _changes(network, recorded):
                shown = recorded[name][step] != 0
                macs += int(reach[part].sum() + every[part].sum())
                macs_effective += int((effective[part] + met[step, part])[shown].sum())
    weight, bias = getattr(node, "weight", np.zeros(0)), getattr(node, "bias", np.zeros(0))
    return SynapseOperations(
        name=node.name,
        kind=name_of(type(node)) or type(node).__name__,
        sources=sources,
        reads_input=any(name not in crossed for name, _ in _parts(network, node.source, recorded)),
        macs=macs,
        macs_effective=macs_effective,
        dense_synops=dense_synops,
        dense_macs=count_dense_macs(node, shape, out_shape),
        weights=weight.size,
        zero_weights=int((weight == 0).sum()),
        parameter_bytes=4 * (weight.size + bias.size),
        biases=bias.size,
        inputs=int(np.prod(shape)),
        outputs=int(np.prod(out_shape)),
        largest_inputs=int(np.prod(shape)),
        largest_outputs=int(np.prod(out_shape)),
        channels=shape[0],
        joined=tuple(name for name, _ in _parts(network, node.source, recorded) if name in crossed),
        delay=node.delay,
        state_bytes=4 * node.state_values * int(np.prod(out_shape)),
        steps=steps,
    )


def _changes(network: Network, recorded: Mapping[str, Array]) -> list[int]:
    """Steps whose analog input is another one than that of the step before; of several inputs, one of them."""
    inputs = [recorded[node.name] for node in network.inputs if node.encoder is None]
    steps = range(1, len(inputs[0]) if inputs else 1)
    return [0, *(step for step in steps if any((each[step] != each[step - 1]).any() for each in inputs))]


def _of_events(crossed: Array, reach: Array, effective: Array) -> SynapticEvents:
    """Of crossings (T, K, C, H, W) and the products of each event, (T, C, H, W)."""
    fired: Array = np.asarray(crossed.any(axis=1))
    return SynapticEvents(
        synops=np.array([of[on].sum() for of, on in zip(reach, fired, strict=True)], np.int64),
        synops_binary=np.array(
            [[(of * spikes).sum() for spikes in of_step] for of, of_step in zip(reach, crossed, strict=True)], np.int64
        ),
        synops_effective=np.array([of[on].sum() for of, on in zip(effective, fired, strict=True)], np.int64),
    )


def _products(node: Projection, recorded: Mapping[str, Array]) -> NDArray[np.int64]:
    """Products (T, C, H, W) that the events of each step enter with one another, as they arrive."""
    if counts_alone(node):
        return np.zeros((len(recorded[node.name]), *recorded[node.source].shape[1:]), np.int64)
    return np.stack([products(node, of_step) for of_step in arriving_at(recorded[node.source], node.delay)])


def products(node: Projection, values: Array) -> NDArray[np.int64]:
    """Of what is read at a step, (C, H, W): with an event of k each one of v at its pixel; with one of q d sums."""
    found = np.zeros(values.shape, np.int64)
    if not isinstance(node, Attention):
        of_own = node.products((values != 0).transpose(1, 2, 0)[None])
        return found if of_own is None else np.asarray(of_own)[0].transpose(2, 0, 1)
    channels = len(values) // 3
    size = channels // node.heads
    for channel, row, column in np.argwhere(values[: 2 * channels]):
        if channel < channels:
            found[channel, row, column] = size
            continue
        first = 2 * channels + (channel - channels) // size * size
        found[channel, row, column] = np.count_nonzero(values[first : first + size, row, column])
    return found


def _parts(network: Network, name: str, recorded: Mapping[str, Array]) -> Iterator[tuple[str, int]]:
    """The Input and Neurons nodes behind a node, and where the channels of each begin."""
    first = 0
    for leaf in network.leaves(name):
        yield leaf, first
        first += recorded[leaf].shape[1]


EVEN: Mapping[type[Node], int] = {
    Scale: 1,
    GlobalAvgPool2d: 1,
    Flatten: 1,
    PixelShuffle: 1,
    AttentionGates: 3,  # a mean, a gate, and the output at its place
    Attention: 0,  # nothing by itself: see `products`
}
"""Products that an event enters, of kinds of which that does not depend on its place."""


def targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """For each input site (C, H, W), how many products (with an output element and a weight) it enters."""
    reach = np.zeros(shape, np.int64)
    if isinstance(node, Linear):
        return reach + out_shape[0]
    if type(node) in EVEN:
        return reach + EVEN[type(node)]
    if isinstance(node, Upsample):
        return _upsampled_targets(node, shape, out_shape)
    if type(node) not in SLIDING:
        return probed_targets(without_zeros(node), shape) if counts_alone(node) else reach + _own_fan_out(node, shape)
    for in_y, in_x, _, _ in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += _outputs_per_tap(node)
    return reach


def _own_fan_out(node: Projection, shape: Shape) -> NDArray[np.int64]:
    """What a kind of somebody else says that an event of each row and column is counted with by itself, (H, W)."""
    fan = node.fan_out((shape[0], shape[1], shape[2]))
    return np.asarray(np.multiply.outer(fan.rows, fan.columns) * fan.channels)


def effective_targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """The same over weights that are not zero."""
    if not isinstance(node, Weighted):
        return targets(node, shape, out_shape)
    if type(node) not in (*SLIDING, Linear, Scale):
        told_apart = node.zero_fan_out((shape[0], shape[1], shape[2]), node.nonzero_weights()) is not None
        return probed_targets(node, shape) if told_apart else targets(node, shape, out_shape)
    if isinstance(node, Linear):
        used: NDArray[np.int64] = (node.weight != 0).sum(axis=0).reshape(shape)
        return used
    if isinstance(node, Scale):
        return np.asarray(np.zeros(shape, np.int64) + (node.weight != 0)[:, None, None])
    used = np.stack([np.count_nonzero(_weights_of(node, channel), axis=0) for channel in range(shape[0])])
    reach = np.zeros(shape, np.int64)
    for in_y, in_x, i, j in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += used[:, i, j]
    return reach


def probed_targets(node: Projection, shape: Shape) -> NDArray[np.int64]:
    """Of a kind of somebody else: how many outputs change with each input, none of them being 0."""
    base = np.full((1, *shape[1:], shape[0]), 1.0)
    reach = np.zeros(shape, np.int64)
    before = whole_current(node, base)
    for channel, y, x in np.ndindex(*shape):
        changed = base.copy()
        changed[0, y, x, channel] = 2.0
        reach[channel, y, x] = np.count_nonzero(whole_current(node, changed) != before)
    return reach


def has_current(node: Projection) -> bool:
    """Whether a node's current is computed by its method `current`, and not by kernels."""
    return type(node).bind is Synapses.bind


def counts_alone(node: Synapses) -> bool:
    """Whether what an event costs is up to itself: see `Synapses.products`."""
    return type(node).products is Synapses.products


def whole_current(node: Projection, values: Array) -> Array:
    """(M, H', W', C'): the current of all rows, by `current` from a fresh state, or by `forward` if kernels compute it.

    Parameters
    ----------
    values : (M, H, W, C)
    """
    if not has_current(node):
        return node.forward((values,))
    incoming = (values.shape[3], values.shape[1], values.shape[2])
    rows = Rows(0, node.output_shape(incoming)[1], 0, incoming, node.gathered(values))
    return np.asarray(node.current(values, rows, node.fresh_state(incoming, values.dtype)))


def without_zeros(node: Projection) -> Projection:
    """The node with weights none of which is 0: multiples of 1/64 from 1/2 on."""
    if not isinstance(node, Weighted):
        return node
    weight = 0.5 + (np.arange(node.weight.size) % 37).reshape(node.weight.shape) / 64
    return dataclasses.replace(node, weight=weight.astype(np.float32))


def _upsampled_targets(node: Upsample, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """Outputs that lie on an input, or between it and the next one."""
    counts = []
    for size, out, factor in zip(shape[1:], out_shape[1:], node.scale_factor, strict=True):
        reached = np.zeros(size, np.int64)
        for place in range(out):
            first, second, share = neighbours(node, place, size, factor)
            for source in {first} | ({second} if share else set()):
                reached[source] += 1
        counts.append(reached)
    return np.broadcast_to(np.outer(*counts), shape).astype(np.int64)


def _weights_of(node: Any, channel: int) -> Array:
    """(outputs of the group, kernel height, kernel width): the weights that one input channel meets."""
    if isinstance(node, ConvTranspose2d):
        return np.asarray(node.weight[channel])
    weight = node.weight[:, :, None] if isinstance(node, Conv1d) else node.weight
    inputs, outputs = weight.shape[1], len(weight) // node.groups
    group = channel // inputs
    return np.asarray(weight[group * outputs : (group + 1) * outputs, channel - group * inputs])


def _outputs_per_tap(node: Any) -> int:
    """Output channels that one input channel reaches through one kernel tap."""
    return node.out_channels // node.group_count if isinstance(node, Weighted) else 1


def _geometry(node: Any) -> tuple[Any, ...]:
    """Kernel, stride, padding and dilation of what slides, each (vertical, horizontal)."""
    if isinstance(node, Conv1d):
        return (1, node.weight.shape[2]), (1, node.stride), (0, node.padding), (1, node.dilation)
    if isinstance(node, (Conv2d, ConvTranspose2d)):
        return node.weight.shape[2:], node.stride, node.padding, node.dilation
    return node.kernel_size, node.stride, node.padding, (1, 1)


def _meetings(node: Projection, shape: Shape, out_shape: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Every (in_y, in_x, i, j) once for each pair of an output position and a kernel tap (i, j) that reads it."""
    transposed = isinstance(node, ConvTranspose2d)
    kernel, stride, padding, dilation = _geometry(node)
    # A transposed convolution is a convolution whose input and output have changed places.
    reader, read = (shape, out_shape) if transposed else (out_shape, shape)
    for y, x in np.ndindex(*reader[1:]):
        for i, j in np.ndindex(*kernel):
            other_y = y * stride[0] - padding[0] + i * dilation[0]
            other_x = x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= other_y < read[1] and 0 <= other_x < read[2]:
                yield (y, x, i, j) if transposed else (other_y, other_x, i, j)


def count_dense_macs(node: Projection, shape: Shape, out_shape: Shape) -> int:
    """Multiply-accumulates of the artificial network, padding included as is the custom; 0 without weights."""
    if isinstance(node, Attention):
        return 2 * int(np.prod(out_shape)) * (out_shape[0] // node.heads)
    if not isinstance(node, Weighted):
        return 0
    if isinstance(node, Linear):
        return node.weight.size
    if type(node) not in (*SLIDING, Scale):
        return node.dense_macs((shape[0], shape[1], shape[2]))
    positions = shape if isinstance(node, ConvTranspose2d) else out_shape
    return int(node.weight.size * positions[1] * positions[2])

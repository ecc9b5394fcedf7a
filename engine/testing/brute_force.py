"""The ledger of operations by brute force: every product of every loop is looked at and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Neurons, Projection, Weighted
from ..layers import (
    Attention,
    ConvTranspose2d,
    Linear,
    MeanConv2d,
    Scale,
)
from ..layers.registry import name_of
from ..neurons import LevelTable, arithmetic_of, initial_state, level_table
from ..operations import InputOperations, NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .product_targets import SLIDING, counts_alone, effective_targets, targets
from .updates import arriving_at, updates_of

Array = NDArray[Any]
Shape = tuple[int, ...]


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
    return Operations(steps, 1, neurons, synapses, inputs, len(_changes(network, recorded)))


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
    if len(_added(node)):
        # A current of the picture alone is kept for as long as it stays the same.
        times = len(recorded[node.name]) if spiking else len(_changes(network, recorded))
        reads["bias_reads"] += times * int(np.prod(out_shape))


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
    weight, bias = getattr(node, "weight", np.zeros(0)), _added(node)
    shown = len(_changes(network, recorded))
    return SynapseOperations(
        name=node.name,
        kind=name_of(type(node)) or type(node).__name__,
        sources=sources,
        reads_input=any(name not in crossed for name, _ in _parts(network, node.source, recorded)),
        macs=macs,
        macs_effective=macs_effective,
        dense_synops=dense_synops,
        dense_macs=shown * _of_the_file(network, node, count_dense_macs(node, shape, out_shape)),
        weights=weight.size,
        zero_weights=int((weight == 0).sum()),
        parameter_bytes=4 * (weight.size + bias.size),
        biases=bias.size,
        bias_reads=(steps if sources else shown) * int(np.prod(out_shape)) if bias.size else 0,
        inputs=shown * int(np.prod(shape)),
        outputs=shown * int(np.prod(out_shape)),
        largest_inputs=int(np.prod(shape)),
        largest_outputs=int(np.prod(out_shape)),
        channels=shape[0],
        joined=tuple(name for name, _ in _parts(network, node.source, recorded) if name in crossed),
        delay=node.delay,
        state_bytes=4 * node.state_values * int(np.prod(out_shape)),
        steps=steps,
    )


def _added(node: Projection) -> Array:
    """The biases that are added; none of a layer in which each of them is zero, which is the same as one without."""
    found: Array = getattr(node, "bias", np.zeros(0))
    return found if np.count_nonzero(found) else np.zeros(0)


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


def _of_the_file(network: Network, node: Projection, macs: int) -> int:
    """Without the products of weights that are none of the file's."""
    own, made = network.metadata.get("file_weights", {}).get(node.name, (1, 1))
    return int(macs * own // made)


def count_dense_macs(node: Projection, shape: Shape, out_shape: Shape) -> int:
    """Multiply-accumulates of the artificial network, padding included as is the custom; 0 without weights."""
    if isinstance(node, Attention):
        return 2 * int(np.prod(out_shape)) * (out_shape[0] // node.heads)
    if not isinstance(node, Weighted):
        return 0
    if isinstance(node, Linear):
        return node.weight.size
    if isinstance(node, MeanConv2d):
        # The convolution whose mean it is: a kernel at each place where it fits between zeros.
        sides = zip(shape[1:], node.padding, node.weight.shape[2:], strict=True)
        return int(node.weight.size * np.prod([size + 2 * zeros - kernel + 1 for size, zeros, kernel in sides]))
    if type(node) not in (*SLIDING, Scale):
        return node.dense_macs((shape[0], shape[1], shape[2]))
    positions = shape if isinstance(node, ConvTranspose2d) else out_shape
    return int(node.weight.size * positions[1] * positions[2])

"""The ledger of operations by brute force: every product of every loop is looked at and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Network, Neurons, Projection
from ..layers import AvgPool2d, Conv2d, ConvTranspose2d, Linear
from ..neurons import initial_state, level_table
from ..operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents

Array = NDArray[Any]
Shape = tuple[int, ...]


def count_operations(network: Network, recorded: Mapping[str, Array], crossed: Mapping[str, Array]) -> Operations:
    """The ledger of a run of one picture.

    Parameters
    ----------
    recorded : dict of (T, C, H, W)
        What every node put out at each step.
    crossed : dict of (T, K, C, H, W) bool or int
        Thresholds that every neuron crossed, or spikes of each level that it fired, at each step.
    """
    steps = len(recorded[network.output.name])
    neurons = {node.name: _of_neurons(node, crossed[node.name]) for node in network.neurons}
    synapses = {}
    for node in network.nodes:
        if isinstance(node, Projection):
            synapses[node.name] = _of_synapses(network, node, recorded, crossed)
    return Operations(steps, 1, neurons, synapses)


def _of_neurons(node: Neurons, crossed: Array) -> NeuronOperations:
    count = crossed[0, 0].size
    return NeuronOperations(
        name=node.name,
        neurons=count,
        thresholds=level_table(node.model).values,
        events=np.array([np.count_nonzero(of_step.any(axis=0)) for of_step in crossed], np.int64),
        spikes=crossed.sum(axis=(2, 3, 4), dtype=np.int64),
        state_bytes=4 * count * len(initial_state(node.model)),
    )


def _of_synapses(
    network: Network, node: Projection, recorded: Mapping[str, Array], crossed: Mapping[str, Array]
) -> SynapseOperations:
    shape, out_shape = recorded[node.source].shape[1:], recorded[node.name].shape[1:]
    reach, effective = targets(node, shape, out_shape), effective_targets(node, shape, out_shape)
    sources: dict[str, SynapticEvents] = {}
    macs = macs_effective = dense_synops = 0
    steps = len(recorded[node.name])
    for name, first in _parts(network, node.source, recorded):
        part = slice(first, first + recorded[name].shape[1])
        if name in crossed:
            dense_synops += steps * int(reach[part].sum())
            found = _of_events(crossed[name], reach[part], effective[part])
            sources[name] = sources[name] + found if name in sources else found
        else:
            macs += int(reach[part].sum())
            macs_effective += int(effective[part][recorded[name][0] != 0].sum())
    weight, bias = getattr(node, "weight", np.zeros(0)), getattr(node, "bias", np.zeros(0))
    return SynapseOperations(
        name=node.name,
        kind=type(node).__name__,
        sources=sources,
        reads_input=any(name not in crossed for name, _ in _parts(network, node.source, recorded)),
        macs=macs,
        macs_effective=macs_effective,
        dense_synops=dense_synops,
        dense_macs=count_dense_macs(node, shape, out_shape),
        weights=weight.size,
        zero_weights=int((weight == 0).sum()),
        parameter_bytes=4 * (weight.size + bias.size),
        steps=steps,
    )


def _of_events(crossed: Array, reach: Array, effective: Array) -> SynapticEvents:
    fired: Array = np.asarray(crossed.any(axis=1))
    return SynapticEvents(
        synops=np.array([reach[of_step].sum() for of_step in fired], np.int64),
        synops_binary=np.array([[(reach * spikes).sum() for spikes in of_step] for of_step in crossed], np.int64),
        synops_effective=np.array([effective[of_step].sum() for of_step in fired], np.int64),
    )


def _parts(network: Network, name: str, recorded: Mapping[str, Array]) -> Iterator[tuple[str, int]]:
    """The Input and Neurons nodes behind a node, and where the channels of each begin."""
    first = 0
    for leaf in network.leaves(name):
        yield leaf, first
        first += recorded[leaf].shape[1]


def targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """For each input site (C, H, W), how many products (with an output element and a weight) it enters."""
    reach = np.zeros(shape, np.int64)
    if isinstance(node, Linear):
        return reach + out_shape[0]
    for in_y, in_x, _, _ in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += _outputs_per_tap(node)
    return reach


def effective_targets(node: Projection, shape: Shape, out_shape: Shape) -> NDArray[np.int64]:
    """The same over weights that are not zero."""
    if isinstance(node, AvgPool2d):
        return targets(node, shape, out_shape)
    if isinstance(node, Linear):
        used: NDArray[np.int64] = (node.weight != 0).sum(axis=0).reshape(shape)
        return used
    assert isinstance(node, (Conv2d, ConvTranspose2d))
    used = np.stack([np.count_nonzero(_weights_of(node, channel), axis=0) for channel in range(shape[0])])
    reach = np.zeros(shape, np.int64)
    for in_y, in_x, i, j in _meetings(node, shape, out_shape):
        reach[:, in_y, in_x] += used[:, i, j]
    return reach


def _weights_of(node: Conv2d | ConvTranspose2d, channel: int) -> Array:
    """(outputs of the group, kernel height, kernel width): the weights that one input channel meets."""
    if isinstance(node, ConvTranspose2d):
        return np.asarray(node.weight[channel])
    inputs, outputs = node.weight.shape[1], len(node.weight) // node.groups
    group = channel // inputs
    return np.asarray(node.weight[group * outputs : (group + 1) * outputs, channel - group * inputs])


def _outputs_per_tap(node: Projection) -> int:
    """Output channels that one input channel reaches through one kernel tap."""
    return node.out_channels // node.groups if isinstance(node, (Conv2d, ConvTranspose2d)) else 1


def _meetings(node: Projection, shape: Shape, out_shape: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Every (in_y, in_x, i, j) once for each pair of an output position and a kernel tap (i, j) that reads it."""
    assert isinstance(node, (AvgPool2d, Conv2d, ConvTranspose2d))
    transposed = isinstance(node, ConvTranspose2d)
    kernel = node.kernel_size if isinstance(node, AvgPool2d) else node.weight.shape[2:]
    dilation = (1, 1) if isinstance(node, AvgPool2d) else node.dilation
    # A transposed convolution is a convolution whose input and output have changed places.
    reader, read = (shape, out_shape) if transposed else (out_shape, shape)
    for y, x in np.ndindex(*reader[1:]):
        for i, j in np.ndindex(*kernel):
            other_y = y * node.stride[0] - node.padding[0] + i * dilation[0]
            other_x = x * node.stride[1] - node.padding[1] + j * dilation[1]
            if 0 <= other_y < read[1] and 0 <= other_x < read[2]:
                yield (y, x, i, j) if transposed else (other_y, other_x, i, j)


def count_dense_macs(node: Projection, shape: Shape, out_shape: Shape) -> int:
    """Multiply-accumulates of the artificial network, padding included as is the custom; 0 for a pool."""
    if isinstance(node, AvgPool2d):
        return 0
    assert isinstance(node, (Conv2d, ConvTranspose2d, Linear))
    if isinstance(node, Linear):
        return node.weight.size
    positions = shape if isinstance(node, ConvTranspose2d) else out_shape
    return int(node.weight.size * positions[1] * positions[2])

"""Gather a run's counts, layer by layer, into the ledger of operations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..build import Layer, Program
from ..operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .layer_run import LayerRun

_Noted = tuple[Layer, list[str], NDArray[np.int64], NDArray[np.int64], slice]
"""Layer, names of its queues, `LayerRun.fired` and `LayerRun.counts`, and at which steps."""

_BYTES = np.dtype(np.float32).itemsize


class OperationsCounter:
    """Counts of one picture; `operations` is the ledger."""

    def __init__(self, program: Program, steps: int) -> None:
        self._program = program
        self._steps = steps
        self._noted: list[_Noted] = []
        self._neurons = {layer.name: self._no_events(layer) for layer in program.layers if layer.neurons}
        self._synapses = {layer.node.name: self._no_synops(layer) for layer in program.layers}

    def _no_events(self, layer: Layer) -> NeuronOperations:
        neurons = int(np.prod(layer.outgoing))
        assert layer.levels is not None
        return NeuronOperations(
            name=layer.name,
            neurons=neurons,
            thresholds=layer.levels.values,
            events=np.zeros(self._steps, np.int64),
            spikes=np.zeros((self._steps, layer.thresholds), np.int64),
            state_bytes=_BYTES * neurons * layer.variables,
        )

    def _no_synops(self, layer: Layer) -> SynapseOperations:
        node = layer.node
        weights, biases = layer.weights_and_biases
        spiking = [source for source in layer.sources if not source.analog]
        return SynapseOperations(
            name=node.name,
            kind=type(node).__name__,
            sources={source.name: self._no_accumulates(source.thresholds) for source in spiking},
            reads_input=any(source.analog for source in layer.sources),
            macs=0,
            macs_effective=0,
            dense_synops=self._steps * layer.fan_out.total(sum(source.channels for source in spiking)),
            dense_macs=layer.dense_macs,
            weights=weights,
            zero_weights=layer.zero_weights,
            parameter_bytes=_BYTES * (weights + biases),
            steps=self._steps,
        )

    def _no_accumulates(self, thresholds: int) -> SynapticEvents:
        zeros = np.zeros(self._steps, np.int64)
        return SynapticEvents(zeros, np.zeros((self._steps, thresholds), np.int64), zeros.copy())

    def add_input(self, layer: Layer, picture: NDArray[np.float32]) -> None:
        """Note the multiply-accumulates of a layer that reads the analog input, (H, W, C)."""
        analog = [source for source in layer.sources if source.analog]
        node = self._synapses[layer.node.name]
        macs = layer.fan_out.total(sum(source.channels for source in analog))
        effective = sum(_effective_macs(layer, picture, source.channel_offset) for source in analog)
        self._synapses[node.name] = replace(node, macs=macs, macs_effective=effective)

    def add_run(self, run: LayerRun, steps: slice) -> None:
        """Note the events that a layer fired at some steps, and the accumulates that it made of those that it read.

        A source that a concatenation names twice is counted twice. A node that feeds both neurons and the readout is
        run twice by the engine but counted once.
        """
        # Noted now and worked out in the end, all at once: between kernels, little of this would be in the caches.
        names = [source.name for source, _, _ in run.inputs.queues]
        self._noted.append((run.layer, names, run.fired[:, : run.steps], run.counts[..., : run.steps], steps))

    def _work_out(
        self, layer: Layer, names: list[str], fired: NDArray[np.int64], counts: NDArray[np.int64], steps: slice
    ) -> None:
        if layer.neurons is not None:
            own = self._neurons[layer.name]
            own.events[steps] = fired[0]
            own.spikes[steps] = fired[1 : 1 + layer.thresholds].T
        for name, target in self._synapses[layer.node.name].sources.items():
            positions = [k for k, source in enumerate(names) if source == name]
            uneven, zeros = counts[positions].sum(axis=0)
            source = self._neurons[name]
            usual = math.prod(layer.fan_out.usual) * len(positions)
            spikes = usual * source.spikes[steps] + uneven[1 : 1 + len(source.thresholds)].T
            target.synops[steps] = (usual * source.events[steps] + uneven[0]) * layer.fan_out.channels
            target.synops_binary[steps] = spikes * layer.fan_out.channels
            target.synops_effective[steps] = target.synops[steps] - zeros[0]

    @property
    def operations(self) -> Operations:
        """The ledger of the steps noted so far."""
        for noted in self._noted:
            self._work_out(*noted)
        self._noted.clear()
        return Operations(self._steps, 1, self._neurons, self._synapses)


def _effective_macs(layer: Layer, picture: NDArray[np.float32], channel_offset: int) -> int:
    """Products of values of the picture and weights, neither of them zero."""
    present = picture != 0
    fan, zero = layer.fan_out, layer.zero_fan_out
    total = 0
    for reached, columns in _columns_by_class(present, fan.rows):
        total += reached * int(columns.sum(axis=1) @ fan.columns) * fan.channels
    if zero is not None:
        channels = slice(channel_offset, channel_offset + picture.shape[2])
        for kind, columns in _columns_by_class(present, zero.row_classes):
            total -= int((zero.zeros[kind][zero.column_classes, channels] * columns).sum())
    return total


def _columns_by_class(
    present: NDArray[np.bool_], classes: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each class of rows and, for each column and channel, how many of its rows are present there."""
    for kind in np.unique(classes).tolist():
        yield kind, present[classes == kind].sum(axis=0, dtype=np.int64)

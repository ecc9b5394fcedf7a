"""Gather a run's counts, layer by layer, into the ledger of operations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..build import Layer, Program
from ..operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .layer_run import LayerRun

_BYTES = np.dtype(np.float32).itemsize


class OperationsCounter:
    """Counts of one picture; `operations` is the ledger."""

    def __init__(self, program: Program, steps: int) -> None:
        self._program = program
        self._steps = steps
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
        layer, size = run.layer, run.steps
        if layer.neurons is not None:
            fired = self._neurons[layer.name]
            fired.events[steps] = run.fired[0, :size]
            fired.spikes[steps] = run.fired[1 : 1 + layer.thresholds, :size].T
        for name, target in self._synapses[layer.node.name].sources.items():
            positions = [k for k, (source, _, _) in enumerate(run.inputs.queues) if source.name == name]
            uneven, zeros = run.counts[positions, :, :, :size].sum(axis=0)
            source = self._neurons[name]
            usual = math.prod(layer.fan_out.usual) * len(positions)
            spikes = usual * source.spikes[steps] + uneven[1 : 1 + len(source.thresholds)].T
            target.synops[steps] = (usual * source.events[steps] + uneven[0]) * layer.fan_out.channels
            target.synops_binary[steps] = spikes * layer.fan_out.channels
            target.synops_effective[steps] = target.synops[steps] - zeros[0]

    @property
    def operations(self) -> Operations:
        """The ledger of the steps noted so far."""
        return Operations(self._steps, 1, self._neurons, self._synapses)


def _effective_macs(layer: Layer, picture: NDArray[np.float32], channel_offset: int) -> int:
    """Products of values of the picture and weights, neither of them zero."""
    present = picture != 0
    fan, zero = layer.fan_out, layer.zero_fan_out
    total = int(fan.rows @ np.count_nonzero(present, axis=2) @ fan.columns) * fan.channels
    if zero is not None:
        channels = slice(channel_offset, channel_offset + picture.shape[2])
        for row, kind in zip(present, zero.row_classes, strict=True):
            total -= int(zero.zeros[kind][zero.column_classes, channels][row].sum())
    return total

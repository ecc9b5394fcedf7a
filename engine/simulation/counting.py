"""Gather a run's counts, layer by layer, into the ledger of operations."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..build import Layer, Program
from ..operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents

_BYTES = np.dtype(np.float32).itemsize


class OperationsCounter:
    """Counts of one picture; `operations` is the ledger.

    Attributes
    ----------
    fired : (layers, 1 + K, T) int64
        As in `LayerRun`, of all layers and steps; K is at least 8.
    counts : (sources of all layers, 2, 1 + K, T) int64
        Likewise, layer by layer.
    """

    def __init__(self, program: Program, steps: int) -> None:
        self._steps = steps
        self._layers = program.layers
        self._index = {layer.name: index for index, layer in enumerate(self._layers)}
        self._macs: dict[str, tuple[int, int]] = {}
        kinds = 1 + max(8, *(layer.thresholds for layer in self._layers))
        self._begins = np.cumsum([0, *(len(layer.spiking) for layer in self._layers)])
        self.fired = np.zeros((len(self._layers), kinds, steps), np.int64)
        self.counts = np.zeros((self._begins[-1], 2, kinds, steps), np.int64)
        # Of a tile, the layer that is run knows what its rows count for: see `add_run`.
        self._fans = [layer.fan_out for layer in self._layers]

    def add_input(self, layer: Layer, picture: NDArray[np.float32]) -> None:
        """Note the multiply-accumulates of a layer that reads the analog input, (H, W, C)."""
        analog = [source for source in layer.sources if source.analog]
        macs = layer.fan_out.total(sum(source.channels for source in analog))
        effective = sum(_effective_macs(layer, picture, source.channel_offset) for source in analog)
        self._macs[layer.node.name] = macs, effective

    def add_run(self, layer: Layer, fired: NDArray[np.int64], counts: NDArray[np.int64], steps: slice) -> None:
        """Note the events that a layer fired at some steps, and what those that it read have met.

        `fired` and `counts` are as in `LayerRun`, whose steps may be more.
        """
        # Noted now and worked out in the end, all at once: between kernels, little of this would be in the caches.
        index, size = self._index[layer.name], steps.stop - steps.start
        self._fans[index] = layer.fan_out
        self.fired[index, : len(fired), steps] = fired[:, :size]
        of_layer = self.counts[self._begins[index] : self._begins[index + 1]]
        of_layer[:, :, : counts.shape[2], steps] = counts[..., :size]

    @property
    def operations(self) -> Operations:
        """The ledger of the steps noted so far."""
        neurons = {
            layer.name: self._neuron_operations(layer, fired)
            for layer, fired in zip(self._layers, self.fired, strict=True)
            if layer.neurons is not None
        }
        accumulates = self._accumulates()
        # A node that feeds both neurons and the readout is run twice by the engine but counted once.
        synapses = {layer.node.name: self._synapse_operations(layer, accumulates[layer.name]) for layer in self._layers}
        return Operations(self._steps, 1, neurons, synapses)

    def _neuron_operations(self, layer: Layer, fired: NDArray[np.int64]) -> NeuronOperations:
        assert layer.levels is not None
        neurons = math.prod(layer.outgoing)
        return NeuronOperations(
            name=layer.name,
            neurons=neurons,
            thresholds=layer.levels.values,
            events=fired[0],
            spikes=fired[1 : 1 + layer.thresholds].T.copy(),
            state_bytes=_BYTES * neurons * layer.variables,
        )

    def _synapse_operations(self, layer: Layer, sources: dict[str, SynapticEvents]) -> SynapseOperations:
        weights, biases = layer.weights_and_biases
        macs, effective = self._macs.get(layer.node.name, (0, 0))
        return SynapseOperations(
            name=layer.node.name,
            kind=type(layer.node).__name__,
            sources=sources,
            reads_input=len(layer.spiking) < len(layer.sources),
            macs=macs,
            macs_effective=effective,
            dense_synops=self._steps * layer.dense_synops,
            dense_macs=layer.dense_macs,
            weights=weights,
            zero_weights=layer.zero_weights,
            parameter_bytes=_BYTES * (weights + biases),
            steps=self._steps,
        )

    def _accumulates(self) -> dict[str, dict[str, SynapticEvents]]:
        """What the events of each source cause in each layer's node; a source that is joined twice counts twice."""
        found: dict[str, dict[str, SynapticEvents]] = {layer.name: {} for layer in self._layers}
        pairs = []
        for layer in self._layers:
            for k, source in enumerate(layer.spiking):
                if source.name in self._index:
                    pairs.append((layer, k, source))
                else:  # Of a tile, only the layer that is run has its sources here.
                    zeros = np.zeros((2, self._steps), np.int64)
                    binary = np.zeros((self._steps, source.thresholds), np.int64)
                    found[layer.name][source.name] = SynapticEvents(zeros[0], binary, zeros[1])
        if not pairs:
            return found
        targets = np.array([self._index[layer.name] for layer, _, _ in pairs])
        sources = np.array([self._index[source.name] for _, _, source in pairs])
        usual = np.array([math.prod(fan.usual) for fan in self._fans])[targets, None, None]
        channels = np.array([fan.channels for fan in self._fans])[targets, None, None]
        uneven, zeros = self.counts[self._begins[targets] + [k for _, k, _ in pairs]].swapaxes(0, 1)
        accumulates = (usual * self.fired[sources] + uneven) * channels
        effective = accumulates[:, 0] - zeros[:, 0]
        by_threshold = np.ascontiguousarray(accumulates[:, 1:].swapaxes(1, 2))
        for number, (layer, _, source) in enumerate(pairs):
            binary = by_threshold[number, :, : source.thresholds]
            new = SynapticEvents(accumulates[number, 0], binary, effective[number])
            of_layer = found[layer.name]
            of_layer[source.name] = of_layer[source.name] + new if source.name in of_layer else new
        return found


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

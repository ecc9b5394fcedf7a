"""Gather a run's counts, layer by layer, into the ledger of operations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..binding.layer import Source
from ..binding.products import most_products_of, products_of
from ..events import EventQueue
from ..kernels.vectors import LEVEL_BITS
from ..layers.registry import name_of
from ..operations import InputOperations, NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .layer_state import picture_of

_BYTES = np.dtype(np.float32).itemsize


class OperationsCounter:
    """Counts of one picture; `operations` is the ledger.

    Attributes
    ----------
    fired : (layers + encoded Inputs, 1 + K, T) int64
        As in `LayerRun`, of all layers and steps; K is at least 8.
    counts : (sources of all layers, 2, 1 + K, T) int64
        Likewise, layer by layer.
    index : dict of str to int
        Where in `fired` each layer, and each encoded Input, stands.
    arriving : dict of str to (1 + K,) int64
        What was fired before the first step and arrives at it, through a delay.
    """

    def __init__(self, program: Program, steps: int) -> None:
        self._steps = steps
        self._layers = program.layers
        self.index = {layer.name: index for index, layer in enumerate(self._layers)}
        self._macs: dict[str, dict[int, tuple[int, int]]] = {}
        self.arriving: dict[str, NDArray[np.int64]] = {}
        self._encoded = {name: program.network.encoded[name].level_table() for name in program.encoded}
        self._sites = {name: math.prod(shape) for name, shape in program.encoded.items()}
        self.index |= {name: len(self._layers) + number for number, name in enumerate(self._encoded)}
        kinds = [layer.thresholds for layer in self._layers] + [table.kinds for table in self._encoded.values()]
        self._begins = np.cumsum([0, *(len(layer.spiking) for layer in self._layers)])
        most = 1 + max(8, *kinds)
        self.fired = np.zeros((len(self.index), most, steps), np.int64)
        self.counts = np.zeros((self._begins[-1], 2, most, steps), np.int64)
        # Of a tile, the layer that is run knows what its rows count for: see `add_run`.
        self._parts = [list(layer.parts) for layer in self._layers]

    def add_input(self, layer: Layer, picture: NDArray[np.float32], first_step: int = 0) -> None:
        """Note the multiply-accumulates of a layer that reads the analog input, from one step on.

        (H, W, C), pictures joined. Of a node that feeds both neurons and the readout, noted twice and counted once.
        """
        analog = [source for source in layer.sources if source.analog]
        macs = layer.fan_out.total(sum(source.channels for source in analog))
        macs += sum(most_products_of(layer, source) for source in analog)
        effective = sum(_effective_macs(layer, picture_of(source, picture), source.channel_offset) for source in analog)
        effective += _effective_products(layer, analog, picture)
        self._macs.setdefault(layer.node.name, {})[first_step] = macs, effective

    def add_run(self, layer: Layer, fired: NDArray[np.int64], counts: NDArray[np.int64], steps: slice) -> None:
        """Note the events that a layer fired at some steps, and what those that it read have met.

        `fired` and `counts` are as in `LayerRun`, whose steps may be more.
        """
        # Noted now and worked out in the end, all at once: between kernels, little of this would be in the caches.
        index, size = self.index[layer.name], steps.stop - steps.start
        self._parts[index] = list(layer.parts)
        self.fired[index, : len(fired), steps] = fired[:, :size]
        of_layer = self.counts[self._begins[index] : self._begins[index + 1]]
        of_layer[:, :, : counts.shape[2], steps] = counts[..., :size]

    def add_encoded(self, name: str, queue: EventQueue, first_step: int) -> None:
        """Note the spikes that an Input's encoder has made, from one step on."""
        table, index = self._encoded[name], self.index[name]
        for step in range(queue.steps):
            levels = (queue.levels >> queue.levels.dtype.type(LEVEL_BITS * step)).astype(np.uint8)
            self.fired[index, : 1 + table.kinds, first_step + step] = table.counts(levels)

    @property
    def operations(self) -> Operations:
        """The ledger of the steps noted so far."""
        neurons = {
            layer.name: self._neuron_operations(layer, fired)
            for layer, fired in zip(self._layers, self.fired, strict=False)
            if layer.neurons is not None
        }
        # A node that feeds both neurons and the readout is run twice by the engine but counted once.
        accumulates = self._accumulates()
        synapses = {
            part.node.name: self._synapse_operations(part, accumulates[index, number])
            for index, layer in enumerate(self._layers)
            for number, part in enumerate(layer.parts)
        }
        inputs = {name: self._input_operations(name) for name in self._encoded}
        return Operations(self._steps, 1, neurons, synapses, inputs)

    def _input_operations(self, name: str) -> InputOperations:
        table, fired = self._encoded[name], self.fired[self.index[name]]
        spikes = fired[1 : 1 + table.kinds].T.copy()
        return InputOperations(name, self._sites[name], table.values, fired[0], spikes, table.shifts, table.bits)

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
            variables=layer.variables,
            shifts=layer.levels.shifts,
            bits=layer.levels.bits,
            arithmetic=layer.arithmetic,
            most_spikes=layer.levels.most_spikes,
        )

    def _synapse_operations(self, layer: Layer, sources: dict[str, SynapticEvents]) -> SynapseOperations:
        weights, biases = layer.weights_and_biases
        noted = self._macs.get(layer.node.name, {}).values()
        macs, effective = sum(each for each, _ in noted), sum(each for _, each in noted)
        return SynapseOperations(
            name=layer.node.name,
            kind=name_of(type(layer.node)) or type(layer.node).__name__,
            sources=sources,
            reads_input=len(layer.spiking) < len(layer.sources),
            macs=macs,
            macs_effective=effective,
            dense_synops=self._steps * layer.dense_synops,
            dense_macs=layer.dense_macs,
            weights=weights,
            zero_weights=layer.zero_weights,
            parameter_bytes=_BYTES * (weights + biases),
            biases=biases,
            inputs=math.prod(layer.incoming),
            outputs=math.prod(layer.outgoing),
            largest_inputs=math.prod(layer.incoming),
            largest_outputs=math.prod(layer.outgoing),
            channels=layer.incoming[0],
            joined=tuple(source.name for source in layer.spiking),
            delay=layer.node.delay,
            state_bytes=_BYTES * layer.node.state_values * math.prod(layer.outgoing),
            steps=self._steps,
        )

    def _accumulates(self) -> dict[tuple[int, int], dict[str, SynapticEvents]]:
        """What the events of each source cause in each part of each layer; a source that is joined twice counts twice.

        By numbers of the layer and of the part.
        """
        found: dict[tuple[int, int], dict[str, SynapticEvents]] = {}
        pairs: list[_Pair] = []
        for index, parts in enumerate(self._parts):
            place = int(self._begins[index])
            for number, part in enumerate(parts):
                of_part = found.setdefault((index, number), {})
                for source in part.spiking:
                    if source.name in self.index:
                        pairs.append(_Pair((index, number), part, source, place))
                    else:  # Of a tile, only the layer that is run has its sources here.
                        zeros = np.zeros((2, self._steps), np.int64)
                        binary = np.zeros((self._steps, source.thresholds), np.int64)
                        of_part[source.name] = SynapticEvents(zeros[0], binary, zeros[1])
                    place += 1
        if pairs:
            self._add_pairs(found, pairs)
        return found

    def _add_pairs(self, found: dict[tuple[int, int], dict[str, SynapticEvents]], pairs: list[_Pair]) -> None:
        """Add what the events of a source cause in a part, for all pairs of them at once."""
        fans = [pair.part.fan_out for pair in pairs]
        usual, channels = (
            np.array(numbers)[:, None, None]
            for numbers in zip(*((math.prod(f.usual), f.channels) for f in fans), strict=True)
        )
        fired = self.fired[[self.index[pair.source.name] for pair in pairs]]
        for number, pair in enumerate(pairs):
            if pair.source.delay:
                fired[number] = _arriving(fired[number], pair.source.delay)
                before = self.arriving.get(pair.source.name, np.zeros(1, np.int64))
                fired[number, : len(before), 0] += before
        uneven, zeros = self.counts[[pair.place for pair in pairs]].swapaxes(0, 1)
        accumulates = (usual * fired + uneven) * channels
        effective = accumulates[:, 0] - zeros[:, 0]
        by_threshold = np.ascontiguousarray(accumulates[:, 1:].swapaxes(1, 2))
        for number, pair in enumerate(pairs):
            binary = by_threshold[number, :, : pair.source.thresholds]
            new = SynapticEvents(accumulates[number, 0], binary, effective[number])
            of_part, name = found[pair.key], pair.source.name
            of_part[name] = of_part[name] + new if name in of_part else new


class _Pair(NamedTuple):
    """A part of a layer, one of its sources, and where what was counted of that stands."""

    key: tuple[int, int]
    part: Layer
    source: Source
    place: int


def _arriving(fired: NDArray[np.int64], delay: int) -> NDArray[np.int64]:
    """Counts, (..., T), by the step at which events arrive."""
    arrived = np.zeros_like(fired)
    arrived[..., delay:] = fired[..., :-delay]
    return arrived


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


def _effective_products(layer: Layer, analog: list[Source], picture: NDArray[np.float32]) -> int:
    """Products that values of the picture enter with others, none of them zero; events are taken to be there."""
    if layer.most_products is None:
        return 0
    present = np.ones((1, *layer.incoming[1:], layer.incoming[0]), np.bool_)
    for source in analog:
        present[0, ..., source.place] = picture_of(source, picture) != 0
    found = products_of(layer, present)
    return 0 if found is None else sum(int(found[..., source.place].sum()) for source in analog)


def _columns_by_class(
    present: NDArray[np.bool_], classes: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each class of rows and, for each column and channel, how many of its rows are present there."""
    for kind in np.unique(classes).tolist():
        yield kind, present[classes == kind].sum(axis=0, dtype=np.int64)

"""What a ledger says of any run of a program, worked out once: entries without counts, and where those come from."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..binding import Layer, Program
from ..binding.layer import Source
from ..graph import ann_macs
from ..layers.registry import name_of
from ..neurons import arithmetic_of
from ..operations import InputOperations, NeuronOperations, SynapseOperations

_BYTES = np.dtype(np.float32).itemsize
_NOTHING = np.zeros((0, 0), np.int64)


class Pair(NamedTuple):
    """A part of a layer and one of the sources that it reads, whose events count for one of `LedgerPlan.synapses`.

    The source has a row in `RunCounts.fired`, the pair a place in `RunCounts.counts`.
    """

    node: int
    source: Source
    row: int
    place: int


class LedgerPlan:
    """Entries of a ledger without counts, in the order of its nodes.

    Attributes
    ----------
    rows : dict of str to int
        Of each layer, and then of each Input with an encoder, in `RunCounts.fired`.
    begins : (layers + 1,) int64
        Where the sources of each layer begin in `RunCounts.counts`.
    kinds : int
        The most kinds of spikes that a layer or an Input has, at least 8.
    neurons : list of (row, NeuronOperations, channels)
        The channels are those of pixels whose updates are counted, 0 of a layer that is updated at every step.
    inputs : list of (row, InputOperations)
    synapses : list of SynapseOperations
        Of one step and one analog input. A node that feeds both neurons and the readout is run twice by the engine but
        counted once.
    pairs : list of Pair
    """

    def __init__(self, program: Program) -> None:
        layers = program.layers
        tables = {name: encoder.level_table() for name, encoder in program.encoders.items()}
        self.rows = {name: row for row, name in enumerate([*(layer.name for layer in layers), *tables])}
        self.begins = np.cumsum([0, *(len(layer.spiking) for layer in layers)])
        self.kinds = max([8, *(layer.thresholds for layer in layers), *(table.kinds for table in tables.values())])
        self.neurons = [
            (row, _neurons(layer), layer.outgoing[0] if layer.event_driven else 0)
            for row, layer in enumerate(layers)
            if layer.neurons is not None
        ]
        self.inputs = [
            (
                self.rows[name],
                InputOperations(
                    name, math.prod(shape), tables[name].values, _NOTHING, _NOTHING, tables[name].shifts,
                    tables[name].bits,
                ),
            )
            for name, shape in program.encoded.items()
        ]  # fmt: skip
        # The last one of a name counts, which has the parts of its own layer.
        numbered = {part.node.name: part for layer in layers for part in layer.parts}
        names = {name: number for number, name in enumerate(numbered)}
        self.synapses = [_synapses(part, program.file_shares) for part in numbered.values()]
        found = [
            (part, Pair(names[part.node.name], source, self.rows[source.name], place))
            for place, (part, source) in enumerate(
                (part, source) for layer in layers for part in layer.parts for source in part.spiking
            )
            if part is numbered[part.node.name]
        ]
        self.pairs = [pair for _, pair in found]
        fans = [part.fan_out for part, _ in found]
        self.usual, self.channels = (
            np.array(numbers, np.int64).reshape(-1, 1, 1)
            for numbers in ([math.prod(fan.usual) for fan in fans], [fan.channels for fan in fans])
        )
        self.source_rows = np.array([pair.row for pair in self.pairs], np.int64)
        self.places = np.array([pair.place for pair in self.pairs], np.int64)
        self.delayed = [(number, pair) for number, pair in enumerate(self.pairs) if pair.source.delay]


def plan_of(program: Program) -> LedgerPlan:
    """The program's own."""
    return program.known("ledger", lambda: LedgerPlan(program))


def _neurons(layer: Layer) -> NeuronOperations:
    assert layer.levels is not None
    assert layer.neurons is not None
    neurons = math.prod(layer.outgoing)
    return NeuronOperations(
        name=layer.name,
        neurons=neurons,
        thresholds=layer.levels.values,
        events=_NOTHING,
        spikes=_NOTHING,
        updates=_NOTHING,
        state_bytes=_BYTES * neurons * layer.variables,
        variables=layer.variables,
        shifts=layer.levels.shifts,
        bits=layer.levels.bits,
        arithmetic=arithmetic_of(layer.neurons.model),
        most_spikes=layer.levels.most_spikes,
    )


def _synapses(layer: Layer, shares: dict[str, Fraction]) -> SynapseOperations:
    weights, biases = layer.weights_and_biases
    inputs, outputs = math.prod(layer.incoming), math.prod(layer.outgoing)
    return SynapseOperations(
        name=layer.node.name,
        kind=name_of(type(layer.node)) or type(layer.node).__name__,
        sources={},
        reads_input=len(layer.spiking) < len(layer.sources),
        macs=0,
        macs_effective=0,
        dense_synops=layer.fan_out.total(sum(source.channels for source in layer.spiking))
        + sum(layer.most_products_of(source) for source in layer.spiking),
        dense_macs=ann_macs(layer.node, layer.whole.incoming, shares),
        weights=weights,
        zero_weights=layer.zero_weights,
        parameter_bytes=_BYTES * (weights + biases),
        biases=biases,
        bias_reads=outputs if biases else 0,
        inputs=inputs,
        outputs=outputs,
        largest_inputs=inputs,
        largest_outputs=outputs,
        channels=layer.incoming[0],
        joined=tuple(source.name for source in layer.spiking),
        delay=layer.node.delay,
        state_bytes=_BYTES * layer.node.state_values * math.prod(layer.outgoing),
        steps=1,
    )

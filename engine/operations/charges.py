"""What a run, and the artificial network beside it, is charged for: counts of operations and of memory accesses.

An energy model prices those parts that it knows. All counts are the ledger's, exact: what reaches no target, at borders
and between strides, is not charged, where formulas for whole layers charge it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .exact import total
from .readings import node_operations

if TYPE_CHECKING:
    from .ledger import Operations
    from .nodes import NeuronOperations, SynapseOperations

ACCUMULATE = "accumulate"
MULTIPLY_ACCUMULATE = "multiply-accumulate"
COMPARISON = "comparison"
ACCESS = "access"
SPARSE_MOVE = "sparse move"
DENSE_MOVE = "dense move"

PARTS = {
    "synapses": "operations of events that meet weights, in one of three readings; of the artificial network its own",
    "input": "multiply-accumulates of the analog input",
    "biases": "additions of biases",
    "resets": "subtractions of thresholds that were crossed",
    "leaks": "multiplications of potentials that decay",
    "comparisons": "of potentials with thresholds",
    "addresses": "of what an event reaches: an addition for each target, two multiply-accumulates for each event that "
    "does not reach all; of the artificial network additions for inputs, outputs and, for each input, one kernel",
    "weight memory": "weights and biases read",
    "sum memory": "sums that accumulates read and write",
    "potential memory": "state variables that updates read and write",
    "event memory": "events written once and read once by each reader; of the artificial network its activations",
    "movement": "events, or activations, on their way to a reader",
}
"""Parts of a charge, and what they are."""


class Charge(NamedTuple):
    """So many operations of one kind; of memory accesses, how many numbers the memory holds; of moves, bits each.

    `holds_jointly` are the numbers where weights and biases share a memory.
    """

    part: str
    operation: str
    number: int
    holds: int = 0
    bits: int = 0
    holds_jointly: int = 0


def run_charges(ledger: Operations, reading: str, queue: int) -> Iterator[Charge]:
    """Charges of a run in one reading; `queue` is the number of events that a queue between two layers holds."""
    for node in ledger.synapses.values():
        yield from _events(ledger, node, reading, queue)
        yield from _input(ledger, node)
        yield from _biases(node, node.bias_reads)
    for layer in ledger.neurons.values():
        yield from _updates(layer, queue)


def dense_charges(ledger: Operations) -> Iterator[Charge]:
    """Charges of the artificial network, padding included in its products as is the custom."""
    for node in ledger.synapses.values():
        if node.dense_macs:  # without products of its own it is none of that network's layers
            yield from _dense_products("synapses", node, node.dense_macs, ledger.shown)
            yield from _biases(node, node.outputs if node.biases else 0)
            yield Charge("event memory", ACCESS, node.outputs, node.largest_outputs)
            yield Charge("movement", DENSE_MOVE, node.inputs, bits=_twin_bits(ledger, node))


def _events(ledger: Operations, node: SynapseOperations, reading: str, queue: int) -> Iterator[Charge]:
    accumulates, multiply_accumulates = node_operations(ledger, node, reading)
    synops, events = total(node.synops), node.event_reads(ledger.emitters)
    yield Charge("synapses", ACCUMULATE, accumulates)
    yield Charge("synapses", MULTIPLY_ACCUMULATE, multiply_accumulates)
    yield Charge("addresses", ACCUMULATE, synops)
    yield Charge("addresses", MULTIPLY_ACCUMULATE, 0 if node.connects_all else 2 * events)
    yield Charge("event memory", ACCESS, events, queue)
    yield _parameters(node, synops if node.weights else 0, node.weights)
    yield Charge("sum memory", ACCESS, 2 * node.potential_reads, node.largest_outputs)
    arrived = max(0, node.steps - node.delay)
    for name in node.joined:
        emitter = ledger.emitters[name]
        yield Charge("movement", SPARSE_MOVE, total(emitter.events[:arrived]), bits=emitter.bits)


def _input(ledger: Operations, node: SynapseOperations) -> Iterator[Charge]:
    if node.reads_input:
        yield from _dense_products("input", node, node.macs, ledger.shown)


def _dense_products(part: str, node: SynapseOperations, macs: int, shown: int) -> Iterator[Charge]:
    """Multiply-accumulates of a dense layer, each of which reads an input and a weight; its sums stay in a register.

    `shown` is how many inputs they are for. Where the layer has no weights, an attention's read two inputs, and those
    that a pool makes of the analog input one.
    """
    factors = 2 if node.dense_macs and not node.weights else 1
    reads = node.inputs if node.connects_all else factors * macs
    kernel = 0 if node.connects_all else node.weights // max(1, node.channels)
    yield Charge(part, MULTIPLY_ACCUMULATE, macs)
    yield Charge("addresses", ACCUMULATE, node.inputs + node.outputs + shown * kernel)
    yield Charge("event memory", ACCESS, reads, node.largest_inputs)
    yield _parameters(node, macs if node.weights else 0, node.weights)


def _biases(node: SynapseOperations, reads: int) -> Iterator[Charge]:
    yield Charge("biases", ACCUMULATE, reads)
    yield _parameters(node, reads, node.biases)


def _parameters(node: SynapseOperations, reads: int, holds: int) -> Charge:
    return Charge("weight memory", ACCESS, reads, holds, holds_jointly=node.weights + node.biases)


def _updates(layer: NeuronOperations, queue: int) -> Iterator[Charge]:
    leaks = layer.arithmetic.multiplications if layer.arithmetic else 0
    yield Charge("leaks", MULTIPLY_ACCUMULATE, leaks * layer.neuron_updates)
    yield Charge("resets", ACCUMULATE, total(layer.spikes))
    yield Charge("comparisons", COMPARISON, layer.arithmetic_total("comparisons") or 0)
    yield Charge("potential memory", ACCESS, 2 * layer.potential_reads, layer.variables * _of_one_picture(layer))
    yield Charge("event memory", ACCESS, total(layer.events), queue)


def _of_one_picture(layer: NeuronOperations) -> int:
    """Neurons of the largest picture."""
    return layer.state_bytes // (4 * max(1, layer.variables))


def _twin_bits(ledger: Operations, node: SynapseOperations) -> int:
    """Bits of activations with as many levels as the neurons have in T steps; those of an Input are 8."""
    levels = [(1 << ledger.neurons[name].bits) - 1 for name in node.sources if name in ledger.neurons]
    return math.ceil(math.log2(ledger.steps * max(levels) + 1)) if levels else 8

"""The ledger's entries: what a layer of neurons did, and what a node of synapses did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import InputError
from .exact import Counts, added, row_totals, total

if TYPE_CHECKING:
    from ..neurons import Arithmetic


Entry = TypeVar("Entry")


def counted(entry: Entry, **counts: Any) -> Entry:
    """An entry with other counts: what `dataclasses.replace` makes of it, in a tenth of the time.

    There are two entries for each layer of each picture, and a small picture takes a few milliseconds in all.
    """
    new = object.__new__(type(entry))
    new.__dict__.update(entry.__dict__, **counts)
    return new


class Emitter:
    """What emits events: a layer of neurons, or an Input with an encoder."""

    thresholds: tuple[float, ...]

    @property
    def graded(self) -> bool:
        """Whether events are of several sizes; those of one size are binary, whatever their sign."""
        return len(set(map(abs, self.thresholds))) > 1


@dataclass(frozen=True, eq=False)
class NeuronOperations(Emitter):
    """What a layer of neurons did; K is the number of its thresholds.

    Parameters
    ----------
    name : str
    neurons : int
        Number of neurons, summed over pictures.
    thresholds : (K,) tuple of float
        Value that the crossing of each threshold emits.
    events : (T,) int64
        Events at each step.
    spikes : (T, K) int64
        Crossings of each threshold at each step.
    updates : (T,) int64
        Neurons that were updated at each step.
    state_bytes : int
        Membrane potentials of one picture, the largest one.
    variables : int
        State variables of a neuron; most have a membrane potential alone.
    shifts : bool
        Whether an event is a shift and an addition for each spike: see `LevelTable.shifts`.
    bits : int
        Of an event's level; 1 where all events are of one size.
    arithmetic : Arithmetic or None
        What an update costs; None where the neuron model does not declare it.
    most_spikes : int
        Most spikes that a neuron counts for in a step.
    """

    name: str
    neurons: int
    thresholds: tuple[float, ...]
    events: Counts
    spikes: Counts
    updates: Counts
    state_bytes: int
    variables: int
    shifts: bool
    bits: int
    arithmetic: Arithmetic | None
    most_spikes: int

    @property
    def neuron_updates(self) -> int:
        """Updates of neurons, over all steps."""
        return total(self.updates)

    @property
    def neuron_steps(self) -> int:
        """Neurons times steps: the updates that there would be if every neuron was updated at every step."""
        return self.neurons * len(self.events)

    @property
    def activation_sparsity(self) -> float:
        """Share of the neurons and steps without an event."""
        return 1 - total(self.events) / max(1, self.neuron_steps)

    @property
    def potential_reads(self) -> int:
        """State variables that updates read, and write back."""
        return self.variables * self.neuron_updates

    def arithmetic_total(self, kind: str) -> int | None:
        """`multiplications`, `additions` or `comparisons` of all updates and spikes; None where not declared."""
        if self.arithmetic is None:
            return None
        of_spike: int = getattr(self.arithmetic, f"spike_{kind}")
        of_update: int = getattr(self.arithmetic, kind)
        return of_update * self.neuron_updates + of_spike * total(self.spikes)

    def first_steps(self, steps: int) -> NeuronOperations:
        """What the layer did in its first `steps` steps."""
        return replace(self, events=self.events[:steps], spikes=self.spikes[:steps], updates=self.updates[:steps])

    def followed_by(self, later: NeuronOperations) -> NeuronOperations:
        """With the steps of a run that went on."""
        return counted(self, **_joined_steps(self, later, ("events", "spikes", "updates")))

    def of_pictures(self, pictures: int) -> NeuronOperations:
        """The same events, of so many pictures of one size together, each with as many updates."""
        return replace(self, neurons=self.neurons * pictures, updates=self.updates * pictures)

    def __add__(self, other: NeuronOperations) -> NeuronOperations:
        check_equal(self.name, "thresholds", self.thresholds, other.thresholds)
        return replace(
            self,
            neurons=self.neurons + other.neurons,
            events=added(self.events, other.events),
            spikes=added(self.spikes, other.spikes),
            updates=added(self.updates, other.updates),
            state_bytes=max(self.state_bytes, other.state_bytes),
        )


@dataclass(frozen=True, eq=False)
class InputOperations(Emitter):
    """The spikes that an Input's encoder made, or that came as such; K is the number of values that it emits.

    They are none of the network's own: `Operations.totals` counts that they are read and what they cause in synapses,
    but neither them nor that they are written.

    Parameters
    ----------
    name : str
    sites : int
        Elements of the input, summed over pictures.
    thresholds : (K,) tuple of float
        Each value that is emitted.
    events : (T,) int64
        Events at each step.
    spikes : (T, K) int64
        Spikes of each value at each step: an event of a count of three spikes is three.
    shifts : bool
        Whether an event is a shift and an addition for each spike: see `LevelTable.shifts`.
    bits : int
        Of an event's level; 1 where all events are of one size.
    """

    name: str
    sites: int
    thresholds: tuple[float, ...]
    events: Counts
    spikes: Counts
    shifts: bool
    bits: int

    def first_steps(self, steps: int) -> InputOperations:
        """What was emitted in the first `steps` steps."""
        return replace(self, events=self.events[:steps], spikes=self.spikes[:steps])

    def followed_by(self, later: InputOperations) -> InputOperations:
        """With the steps of a run that went on."""
        return counted(self, **_joined_steps(self, later, ("events", "spikes")))

    def of_pictures(self, pictures: int) -> InputOperations:
        """The same events, of so many pictures of one size together."""
        return replace(self, sites=self.sites * pictures)

    def __add__(self, other: InputOperations) -> InputOperations:
        check_equal(self.name, "thresholds", self.thresholds, other.thresholds)
        return replace(
            self,
            sites=self.sites + other.sites,
            events=added(self.events, other.events),
            spikes=added(self.spikes, other.spikes),
        )


Emitters = Mapping[str, NeuronOperations | InputOperations]
"""All that emits events, by name."""


@dataclass(frozen=True, eq=False)
class SynapticEvents:
    """Accumulates that the events of one layer of neurons, or of an Input with an encoder, cause in one synapse node.

    Parameters
    ----------
    synops : (T,) int64
        Events times the targets that each really reaches, a graded event counting once.
    synops_binary : (T, K) int64
        The same for the crossings of each threshold.
    synops_effective : (T,) int64
        Events times the non-zero weights that each meets.
    """

    synops: Counts
    synops_binary: Counts
    synops_effective: Counts

    def __add__(self, other: SynapticEvents) -> SynapticEvents:
        return SynapticEvents(
            added(self.synops, other.synops),
            added(self.synops_binary, other.synops_binary),
            added(self.synops_effective, other.synops_effective),
        )

    def first_steps(self, steps: int) -> SynapticEvents:
        """What arrived in the first `steps` steps."""
        return SynapticEvents(self.synops[:steps], self.synops_binary[:steps], self.synops_effective[:steps])

    def followed_by(self, later: SynapticEvents) -> SynapticEvents:
        """With the steps of a run that went on."""
        return counted(self, **_joined_steps(self, later, ("synops", "synops_binary", "synops_effective")))


@dataclass(frozen=True, eq=False)
class SynapseOperations:
    """What a synapse node did.

    Parameters
    ----------
    name : str
    kind : str
        What model files call it: "Conv2d", "MaxPool2d", ...
    sources : dict of SynapticEvents
        By the name of each layer of neurons and Input with an encoder that the node reads, a concatenation's parts one
        by one.
    reads_input : bool
        Whether the node reads the analog input.
    macs, macs_effective : int
        Multiply-accumulates of the analog input, each time that it is computed: at the first step and where it has
        changed. All, and those of non-zero weights and values.
    dense_synops : int
        Accumulates that there would be if all that the node reads events of had one at every step.
    dense_macs : int
        Multiply-accumulates of the artificial network, for each analog input that was shown; 0 for a pool.
    weights, zero_weights, parameter_bytes : int
        Number of weights, those that are zero, and bytes of weights and biases; 0 for a pool.
    steps : int
    biases : int
        Number of biases; 0 for a pool, and of a layer whose biases are all zero.
    bias_reads : int
        Biases read, each one added: at every step, or each time that it is computed where the analog input alone is
        read.
    inputs, outputs : int
        Numbers that the node reads and puts out, for each analog input that was shown; summed over pictures.
    largest_inputs, largest_outputs : int
        The same of one picture, the largest one: what a memory must hold.
    channels : int
        Of the input.
    joined : tuple of str
        What `sources` names, a layer that a concatenation names twice twice.
    delay : int
        Steps that pass before events arrive.
    state_bytes : int
        What the node keeps from step to step of one picture, the largest one: of a max pool the sums of its windows.
    """

    name: str
    kind: str
    sources: Mapping[str, SynapticEvents]
    reads_input: bool
    macs: int
    macs_effective: int
    dense_synops: int
    dense_macs: int
    weights: int
    zero_weights: int
    parameter_bytes: int
    steps: int
    biases: int
    bias_reads: int
    inputs: int
    outputs: int
    largest_inputs: int
    largest_outputs: int
    channels: int
    joined: tuple[str, ...]
    delay: int = 0
    state_bytes: int = 0

    def _sum(self, values: Iterable[Counts]) -> Counts:
        return reduce(added, values, np.zeros(self.steps, np.int64))

    @property
    def synops(self) -> Counts:
        """(T,) int64, accumulates of all sources at each step, a graded event counting once."""
        return self._sum(source.synops for source in self.sources.values())

    @property
    def synops_binary(self) -> Counts:
        """(T,) int64, accumulates at each step where each threshold crossed counts."""
        return self._sum(row_totals(source.synops_binary) for source in self.sources.values())

    @property
    def synops_effective(self) -> Counts:
        """(T,) int64, accumulates of non-zero weights at each step."""
        return self._sum(source.synops_effective for source in self.sources.values())

    @property
    def connection_sparsity(self) -> float:
        """Share of the weights that are zero."""
        return self.zero_weights / max(1, self.weights)

    @property
    def weight_reads(self) -> int:
        """Weights read: one for each product that an event, or a number of the analog input, enters."""
        return total(self.synops) + self.macs if self.weights else 0

    @property
    def potential_reads(self) -> int:
        """Sums read, and written back: one for each accumulate of an event."""
        return total(self.synops)

    @property
    def connects_all(self) -> bool:
        """Whether each number that is read reaches every output by a weight of its own."""
        return self.weights == self.largest_inputs * self.largest_outputs

    def event_reads(self, emitters: Emitters) -> int:
        """Events that the node reads, each once however many targets it reaches."""
        arrived = max(0, self.steps - self.delay)
        return sum(total(emitters[name].events[:arrived]) for name in self.joined)

    def first_steps(self, steps: int) -> SynapseOperations:
        """What the node did in the first `steps` steps of a run whose analog input is computed once."""
        sources = {name: source.first_steps(steps) for name, source in self.sources.items()}
        dense = self.dense_synops // max(1, self.steps) * steps
        reads = self.bias_reads // max(1, self.steps) * steps if sources else self.bias_reads
        return replace(self, sources=sources, steps=steps, dense_synops=dense, bias_reads=reads)

    def followed_by(self, later: SynapseOperations, *, another_input: bool = False) -> SynapseOperations:
        """With the steps of a run that went on; the analog input of both counts."""
        check_equal(self.name, "sources", list(self.sources), list(later.sources))
        anew = ("dense_macs", "inputs", "outputs") if another_input else ()
        summed = ("macs", "macs_effective", "dense_synops", "bias_reads", "steps", *anew)
        return replace(
            self,
            sources={name: source.followed_by(later.sources[name]) for name, source in self.sources.items()},
            **{name: getattr(self, name) + getattr(later, name) for name in summed},
        )

    def of_pictures(self, pictures: int) -> SynapseOperations:
        """The same events, of so many pictures of one size together; of a node that reads no analog input."""
        numbers = {name: getattr(self, name) * pictures for name in _OF_EACH_PICTURE}
        return replace(self, **numbers)

    def __add__(self, other: SynapseOperations) -> SynapseOperations:
        for attribute in ("kind", "weights", "zero_weights", "joined", "delay"):
            check_equal(self.name, attribute, getattr(self, attribute), getattr(other, attribute))
        check_equal(self.name, "sources", list(self.sources), list(other.sources))
        return replace(
            self,
            sources={name: source + other.sources[name] for name, source in self.sources.items()},
            macs=self.macs + other.macs,
            macs_effective=self.macs_effective + other.macs_effective,
            dense_synops=self.dense_synops + other.dense_synops,
            dense_macs=self.dense_macs + other.dense_macs,
            bias_reads=self.bias_reads + other.bias_reads,
            inputs=self.inputs + other.inputs,
            outputs=self.outputs + other.outputs,
            largest_inputs=max(self.largest_inputs, other.largest_inputs),
            largest_outputs=max(self.largest_outputs, other.largest_outputs),
            state_bytes=max(self.state_bytes, other.state_bytes),
        )


_OF_EACH_PICTURE = ("dense_synops", "dense_macs", "bias_reads", "inputs", "outputs")
"""What a node counts for each picture, whatever fires."""


def _joined_steps(first: object, later: object, names: Iterable[str]) -> dict[str, Counts]:
    """By name, the counts of one run's steps and then of another's."""
    return {name: np.concatenate([getattr(first, name), getattr(later, name)]) for name in names}


def check_equal(owner: str, attribute: str, first: object, second: object) -> None:
    """InputError where two ledgers that are to be added differ in what must be equal."""
    if first != second:
        raise InputError(
            f"only ledgers of one network and one number of steps add; {attribute} of {owner} differ ({first!r} and "
            f"{second!r})"
        )

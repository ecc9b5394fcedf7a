"""The ledger's numbers: what every layer of neurons and every synapse node did, and how two ledgers add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from os import PathLike
from typing import Any

import numpy as np

from ..errors import InputError
from . import export
from .by_layer import ByLayer
from .energy import DEFAULT_ENERGY_MODEL, EnergyEstimate, estimate_operations
from .exact import Counts, added, row_totals, total


@dataclass(frozen=True, eq=False)
class NeuronOperations:
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
    state_bytes : int
        Membrane potentials of one picture, the largest one.
    """

    name: str
    neurons: int
    thresholds: tuple[float, ...]
    events: Counts
    spikes: Counts
    state_bytes: int

    @property
    def neuron_updates(self) -> int:
        """Neurons times steps."""
        return self.neurons * len(self.events)

    @property
    def activation_sparsity(self) -> float:
        """Share of the neurons and steps without an event."""
        return 1 - total(self.events) / max(1, self.neuron_updates)

    def __add__(self, other: NeuronOperations) -> NeuronOperations:
        _check_equal(self.name, "thresholds", self.thresholds, other.thresholds)
        return replace(
            self,
            neurons=self.neurons + other.neurons,
            events=added(self.events, other.events),
            spikes=added(self.spikes, other.spikes),
            state_bytes=max(self.state_bytes, other.state_bytes),
        )


@dataclass(frozen=True, eq=False)
class InputOperations:
    """The spikes that an Input's encoder made, or that came as such; K is the number of values that it emits.

    They are none of the network's own: `Operations.totals` counts what they cause in synapses, but not them.

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
    """

    name: str
    sites: int
    thresholds: tuple[float, ...]
    events: Counts
    spikes: Counts

    def __add__(self, other: InputOperations) -> InputOperations:
        _check_equal(self.name, "thresholds", self.thresholds, other.thresholds)
        return replace(
            self,
            sites=self.sites + other.sites,
            events=added(self.events, other.events),
            spikes=added(self.spikes, other.spikes),
        )


@dataclass(frozen=True, eq=False)
class SynapticEvents:
    """Accumulates that the events of one layer of neurons cause in one synapse node.

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


@dataclass(frozen=True, eq=False)
class SynapseOperations:
    """What a synapse node did.

    Parameters
    ----------
    name : str
    kind : str
        What model files call it: "Conv2d", "MaxPool2d", ...
    sources : dict of SynapticEvents
        By the name of each layer of neurons that the node reads, a concatenation's parts one by one.
    reads_input : bool
        Whether the node reads the analog input.
    macs, macs_effective : int
        Multiply-accumulates of the analog input, once a run: all, and those of non-zero weights and values.
    dense_synops : int
        Accumulates that there would be if every neuron that the node reads had an event at every step.
    dense_macs : int
        Multiply-accumulates of the artificial network; 0 for a pool.
    weights, zero_weights, parameter_bytes : int
        Number of weights, those that are zero, and bytes of weights and biases; 0 for a pool.
    steps : int
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

    def __add__(self, other: SynapseOperations) -> SynapseOperations:
        for attribute in ("kind", "weights", "zero_weights"):
            _check_equal(self.name, attribute, getattr(self, attribute), getattr(other, attribute))
        _check_equal(self.name, "sources", list(self.sources), list(other.sources))
        return replace(
            self,
            sources={name: source + other.sources[name] for name, source in self.sources.items()},
            macs=self.macs + other.macs,
            macs_effective=self.macs_effective + other.macs_effective,
            dense_synops=self.dense_synops + other.dense_synops,
            dense_macs=self.dense_macs + other.dense_macs,
            state_bytes=max(self.state_bytes, other.state_bytes),
        )


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations of a run, exact integers; `print` shows a table and DEFINITIONS says what each count means.

    Ledgers of one network and one number of steps add over pictures: `first.operations + second.operations`, or `sum`.
    Sums are exact, too: an array with one beyond 2**63 - 1 holds Python integers (dtype object) in place of int64.

    Parameters
    ----------
    steps : int
        Number of time steps T.
    pictures : int
    neurons : dict of NeuronOperations
        By the name of each Neurons node.
    synapses : dict of SynapseOperations
        By the name of each node of synapses; a sum of currents has no entry of its own, but those of its parts.
    inputs : dict of InputOperations
        By the name of each Input with an encoder.
    """

    steps: int
    pictures: int
    neurons: Mapping[str, NeuronOperations]
    synapses: Mapping[str, SynapseOperations]
    inputs: Mapping[str, InputOperations] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", ByLayer("operations", "the Neurons nodes", self.neurons))
        object.__setattr__(self, "synapses", ByLayer("operations", "the synapse nodes", self.synapses))
        object.__setattr__(self, "inputs", ByLayer("operations", "the Inputs with an encoder", self.inputs))

    @property
    def totals(self) -> dict[str, int | float]:
        """Every count of DEFINITIONS over all nodes, steps, thresholds and pictures."""
        neurons, synapses = self.neurons.values(), self.synapses.values()
        events = sum(total(layer.events) for layer in neurons)
        updates = sum(layer.neuron_updates for layer in neurons)
        weights = sum(node.weights for node in synapses)
        parameter_bytes = sum(node.parameter_bytes for node in synapses)
        state_bytes = sum(layer.state_bytes for layer in neurons) + sum(node.state_bytes for node in synapses)
        return {
            "events": events,
            "spikes": sum(total(layer.spikes) for layer in neurons),
            "neuron_updates": updates,
            "activation_sparsity": 1 - events / max(1, updates),
            "synops": sum(total(node.synops) for node in synapses),
            "synops_binary": sum(total(node.synops_binary) for node in synapses),
            "synops_effective": sum(total(node.synops_effective) for node in synapses),
            "dense_synops": sum(node.dense_synops for node in synapses),
            "macs": sum(node.macs for node in synapses),
            "macs_effective": sum(node.macs_effective for node in synapses),
            "dense_macs": sum(node.dense_macs for node in synapses),
            "weights": weights,
            "connection_sparsity": sum(node.zero_weights for node in synapses) / max(1, weights),
            "parameter_bytes": parameter_bytes,
            "state_bytes": state_bytes,
            "footprint": parameter_bytes + state_bytes,
        }

    def energy(self, model: str = DEFAULT_ENERGY_MODEL) -> EnergyEstimate:
        """Estimated energy of the run and of the artificial network; see ENERGY_MODELS.

        Raises
        ------
        InputError
            If there is no such energy model.
        """
        return estimate_operations(self.totals, model)

    def rows(self, by: str = "node") -> list[dict[str, Any]]:
        """The ledger as records.

        Parameters
        ----------
        by : "node", "step" or "threshold"
            One record for each node; for each node and step; or for each node, source, step and threshold.

        Raises
        ------
        InputError
            If `by` is none of these.
        """
        return export.rows(self, by)

    def to_csv(self, path: str | PathLike[str] | None = None, by: str = "node") -> str:
        """The records of `rows(by)` as comma-separated values, also written to `path` where one is given.

        Raises
        ------
        InputError
            If `by` is unknown or the file cannot be written; whatever was there is kept.
        """
        return export.to_csv(self, path, by)

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """All numbers, by node, step and threshold, with their definitions; also written to `path`.

        Raises
        ------
        InputError
            If the file cannot be written; whatever was there is kept.
        """
        return export.to_json(self, path)

    def to_frame(self, by: str = "node") -> Any:
        """The records of `rows(by)` as a pandas.DataFrame.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        return export.to_frame(self, by)

    def __str__(self) -> str:
        return export.table(self)

    def __repr__(self) -> str:
        return f"Operations(steps={self.steps}, pictures={self.pictures}, synops={self.totals['synops']})"

    def __add__(self, other: Operations) -> Operations:
        if not isinstance(other, Operations):
            return NotImplemented
        _check_equal("the run", "steps", self.steps, other.steps)
        for kind in ("neurons", "synapses", "inputs"):
            _check_equal("the network", kind, list(getattr(self, kind)), list(getattr(other, kind)))
        return Operations(
            self.steps,
            self.pictures + other.pictures,
            {name: layer + other.neurons[name] for name, layer in self.neurons.items()},
            {name: node + other.synapses[name] for name, node in self.synapses.items()},
            {name: node + other.inputs[name] for name, node in self.inputs.items()},
        )

    def __radd__(self, other: object) -> Operations:
        """`sum` begins with 0."""
        if other == 0:
            return self
        return NotImplemented


def _check_equal(owner: str, attribute: str, first: object, second: object) -> None:
    if first != second:
        raise InputError(
            f"only ledgers of one network and one number of steps add; {attribute} of {owner} differ ({first!r} and "
            f"{second!r})"
        )

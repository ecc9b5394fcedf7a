"""The ledger's numbers: what every layer of neurons and every synapse node did, and how two ledgers add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from ..errors import InputError
from ..html_tables import html_table
from . import export
from .by_layer import ByLayer
from .energy import DEFAULT_ENERGY_MODEL, EnergyEstimate, estimate_operations
from .exact import total
from .neurobench import neurobench_metrics
from .nodes import Emitters, InputOperations, NeuronOperations, SynapseOperations, check_equal
from .readings import Reading, all_readings, true_reading


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
        That the network has seen, of a colour picture by a gray model three.
    neurons : dict of NeuronOperations
        By the name of each Neurons node.
    synapses : dict of SynapseOperations
        By the name of each node of synapses; a sum of currents has no entry of its own, but those of its parts.
    inputs : dict of InputOperations
        By the name of each Input with an encoder.
    shown : int, optional
        How many analog inputs were shown: one for each picture where it stays the same, else one more at each step at
        which it is another one. By default as many as pictures.
    computed : int, optional
        How often an analog input was computed: more often than shown where a run went on with the same one. By default
        as often as shown.
    """

    steps: int
    pictures: int
    neurons: Mapping[str, NeuronOperations]
    synapses: Mapping[str, SynapseOperations]
    inputs: Mapping[str, InputOperations] = field(default_factory=dict)
    shown: int = 0
    computed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown", self.shown or self.pictures)
        object.__setattr__(self, "computed", self.computed or self.shown)
        object.__setattr__(self, "neurons", ByLayer("operations", "the Neurons nodes", self.neurons))
        object.__setattr__(self, "synapses", ByLayer("operations", "the synapse nodes", self.synapses))
        object.__setattr__(self, "inputs", ByLayer("operations", "the Inputs with an encoder", self.inputs))

    @property
    def emitters(self) -> Emitters:
        """All that emits events, layers of neurons and Inputs with an encoder, by name."""
        return {**self.neurons, **self.inputs}

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
            "activation_sparsity": 1 - events / max(1, sum(layer.neuron_steps for layer in neurons)),
            "synops": sum(total(node.synops) for node in synapses),
            "synops_binary": sum(total(node.synops_binary) for node in synapses),
            "synops_effective": sum(total(node.synops_effective) for node in synapses),
            "dense_synops": sum(node.dense_synops for node in synapses),
            "macs": sum(node.macs for node in synapses),
            "macs_effective": sum(node.macs_effective for node in synapses),
            "dense_macs": sum(node.dense_macs for node in synapses),
            **self._reads_and_writes(events),
            "weights": weights,
            "connection_sparsity": sum(node.zero_weights for node in synapses) / max(1, weights),
            "parameter_bytes": parameter_bytes,
            "state_bytes": state_bytes,
            "footprint": parameter_bytes + state_bytes,
        }

    def _reads_and_writes(self, events: int) -> dict[str, int]:
        neurons, synapses, emitters = self.neurons.values(), self.synapses.values(), self.emitters
        potentials = sum(node.potential_reads for node in synapses) + sum(layer.potential_reads for layer in neurons)
        return {
            "event_reads": sum(node.event_reads(emitters) for node in synapses),
            "event_writes": events,
            "weight_reads": sum(node.weight_reads for node in synapses),
            "bias_reads": sum(node.bias_reads for node in synapses),
            "potential_reads": potentials,
            "potential_writes": potentials,
        }

    @property
    def readings(self) -> dict[str, Reading | None]:
        """The run's events read as multiply-accumulates, as shift-adds and as accumulates; None where one is not true.

        Accumulates are true where all events that meet weights are binary, shift-adds where levels are sums of powers
        of two, one for each spike counted (a ladder of powers of two, say).
        """
        return all_readings(self)

    @property
    def reading(self) -> Reading:
        """The reading that is true of the network, by default charged for energy.

        Accumulates of binary events, multiply-accumulates of graded ones; "mixed" where a network has both.
        """
        return true_reading(self)

    def energy(self, model: str = DEFAULT_ENERGY_MODEL, reading: str | None = None) -> EnergyEstimate:
        """Estimated energy of the run and of the artificial network; see ENERGY_MODELS.

        Parameters
        ----------
        model : str
            Name of an entry of ENERGY_MODELS.
        reading : "multiply-accumulate", "shift-adds" or "accumulate", optional
            By default the one that is true of the network, `self.reading`.

        Raises
        ------
        InputError
            If there is no such energy model or reading, or the reading is not true of the network.
        """
        return estimate_operations(self, model, reading)

    def to_neurobench(self, pictures: int | None = None) -> dict[str, Any]:
        """The counts under the names of NeuroBench's metrics, as means over the pictures; docs/operations.md says more.

        Nodes that have weights count. Binary events are its accumulates (ACs), graded ones its multiply-accumulates.

        Parameters
        ----------
        pictures : int, optional
            How many there were, where the network has seen parts or views of them as pictures of their own: the colours
            of one by a gray model, or a picture that is also shown turned. By default `self.pictures`.

        Raises
        ------
        InputError
            If `pictures` is no whole number, 1 or more.
        """
        if pictures is None:
            return neurobench_metrics(self, max(1, self.pictures))
        if isinstance(pictures, bool) or not isinstance(pictures, (int, np.integer)) or pictures < 1:
            raise InputError(f"pictures must be a whole number, 1 or more (got {pictures!r})")
        return neurobench_metrics(self, int(pictures))

    def first_steps(self, steps: int) -> Operations:
        """The ledger of the first `steps` steps: what happens at a step does not depend on later ones.

        Raises
        ------
        InputError
            If the run has not as many steps, or fewer than all are asked for where inputs changed, or the analog input
            was computed anew: what that cost is known in all.
        """
        if not 1 <= steps <= self.steps:
            raise InputError(f"steps must be 1 to {self.steps}, those of the run (got {steps})")
        if steps == self.steps:
            return self
        reads_input = any(node.reads_input for node in self.synapses.values())
        if (times := self.computed if reads_input else self.shown) > self.pictures:
            what = f"the analog input was computed {times} times" if reads_input else f"{times} inputs were shown"
            raise InputError(
                f"{what}, and counted for all of the {self.steps} steps; run the first {steps} by themselves"
            )
        neurons = {name: layer.first_steps(steps) for name, layer in self.neurons.items()}
        synapses = {name: node.first_steps(steps) for name, node in self.synapses.items()}
        inputs = {name: each.first_steps(steps) for name, each in self.inputs.items()}
        return Operations(steps, self.pictures, neurons, synapses, inputs)

    def followed_by(self, later: Operations, *, another_input: bool = False) -> Operations:
        """The ledger of this run and of one that went on from its state, of the same pictures: their steps one by one.

        The analog input of both counts, for each has computed it.

        Parameters
        ----------
        later : Operations
        another_input : bool
            Whether that run was shown other inputs, as of a stream, for which the artificial network would be run once
            more; else that counts once.

        Raises
        ------
        InputError
            If the runs are of different networks or numbers of pictures.
        """
        check_equal("the runs", "pictures", self.pictures, later.pictures)
        return Operations(
            self.steps + later.steps,
            self.pictures,
            {name: layer.followed_by(later.neurons[name]) for name, layer in self.neurons.items()},
            {
                name: node.followed_by(later.synapses[name], another_input=another_input)
                for name, node in self.synapses.items()
            },
            {name: each.followed_by(later.inputs[name]) for name, each in self.inputs.items()},
            self.shown + (later.shown if another_input else 0),
            self.computed + later.computed,
        )

    def of_pictures(self, pictures: int) -> Operations:
        """The ledger of so many pictures of one size, whose events these are together, in place of one."""
        return Operations(
            self.steps,
            pictures,
            {name: layer.of_pictures(pictures) for name, layer in self.neurons.items()},
            {name: node.of_pictures(pictures) for name, node in self.synapses.items()},
            {name: each.of_pictures(pictures) for name, each in self.inputs.items()},
        )

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

    def _repr_html_(self) -> str:
        """The ledger's counts by node, for notebooks."""
        names = ("events", "synops", "macs", "dense_macs", "neuron_updates")
        rows = [[row["node"], row["kind"], *(row.get(name, "") for name in names)] for row in self.rows()]
        title = f"Operations of {self.pictures} picture{'s' * (self.pictures != 1)}, {self.steps} steps"
        totals = ["total", "", *(self.totals[name] for name in names)]
        return html_table(title, ["node", "kind", *names], [totals, *rows])

    def __str__(self) -> str:
        return export.table(self)

    def __repr__(self) -> str:
        return f"Operations(steps={self.steps}, pictures={self.pictures}, synops={self.totals['synops']})"

    def __add__(self, other: Operations) -> Operations:
        if not isinstance(other, Operations):
            return NotImplemented
        check_equal("the run", "steps", self.steps, other.steps)
        for kind in ("neurons", "synapses", "inputs"):
            check_equal("the network", kind, list(getattr(self, kind)), list(getattr(other, kind)))
        return Operations(
            self.steps,
            self.pictures + other.pictures,
            {name: layer + other.neurons[name] for name, layer in self.neurons.items()},
            {name: node + other.synapses[name] for name, node in self.synapses.items()},
            {name: node + other.inputs[name] for name, node in self.inputs.items()},
            self.shown + other.shown,
            self.computed + other.computed,
        )

    def __radd__(self, other: object) -> Operations:
        """`sum` begins with 0."""
        if other == 0:
            return self
        return NotImplemented

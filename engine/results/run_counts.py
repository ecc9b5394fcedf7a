"""What is counted as layers are run, and the ledger that follows from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..events import EventQueue
from ..kernels.vectors import LEVEL_BITS
from ..neurons import LevelTable
from ..operations import InputOperations, NeuronOperations, Operations, SynapseOperations, SynapticEvents
from ..operations.nodes import counted
from .analog_macs import analog_macs
from .ledger_plan import LedgerPlan

Emitted = TypeVar("Emitted", NeuronOperations, InputOperations)

_OF_EACH_INPUT = ("dense_macs", "inputs", "outputs")
"""What a node counts for each analog input that is shown."""


class RunCounts:
    """Counts of one picture, noted while it is run; `ledger` is what follows from them. It knows of no network.

    Parameters
    ----------
    plan : LedgerPlan
    steps : int
    in_tiles : bool
        Whether layers are run some rows at a time, of which each counts all that its events meet.

    Attributes
    ----------
    fired : (layers + encoded Inputs, 1 + K, T) int64
        As in `LayerRun`, of all layers and steps; K is at least 8. `LedgerPlan.rows` says which is which.
    counts : (sources of all layers, 2, 1 + K, T) int64
        Likewise, layer by layer.
    updates : (layers, T) int64
        Pixels of event-driven neurons that were updated.
    macs : dict of str to dict
        Multiply-accumulates of each node that reads the analog input, all and effective, by the layer that it is a part
        of, and by the step from which on the input is shown, or the row from which on it is read.
    arriving : dict of str to (1 + K,) int64
        What was fired before the first step and arrives at it, through a delay.
    shown : int
        How many analog inputs are shown, one after the other.
    """

    def __init__(self, plan: LedgerPlan, steps: int, in_tiles: bool = False) -> None:
        self.plan = plan
        self.steps = steps
        self._in_tiles = in_tiles
        self.fired = np.zeros((len(plan.rows), 1 + plan.kinds, steps), np.int64)
        self.counts = np.zeros((plan.begins[-1], 2, 1 + plan.kinds, steps), np.int64)
        self.updates = np.zeros((len(plan.begins) - 1, steps), np.int64)
        self.macs: dict[str, dict[str, dict[int, tuple[int, int]]]] = {}
        self.arriving: dict[str, NDArray[np.int64]] = {}
        self.shown = 1

    # --- While layers are run ----------------------------------------------------------------------------------------

    def add_input(self, layer: Layer, picture: NDArray[np.float32], first: int = 0) -> None:
        """Note the multiply-accumulates of a layer that reads the analog input, from one step, or row, on.

        (H, W, C), pictures joined. Of a node that feeds both neurons and the readout, noted twice and counted once.
        """
        self.macs.setdefault(layer.node.name, {}).setdefault(layer.name, {})[first] = analog_macs(layer, picture)

    def add_run(
        self, name: str, fired: NDArray[np.int64], counts: NDArray[np.int64], updates: NDArray[np.int64], steps: slice
    ) -> None:
        """Note the events that a layer fired at some steps, what those that it read have met, and what was updated.

        `fired`, `counts` and `updates` are as in `LayerRun`, whose steps may be more.
        """
        # Noted now and worked out in the end, all at once: between kernels, little of this would be in the caches.
        row, size = self.plan.rows[name], steps.stop - steps.start
        self.fired[row, : len(fired), steps] += fired[:, :size]
        self.updates[row, steps] += updates[:size]
        of_layer = self.counts[self.plan.begins[row] : self.plan.begins[row + 1]]
        of_layer[:, :, : counts.shape[2], steps] += counts[..., :size]

    def add_compiled(
        self, fired: NDArray[np.int64], counts: NDArray[np.int64], updates: NDArray[np.int64], steps: slice
    ) -> None:
        """The same of all layers of the program, their `counts` one after the other."""
        layers, kinds, size = fired.shape
        self.fired[:layers, :kinds, steps] += fired
        self.updates[:, steps] += updates[:, :size]
        self.counts[:, :, :kinds, steps] += counts

    def add_encoded(self, name: str, table: LevelTable, queue: EventQueue, first_step: int) -> None:
        """Note the spikes that an Input's encoder has made, from one step on."""
        row = self.plan.rows[name]
        for step in range(queue.steps):
            levels = (queue.levels >> queue.levels.dtype.type(LEVEL_BITS * step)).astype(np.uint8)
            self.fired[row, : 1 + table.kinds, first_step + step] = table.counts(levels)

    # --- The ledger --------------------------------------------------------------------------------------------------

    def ledger(self) -> Operations:
        """The ledger of the steps noted so far."""
        plan = self.plan
        spikes = np.ascontiguousarray(self.fired[:, 1:].swapaxes(1, 2))

        def emitted(row: int, entry: Emitted, **counts: Any) -> Emitted:
            spiking = spikes[row, :, : len(entry.thresholds)]
            return counted(entry, events=self.fired[row, 0], spikes=spiking, **counts)

        neurons = {
            entry.name: emitted(
                row,
                entry,
                updates=self.updates[row] * channels if channels else np.full(self.steps, entry.neurons),
            )
            for row, entry, channels in plan.neurons
        }
        inputs = {entry.name: emitted(row, entry) for row, entry in plan.inputs}
        synapses = {
            entry.name: self._synapse_operations(entry, sources)
            for entry, sources in zip(plan.synapses, self._accumulates(), strict=True)
        }
        return Operations(self.steps, 1, neurons, synapses, inputs, self.shown)

    @property
    def products(self) -> dict[str, int]:
        """By node of synapses, its accumulates and multiply-accumulates: `synops` and `macs` of the ledger, in all."""
        plan = self.plan
        found = {entry.name: sum(each for each, _ in self._macs_of(entry.name)) for entry in plan.synapses}
        if plan.pairs:
            reached = plan.usual[:, 0] * self._fired_by_pair[:, 0] + self.counts[plan.places, 0, 0]
            for pair, counts in zip(plan.pairs, (reached * plan.channels[:, 0]).tolist(), strict=True):
                found[plan.synapses[pair.node].name] += sum(counts)
        return found

    def _synapse_operations(self, entry: SynapseOperations, sources: dict[str, SynapticEvents]) -> SynapseOperations:
        noted = self._macs_of(entry.name)
        # What changes is computed anew, by the artificial network as well.
        anew: dict[str, int] = {name: self.shown * getattr(entry, name) for name in _OF_EACH_INPUT}
        return counted(
            entry,
            sources=sources,
            macs=sum(each for each, _ in noted),
            macs_effective=sum(each for _, each in noted),
            dense_synops=self.steps * entry.dense_synops,
            bias_reads=(self.steps if sources else self.shown) * entry.bias_reads,
            steps=self.steps,
            **anew,
        )

    def _macs_of(self, node: str) -> Collection[tuple[int, int]]:
        """What was noted of a node that reads the analog input: for one of the layers that it is a part of.

        All layers note the same, but in tiles from other rows on.
        """
        return next(iter(self.macs.get(node, {}).values()), {}).values()

    def _accumulates(self) -> list[dict[str, SynapticEvents]]:
        """What the events of each source cause in each node of synapses; a source that is joined twice counts twice."""
        plan = self.plan
        found: list[dict[str, SynapticEvents]] = [{} for _ in plan.synapses]
        if not plan.pairs:
            return found
        # For all pairs of a source and a node at once.
        fired = self._fired_by_pair
        uneven, zeros = self.counts[plan.places].swapaxes(0, 1)
        usual = 0 if self._in_tiles else plan.usual
        accumulates = (usual * fired + uneven) * plan.channels
        effective = accumulates[:, 0] - zeros[:, 0]
        by_threshold = np.ascontiguousarray(accumulates[:, 1:].swapaxes(1, 2))
        for number, pair in enumerate(plan.pairs):
            binary = by_threshold[number, :, : pair.source.thresholds]
            new = SynapticEvents(accumulates[number, 0], binary, effective[number])
            of_node, name = found[pair.node], pair.source.name
            of_node[name] = of_node[name] + new if name in of_node else new
        return found

    @property
    def _fired_by_pair(self) -> NDArray[np.int64]:
        """(pairs, 1 + K, T), what arrives of the source of each pair."""
        plan = self.plan
        fired = self.fired[plan.source_rows]
        for number, pair in plan.delayed:
            fired[number] = _arriving(fired[number], pair.source.delay)
            before = self.arriving.get(pair.source.name, np.zeros(1, np.int64))
            fired[number, : len(before), 0] += before
        return fired


def _arriving(fired: NDArray[np.int64], delay: int) -> NDArray[np.int64]:
    """Counts, (..., T), by the step at which events arrive."""
    arrived = np.zeros_like(fired)
    arrived[..., delay:] = fired[..., :-delay]
    return arrived

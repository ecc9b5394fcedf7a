"""One of the synapses that feed a layer, in a group of steps: what it reads, and what computes its current."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.gather_layer import GatherLayer
from ..binding.kernel_choice import EVENT_INTEGERS, choose_kernels
from ..binding.pool_layer import PoolLayer
from ..binding.value_layer import ValueLayer
from ..kernels.arguments import BandTable, QuantaEntries
from ..kernels.tables import ZeroTables
from .event_integers import EventIntegers
from .integer_products import COST_OF_A_PRODUCT, IntegerProducts
from .layer_state import Inputs, LayerState
from .plane_means import PlaneMeans
from .value_currents import ValueCurrents
from .worker_memory import WorkerMemory

_OPERATIONS_OF_AN_EVENT = 8
"""Unpacking an event, in multiply-accumulates that take about as long."""

OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""


class Part:
    """A layer that is no sum, or a part of one.

    Parameters
    ----------
    state : LayerState
        Of the part.
    inputs : Inputs
    steps : int
    row_sizes : (H + 1,) int64, optional
        Entries in all input rows before each row; by default those of the inputs.
    kernels : str, optional
        What computes the current; by default chosen by the activity.
    """

    def __init__(
        self,
        state: LayerState,
        inputs: Inputs,
        steps: int,
        row_sizes: NDArray[np.int64] | None = None,
        kernels: str | None = None,
    ) -> None:
        self.state = state
        self.layer = layer = state.layer
        self.inputs = inputs
        self.steps = steps
        self.row_sizes = _entries_of_rows(layer, inputs) if row_sizes is None else row_sizes
        self.kernels = choose_kernels(layer, int(self.row_sizes[-1])) if kernels is None else kernels
        self.dot: IntegerProducts | None = None
        self.quads: EventIntegers | None = None
        self.pool: PlaneMeans | None = None
        self.values: ValueCurrents | None = None
        dense = self.kernels == layer.dense_kernels
        if isinstance(layer, GatherLayer) and dense and layer.integers is not None:
            self.dot = IntegerProducts(layer.integers, inputs, steps, layer.zero_tables)
        elif isinstance(layer, GatherLayer) and self.kernels == EVENT_INTEGERS and layer.quads is not None:
            self.quads = EventIntegers(layer.quads, inputs, steps)
        elif isinstance(layer, PoolLayer) and dense and layer.pooled_levels is not None:
            self.pool = PlaneMeans(layer, layer.pooled_levels, inputs, steps)
        elif isinstance(layer, ValueLayer):
            self.values = ValueCurrents(layer, inputs, steps, state.synaptic)

    def integer_phases(
        self, bands: BandTable, memory: WorkerMemory, most_inputs: int
    ) -> list[tuple[Any, tuple[Any, ...]]]:
        """Kernels for each band and what they take, none where the part does not run in integers.

        The last one takes a constant, neurons and a target besides; no band reads more than `most_inputs` rows.
        """
        if self.dot is not None:
            return self.dot.phases(bands, memory.scratch, memory.counts, most_inputs)
        if self.quads is None:
            return []
        channels, _, width = self.layer.incoming
        sizes = width, most_inputs, self.most_entries(bands), self.steps
        return self.quads.phases(bands, QuantaEntries(*memory.scratch.quanta_entries(*sizes)), channels)

    def most_entries(self, bands: BandTable) -> int:
        """Entries that any band reads."""
        first, end = (self.row_sizes[bands.table[name]] for name in ("first_input", "end_input"))
        return int((end - first).max())

    @property
    def zeros_to_count(self) -> ZeroTables | None:
        """Weights of zero that events meet, where they are to be counted apart from computing the current."""
        return None if self.dot is not None and self.dot.counts_zeros else self.layer.zero_tables

    @property
    def work(self) -> int:
        """About how many operations the part takes, those of its events or of all that it reads, neurons apart."""
        if self.dot is not None or self.layer.most_products is not None:
            return dense_work(self.layer, self.steps)
        each = self.layer.fan_out.most + _OPERATIONS_OF_AN_EVENT
        active = math.prod(self.layer.incoming) if self.values is not None else int(self.row_sizes[-1])
        return active * each * self.steps

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that every band reads."""
        integers = self.dot or self.quads
        return self.layer.weight_bytes if integers is None else integers.weight_bytes

    @property
    def input_bytes(self) -> int:
        """Bytes of what is read, unpacked, for all output rows."""
        _, height, _ = self.layer.outgoing
        if self.dot is not None:
            return height * self.dot.plane_bytes(self.layer)
        if self.values is not None:
            return 4 * self.steps * math.prod(self.layer.incoming)
        return int(self.row_sizes[-1]) * (4 + 4 * self.steps)


def dense_work(layer: Layer, steps: int) -> int:
    """About how many operations a layer's products take in integers."""
    return int(layer.dense_macs * COST_OF_A_PRODUCT.get(layer.dense_kernels or "", 1.0)) * steps


def _entries_of_rows(layer: Layer, inputs: Inputs) -> NDArray[np.int64]:
    rows = np.zeros(layer.incoming[1] + 1, np.int64)
    for _, queue in inputs.queues:
        rows[1:] += queue.start[:, -1] - queue.start[:, 0]
    return rows.cumsum()

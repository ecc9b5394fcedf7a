"""Gather a run's counts, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..binding.layer import Source
from ..binding.products import most_products_of, products_of
from ..events import EventQueue
from ..graph import ZeroFanOut
from ..kernels.vectors import LEVEL_BITS
from .layer_state import picture_of
from .ledger_plan import LedgerPlan, plan_of
from .run_counts import RunCounts


class OperationsCounter:
    """Notes counts of one picture, as layers of a program are run.

    Attributes
    ----------
    noted : RunCounts
    """

    def __init__(self, program: Program, steps: int) -> None:
        self._program = program
        self._layers = list(program.layers)
        self.noted = RunCounts(plan_of(program), steps)

    def add_input(self, layer: Layer, picture: NDArray[np.float32], first_step: int = 0) -> None:
        """Note the multiply-accumulates of a layer that reads the analog input, from one step on.

        (H, W, C), pictures joined. Of a node that feeds both neurons and the readout, noted twice and counted once.
        """
        analog = [source for source in layer.sources if source.analog]
        macs = layer.fan_out.total(sum(source.channels for source in analog))
        macs += sum(most_products_of(layer, source) for source in analog)
        effective = sum(_effective_macs(layer, picture_of(source, picture), source.channel_offset) for source in analog)
        effective += _effective_products(layer, analog, picture)
        self.noted.macs.setdefault(layer.node.name, {})[first_step] = macs, effective

    def add_run(
        self,
        layer: Layer,
        fired: NDArray[np.int64],
        counts: NDArray[np.int64],
        updates: NDArray[np.int64],
        steps: slice,
    ) -> None:
        """Note the events that a layer fired at some steps, what those that it read have met, and what was updated.

        `fired`, `counts` and `updates` are as in `LayerRun`, whose steps may be more.
        """
        # Noted now and worked out in the end, all at once: between kernels, little of this would be in the caches.
        noted = self.noted
        row, size = noted.plan.rows[layer.name], steps.stop - steps.start
        if layer is not self._layers[row]:
            # Of a tile, the layer that is run knows what its rows count for.
            self._layers[row] = layer
            noted.plan = LedgerPlan(self._program, [each.parts for each in self._layers])
        noted.fired[row, : len(fired), steps] = fired[:, :size]
        noted.updates[row, steps] = updates[:size]
        of_layer = noted.counts[noted.plan.begins[row] : noted.plan.begins[row + 1]]
        of_layer[:, :, : counts.shape[2], steps] = counts[..., :size]

    def add_compiled(
        self,
        layers: NDArray[np.int64],
        fired: NDArray[np.int64],
        counts: NDArray[np.int64],
        updates: NDArray[np.int64],
        steps: slice,
    ) -> None:
        """The same of several layers of the program, by number, their `counts` one after the other."""
        noted, kinds = self.noted, fired.shape[1]
        noted.fired[layers, :kinds, steps] = fired
        noted.updates[layers, steps] = updates[:, : steps.stop - steps.start]
        begins = noted.plan.begins
        if len(counts) == begins[-1]:
            noted.counts[:, :, :kinds, steps] = counts
            return
        places = np.concatenate([np.arange(begins[layer], begins[layer + 1]) for layer in layers.tolist()])
        noted.counts[places, :, :kinds, steps] = counts

    def add_encoded(self, name: str, queue: EventQueue, first_step: int) -> None:
        """Note the spikes that an Input's encoder has made, from one step on."""
        table, row = self._program.network.encoded[name].level_table(), self.noted.plan.rows[name]
        for step in range(queue.steps):
            levels = (queue.levels >> queue.levels.dtype.type(LEVEL_BITS * step)).astype(np.uint8)
            self.noted.fired[row, : 1 + table.kinds, first_step + step] = table.counts(levels)


def _effective_macs(layer: Layer, picture: NDArray[np.float32], channel_offset: int) -> int:
    """Products of values of the picture and weights, neither of them zero."""
    fan, zero = layer.fan_out, layer.zero_fan_out
    if picture.all():  # as nearly all pictures are that are noisy
        return fan.total(picture.shape[2]) - (0 if zero is None else _all_zeros(zero, picture.shape[2], channel_offset))
    present, total = picture != 0, 0
    for reached, columns in _columns_by_class(present, fan.rows):
        total += reached * int(columns.sum(axis=1) @ fan.columns) * fan.channels
    if zero is not None:
        channels = slice(channel_offset, channel_offset + picture.shape[2])
        for kind, columns in _columns_by_class(present, zero.row_classes):
            total -= int((zero.zeros[kind][zero.column_classes, channels] * columns).sum())
    return total


def _all_zeros(zero: ZeroFanOut, channels: int, channel_offset: int) -> int:
    """Weights of zero that numbers meet which are nowhere zero."""
    zeros = zero.zeros[:, :, channel_offset : channel_offset + channels].sum(axis=2)
    rows, columns = (np.bincount(kinds) for kinds in (zero.row_classes, zero.column_classes))
    return int(rows @ zeros[: len(rows), : len(columns)] @ columns)


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

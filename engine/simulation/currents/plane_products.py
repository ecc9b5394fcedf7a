"""Currents in integers, silent neurons included: levels are spread out over planes, and multiplied with all weights.

Of bands in which many fours of neighbouring channels are silent, with those of the others alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding.gather_layer import GatherLayer
from ...binding.integer_plan import IntegerLayer, IntegerPlan
from ...kernels.arguments import BandTable, DotScratch, ScaledIntegers, ZeroCounts
from ...kernels.dot import GROUP, LANES, tile_configuration
from ...kernels.dot_band import dot_band
from ...kernels.four_arguments import FourChoice
from ...kernels.fours import find_fours
from ...kernels.planes import count_zeros_of_planes, fill_planes
from ...kernels.tables import ZeroTables
from ...kernels.zero_counts import MASK_CHANNELS
from ..memory.worker_memory import Phase, Scratch, WorkerMemory
from .part import Part, Target, gathering, most_inputs
from .sources import plane_sources

PERCENT_OF_FOURS = 75
"""Of the fours of neighbouring channels, those in which a neuron fires, from which on all products are sooner done."""

TILES = tile_configuration()
"""Of the processor's tiles, where it has some."""


class PlaneProducts(Part):
    """Weights and levels in 8-bit integers; weights of zero are counted by the kernels, too, where they see all."""

    layer: GatherLayer
    spreads_out = True

    @property
    def _integers(self) -> IntegerLayer:
        assert self.layer.integers is not None
        return self.layer.integers

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:
        integers, scratch = self._integers, memory.scratch
        plan, tokens = integers.plan, integers.tokens(self.steps)
        steps, layout = tokens.block.steps, plan.tables.layout
        sources = plane_sources(self.inputs, integers.terms.quanta)
        sums = scratch.array("sums", max(self.steps, 2) * GROUP * LANES * plan.vectors, np.int32)
        planes = scratch.array("planes", plan.plane_bytes(most_inputs(bands), self.steps), np.uint8)
        dense = DotScratch(planes, sums, TILES)
        spread = (bands, steps, sources, planes, layout)
        weights = ScaledIntegers(integers.weights, integers.terms.scale)
        wanted = np.ones(1, np.int64)
        own = target.in_units(self.layer, self.steps, plan.vectors * LANES)
        products = (bands, tokens, plan.tables, weights, dense, wanted, *own[:3])
        multiplied = Phase(dot_band, products)
        first = [Phase(fill_planes, spread), *self._count(memory, spread)]
        return [*first, *self._from_four_to_four(spread, scratch, target, wanted), multiplied]

    def _from_four_to_four(
        self, spread: tuple[Any, ...], scratch: Scratch, target: Target, dense: NDArray[np.int64]
    ) -> list[Phase]:
        """What computes bands in which many fours of channels are silent, and says of which ones it does not."""
        fours, (_, _, width) = self.layer.fours, self.layer.incoming
        if fours is None:
            return []
        bands, rows, token = spread[0], most_inputs(spread[0]), fours.token(self.steps)
        size = rows * width * self._integers.plan.tables.layout.pixel_bytes // 4
        entries = scratch.four_entries(width, rows, size, self.steps)
        spans = target.touched.spans.copy()
        choice = FourChoice(PERCENT_OF_FOURS, spans, dense)
        connections = fours.plan.tables, ScaledIntegers(fours.weights, fours.terms.scale)
        own = target.in_units(self.layer, self.steps, len(token.vectors) * LANES)
        own = own._replace(touched=target.touched._replace(spans=spans))
        return [
            Phase(find_fours, (*spread, entries, choice)),
            Phase(gathering(fours.plan, token, own.touched), (bands, token, connections, entries, 0, *own)),
        ]

    def _count(self, memory: WorkerMemory, spread: tuple[Any, ...]) -> list[Phase]:
        """Count the weights of zero that events meet, where they can be told from the planes."""
        if not self._integers.terms.every_level_counts or self.layer.zero_tables is None:
            return []
        words = -(-self._integers.plan.tables.layout.pixel_bytes // MASK_CHANNELS)
        totals = memory.scratch.array("zero sums", words * MASK_CHANNELS, np.int64)
        return [Phase(count_zeros_of_planes, (*spread, ZeroCounts(self.layer.zero_tables, totals, memory.counts)))]

    @property
    def zeros_to_count(self) -> ZeroTables | None:
        return None if self._integers.terms.every_level_counts else self.layer.zero_tables

    def input_rows(self, rows: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        return counted_rows(self._integers.plan, rows, self.layer.incoming[1])

    @property
    def weight_bytes(self) -> int:
        return self._integers.weights.nbytes

    @property
    def input_bytes(self) -> int:
        height = self.layer.outgoing[1]
        rows = -(-self.layer.incoming[1] // height)
        return height * self.steps * rows * self._integers.plan.tables.layout.row_bytes


def counted_rows(plan: IntegerPlan, bands: tuple[tuple[int, int], ...], height: int) -> NDArray[np.int64]:
    """(n, 4): first and last + 1 input row that each band reads, and that it counts.

    The former may lie beyond the input. Each input row that is read is counted by one band.
    """
    rows = np.array([plan.rows.inputs(*band) for band in bands], np.int64)
    # The taps of a transposed convolution may lie so that a band reads nothing, or begins above the one before it. A
    # band then spreads rows out from where any later one begins: what it counts is in one piece.
    reads = rows[:, 0] < rows[:, 1]
    firsts = np.where(reads, rows[:, 0], np.iinfo(np.int64).max)
    rows[:, 0] = np.where(reads, np.minimum.accumulate(firsts[::-1])[::-1], 0)
    ends = np.maximum.accumulate(np.clip(rows[:, 1], 0, height))
    begins = np.maximum(np.clip(rows[:, 0], 0, height), np.concatenate([[0], ends[:-1]]))
    return np.column_stack([rows, np.minimum(begins, ends), ends])

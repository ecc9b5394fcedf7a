"""A layer's bands in integers: when that is faster than to walk from event to event, and what the kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.integer_layer import IntegerLayer
from ..kernels.arguments import (
    BandTable,
    DotScratch,
    ScaledIntegers,
    ZeroCounts,
)
from ..kernels.dot import GROUP, LANES, tile_configuration
from ..kernels.dot_band import dot_band
from ..kernels.planes import count_zeros_of_planes, fill_planes
from ..kernels.sources import packed_sources
from ..kernels.tables import ZeroTables
from ..kernels.zero_counts import MASK_CHANNELS
from .event_sources import plane_sources
from .layer_state import Inputs
from .scratch import Scratch

COST_OF_A_PRODUCT = {"vnni": 0.12, "amx": 0.03}
"""Of a level and a weight, in multiply-accumulates of the event-driven kernels that take about as long."""

TILES = tile_configuration()
"""Of the processor's tiles, where it has some."""


class IntegerProducts:
    """What the dot kernels take of a layer and its inputs.

    Parameters
    ----------
    integers : IntegerLayer
    inputs : Inputs
    steps : int
    zero : ZeroTables or None
        Of the layer.

    Attributes
    ----------
    counts_zeros : bool
        Whether the kernels count the weights of zero that events meet.
    """

    def __init__(self, integers: IntegerLayer, inputs: Inputs, steps: int, zero: ZeroTables | None) -> None:
        self.plan = integers.plan
        self.weights = ScaledIntegers(integers.weights, integers.terms.scale)
        self.tokens = integers.tokens(steps)
        self._steps = steps
        self.sources = packed_sources(plane_sources(inputs, integers.terms.quanta))
        # Levels without a value are silent in the planes.
        seen = all(integers.terms.every_level_counts(source.name) for source, _ in inputs.queues)
        self.counts_zeros = zero is not None and seen
        self._zero = zero if self.counts_zeros else None

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.weights.integers.nbytes

    def plane_bytes(self, layer: Layer) -> int:
        """Bytes of planes for an output row."""
        rows = -(-layer.incoming[1] // layer.outgoing[1])
        return self._steps * rows * self.plan.tables.layout.row_bytes

    def zeros(self, scratch: Scratch, counts: NDArray[np.int64]) -> ZeroCounts:
        """Where a worker with these counts (see `LayerRun.counts`) counts weights of zero."""
        assert self._zero is not None
        words = -(-self.plan.tables.layout.pixel_bytes // MASK_CHANNELS)
        return ZeroCounts(self._zero, scratch.zero_sums(words * MASK_CHANNELS), counts)

    def input_rows(self, bands: tuple[tuple[int, int], ...], height: int) -> NDArray[np.int64]:
        """(n, 4): first and last + 1 input row that each band reads, and that it counts.

        The former may lie beyond the input. Each input row that is read is counted by one band.
        """
        found = self.plan.known_rows.get(bands)
        if found is None:
            rows = np.array([self.plan.input_rows(*band) for band in bands], np.int64)
            # The taps of a transposed convolution may lie so that a band reads nothing, or begins above the one before
            # it. A band then spreads rows out from where any later one begins: what it counts is in one piece.
            reads = rows[:, 0] < rows[:, 1]
            firsts = np.where(reads, rows[:, 0], np.iinfo(np.int64).max)
            rows[:, 0] = np.where(reads, np.minimum.accumulate(firsts[::-1])[::-1], 0)
            ends = np.maximum.accumulate(np.clip(rows[:, 1], 0, height))
            begins = np.maximum(np.clip(rows[:, 0], 0, height), np.concatenate([[0], ends[:-1]]))
            found = np.column_stack([rows, np.minimum(begins, ends), ends])
            self.plan.known_rows.clear()  # The next run will have the same bands, or others for good.
            self.plan.known_rows[bands] = found
        return found

    def phases(
        self, bands: BandTable, scratch: Scratch, counts: NDArray[np.int64], most_inputs: int
    ) -> list[tuple[Any, tuple[Any, ...]]]:
        """Kernels for each band and what they take; the last one takes a constant, neurons and a target besides.

        `counts` are those of `WorkerMemory`; no band reads more than `most_inputs` rows.
        """
        tables, steps = self.plan.tables, self.tokens.block.steps
        sums = scratch.sums(max(self._steps, 2) * GROUP * LANES * self.plan.vectors)
        dense = DotScratch(scratch.planes(self.plan.plane_bytes(most_inputs, self._steps)), sums, TILES)
        phases: list[tuple[Any, tuple[Any, ...]]] = []
        phases.append((fill_planes, (bands, steps, self.sources, dense.planes, tables.layout)))
        if self._zero is not None:
            zeros = self.zeros(scratch, counts)
            phases.append((count_zeros_of_planes, (bands, steps, self.sources, dense.planes, tables.layout, zeros)))
        return [*phases, (dot_band, (bands, self.tokens, tables, self.weights, dense))]

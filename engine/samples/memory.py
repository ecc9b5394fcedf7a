"""What a thread has for itself to run some samples over some steps, and what it counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.byte_rows import vectors_at_once
from ..kernels.dot import LANES, host_dots
from ..kernels.quad_tables import TABLE_SIZE
from ..kernels.samples import ROWS_AT_ONCE
from ..lazy import lazy_property
from ..memory import aligned_bytes
from .plan import Emitter, SamplePlan, TableScratch, row_bytes

RowScratch = tuple[tuple[NDArray[np.int32], NDArray[np.int32], tuple[int, ...]], NDArray[np.float32]]
"""Scratch memory of `walk_integers`, and a row of currents."""


class SampleMemory:
    """Memory for a chunk of samples.

    Attributes
    ----------
    rows : dict of str to ((1 + steps) * samples + ROWS_AT_ONCE, bytes) uint8
        By what emits, see engine/kernels/samples.py.
    views : dict of tuple
        The same; as words, uint64, (rows, words); and flat.
    currents : float32, flat
    tables : see `add_up_quads`
    row_sums : int32, see `walk_integers`
    states : dict of str to tuple of float32 arrays, flat
    readouts : dict of str to float32, flat
    """

    def __init__(self, plan: SamplePlan, samples: int, steps: int) -> None:
        self.samples = samples
        self.steps = steps
        count = (1 + steps) * samples + ROWS_AT_ONCE
        self.rows = {
            name: np.zeros((count, row_bytes(emitter.channels)), np.uint8) for name, emitter in plan.emitters.items()
        }
        self.views = {name: (rows, rows.view(np.uint64), rows.reshape(-1)) for name, rows in self.rows.items()}
        longest = max(rows.shape[1] for rows in self.rows.values())
        self.currents = np.empty(steps * samples * plan.widest, np.float32)
        self._row = np.empty(plan.widest, np.float32)
        self._numbers = np.empty(longest + 1, np.int32)
        self._bytes = np.empty(longest, np.uint8)
        self.row_sums = np.empty(plan.widest, np.int32)
        self.tables = _no_tables if "vnni" in host_dots() else _table_scratch(steps * samples, longest // 4)
        self.states: dict[str, tuple[NDArray[np.float32], ...]] = {}
        self.readouts: dict[str, NDArray[np.float32]] = {}
        for each in plan.layers:
            size = samples * each.padded
            if each.stepper is None:
                self.readouts[each.layer.name] = np.empty(size, np.float32)
            else:
                variables = (np.zeros(size, np.float32) for _ in range(each.stepper.variables))
                self.states[each.layer.name] = tuple(variables)

    def scratch(self, padded: int) -> RowScratch:
        """For rows of so many outputs."""
        return (self._numbers, self.row_sums[:padded], vectors_at_once(padded)), self._row[:padded]

    def counting_scratch(self, channels: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Scratch memory of `count_rows`."""
        return self._bytes[:channels], self._numbers[:channels]

    @lazy_property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        alone = sum(array.nbytes for array in (self.currents, self._row, self._numbers, self._bytes, self.row_sums))
        alone += sum(array.nbytes for array in self.tables)
        of_states = sum(array.nbytes for arrays in self.states.values() for array in arrays)
        of_rows = sum(rows.nbytes for rows in self.rows.values())
        return alone + of_states + of_rows + sum(readout.nbytes for readout in self.readouts.values())

    def begin(self, samples: int) -> None:
        """Nothing has been fired, and nothing read out."""
        for rows in self.rows.values():
            rows[:samples] = 0
        for readout in self.readouts.values():
            readout[:] = 0

    def keep_last(self, steps: int, samples: int) -> None:
        """What was fired at the last of some steps is what was fired before, from now on."""
        for rows in self.rows.values():
            rows[:samples] = rows[steps * samples : (1 + steps) * samples]


def _table_scratch(rows: int, quads: int) -> TableScratch:
    sizes = rows * quads, 2 * TABLE_SIZE, 4 * 2 * LANES * rows
    codes, table, sums = (aligned_bytes(size) for size in sizes)
    return codes, table.view(np.int16), sums.view(np.int32)


_no_tables: TableScratch = np.empty(0, np.uint8), np.empty(0, np.int16), np.empty(0, np.int32)


class SampleCounts:
    """Events of what emits, and weights of zero that they meet.

    Parameters
    ----------
    emitter : Emitter
    steps : int

    Attributes
    ----------
    fired : (T,) int64
    met : (readers, T) int64
    spikes : int
        That an event counts for.
    readers : list of (int, int)
        Of each connection that reads it and has weights of zero, the number among all connections, and its delay.
    """

    def __init__(self, emitter: Emitter, steps: int) -> None:
        self.spikes = emitter.spikes
        self.readers = [(place, part.source.delay) for place, part in emitter.readers]
        self.fired = np.zeros(steps, np.int64)
        self.met = np.zeros((len(emitter.readers), steps), np.int64)

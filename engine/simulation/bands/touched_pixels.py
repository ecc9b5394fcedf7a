"""Which pixels of a layer's bands are computed, where silent ones of event-driven layers can be left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding.gather_layer import GatherLayer
from ...kernels.arguments import BandTable, OutputRows
from ...kernels.sources import packed_sources
from ...kernels.tables import Touched
from ...kernels.touched import count_updates, count_updates_of_band, find_touched
from ..currents import Part
from ..currents.sources import event_sources
from ..memory.layer_state import LayerState
from ..memory.scratch import Scratch
from ..memory.worker_memory import Phase, WorkerMemory

Fired = tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]
"""Where the entries of each pixel begin, and their levels."""


class TouchedPixels:
    """What is computed of the bands of a layer over a group of steps.

    Parameters
    ----------
    state : LayerState
    part : Part
        The first one.
    steps, rows, width : int
        Steps of the group, rows of the largest band, pixels of a row.
    currents_noted : bool
        Whether each pixel's current is noted at each step: none is then left out.

    Attributes
    ----------
    skips : bool
        Whether pixels are left out; not of products that take silent neurons along.
    """

    def __init__(self, state: LayerState, part: Part, steps: int, rows: int, width: int, currents_noted: bool) -> None:
        self._state, self._part, self._steps = state, part, steps
        self._rows, self._width = rows, width
        self.skips = state.awake is not None and not part.spreads_out and not currents_noted

    def of(self, scratch: Scratch) -> Touched:
        """The pixels of any band: all of them, or what `find_touched` finds."""
        if self._state.awake is None:
            return Touched(self._every, 0, np.zeros(0, np.uint16))
        spans, line, marks = scratch.touched(self._rows, self._width)
        return Touched(spans, line, marks) if self.skips else Touched(self._every, 0, marks)

    @property
    def _every(self) -> NDArray[np.int32]:
        return np.array([1, 0, self._width], np.int32)

    def find(self, bands: BandTable, scratch: Scratch, known: bool) -> list[Phase]:
        """The phase that finds them, where anything is to be found; `known` as `event_sources` takes it."""
        awake, layer = self._state.awake, self._state.layer
        if awake is None or not (self.skips or layer.neurons is not None):
            return []
        assert isinstance(layer, GatherLayer)
        sources = packed_sources(event_sources(self._part.inputs, known, sparse=True))
        return [Phase(find_touched, (bands, sources, self._steps, layer.reach, awake, self.of(scratch)))]

    def count(self, bands: BandTable, fired: Fired, memory: WorkerMemory) -> list[Phase]:
        """The phase that counts updates, of event-driven neurons whose events lie in memory of all rows."""
        awake = self._state.awake
        if awake is None:
            return []
        return [
            Phase(count_updates_of_band, (bands, self._steps, fired, self.of(memory.scratch), awake, memory.updates))
        ]

    def count_now(self, rows: OutputRows, fired: Fired, memory: WorkerMemory) -> None:
        """Count the updates of a band whose events lie in memory of their own."""
        if self._state.awake is not None:
            touched = self.of(memory.scratch)
            count_updates(rows, self._steps, fired, touched, self._state.awake, memory.updates)

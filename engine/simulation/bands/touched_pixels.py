"""Which pixels of a layer's bands are computed, where silent ones can be left out: event-driven ones, or at rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding.gather_layer import GatherLayer
from ...kernels.arguments import BandTable
from ...kernels.sources import packed_sources
from ...kernels.tables import Touched
from ...kernels.touched import count_updates_of_band, find_touched, note_away
from ..currents import Part
from ..currents.sources import event_sources
from ..memory.layer_state import LayerState
from ..memory.worker_memory import Phase, Scratch, WorkerMemory

Fired = tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]
"""Where the entries of each pixel begin, and their levels."""


@dataclass(eq=False)
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

    state: LayerState
    part: Part
    steps: int
    rows: int
    width: int
    currents_noted: bool

    def __post_init__(self) -> None:
        self.skips = self.state.awake is not None and not self.part.spreads_out and not self.currents_noted

    def of(self, scratch: Scratch) -> Touched:
        """The pixels of any band: all of them, or what `find_touched` finds."""
        if self.state.awake is None:
            return Touched(self._every, 0, np.zeros(0, np.uint16))
        marks = scratch.array("marks", self.rows * self.width, np.uint16)
        if not self.skips:
            return Touched(self._every, 0, marks)
        line = 2 + self.width
        return Touched(scratch.array("spans", self.rows * line, np.int32), line, marks)

    @property
    def counts(self) -> bool:
        """Whether updates are counted: those of neurons that leak all count, whatever is left out."""
        layer = self.state.layer
        return self.state.awake is not None and layer.neurons is not None and layer.event_driven

    @property
    def _every(self) -> NDArray[np.int32]:
        return np.array([1, 0, self.width], np.int32)

    def find(self, bands: BandTable, scratch: Scratch, known: bool) -> list[Phase]:
        """The phase that finds them, where anything is to be found; `known` as `event_sources` takes it."""
        awake, layer = self.state.awake, self.state.layer
        if awake is None or not (self.skips or self.counts):
            return []
        assert isinstance(layer, GatherLayer)
        sources = packed_sources(event_sources(self.part.inputs, known, sparse=True))
        arguments = (sources, self.steps, int(self.counts), layer.reach, awake, self.of(scratch))
        return [Phase(find_touched, (bands, *arguments))]

    def count(self, bands: BandTable, fired: Fired, memory: WorkerMemory) -> list[Phase]:
        """The phase that counts updates, of event-driven neurons."""
        if not self.counts:
            return []
        arguments = (fired, self.of(memory.scratch), self.state.awake, memory.updates)
        return [Phase(count_updates_of_band, (bands, self.steps, *arguments))]

    def note(self, bands: BandTable, scratch: Scratch) -> list[Phase]:
        """Phases that note which neurons have left their `rest`, one for each state variable.

        Of event-driven ones, what counts updates notes who is not at rest.
        """
        layer, membrane = self.state.layer, self.state.membrane
        if self.counts or layer.rest is None or self.state.awake is None or membrane is None:
            return []
        where = self.of(scratch), self.state.awake
        return [
            Phase(note_away, (bands, self.width, *_bits_of(*pair, bands.padded), int(k > 0), *where))
            for k, pair in enumerate(zip(self.state.arrays, layer.rest, strict=True))
        ]


def _bits_of(
    variable: NDArray[np.float32], rest: NDArray[np.float32], padded: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], int]:
    """What `note_away` takes of a state variable and its value at rest."""
    return variable.view(np.uint32), rest.reshape(-1).view(np.uint32), padded if len(rest) > 1 else 0

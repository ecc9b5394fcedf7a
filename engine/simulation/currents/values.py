"""Currents of synapses that compute them from values: what is read is written out densely, a band's rows at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding.value_layer import ValueLayer
from ...float32 import all_finite, beyond
from ...graph import Rows
from ...kernels.arguments import BandTable
from ...kernels.values import emitted_rows
from ..memory.worker_memory import Phase, Scratch, WorkerMemory
from .part import Part, Target

_ROWS = 16
"""Input rows that are written out at once, where all of them have to be looked at."""


class ValueCurrents(Part):
    """What the node of a layer takes of its inputs, and what it makes of them, in Python."""

    layer: ValueLayer
    _gathered: NDArray[np.float64] | None = None

    def phases(self, bands: BandTable, memory: WorkerMemory, target: Target) -> list[Phase]:
        return [Phase(self._evaluate, (bands, memory.scratch, target.array))]

    @property
    def active(self) -> int:
        return math.prod(self.layer.incoming)

    @property
    def input_bytes(self) -> int:
        return 4 * self.steps * self.active

    def _evaluate(self, index: int, bands: BandTable, scratch: Scratch, currents: NDArray[np.float32]) -> None:
        first, last = (int(bands.table[name][index]) for name in ("first_row", "end_row"))
        values = self._values(scratch, *self.layer.input_rows(first, last))
        state = None if self.state.synaptic is None else self.state.synaptic[first:last]
        found = self._current(values, first, last, state)
        channels, _, width = self.layer.outgoing
        size = (last - first) * width * self.steps * bands.padded
        by_pixel = currents[:size].reshape(last - first, width, self.steps, bands.padded)
        by_pixel[..., channels:] = 0
        by_pixel[..., :channels] = found.transpose(1, 2, 0, 3)

    def _current(self, values: NDArray[np.float32], first: int, last: int, state: Any) -> NDArray[Any]:
        layer, window = self.layer, self.layer.window
        top, begin = (0, 0) if window is None else (window.rows[0], window.inputs[0])
        first_input = begin + layer.input_rows(first, last)[0]
        place = Rows(top + first, top + last, first_input, layer.whole.incoming, self._gathered)
        with np.errstate(over="ignore", invalid="ignore"):
            found = layer.node.checked_current(values, place, state)
        if not all_finite(found):
            raise beyond(layer.node.name, "a current")
        return found

    def prepare(self) -> None:
        # What the node must know of all of the input is gathered before several threads ask for bands of it.
        node, height = self.layer.node, self.layer.incoming[1]
        if not node.gathers:
            return
        self._gathered, scratch = None, Scratch()
        for first in range(0, height, _ROWS):
            found = node.gather(self._values(scratch, first, min(first + _ROWS, height)))
            for row in np.swapaxes(found, 0, 1):
                self._gathered = row if self._gathered is None else self._gathered + row

    def _values(self, scratch: Scratch, first: int, last: int) -> NDArray[np.float32]:
        """(steps, rows, W, C): what the input rows first ... last - 1 hold."""
        channels, _, width = self.layer.incoming
        shape = (self.steps, last - first, width, channels)
        values = scratch.array("values read", math.prod(shape)).reshape(shape)
        values[:] = 0
        for source, queue in self.inputs.queues:
            levels, each = queue.levels.view(np.uint8), queue.levels.itemsize
            place = (first, source.channel_offset)
            emitted_rows(queue.start, queue.channels, levels, each, source.emit, *place, values)
        picture = self.inputs.picture[first:last]
        if self.inputs.in_place:
            values += picture
            return values
        for source in self.layer.analog:
            values[..., source.place] = picture
        return values

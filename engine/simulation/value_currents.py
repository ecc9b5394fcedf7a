"""Currents of synapses that compute them from values: what is read is written out densely, a band's rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..float32 import all_finite, beyond
from ..graph import Rows
from ..kernels.values import emitted_rows
from .layer_state import Inputs
from .scratch import Scratch

_ROWS = 16
"""Input rows that are written out at once, where all of them have to be looked at."""


class ValueCurrents:
    """What the node of a layer takes of its inputs.

    Parameters
    ----------
    layer : Layer
    inputs : Inputs
    steps : int
    state : (H', W', C', state_values) float32 or None
        What the synapses keep from step to step.
    """

    def __init__(self, layer: Layer, inputs: Inputs, steps: int, state: NDArray[np.float32] | None) -> None:
        self._layer = layer
        self._inputs = inputs
        self._steps = steps
        self._state = state
        self._gathered: NDArray[np.float64] | None = None

    def run(self, scratch: Scratch, rows: tuple[int, int], currents: NDArray[np.float32]) -> None:
        """Currents of a band, flat: rows, width, steps, padded channels."""
        first, last = rows
        values = self._values(scratch, *self._layer.input_rows(first, last))
        state = None if self._state is None else self._state[first:last]
        found = self._current(values, first, last, state)
        channels, _, width = self._layer.outgoing
        by_pixel = currents.reshape(last - first, width, self._steps, -1)
        by_pixel[..., channels:] = 0
        by_pixel[..., :channels] = found.transpose(1, 2, 0, 3)

    def _current(self, values: NDArray[np.float32], first: int, last: int, state: Any) -> NDArray[Any]:
        layer, top, begin = self._layer, 0, 0
        incoming = layer.incoming
        if layer.window is not None:
            top, (begin, _), incoming = layer.window.rows[0], layer.window.inputs, layer.window.whole.incoming
        first_input = begin + layer.input_rows(first, last)[0]
        place = Rows(top + first, top + last, first_input, incoming, self._gathered)
        with np.errstate(over="ignore", invalid="ignore"):
            found = layer.node.checked_current(values, place, state)
        if not all_finite(found):
            raise beyond(layer.node.name, "a current")
        return found

    def prepare(self) -> None:
        """Work out what the node must know of all of the input, before several threads ask for bands of it."""
        node, height = self._layer.node, self._layer.incoming[1]
        if not node.gathers:
            return
        self._gathered, scratch = None, Scratch()
        for first in range(0, height, _ROWS):
            found = node.gather(self._values(scratch, first, min(first + _ROWS, height)))
            for row in np.swapaxes(found, 0, 1):
                self._gathered = row if self._gathered is None else self._gathered + row

    def _values(self, scratch: Scratch, first: int, last: int) -> NDArray[np.float32]:
        """(steps, rows, W, C): what the input rows first ... last - 1 hold."""
        channels, _, width = self._layer.incoming
        shape = (self._steps, last - first, width, channels)
        values = scratch.values(int(np.prod(shape))).reshape(shape)
        values[:] = 0
        for source, queue in self._inputs.queues:
            levels, each = queue.levels.view(np.uint8), queue.levels.itemsize
            place = (first, source.channel_offset)
            emitted_rows(queue.start, queue.channels, levels, each, source.emit, *place, values)
        picture = self._inputs.picture[first:last]
        if self._inputs.in_place:
            values += picture
            return values
        for source in self._layer.analog:
            values[..., source.channel_offset : source.channel_offset + source.channels] = picture
        return values

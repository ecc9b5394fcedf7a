"""Run a picture tile by tile, exactly, in memory that follows its width and not its height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.bounds import watched
from ...binding.layer import NOTHING_READ, RowRange, Source
from ...events import EventQueue, joined_rows, silent_queue, step_groups
from ...float32 import largest_size
from ...results.result import Result
from ...results.run import Run
from ..bands.layer_run import LayerRun
from ..currents import Inputs
from ..memory.layer_state import LayerState
from .tile_schedule import TileSchedule, TileStep


@dataclass(eq=False)
class TiledRun(Run):
    """Simulation of one picture with `tile` of its rows at a time.

    Spikes, output and counts are those of `PictureRun`: no row is computed twice, and none lacks a neighbour.
    """

    tile: int

    in_tiles = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._by_pixel = self.picture.transpose(1, 2, 0)
        self._watched = watched(self.program, self.steps, largest_size(self.picture))
        self._sizes = list(step_groups(self.steps))
        self.buffers = {layer.name: RowBuffer() for layer in self.program.layers}
        readouts = [layer for layer in self.program.layers if layer.neurons is None]
        self.outputs = {layer.name: np.empty(layer.outgoing, np.float32) for layer in readouts}

    def run(self) -> Result:
        """All layers of all tiles."""
        for step in TileSchedule(self.program, self.picture.shape[1], self.tile):
            self._run_step(step)
        return self.result(self.outputs, {})

    def _run_step(self, step: TileStep) -> None:
        layer, rows = step.layer.rows_of(step.rows, step.counted), slice(*step.rows)
        keeps = len(self._sizes) > 1 or self.recorder.wants("membrane") or layer.name in self._watched
        state = LayerState(layer, keeps)
        state.begin()
        pictures = [self._by_pixel[slice(*each.window.inputs)] for each in layer.parts if each.window is not None]
        for part, picture in zip(layer.parts, pictures, strict=True):
            if part.analog:
                self.counts.add_input(part, picture, step.rows[0])
        queues = [self._run_group(step, state, pictures, group) for group in range(len(self._sizes))]
        if state.membrane is not None:
            self.recorder.add_membrane(layer, state.membrane, rows)
        if layer.neurons is None:
            self.outputs[layer.name][:, rows] = state.readout.transpose(2, 0, 1) / np.float32(self.steps)
        for name, end in step.drops.items():
            if name in self.buffers:
                self.buffers[name].drop(end)
        if layer.name in self.program.last_use:
            self.buffers[layer.name].append(step.rows, [queue for queue in queues if queue is not None])

    def _run_group(
        self, step: TileStep, state: LayerState, pictures: list[NDArray[np.float32]], group: int
    ) -> EventQueue | None:
        """A group of steps; returns the events, or None without neurons."""
        layer, size, rows = state.layer, self._sizes[group], slice(*step.rows)
        steps = slice(state.done, state.done + size)
        inputs = [
            Inputs(part, [(source, self._queue(source, part, window, group)) for source in part.spiking], picture)
            for part, window, picture in zip(layer.parts, step.windows, pictures, strict=True)
        ]
        run = LayerRun(state, inputs, size, readout=self.recorder.readout_memory(layer.name, steps, rows))
        queue = run.run(self.workers)
        if layer.name in self._watched:
            state.watch()
        self.counts.add_run(layer.name, run.fired, run.counts, run.updates, steps)
        self.kernels[layer.name].update(run.kernels)
        if queue is not None and layer.levels is not None and self.recorder.wants_queues:
            self.recorder.add_queue(layer.name, layer.levels, queue, steps, rows)
        return queue

    def _queue(self, source: Source, part: Layer, window: RowRange, group: int) -> EventQueue:
        """What a source has emitted in a group of steps, of the rows that a part of a layer reads."""
        if window == NOTHING_READ:
            return silent_queue((source.channels, 1, part.incoming[2]), self._sizes[group])
        return self.buffers[source.name].window(window, group)


class RowBuffer:
    """Events of one layer, by rows: appended at the end, dropped from the beginning.

    Of each piece, its rows and a queue for each group of steps.
    """

    def __init__(self) -> None:
        self._pieces: list[tuple[RowRange, list[EventQueue]]] = []

    def append(self, rows: RowRange, queues: list[EventQueue]) -> None:
        """Add the events of rows that follow those added before."""
        self._pieces.append((rows, queues))

    def drop(self, end: int) -> None:
        """Forget the rows before `end`, as far as whole pieces consist of them."""
        self._pieces = [(rows, queues) for rows, queues in self._pieces if rows[1] > end]

    def window(self, rows: RowRange, group: int) -> EventQueue:
        """Events of some rows in one group of steps; shares memory where they lie in one piece."""
        first, last = rows
        return joined_rows(
            [
                _cut(queues[group], max(first - begin, 0), min(last, end) - begin)
                for (begin, end), queues in self._pieces
                if begin < last and end > first
            ]
        )


def _cut(queue: EventQueue, first: int, last: int) -> EventQueue:
    """Rows of a queue; entries are shared, and what lies before and behind them is left out."""
    start = queue.start[first:last]
    begin, end = int(start[0, 0]), int(start[-1, -1])
    channels, _, width = queue.shape
    shape = (channels, last - first, width)
    masks = None if queue.masks is None else queue.masks[first:last]
    return EventQueue(shape, queue.steps, start - begin, queue.channels[begin:end], queue.levels[begin:end], masks)

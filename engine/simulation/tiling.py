"""Run a picture tile by tile, exactly, in memory that follows its width and not its height."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..binding.layer import NOTHING_READ, RowRange
from ..events import EventQueue, silent_queue
from ..operations import Operations, SynapseOperations
from ..threads import WorkerThreads
from .counting import OperationsCounter
from .layer_state import Inputs, inputs_of
from .picture_run import PictureRun, sorted_kernels, step_groups
from .recording import Recorder
from .result import Result
from .row_buffer import RowBuffer
from .tile_schedule import TileSchedule, TileStep


class TileRun(PictureRun):
    """Some rows of one layer, over all steps."""

    keeps_queues = True
    windows: list[dict[str, list[EventQueue]]]
    """What each part of the layer reads, by source and group of steps."""
    pictures: list[NDArray[np.float32]]
    """The analog input, (H, W, C), as each part sees it."""

    def _inputs(self, layer: Layer, group: int) -> list[Inputs]:
        emit = self.program.emit
        return [
            inputs_of(part, [(s, windows[s.name][group], emit[s.name]) for s in part.spiking], picture)
            for part, windows, picture in zip(layer.parts, self.windows, self.pictures, strict=True)
        ]

    def _pictures(self, layer: Layer) -> list[NDArray[np.float32]]:  # noqa: ARG002 - of one layer
        return self.pictures

    def run(self) -> list[EventQueue]:
        """The events of each group of steps; none for the readout."""
        (layer,) = self.program.layers
        groups = list(step_groups(self.steps))
        state = self._state(layer, several_groups=len(groups) > 1)
        first = 0
        for group, size in enumerate(groups):
            self._run_group(state, group, first, size)
            first += size
        self._finish(state)
        return self.queues.get(layer.name, [])


class TiledRun:
    """Simulation of one picture, (C, H, W) float32, with `tile` of its rows at a time.

    Spikes, output and counts are those of `PictureRun.by_layer`: no row is computed twice, and none lacks a neighbour.
    """

    def __init__(
        self,
        program: Program,
        picture: NDArray[np.float32],
        steps: int,
        record: frozenset[str],
        workers: WorkerThreads | None,
        threads: int,
        tile: int,
    ) -> None:
        self.program = program
        self.picture = picture
        self._by_pixel = picture.transpose(1, 2, 0)
        self._largest = float(max(picture.max(initial=0), -picture.min(initial=0)))
        self.steps = steps
        self.record = record
        self.workers = workers
        self.threads = threads
        self.tile = tile
        self.buffers = {layer.name: RowBuffer() for layer in program.layers}
        self._index = {layer.name: index for index, layer in enumerate(program.layers)}
        self.outputs = {
            layer.name: np.empty(layer.outgoing, np.float32) for layer in program.layers if not layer.neurons
        }
        self.recorder = Recorder(program, steps, record)
        self.kernels: dict[str, set[str]] = {}
        nothing = OperationsCounter(program, steps).operations
        self.neurons, self.synapses = dict(nothing.neurons), dict(nothing.synapses)
        # A node that feeds both neurons and the readout is run twice but counted once.
        self.counting = {part.node.name: layer.name for layer in reversed(program.layers) for part in layer.parts}

    def run(self) -> Result:
        """All layers of all tiles."""
        for step in TileSchedule(self.program, self.picture.shape[1], self.tile):
            self._run_step(step)
        return Result(
            outputs=self.outputs,
            steps=self.steps,
            operations=Operations(self.steps, 1, self.neurons, self.synapses),
            seconds=0.0,
            kernels=sorted_kernels(self.kernels),
            recorded=self.recorder.recorded,
        )

    def _run_step(self, step: TileStep) -> None:
        layer = step.layer.rows_of(step.rows, step.counted)
        part = replace(self.program, layers=(layer,))
        run = TileRun(part, self.picture[:, :1], self.steps, self.record, self.workers, self.threads)
        run.largest = self._largest
        run.counter = self._counter(step)
        run.windows = [self._windows(*each) for each in zip(step.layer.parts, step.windows, strict=True)]
        run.pictures = [self._by_pixel[slice(*each.window.inputs)] for each in layer.parts if each.window is not None]
        queues = run.run()
        self.kernels.setdefault(layer.name, set()).update(run.kernels[layer.name])
        self._count(step, run.counter.operations)
        self._note(step, run)
        for name, end in step.drops.items():
            if name in self.buffers:
                self.buffers[name].drop(end)
        if layer.name in self.program.last_use:
            self.buffers[layer.name].append(step.rows, queues)

    def _counter(self, step: TileStep) -> OperationsCounter:
        """Counts of these rows alone; a counter of accumulates has to know the layers that they come from."""
        names = {source.name for source in step.layer.sources if not source.analog} | {step.layer.name}
        layers = tuple(self.program.layers[index] for index in sorted(map(self._index.__getitem__, names)))
        return OperationsCounter(replace(self.program, layers=layers), self.steps)

    def _count(self, step: TileStep, new: Operations) -> None:
        name = step.layer.name
        if step.layer.neurons is not None:
            fired, more = self.neurons[name], new.neurons[name]
            self.neurons[name] = replace(fired, events=fired.events + more.events, spikes=fired.spikes + more.spikes)
        for node in {part.node.name for part in step.layer.parts}:
            if self.counting[node] == name:
                self.synapses[node] = _added(self.synapses[node], new.synapses[node])

    def _windows(self, part: Layer, window: RowRange) -> dict[str, list[EventQueue]]:
        """Events that a part of a layer reads, by source and group of steps."""
        sizes = list(step_groups(self.steps))
        windows = {}
        for source in part.spiking:
            if window == NOTHING_READ:
                windows[source.name] = [silent_queue((source.channels, 1, part.incoming[2]), size) for size in sizes]
            else:
                buffer = self.buffers[source.name]
                windows[source.name] = [buffer.window(window, group) for group in range(len(sizes))]
        return windows

    def _note(self, step: TileStep, run: TileRun) -> None:
        """Put output and recordings of some rows into their places."""
        rows = slice(*step.rows)
        if step.layer.neurons is None:
            (readout,) = run.readouts.values()
            self.outputs[step.layer.name][:, rows] = readout.transpose(2, 0, 1) / np.float32(self.steps)
        for kind, part in run.recorder.recorded.items():
            whole = self.recorder.recorded[kind]
            if isinstance(whole, dict) and isinstance(part, dict):
                for each, values in part.items():
                    whole.setdefault(each, np.empty(step.layer.outgoing, values.dtype))[..., rows, :] = values


def _added(total: SynapseOperations, new: SynapseOperations) -> SynapseOperations:
    """The counts of a node so far and those of some rows; `dense_macs` are those of the whole picture already."""
    return replace(
        total,
        sources={name: events + new.sources[name] for name, events in total.sources.items()},
        macs=total.macs + new.macs,
        macs_effective=total.macs_effective + new.macs_effective,
    )

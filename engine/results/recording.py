"""Dense recordings of a run, made only when they are asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..events import EventQueue
from ..neurons import LevelTable


class Recorder:
    """Collects spikes (of encoders, too), spike counts, membranes and the readout of one picture."""

    def __init__(self, program: Program, steps: int, record: frozenset[str]) -> None:
        self._record = record
        self.recorded: dict[str, object] = {}
        shapes = {layer.name: layer.outgoing for layer in program.layers if layer.neurons} | program.encoded
        self.spikes = {
            name: np.zeros((steps, *shape), np.float32) for name, shape in shapes.items() if self.wants("spikes")
        }
        self.spike_count = {
            name: np.zeros(shape, np.int64) for name, shape in shapes.items() if self.wants("spike_count")
        }
        self.membrane: dict[str, NDArray[np.float32]] = {}
        outputs = [layer for layer in program.layers if not layer.neurons]
        self.readout = {
            layer.name: np.zeros((steps, *layer.outgoing), np.float32) for layer in outputs if self.wants("readout")
        }
        named = {
            "spikes": self.spikes,
            "spike_count": self.spike_count,
            "membrane": self.membrane,
            "readout": self.readout,
        }
        self.recorded.update((kind, named[kind]) for kind in record if kind in named)

    def wants(self, kind: str) -> bool:
        """Whether this kind of recording was asked for."""
        return kind in self._record

    @property
    def wants_queues(self) -> bool:
        """Whether events are noted."""
        return self.wants("spikes") or self.wants("spike_count")

    def add_run(
        self, layer: Layer, queue: EventQueue | None, readout: NDArray[np.float32] | None, steps: slice
    ) -> None:
        """Note what a layer has left at some steps: its events, or its running sum where that is there."""
        if queue is not None and self.wants_queues:
            assert layer.levels is not None
            self.add_queue(layer.name, layer.levels, queue, steps)
        if readout is not None:
            self.add_readout(layer, readout, steps)

    def add_queue(self, name: str, table: LevelTable, queue: EventQueue, steps: slice) -> None:
        """Note the events of a layer, or of an Input with an encoder, over some steps."""
        levels = queue.dense_levels()
        if self.wants("spikes"):
            self.spikes[name][steps] = table.emit[levels]
        if self.wants("spike_count"):
            self.spike_count[name] += table.spikes[levels].sum(axis=0)

    def add_membrane(self, layer: Layer, membrane: NDArray[np.float32]) -> None:
        """Note a layer's potentials, (H * W * padded channels,), after the last step."""
        if self.wants("membrane"):
            channels, height, width = layer.outgoing
            by_pixel = membrane.reshape(height, width, layer.padded_channels)[..., :channels]
            # A copy, even where that would be contiguous: the memory is used again.
            self.membrane[layer.name] = by_pixel.transpose(2, 0, 1).copy()

    def add_readout(self, layer: Layer, readout: NDArray[np.float32], steps: slice) -> None:
        """Note a layer's running sum, (steps, O, H, W), after each of some steps."""
        self.readout[layer.name][steps] = readout

"""Dense recordings of a run, made only when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer, Program
from ..events import EventQueue
from ..neurons import LevelTable

ALL_ROWS = slice(None)


class Recorder:
    """Collects spikes (of encoders, too), spike counts, membranes and the readout of one picture.

    What is noted of a layer is that of all of its rows, or in tiles of some.
    """

    def __init__(self, program: Program, steps: int, record: frozenset[str]) -> None:
        self._record = record
        shapes = {layer.name: layer.outgoing for layer in program.layers if layer.neurons}
        outputs = {layer.name: layer.outgoing for layer in program.layers if not layer.neurons}
        spiking = shapes | program.encoded
        self.spikes = self._room("spikes", {name: (steps, *shape) for name, shape in spiking.items()})
        self.readout = self._room("readout", {name: (steps, *shape) for name, shape in outputs.items()})
        self.membrane = self._room("membrane", shapes)
        self.spike_count = {
            name: np.zeros(shape, np.int64) for name, shape in spiking.items() if self.wants("spike_count")
        }
        named = {
            "spikes": self.spikes,
            "spike_count": self.spike_count,
            "membrane": self.membrane,
            "readout": self.readout,
        }
        self.recorded: dict[str, object] = {kind: named[kind] for kind in record if kind in named}

    def _room(self, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if self.wants(kind)}

    def wants(self, kind: str) -> bool:
        """Whether this kind of recording was asked for."""
        return kind in self._record

    @property
    def wants_queues(self) -> bool:
        """Whether events are noted."""
        return self.wants("spikes") or self.wants("spike_count")

    def add_queue(self, name: str, table: LevelTable, queue: EventQueue, steps: slice, rows: slice = ALL_ROWS) -> None:
        """Note the events of a layer, or of an Input with an encoder, over some steps."""
        levels = queue.dense_levels()
        if self.wants("spikes"):
            self.spikes[name][steps, :, rows] = table.emit[levels]
        if self.wants("spike_count"):
            self.spike_count[name][:, rows] += table.spikes[levels].sum(axis=0)

    def add_membrane(self, layer: Layer, membrane: NDArray[np.float32], rows: slice = ALL_ROWS) -> None:
        """Note a layer's potentials, (H * W * padded channels,), after the last step."""
        if self.wants("membrane"):
            channels, height, width = layer.outgoing
            by_pixel = membrane.reshape(height, width, layer.padded_channels)[..., :channels]
            self.membrane[layer.name][:, rows] = by_pixel.transpose(2, 0, 1)

    def readout_memory(self, name: str, steps: slice, rows: slice = ALL_ROWS) -> NDArray[np.float32] | None:
        """Where the running sum of a layer goes, (steps, O, H, W), after each of some steps; None if not noted."""
        return self.readout[name][steps, :, rows] if name in self.readout else None

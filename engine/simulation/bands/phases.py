"""What is done for each band of a layer, one phase after the other: unpack, gather or average, fire, pack.

Most phases are kernels, and where all of them are, compiled calls run them (bound_program.py). Otherwise layer_run.py
calls them one by one, and those that are written in Python with them: synapses that compute their current themselves,
neurons that are no ladder of thresholds, events for which there is no room yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...binding.gather_layer import GatherLayer
from ...binding.pool_layer import PoolLayer
from ...binding.stepper import Stepper
from ...binding.value_layer import ValueLayer
from ...events import EventQueue, channel_type, joined_rows, level_type, mask_bytes
from ...float32 import beyond
from ...kernels.arguments import BandTable, Constant, EventMemory, LadderNeurons, OutputRows
from ...kernels.compact import compact_rows
from ...kernels.count_by_level import count_by_level
from ...kernels.finish import finish_band
from ...kernels.pooling import fire_currents
from ...kernels.readout import add_to_readout
from ...kernels.summing import add_to_sum, begin_sum
from ...kernels.tables import BAND, Touched
from ...kernels.touched import count_updates_of_band, find_touched, note_away
from ...lazy import KnownOf
from ..currents import Part, Target
from ..currents.sources import event_sources, masks_of
from ..memory.layer_state import LayerState
from ..memory.queue_memory import VECTOR_BYTES, compress_token, first_entries
from ..memory.worker_memory import Phase, Scratch, WorkerMemory
from .band_rows import Bands

Levels = NDArray[np.unsignedinteger[Any]]

_tables: KnownOf[Layer, NDArray[np.void]] = KnownOf(1)
"""Of the bands of layers that are alive: a layer's next run will have the same, or others for good."""


def is_compiled(layer: Layer) -> bool:
    """Whether compiled calls run a layer of this kind: all its phases, with what it reads and fires, are kernels."""
    ladder = layer.levels is not None and layer.levels.masks and layer.stepper is None
    return (ladder or layer.neurons is None) and all(map(_is_read_by_kernels, layer.parts))


def _is_read_by_kernels(part: Layer) -> bool:
    """Whether kernels compute the current of a layer that is no sum, or of a part of one."""
    averages = isinstance(part, PoolLayer)
    if isinstance(part, ValueLayer) or any(source.delay for source in part.sources):
        return False
    if len({channel_type(source.channels) for source in part.spiking}) > 1 or (averages and part.neurons is None):
        return False
    if part.analog:
        return not part.spiking and not averages
    return all(source.levels is not None and source.levels.masks for source in part.spiking)


@dataclass(eq=False)
class LayerBands:
    """The bands of a layer over a group of steps; `parts` are those of a sum, of another layer itself.

    `readout`, (steps, O, H, W), receives the running sum of a layer without neurons where it is wanted, and `events`
    what neurons fire; without such a queue each band's events are kept apart.
    """

    state: LayerState
    parts: list[Part]
    steps: int
    bands: Bands
    readout: NDArray[np.float32] | None = None
    events: EventQueue | None = None

    def __post_init__(self) -> None:
        self.layer = layer = self.state.layer
        self.part = self.parts[0]
        self._channels, height, self._width = layer.outgoing
        self._padded = layer.padded_channels
        summed = layer.parts != (layer,)
        self._summands = [LayerBands(p.state, [p], self.steps, self.bands) for p in self.parts] if summed else []
        key = (self.bands.rows, self.part.kernels, self.events is not None)
        self._table = BandTable(_tables.get(layer, key, self._band_table), self._padded, self._channels)
        self._most_rows = int((self._table.table["end_row"] - self._table.table["first_row"]).max())
        leaves_out = self.state.awake is not None
        # Products take silent neurons along; where currents are noted, those of all pixels are.
        self._skips = leaves_out and not self.part.spreads_out and self.readout is None
        # Those of neurons that leak all count as updated, whatever is left out.
        self._counts_updates = leaves_out and layer.neurons is not None and layer.event_driven
        if layer.neurons is not None and self.events is None:
            token = compress_token(self._padded, self._channels, self.steps)
            each = mask_bytes(self._channels) if isinstance(token, tuple) else 0
            self._start = np.empty((height, self._width + 1), np.int64)
            self._masks = np.empty((height, self._width, each), np.uint8)
            self._fired: list[Any] = [None] * len(self.bands.rows)

    def _band_table(self) -> NDArray[np.void]:
        rows = self.bands.rows
        table = np.zeros(len(rows), BAND)
        table["first_row"], table["end_row"] = np.array(rows, np.int64).T
        inputs = np.zeros((len(rows), 0), np.int64) if self._summands else self.part.input_rows(rows)
        names = ("first_input", "end_input", "first_counted", "end_counted")
        for name, column in zip(names, inputs.T, strict=False):
            table[name] = column
        if self.events is not None:
            table["first_entry"] = first_entries(self.layer, table["first_row"])
        return table

    def queue(self) -> EventQueue:
        """The events, once all bands have been run."""
        return joined_rows(self._fired) if self.events is None else self.events

    def _rows(self, index: int) -> OutputRows:
        return OutputRows(*self.bands.rows[index], self._padded, self._channels)

    def _size(self, steps: int) -> int:
        """Numbers that the largest band puts out in so many steps."""
        return self._most_rows * self._width * steps * self._padded

    # --- All phases --------------------------------------------------------------------------------------------------

    def phases(self, memory: WorkerMemory) -> list[Phase]:
        """What a worker does for each band that it takes."""
        find = self._find(memory.scratch)
        if self.layer.neurons is None:
            return [*find, *self._current(memory), self._read_out(memory.scratch)]
        words = memory.scratch.array("words", self._size(1), level_type(self.steps))
        fire, finish = self._fire(memory, words), self._finish(memory, words)
        return [*find, *fire, *finish, *self._note_away(memory.scratch)]

    def _fire(self, memory: WorkerMemory, words: Levels) -> list[Phase]:
        """Levels of a band's neurons, flat: rows, width, padded channels."""
        if self.layer.stepper is not None:
            currents = memory.scratch.array("currents", self._size(self.steps))
            step = Phase(self._step, (self.layer.stepper, currents, words, self._touched(memory.scratch)))
            return [*self._current(memory), step]
        neurons = self._ladder(memory.scratch)
        if isinstance(self.layer, GatherLayer):
            return self.part.phases(self._table, memory, self._target(memory.scratch, neurons, words))
        currents = memory.scratch.array("currents", self._size(self.steps))
        strides = (self.steps * self._padded, self._padded)
        token = self.layer.token(self.steps)
        fire = Phase(fire_currents, (self._table, token, currents, strides, neurons, words, self._width))
        return [*self._current(memory), fire]

    def _ladder(self, scratch: Scratch) -> LadderNeurons:
        """What the kernels take of the neurons."""
        state, padded = self.state, self._padded
        if state.membrane is None:
            return LadderNeurons(self.layer.neuron, self.layer.initial[0][0], 0, scratch.array("potentials", padded), 0)
        return LadderNeurons(self.layer.neuron, state.membrane, padded, state.membrane, padded)

    # --- Pixels that are computed ------------------------------------------------------------------------------------

    def _touched(self, scratch: Scratch) -> Touched:
        """The pixels of any band: all of them, or what `find_touched` finds."""
        every = np.array([1, 0, self._width], np.int32)
        if self.state.awake is None:
            return Touched(every, 0, np.zeros(0, np.uint16))
        marks = scratch.array("marks", self._most_rows * self._width, np.uint16)
        if not self._skips:
            return Touched(every, 0, marks)
        line = 2 + self._width
        return Touched(scratch.array("spans", self._most_rows * line, np.int32), line, marks)

    def _find(self, scratch: Scratch) -> list[Phase]:
        """The phase that finds them, where anything is to be found."""
        if not (self._skips or self._counts_updates):
            return []
        assert isinstance(self.layer, GatherLayer)
        sources = event_sources(self.part.inputs, self.part.known, sparse=True)
        reach, awake = self.layer.reach, self.state.awake
        arguments = (sources, self.steps, int(self._counts_updates), reach, awake, self._touched(scratch))
        return [Phase(find_touched, (self._table, *arguments))]

    def _count_updates(self, events: EventMemory, memory: WorkerMemory) -> list[Phase]:
        """The phase that counts updates of event-driven neurons, and notes who is not at rest."""
        if not self._counts_updates:
            return []
        found = (events.start, events.levels), self._touched(memory.scratch), self.state.awake, memory.updates
        return [Phase(count_updates_of_band, (self._table, self.steps, *found))]

    def _note_away(self, scratch: Scratch) -> list[Phase]:
        """Phases that note which of other neurons have left their `rest`, one for each state variable."""
        state, rest = self.state, self.layer.rest
        if self._counts_updates or rest is None or state.awake is None or state.membrane is None:
            return []
        phases = []
        for number, (variable, at_rest) in enumerate(zip(state.arrays, rest, strict=True)):
            bits = variable.view(np.uint32), at_rest.reshape(-1).view(np.uint32)
            stride = self._padded if len(at_rest) > 1 else 0
            where = int(number > 0), self._touched(scratch), state.awake
            phases.append(Phase(note_away, (self._table, self._width, *bits, stride, *where)))
        return phases

    # --- Currents ----------------------------------------------------------------------------------------------------

    def _current(self, memory: WorkerMemory) -> list[Phase]:
        """Currents of a band that pass through memory, flat: rows, width, steps, padded channels."""
        currents = memory.scratch.array("currents", self._size(self.steps))
        if not self._summands:
            return self.part.phases(self._table, memory, self._target(memory.scratch, None, currents))
        # Each part has memory of a worker's own.
        numbers = self._width * self.steps
        phases, first = [Phase(begin_sum, (self._table, currents, numbers))], 0
        for place, each in enumerate(self._summands):
            last = first + len(each.part.inputs.queues)
            own = replace(memory, scratch=memory.scratch.part(place), counts=memory.counts[first:last])
            of_part, found, padded = each.as_summand(own)
            phases += [*of_part, Phase(add_to_sum, (self._table, currents, numbers, found, padded))]
            first = last
        return phases

    def _target(self, scratch: Scratch, neurons: LadderNeurons | None, array: NDArray[Any]) -> Target:
        constant = Constant(self.state.constant, self.state.constant_stride)
        return Target(constant, neurons, array, self._touched(scratch))

    def as_summand(self, memory: WorkerMemory) -> tuple[list[Phase], NDArray[np.float32], int]:
        """The phases of a part of a sum, where they leave its currents, and its channels there."""
        return self._current(memory), memory.scratch.array("currents", self._size(self.steps)), self._padded

    # --- Phases in Python --------------------------------------------------------------------------------------------

    def _step(
        self, index: int, stepper: Stepper, currents: NDArray[np.float32], words: Levels, touched: Touched
    ) -> None:
        """Run neurons that are no ladder of thresholds, on currents that pass through memory."""
        rows, state, width, padded = self._rows(index), self.state, self._width, self._padded
        shape = ((rows.end - rows.first) * width, self.steps, padded, rows.channels)
        marks = touched.marks[: shape[0]]
        left_out = marks if self._skips else marks[:0]
        first = (self.layer.first_pixel + rows.first * width, state.done)
        if state.membrane is None:
            states, place = tuple(np.empty(padded, np.float32) for _ in range(stepper.variables)), (0, 0, True)
        else:
            states, place = tuple(state.arrays), (rows.first * width * padded, padded, False)
        if not stepper.run(currents, words, shape, states, (*place, *first), left_out):
            raise beyond(self.layer.name, "a current, or the state of a neuron,")
        if self._counts_updates and state.membrane is not None:
            stepper.find_restless(states, rows.channels, (*place[:2], first[0]), marks)

    # --- What becomes of it ------------------------------------------------------------------------------------------

    def _finish(self, memory: WorkerMemory, words: Levels) -> list[Phase]:
        """Pack and count what a band has fired."""
        assert self.layer.levels is not None
        events, touched = self._event_memory(memory), self._touched(memory.scratch)
        pack = Phase(self._pack, (words, events, self.layer.levels.spikes, touched))
        if self.layer.levels.masks:
            pack = Phase(finish_band, (self._table, words, events, memory.counters, touched))
        keep = [Phase(self._keep, (events,))] if self.events is None else []
        return [pack, *self._count_updates(events, memory), *keep]

    def _event_memory(self, memory: WorkerMemory) -> EventMemory:
        """Where a worker's events go: beside those of all, or band by band into arrays that stay in the cache.

        Large arrays reserved for the worst case would take whole pages, huge ones on some systems, for every band.
        """
        assert self.layer.levels is not None
        compress = compress_token(self._padded, self._channels, self.steps)
        if self.events is not None:
            start, channels, levels = self.events.start, self.events.channels, self.events.levels
            masks = masks_of(self.events)
        else:
            most = -(-(self._size(1) + VECTOR_BYTES) // 8) * 8
            channels = memory.scratch.array("packed channels", most, channel_type(self._channels))
            levels = memory.scratch.array("packed levels", most, level_type(self.steps))
            start, masks = self._start, self._masks.reshape(-1)
        kinds = self.layer.levels.kinds
        return EventMemory(compress, start, channels, levels, masks, levels.view(np.uint64), kinds, memory.fired)

    def _pack(
        self, index: int, words: Levels, events: EventMemory, spikes: NDArray[np.int64], touched: Touched
    ) -> None:
        """The same for levels that are no masks."""
        rows, first = self._rows(index), int(self._table.table["first_entry"][index])
        start, line = events.start[rows.first : rows.end], self._width * mask_bytes(self._channels)
        masks = events.masks[rows.first * line : rows.end * line]
        compact_rows(events.compress, words, rows, first, start, events.channels, events.levels, masks, touched)
        count_by_level(events.levels[first : start[-1, -1]], spikes, 1, events.counts)

    def _keep(self, index: int, events: EventMemory) -> None:
        """Copy the events of a band to where no other band's go."""
        first, last = self.bands.rows[index]
        shape, start = (self._channels, last - first, self._width), self._start[first:last]
        channels, levels = (each[: start[-1, -1]].copy() for each in (events.channels, events.levels))
        masks = self._masks[first:last] if self._masks.size else None
        self._fired[index] = EventQueue(shape, self.steps, start, channels, levels, masks)

    def _read_out(self, scratch: Scratch) -> Phase:
        """Move the running sum of a layer without neurons on."""
        currents = scratch.array("currents", self._size(self.steps))
        if self.readout is None:
            readout = self.state.readout.reshape(-1)
            given = (currents, self.steps, readout, self._width, self._touched(scratch))
            return Phase(add_to_readout, (self._table, *given))
        return Phase(self._read_out_steps, (currents,))

    def _read_out_steps(self, index: int, currents: NDArray[np.float32]) -> None:
        """The same, noted after each step."""
        first, last, padded, channels = self._rows(index)
        assert self.readout is not None
        readout, size = self.state.readout, (last - first) * self._width * self.steps * padded
        by_step = currents[:size].reshape(last - first, self._width, self.steps, padded)[..., :channels]
        for step in range(self.steps):
            readout[first:last] += by_step[:, :, step]
            self.readout[step, :, first:last] = readout[first:last].transpose(2, 0, 1)

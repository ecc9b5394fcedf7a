"""One layer of a network that is brought up to date: what it keeps, and what is called to do so.

Each part of a sum without neurons is kept as such a layer, whose outputs are added up (kept_network.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.gather_layer import GatherLayer
from ..binding.integer_plan import EXACT, Quanta, integer_quanta, integer_terms, quanta_of
from ..binding.layer import Source
from ..binding.plan import reached
from ..binding.pool_layer import PoolLayer
from ..errors import InputError
from ..events import channel_type
from ..kernels.arguments import BandTable
from ..kernels.changes import find_changes
from ..kernels.dirty import CHANGES, choose_path, clear_changed, join_changed, mark_dirty
from ..kernels.entries import CHUNK, host_compresses
from ..kernels.increment_arguments import ChangedSource, ChangeMemory, DirtyNumbers, LevelSource, OddPlaces
from ..kernels.increments import count_met, write_output
from ..kernels.quads import LANES, PART
from ..kernels.tables import BAND
from ..memory import aligned_bytes, aligned_empty
from ..simulation.bands.layer_run import KINDS, by_step
from ..simulation.bands.phases import is_compiled
from ..simulation.memory.worker_memory import Phase, Scratch
from .costs import NO_CHOICE, costs_of
from .dirty_taps import dirty_taps, rows_of_bands
from .layer_increment import LayerIncrement
from .ways import Ways

_GAP = 128
"""Entries between the changes of two bands: kernels write whole chunks, and threads share no cache line."""


class KeptLayer:
    """One layer: what it has computed for the last picture, and what is called to bring that up to date.

    Parameters
    ----------
    layer : Layer
    number : int
        Of the layer.
    before : dict of str to KeptLayer
        Those that it may read.
    picture : (H, W, C) float32 and (H, W) uint8
        The analog input, and which pixels of it have changed.
    threads : int

    Attributes
    ----------
    fired, met : int64 arrays
        `fired` and `counts` of a `LayerRun`, of the last picture.
    output : (O, H, W) float32 or None
        The readout of a layer without neurons.
    """

    def __init__(
        self,
        layer: Layer,
        number: int,
        before: dict[str, KeptLayer],
        picture: tuple[NDArray[np.float32], NDArray[np.uint8]],
        threads: int,
    ) -> None:
        self.layer = layer
        self.number = number
        self.sources = [(source, before[source.name]) for source in layer.spiking]
        self.picture, changed = picture
        channels, height, width = layer.outgoing
        self._size = height * width * layer.padded_channels
        self.rows = rows_of_bands(height, layer.row_step, threads)
        self.bands = len(self.rows)
        self.dirty = np.zeros((height, width), np.uint8)
        self.currents = aligned_empty(0 if isinstance(layer, PoolLayer) else self._size)
        self._read = [each.changes.changed for _, each in self.sources] or [changed]
        self._joined = self._read[0] if len(self._read) == 1 else np.zeros_like(self._read[0])
        self.taps = dirty_taps(layer)
        self.by_changes = self._can_follow_changes()
        self.output = None if layer.neurons else np.zeros((channels, height, width), np.float32)
        self._first_entries = np.zeros(self.bands, np.int64)
        self._counts = np.zeros((threads, KINDS, 8), np.int64)
        self._changes = None if layer.neurons is None else self._make_room(threads)
        self.fired = np.zeros((KINDS, 8), np.int64)
        self.met = np.zeros((len(self.sources), 2, KINDS, 8), np.int64)
        self._met = np.zeros((len(self.sources), 2, KINDS), np.int64)
        self._costs = NO_CHOICE.copy()
        self._ways = Ways(self)

    # --- Memory ------------------------------------------------------------------------------------------------------

    def _make_room(self, threads: int) -> ChangeMemory:
        """Memory for levels and for what changes of them."""
        layer = self.layer
        channels, height, width = layer.outgoing
        assert layer.levels is not None
        quantum = integer_quanta([layer.levels])
        self.unit = np.float32(0 if quantum is None else quantum)
        self.quanta: Quanta = (np.zeros(256, np.uint8), -1) if quantum is None else quanta_of(layer.levels, quantum)
        splits = int(int(self.quanta[0].max()) > np.iinfo(np.int8).max)
        each = 3 if splits else 1
        starts = np.array([first for first, _ in self.rows], np.int64) * (each * width * channels)
        self._first_entries = -(-starts // _GAP) * _GAP + np.arange(self.bands) * _GAP
        room = -(-(each * channels * height * width + (self.bands + 1) * _GAP) // _GAP) * _GAP
        self._levels = aligned_bytes(self._size + CHUNK)
        self._levels[:] = 0
        pairs, kind = aligned_bytes(2 * room), channel_type(channels)
        vectors = host_compresses() and layer.padded_channels % CHUNK == 0
        return ChangeMemory(
            np.zeros((height, width), np.uint8),
            np.zeros((height, width), np.int64),
            np.zeros((height, width), np.int32),
            np.zeros((height, width), np.int32),
            aligned_bytes(room * np.dtype(kind).itemsize).view(kind),
            pairs.view(np.uint16),
            aligned_bytes(room).view(np.int8),
            pairs.view(np.uint64),
            self.quanta[0],
            self.quanta[1] if vectors else -1,
            splits,
            np.zeros((threads, -(-channels // CHUNK) * CHUNK), np.int32),
            0,
            layer.thresholds,
            self._counts[0],
        )

    @property
    def active(self) -> NDArray[np.bool_]:
        """(H, W), the pixels of which a neuron has fired at the last picture."""
        _, height, width = self.layer.outgoing
        fired = self._levels[: self._size].reshape(height, width, self.layer.padded_channels)
        return np.asarray(fired.any(axis=2))

    @property
    def updates(self) -> NDArray[np.int64]:
        """(1,), pixels of event-driven neurons that a run of the last picture updates; 0 of others."""
        layer = self.layer
        if layer.neurons is None or not layer.event_driven:
            return np.zeros(1, np.int64)
        assert isinstance(layer, GatherLayer)
        read = np.any([source.active for _, source in self.sources], axis=0)
        return np.array([np.count_nonzero(reached(layer.reach, read) | self.active)])

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept between two pictures."""
        kept: list[NDArray[Any]] = [self.currents, self.dirty, *([] if self.output is None else [self.output])]
        if self._changes is not None:
            kept += [self._levels, *self._changes[:7]]
        return sum(array.nbytes for array in kept)

    @property
    def changes(self) -> ChangeMemory:
        """What its neurons fire that they did not fire before."""
        assert self._changes is not None
        return self._changes

    def _can_follow_changes(self) -> bool:
        """Whether the layer's currents can be brought up to date by what has changed, without rounding."""
        layer = self.layer
        if not isinstance(layer, GatherLayer) or not self.sources:
            return False
        if self.in_floats:
            # What is added up on the way from one picture to the next is the current of some levels in between. Whether
            # that is exact does not depend on the vectors of kernels in integers, to which terms are filled up.
            padded = -(-layer.padded_channels // LANES) * LANES
            return integer_terms(layer.node, layer.incoming, layer.sources, padded) is not None
        if layer.quads is None or layer.quads.weights.dtype != np.int8:
            return False  # Differences are signed, for which kernels of bytes alone are made.
        terms = layer.quads.terms
        known = all((terms.quanta[source.name][0] == each.quanta[0]).all() for source, each in self.sources)
        most = np.concatenate([np.full(s.channels, terms.quanta[s.name][0].max()) for s, _ in self.sources])
        channels = layer.outgoing[0]
        sums, units = terms.kernel.largest_sums(most), np.abs(layer.bias[:channels].astype(np.float64))
        room = EXACT - PART - units / terms.scale[:channels]
        return bool(known and ((sums <= room) | (sums == 0)).all())

    # --- What is called ----------------------------------------------------------------------------------------------

    @property
    def in_floats(self) -> bool:
        """Whether currents are added up in float32, of layers whose sums would be rounded in another order."""
        return isinstance(self.layer, GatherLayer) and (not self.sources or self.layer.integers is None)

    def before(
        self,
        fresh: NDArray[np.int64],
        touched: NDArray[np.int64],
        found: NDArray[np.void],
        counters: NDArray[np.int64],
    ) -> list[Phase]:
        """What is done before all bands.

        `fresh` says whether nothing is known yet; `touched` and `found` receive what the bands are told.
        """
        numbers = DirtyNumbers(fresh, found)
        joined = [
            Phase(join_changed, (each, self._joined, int(number == 0)))
            for number, each in enumerate(self._read)
            if len(self._read) > 1
        ]
        cleared = [] if self.layer.neurons is None else [Phase(clear_changed, (self.changes.changed,))]
        mark = (self._joined, self.taps, self.table(self._own_rows()), self.dirty, touched, numbers)
        sources = np.array([each.number for _, each in self.sources], np.int64)
        choose = (sources, counters, self._costs, numbers)
        return [*joined, *cleared, Phase(mark_dirty, mark), Phase(choose_path, choose)]

    def _weigh(self) -> None:
        """Say what each way costs, where there is a choice, if about as many neurons fire as have fired."""
        if self.by_changes and isinstance(self.layer, GatherLayer):
            fired = sum(int(each.fired[0, 0]) for _, each in self.sources)
            self._costs[:] = costs_of(self.layer, fired / math.prod(self.layer.incoming))

    def meanwhile(self) -> list[Phase]:
        """What is counted while others begin."""
        calls = []
        for number, (source, each) in enumerate(self.sources):
            tables = (self.layer.fan_tables, self.layer.zero_tables, self._odd_places())
            met = (each.source(source), each.changes.net, *tables, source.thresholds, self._met[number])
            calls.append(Phase(count_met, met))
        return calls

    def ways(self, scratch: Scratch, worker: int, counters: NDArray[np.int64]) -> list[list[Phase]]:
        """What a worker does for a band, in full and, where that can be, from change to change."""
        found, words = self._ways.phases(scratch)
        rows = self.table(self._own_rows())
        if self.output is not None:
            last = Phase(write_output, (rows, self.currents, self.dirty, self.output))
        else:
            changes = self.changes._replace(counts=self._counts[worker], thread=worker)
            last = Phase(find_changes, (rows, words, self.dirty, self._levels, changes, counters))
        return [[*way, last] for way in found]

    def _own_rows(self) -> NDArray[np.int64]:
        return np.zeros((self.bands, 2), np.int64)

    def table(self, inputs: NDArray[np.int64]) -> BandTable:
        """The bands, and which input rows each of them reads, (n, 2)."""
        table = np.zeros(self.bands, BAND)
        table["first_row"], table["end_row"] = np.array(self.rows, np.int64).T
        table["first_input"], table["end_input"] = inputs.T
        table["first_entry"] = self._first_entries
        return BandTable(table, self.layer.padded_channels, self.layer.outgoing[0])

    # --- What others read --------------------------------------------------------------------------------------------

    @property
    def entries_each(self) -> int:
        """Entries of a neuron at the most."""
        return 3 if self.changes.splits else 1

    def source(self, source: Source) -> ChangedSource:
        """What has changed, for a layer that reads it."""
        return ChangedSource(*self.changes[:7], self.unit, source.channel_offset)

    def levels(self, source: Source, quanta: Quanta) -> LevelSource:
        """What is fired, for a layer that reads it; `quanta` are those that it takes the levels for."""
        channels, height, width = self.layer.outgoing
        padded = self.layer.padded_channels
        values, shift = quanta
        shift = shift if padded % CHUNK == 0 else -1
        assert source.levels is not None
        shape = (height, width, padded, channels)
        return LevelSource(self._levels, *shape, values, shift, source.levels.emit, source.channel_offset)

    # --- Counts ------------------------------------------------------------------------------------------------------

    def _odd_places(self) -> OddPlaces:
        """Input pixels whose events do not meet what most meet."""
        fan, zeros = self.layer.fan_tables, self.layer.zero_tables
        rows, columns = fan.rows != fan.usual_row, fan.columns != fan.usual_column
        usual = [0, 0]
        if zeros is not None:
            usual = [int(np.bincount(each).argmax()) for each in (zeros.row_classes, zeros.column_classes)]
            rows, columns = rows | (zeros.row_classes != usual[0]), columns | (zeros.column_classes != usual[1])
        return OddPlaces(rows.astype(np.uint8), np.flatnonzero(columns), *usual)

    def begin(self) -> None:
        """Forget what was counted of the picture before."""
        self._counts[:] = 0
        if self.layer.neurons is not None:
            self.changes.net[:] = 0
        self._met[:] = 0
        self._weigh()

    def count(self, entries: int) -> None:
        """Bring `fired` and `met` up to date; `entries` are all that were read."""
        by_level = by_step(self._counts.sum(axis=0), 2)
        self.fired[:, 0] += by_level[:, 0] - by_level[:, 1]
        reached = int(self._met[:, 1, 1].sum()) + entries * math.prod(self.layer.fan_out.usual)
        self.reached = reached * self.layer.fan_out.channels
        self._met[:, 1, 1] = 0
        self.met[..., 0] += self._met

    def kernels(self, way: int) -> str:
        """What computes the currents of touched bands."""
        if way == CHANGES:
            return "changes"
        return self.layer.own_kernels if self.in_floats else self.layer.dense_kernels or self.layer.own_kernels

    def increment(self, kernels: str, dirty: int, changed: int, full: int) -> LayerIncrement:
        """What was done at so many dirty pixels; `full` is what a full run does."""
        pixels = self.dirty.size
        neurons = math.prod(self.layer.outgoing)
        done = self.reached if kernels == "changes" else full * dirty // pixels
        return LayerIncrement(kernels, changed, neurons, dirty, pixels, done, full)


def kept_bytes(layer: Layer) -> int:
    """Bytes that a layer keeps at the least: currents and levels."""
    _, height, width = layer.outgoing
    return height * width * layer.padded_channels * (np.dtype(np.float32).itemsize + 1)


def check_layer(layer: Layer, channels: int) -> None:
    """InputError for a layer that cannot be brought up to date."""
    what = None
    if layer.parts != (layer,) and layer.neurons is not None:
        what = "is a sum that neurons take"
    elif layer.parts != (layer,) and not is_compiled(layer):
        what = "adds up something else than convolutions and linear layers without delays"
    elif not is_compiled(layer):
        what = "is none of a convolution, linear layer or average pool with ladders of thresholds, without delays"
    elif any(source.channels != channels for source in layer.analog):
        what = "reads one of several inputs"
    elif isinstance(layer, PoolLayer) and not layer.takes_planes:
        what = "averages what is not added up in integers here"
    if what is not None:
        raise InputError(
            f"exact increments cannot be had: {layer.node.name!r} {what}; leave exact_increments out, or name another "
            "model"
        )

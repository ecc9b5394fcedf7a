"""One layer of a network that is brought up to date: what it keeps, and what is called to do so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.gather_layer import GatherLayer
from ..binding.integer_layer import Quanta, quanta_of
from ..binding.integer_plan import integer_quanta
from ..binding.layer import Source
from ..binding.pool_layer import PoolLayer
from ..errors import InputError
from ..events import channel_type
from ..kernels.arguments import BandTable, Constant, DotScratch, Entries, LadderNeurons, ScaledIntegers
from ..kernels.changes import find_changes
from ..kernels.decode import decode_analog_rows
from ..kernels.dot import GROUP, LANES
from ..kernels.entries import CHUNK, host_compresses
from ..kernels.increment_arguments import (
    ChangedSource,
    ChangeEntries,
    ChangeMemory,
    DirtyNumbers,
    DirtyTaps,
    LevelSource,
    OddPlaces,
    OffsetIntegers,
)
from ..kernels.increments import (
    CHANGES,
    choose_path,
    OFFSET,
    clear_changed,
    count_met,
    decode_changes,
    decode_levels,
    dot_dirty,
    gather_dirty,
    join_changed,
    mark_dirty,
    spread_levels,
    write_output,
)
from ..kernels.planes import PLANE_GAP
from ..kernels.pooling import fire_currents, pool_planes
from ..kernels.processor import host_lanes
from ..kernels.sources import packed_sources
from ..kernels.tables import BAND
from ..kernels.window_block import window_token
from ..layers.taps import Axis
from ..memory import aligned_bytes, aligned_empty
from .compiled_layers import is_compiled
from .integer_products import TILES
from .layer_run import by_step
from .plane_means import pool_tables, window_rows
from .scratch import Scratch
from .worker_memory import Phase

@dataclass(frozen=True)
class LayerIncrement:
    """What was done to bring a layer up to date.

    Parameters
    ----------
    kernels : str
        "changes" from change to change, otherwise those that computed dirty pixels in full; "none" where there were
        none.
    changed : int
        Neurons that fire something else than for the picture before.
    neurons : int
        All of them; for a readout, the values that are put out.
    dirty : int
        Output pixels that read something that has changed.
    pixels : int
        All of them.
    done : int
        Accumulates, or of what reads the analog input multiply-accumulates, that were done; where dirty pixels were
        computed in full, in proportion to their number.
    full : int
        Those that a full run does.
    """

    kernels: str
    changed: int
    neurons: int
    dirty: int
    pixels: int
    done: int
    full: int


KINDS = 9
"""Events and thresholds, see `LayerRun.fired`."""

_MOST_BANDS = 24
"""Of a layer: few rows each, so that little is computed that has not changed."""

_FEW_ROWS = 4
"""Of a band, for layers with few rows."""

_EXACT = 1 << 24
"""Size of a difference of two sums, in units, up to which it is exact in float32."""

_MOST_PRODUCTS = 1 << 16
"""Of an output: sums of so many levels and weights, larger by `OFFSET` than they are, have 32 bits."""

_WALKED = 90.0
"""Products of a nanosecond from change to change, on one core of a server of 2024 with AVX-512."""

_MULTIPLIED = {"vnni": 350.0, "amx": 1200.0, "portable": 20.0}
"""The same of all levels, by kind of kernels."""

_DIRTY, _VECTOR = 35.0, 6.0
"""Nanoseconds beside these, from change to change, for a dirty pixel and for each vector of its neurons."""

_FULL_VECTOR, _SPREAD = 8.0, 0.1
"""The same in full, for each vector of a dirty pixel's neurons, and for each level of a touched row that is read."""

_GAP = 128
"""Entries between the changes of two bands: kernels write whole chunks, and threads share no cache line."""


class LayerIncrements:
    """One layer: what it has computed for the last picture, and what is called to bring that up to date.

    Parameters
    ----------
    layer : Layer
    number : int
        Of the layer.
    before : dict of str to LayerIncrements
        Those that it may read.
    picture : (H, W, C) float32 and (H, W) uint8
        The analog input, and which pixels of it have changed.
    threads : int

    Raises
    ------
    InputError
        If the layer has no form that can be brought up to date.

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
        before: dict[str, LayerIncrements],
        picture: tuple[NDArray[np.float32], NDArray[np.uint8]],
        threads: int,
    ) -> None:
        _check(layer, picture[0].shape[2])
        self.layer = layer
        self.number = number
        self._sources = [(source, before[source.name]) for source in layer.spiking]
        self._picture, changed = picture
        channels, height, width = layer.outgoing
        self._size = height * width * layer.padded_channels
        self._rows = _rows_of_bands(height, layer.row_step, threads)
        self.bands = len(self._rows)
        self._dirty = np.zeros((height, width), np.uint8)
        self._currents = aligned_empty(0 if isinstance(layer, PoolLayer) else self._size)
        self._read = [each.changes.changed for _, each in self._sources] or [changed]
        self._joined = self._read[0] if len(self._read) == 1 else np.zeros_like(self._read[0])
        self._taps = _dirty_taps(layer)
        self._by_changes = self._can_follow_changes()
        self.output = None if layer.neurons else np.zeros((channels, height, width), np.float32)
        self._first_entries = np.zeros(self.bands, np.int64)
        self._counts = np.zeros((threads, KINDS, 8), np.int64)
        if layer.neurons is not None:
            self._make_room()
        self.fired = np.zeros((KINDS, 8), np.int64)
        self.met = np.zeros((len(self._sources), 2, KINDS, 8), np.int64)
        self._met = np.zeros((len(self._sources), 2, KINDS), np.int64)

    # --- Memory ------------------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Memory for levels and for what changes of them."""
        layer = self.layer
        channels, height, width = layer.outgoing
        assert layer.levels is not None
        quantum = integer_quanta([layer.levels])
        self.quanta: Quanta = (np.zeros(256, np.uint8), -1) if quantum is None else quanta_of(layer.levels, quantum)
        splits = int(int(self.quanta[0].max()) > np.iinfo(np.int8).max)
        each = 3 if splits else 1
        starts = np.array([first for first, _ in self._rows], np.int64) * (each * width * channels)
        self._first_entries = -(-starts // _GAP) * _GAP + np.arange(self.bands) * _GAP
        room = -(-(each * channels * height * width + (self.bands + 1) * _GAP) // _GAP) * _GAP
        self._levels = aligned_bytes(self._size + CHUNK)
        self._levels[:] = 0
        pairs = aligned_bytes(2 * room)
        kind = channel_type(channels)
        vectors = host_compresses() and layer.padded_channels % CHUNK == 0
        self.changes = ChangeMemory(
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
            np.zeros((len(self._counts), -(-channels // CHUNK) * CHUNK), np.int32),
            0,
            layer.thresholds,
            self._counts[0],
        )

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept between two pictures."""
        kept = [self._currents, self._dirty, *([] if self.output is None else [self.output])]
        if self.layer.neurons is not None:
            kept += [self._levels, *self.changes[:7]]
        return sum(array.nbytes for array in kept)

    def _can_follow_changes(self) -> bool:
        """Whether the layer's currents can be brought up to date by what has changed, without rounding."""
        layer = self.layer
        if not isinstance(layer, GatherLayer) or self._in_floats or layer.quads is None:
            return False
        terms = layer.quads.terms
        known = all((terms.quanta[source.name][0] == each.quanta[0]).all() for source, each in self._sources)
        most = np.concatenate([np.full(s.channels, terms.quanta[s.name][0].max()) for s, _ in self._sources])
        differences = 2 * int(terms.kernel.largest_sums(most).max())
        return known and differences <= _EXACT and terms.kernel.kernel[..., 0].size <= _MOST_PRODUCTS

    # --- What is called ----------------------------------------------------------------------------------------------

    @property
    def _in_floats(self) -> bool:
        """Whether currents are added up in float32, of layers whose sums would be rounded in another order."""
        return isinstance(self.layer, GatherLayer) and (not self._sources or self.layer.integers is None)

    def before(
        self, fresh: NDArray[np.int64], touched: NDArray[np.int64], found: NDArray[np.int64], counters: NDArray[np.int64]
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
        mark = (self._joined, self._taps, self._table(self._own_rows()), self._dirty, touched, numbers)
        sources = np.array([each.number for _, each in self._sources], np.int64)
        choose = (sources, counters, self._costs(), numbers)
        return [*joined, *cleared, Phase(mark_dirty, mark), Phase(choose_path, choose)]

    def meanwhile(self) -> list[Phase]:
        """What is counted while others begin."""
        calls = []
        for number, (source, each) in enumerate(self._sources):
            tables = (self.layer.fan_tables, self.layer.zero_tables, self._odd_places())
            met = (each.source(source), each.changes.net, *tables, source.thresholds, self._met[number])
            calls.append(Phase(count_met, met))
        return calls

    def ways(self, scratch: Scratch, worker: int, counters: NDArray[np.int64]) -> list[list[Phase]]:
        """What a worker does for a band, in full and, where that can be, from change to change."""
        neurons = None
        if self.layer.neurons is not None:
            potentials = scratch.potentials(self.layer.padded_channels)
            neurons = LadderNeurons(self.layer.neuron, self.layer.initial, 0, potentials, 0)
        words = scratch.words(self._most_rows * self.layer.outgoing[2] * self.layer.padded_channels, 1)
        if not self._sources:
            found = [self._anew(scratch, neurons, words)]
        elif isinstance(self.layer, PoolLayer):
            found = [self._pool(self.layer, scratch, neurons, words)]
        elif self._in_floats:
            found = [self._events(scratch, neurons, words)]
        else:
            found = [self._full(scratch, neurons, words)]
            if self._by_changes:
                found.append(self._changes(scratch, neurons, words))
        rows = self._table(self._own_rows())
        if self.output is not None:
            last = Phase(write_output, (rows, self._currents, self._dirty, self.output))
        else:
            changes = self.changes._replace(counts=self._counts[worker], thread=worker)
            last = Phase(find_changes, (rows, words, self._dirty, self._levels, changes, counters))
        return [[*way, last] for way in found]

    @property
    def _most_rows(self) -> int:
        return max(end - first for first, end in self._rows)

    def _own_rows(self) -> NDArray[np.int64]:
        return np.zeros((self.bands, 2), np.int64)

    def _table(self, inputs: NDArray[np.int64]) -> BandTable:
        """The bands, and which input rows each of them reads, (n, 2)."""
        table = np.zeros(self.bands, BAND)
        table["first_row"], table["end_row"] = np.array(self._rows, np.int64).T
        table["first_input"], table["end_input"] = inputs.T
        table["first_entry"] = self._first_entries
        return BandTable(table, self.layer.padded_channels, self.layer.outgoing[0])

    def _anew(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """The current of the analog input, at dirty pixels alone."""
        layer, picture = self.layer, self._picture
        assert isinstance(layer, GatherLayer)
        inputs = layer.input_rows_of(self._rows)
        height, width = picture.shape[:2]
        rows, offsets = _most(inputs), np.array([source.channel_offset for source in layer.analog])
        entries = Entries(*scratch.entries(width, rows, rows * width * picture.shape[2] * len(offsets), 1))
        # All columns are unpacked.
        table, spans = self._table(inputs), np.tile(np.array([0, width], np.int64), (height, 1))
        decode = Phase(decode_analog_rows, (table, picture, offsets, entries, layer.incoming[0]))
        return [decode, self._gather(layer, table, entries, (spans, 0), neurons, words)]

    def _events(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """Currents in float32, in which the order of additions counts: of all events under dirty pixels."""
        layer = self.layer
        assert isinstance(layer, GatherLayer)
        inputs, (channels, _, width) = layer.input_rows_of(self._rows), layer.incoming
        rows, table = _most(inputs), self._table(inputs)
        entries = Entries(*scratch.entries(width, rows, rows * width * channels, 1))
        nothing: Quanta = (np.zeros(256, np.uint8), -1)
        sources = self._level_sources({source.name: nothing for source, _ in self._sources})
        reach = max(phase.offsets[-1] - phase.offsets[0] for phase in layer.node.axes(layer.incoming)[1].reading)
        decode = Phase(decode_levels, (table, sources, self._taps.spans, reach, entries, channels))
        return [decode, self._gather(layer, table, entries, (self._taps.spans, reach), neurons, words)]

    def _gather(
        self,
        layer: GatherLayer,
        table: BandTable,
        entries: Entries,
        columns: tuple[NDArray[np.int64], int],
        neurons: LadderNeurons | None,
        words: NDArray[Any],
    ) -> Phase:
        """All additions to dirty pixels, in float32; `columns` that are unpacked."""
        gather = (table, layer.token(1), (layer.plan.tables, layer.weights), entries, *columns)
        targets = (Constant(layer.bias, 0), neurons, self._dirty, self._currents, words)
        return Phase(gather_dirty, (*gather, *targets))

    def _changes(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """From change to change."""
        layer = self.layer
        assert isinstance(layer, GatherLayer)
        assert layer.quads is not None
        inputs = layer.input_rows_of(self._rows)
        rows, width, row_keys = _most(inputs), layer.incoming[2], layer.incoming[0]
        most = rows * width * sum(source.channels * each.entries_each for source, each in self._sources)
        entries = ChangeEntries(*scratch.change_entries(width, rows, most))
        table = self._table(inputs)
        sources = packed_sources(tuple(each.source(source) for source, each in self._sources))
        weights = OffsetIntegers(self._offset_weights, layer.quads.terms.scale)
        connections = layer.quads.plan.tables, weights
        before = Constant(self._currents, layer.padded_channels)
        gather = (table, layer.quads.token(1), connections, entries, self._taps.spans, 0, before, neurons)
        return [
            Phase(decode_changes, (table, sources, self._taps.spans, entries, row_keys)),
            Phase(gather_dirty, (*gather, self._dirty, self._currents, words)),
        ]

    @property
    def _offset_weights(self) -> NDArray[np.uint8]:
        """Weights as unsigned bytes: made once for all threads."""
        if not hasattr(self, "_offset"):
            assert isinstance(self.layer, GatherLayer)
            assert self.layer.quads is not None
            whole = self.layer.quads.weights.view(np.uint8)
            self._offset = aligned_bytes(whole.size)
            np.bitwise_xor(whole, np.uint8(OFFSET), out=self._offset)
        return self._offset

    def _full(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """Products of all levels, silent ones included."""
        layer = self.layer
        assert isinstance(layer, GatherLayer)
        assert layer.integers is not None
        integers = layer.integers
        plan, tokens = integers.plan, integers.tokens(1)
        inputs = np.array([plan.input_rows(*band) for band in self._rows], np.int64)
        sums = scratch.sums(2 * GROUP * LANES * plan.vectors)
        dense = DotScratch(scratch.planes(plan.plane_bytes(_most(inputs), 1)), sums, TILES)
        groups = scratch.groups(self._most_rows * -(-layer.outgoing[2] // GROUP))
        table = self._table(inputs)
        weights = ScaledIntegers(integers.weights, integers.terms.scale)
        sources = self._level_sources(integers.terms.quanta)
        products = (table, tokens, plan.tables, weights, dense, groups, Constant(layer.bias, 0), neurons)
        return [
            Phase(spread_levels, (table, sources, dense.planes, plan.tables.layout)),
            Phase(dot_dirty, (*products, self._dirty, self._currents, words)),
        ]

    def _pool(self, layer: PoolLayer, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """Means of all levels."""
        assert layer.pooled_levels is not None
        tables = pool_tables(layer, layer.pooled_levels)
        inputs = window_rows(tables.geometry, self._rows)
        planes = scratch.planes(_most(inputs) * tables.layout.row_bytes + PLANE_GAP)
        means = scratch.currents(self._most_rows * layer.outgoing[2] * layer.padded_channels)
        table, token = self._table(inputs), self._one_pixel
        sources = self._level_sources(layer.pooled_levels.quanta)
        strides = (layer.padded_channels, layer.padded_channels)
        return [
            Phase(spread_levels, (table, sources, planes, tables.layout)),
            Phase(pool_planes, (table, token.steps, tables, planes, means)),
            Phase(fire_currents, (table, token, means, strides, neurons, words, layer.outgoing[2])),
        ]

    @property
    def _one_pixel(self) -> Any:
        """A block of one pixel's currents."""
        lanes = host_lanes()
        vectors = self.layer.block_width // lanes
        return window_token(1, 1, vectors, lanes, vectors)

    def _level_sources(self, quanta: dict[str, Quanta]) -> tuple[Any, ...]:
        return packed_sources(tuple(each.levels(source, quanta[source.name]) for source, each in self._sources))

    # --- What others read --------------------------------------------------------------------------------------------

    @property
    def entries_each(self) -> int:
        """Entries of a neuron at the most."""
        return 3 if self.changes.splits else 1

    def source(self, source: Source) -> ChangedSource:
        """What has changed, for a layer that reads it."""
        return ChangedSource(*self.changes[:7], source.channel_offset)

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
        return self.layer.own_kernels if self._in_floats else self.layer.dense_kernels or self.layer.own_kernels

    def increment(self, kernels: str, found: NDArray[np.int64], changed: int, full: int) -> LayerIncrement:
        """What was done; `full` is what a full run does."""
        pixels = self._dirty.size
        neurons = math.prod(self.layer.outgoing)
        if kernels == "changes":
            done = self.reached
        else:
            done = full * int(found[1]) // pixels
        return LayerIncrement(kernels, changed, neurons, int(found[1]), pixels, done, full)

    def _costs(self) -> NDArray[np.float64]:
        """Nanoseconds: from change to change, of an entry and a dirty pixel; in full, of a dirty pixel and a row."""
        layer = self.layer
        if not self._by_changes:
            return np.array([0.0, 1.0, 0.0, 0.0])
        assert isinstance(layer, GatherLayer)
        assert layer.integers is not None
        (channels, height, width), (_, rows, _) = layer.outgoing, layer.incoming
        vectors = layer.padded_channels / CHUNK
        entry = layer.fan_out.most * layer.padded_channels / channels / _WALKED
        products = layer.dense_macs / (height * width) * layer.padded_channels / channels
        full = products / _MULTIPLIED[layer.integers.kind] + vectors * _FULL_VECTOR
        spread = rows / height * layer.incoming[0] * layer.incoming[2] * _SPREAD
        return np.array([entry, _DIRTY + vectors * _VECTOR, full, spread])


def _check(layer: Layer, channels: int) -> None:
    """InputError for a layer that cannot be brought up to date."""
    what = None
    if not is_compiled(layer):
        what = "is none of a convolution, linear layer or average pool with ladders of thresholds, without delays"
    elif layer.analog and any(source.channels != channels for source in layer.analog):
        what = "reads one of several inputs"
    elif isinstance(layer, PoolLayer) and layer.dense_kernels is None:
        what = "averages what is not added up in integers here"
    if what is not None:
        raise InputError(f"exact increments cannot be had: {layer.node.name!r} {what}; leave exact_increments out")


def _rows_of_bands(height: int, step: int, threads: int) -> tuple[tuple[int, int], ...]:
    """First and last + 1 row of each band; `step` rows stay together."""
    rows = max(-(-height // _MOST_BANDS), min(_FEW_ROWS, -(-height // threads)))
    rows = -(-rows // step) * step
    return tuple((first, min(first + rows, height)) for first in range(0, height, rows))


def _dirty_taps(layer: Layer) -> DirtyTaps:
    """Which input pixels an output pixel reads."""
    axes = layer.node.axes(layer.incoming)  # type: ignore[attr-defined]
    _, height, width = layer.incoming
    rows = _taps_of(axes[0], height, layer.outgoing[1], -1)
    columns = _taps_of(axes[1], width, layer.outgoing[2], width)
    offsets = np.zeros(0, np.int64)
    margin = 0
    if (axes[1].output_step, axes[1].input_step, axes[1].divisor, len(axes[1].phases)) == (1, 1, 1, 1):
        offsets = np.array(axes[1].phases[0].offsets, np.int64)
        columns = columns[:, :0]
        margin = max(0, -int(offsets.min(initial=0)))
    longest = max(width + 1, layer.outgoing[2] + int(offsets.max(initial=0)))
    line = np.zeros(margin + longest, np.uint8)
    reached = _reached(_taps_of(axes[1], width, layer.outgoing[2], width), width, layer.outgoing[2])
    return DirtyTaps(rows, columns, offsets, margin, reached, line, np.zeros((height, 2), np.int64))


def _reached(columns: NDArray[np.int64], width: int, out_width: int) -> NDArray[np.int64]:
    """(width, 2): see `DirtyTaps.reached`."""
    reached = np.zeros((width + 1, 2), np.int64)
    reached[:, 0] = out_width
    outputs = np.broadcast_to(np.arange(out_width)[:, None], columns.shape)
    np.minimum.at(reached[:, 0], columns, outputs)
    np.maximum.at(reached[:, 1], columns, outputs + 1)
    reached = reached[:width]
    reached[:, 0] = np.minimum.accumulate(reached[::-1, 0])[::-1]
    reached[:, 1] = np.maximum.accumulate(reached[:, 1])
    return reached


def _taps_of(axis: Axis, size: int, out_size: int, missing: int) -> NDArray[np.int64]:
    """(out_size, taps): which inputs each output reads along an axis; `missing` for padding."""
    most = max((len(phase.offsets) for phase in axis.phases), default=0)
    found = np.full((out_size, most), missing, np.int64)
    for phase in axis.phases:
        outputs = np.arange(phase.first, out_size, axis.output_step)
        for tap, offset in enumerate(phase.offsets):
            reached = np.arange(len(outputs)) * axis.input_step + offset
            inside = (reached >= 0) & (reached < size)
            found[outputs[inside], tap] = reached[inside]
    return found


def _most(inputs: NDArray[np.int64]) -> int:
    """Rows that a band reads at the most."""
    return int((inputs[:, 1] - inputs[:, 0]).max())

"""Ways in which a layer's dirty pixels are brought up to date: what the kernels are called with, band by band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..binding.gather_layer import GatherLayer
from ..binding.integer_plan import Quanta
from ..binding.pool_layer import PoolLayer
from ..kernels.arguments import BandTable, Constant, DotScratch, Entries, LadderNeurons, ScaledIntegers
from ..kernels.decode import decode_analog_rows
from ..kernels.dot import GROUP, LANES
from ..kernels.dot_dirty import dot_dirty, spread_levels
from ..kernels.entries import CHUNK
from ..kernels.gather_dirty import OFFSET, decode_changes, decode_levels, gather_dirty
from ..kernels.increment_arguments import ChangeEntries, DirtyTarget, OffsetIntegers, ReadColumns
from ..kernels.planes import PLANE_GAP
from ..kernels.pooling import fire_currents, pool_planes
from ..kernels.sources import packed_sources
from ..memory import CACHE_LINE, aligned_bytes
from ..simulation.currents.means import window_rows
from ..simulation.currents.plane_products import TILES
from ..simulation.memory.worker_memory import Phase, Scratch

if TYPE_CHECKING:
    from .kept_layer import KeptLayer


class Ways:
    """The ways of a layer.

    Parameters
    ----------
    kept : KeptLayer
        What the layer keeps.
    """

    def __init__(self, kept: KeptLayer) -> None:
        self.layer = kept.layer
        self._kept = kept
        self._most_rows = max(end - first for first, end in kept.rows)
        self._offset: NDArray[np.uint8] | None = None

    def phases(self, scratch: Scratch) -> tuple[list[list[Phase]], NDArray[Any]]:
        """What a worker does for a band, in full and, where that can be, from change to change; where levels go."""
        layer, neurons = self.layer, None
        if layer.neurons is not None:
            potentials = scratch.array("potentials", layer.padded_channels)
            neurons = LadderNeurons(layer.neuron, layer.initial[0][0], 0, potentials, 0)
        size = self._most_rows * layer.outgoing[2] * layer.padded_channels
        words = scratch.array("words", size + CHUNK, np.uint8)
        if not self._kept.sources:
            return [self._anew(scratch, neurons, words)], words
        if isinstance(layer, PoolLayer):
            return [self._pool(layer, scratch, neurons, words)], words
        full = self._events if self._kept.in_floats else self._full
        changes = [self._changes(scratch, neurons, words)] if self._kept.by_changes else []
        return [full(scratch, neurons, words), *changes], words

    def _anew(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """The current of the analog input, at dirty pixels alone."""
        layer, picture = self.layer, self._kept.picture
        assert isinstance(layer, GatherLayer)
        inputs = layer.input_rows_of(self._kept.rows)
        height, width = picture.shape[:2]
        rows, offsets = _most(inputs), np.array([source.channel_offset for source in layer.analog])
        entries = scratch.entries(width, rows, rows * width * picture.shape[2] * len(offsets), 1)
        # All columns are unpacked.
        table, spans = self._kept.table(inputs), np.tile(np.array([0, width], np.int64), (height, 1))
        decode = Phase(decode_analog_rows, (table, picture, offsets, entries, layer.incoming[0]))
        read, bias = ReadColumns(spans, 0), Constant(layer.bias, 0)
        return [decode, self._gather(self._in_floats, table, entries, read, bias, neurons, words)]

    def _events(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """Currents in float32, in which the order of additions counts: of all events under dirty pixels."""
        layer = self.layer
        assert isinstance(layer, GatherLayer)
        inputs, (channels, _, width) = layer.input_rows_of(self._kept.rows), layer.incoming
        rows, table = _most(inputs), self._kept.table(inputs)
        entries = scratch.entries(width, rows, rows * width * channels, 1)
        nothing: Quanta = (np.zeros(256, np.uint8), -1)
        sources = self._level_sources({source.name: nothing for source, _ in self._kept.sources})
        read = self._read
        decode = Phase(decode_levels, (table, sources, read, entries, channels))
        bias = Constant(layer.bias, 0)
        return [decode, self._gather(self._in_floats, table, entries, read, bias, neurons, words)]

    def _gather(
        self,
        connected: tuple[Any, tuple[Any, Any]],
        table: BandTable,
        entries: Entries | ChangeEntries,
        read: ReadColumns,
        constant: Constant,
        neurons: LadderNeurons | None,
        words: NDArray[Any],
    ) -> Phase:
        """All additions to dirty pixels, to a constant; `read` says of which columns."""
        return Phase(gather_dirty, (table, *connected, entries, read, constant, neurons, self._target(words)))

    @property
    def _in_floats(self) -> tuple[Any, tuple[Any, Any]]:
        """Token, tables and weights of the kernels in float32."""
        assert isinstance(self.layer, GatherLayer)
        return self.layer.token(1), (self.layer.plan.tables, self.layer.weights)

    @property
    def _in_integers(self) -> tuple[Any, tuple[Any, Any]]:
        """Those of the kernels that walk from change to change in integers."""
        assert isinstance(self.layer, GatherLayer)
        assert self.layer.quads is not None
        quads = self.layer.quads
        return quads.token(1), (quads.plan.tables, OffsetIntegers(self._offset_weights, quads.terms.scale))

    def _changes(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """From change to change: in float32 of sums that are never rounded."""
        layer, in_floats = self.layer, self._kept.in_floats
        inputs, row_keys = layer.input_rows_of(self._kept.rows), layer.incoming[0]
        rows, width, table = _most(inputs), layer.incoming[2], self._kept.table(inputs)
        most = rows * width * sum(source.channels * each.entries_each for source, each in self._kept.sources)
        entries = scratch.entries(width, rows, most, 1) if in_floats else scratch.change_entries(width, rows, most)
        sources = packed_sources(tuple(each.source(source) for source, each in self._kept.sources))
        read, before = ReadColumns(self._kept.taps.spans, 0), Constant(self._kept.currents, layer.padded_channels)
        decode = Phase(decode_changes, (table, sources, read, entries, row_keys))
        connected = self._in_floats if in_floats else self._in_integers
        return [decode, self._gather(connected, table, entries, read, before, neurons, words)]

    def _target(self, words: NDArray[Any]) -> DirtyTarget:
        """Where currents and levels go."""
        return DirtyTarget(self._kept.dirty, self._kept.currents, words)

    @property
    def _offset_weights(self) -> NDArray[np.uint8]:
        """Weights as unsigned bytes: made once for all threads."""
        assert isinstance(self.layer, GatherLayer)
        assert self.layer.quads is not None
        if self._offset is None:
            whole = self.layer.quads.weights.view(np.uint8)
            self._offset = aligned_bytes(whole.size + CACHE_LINE)[: whole.size]  # Kernels may read behind the last one.
            np.bitwise_xor(whole, np.uint8(OFFSET), out=self._offset)
        return self._offset

    def _full(self, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]) -> list[Phase]:
        """Products of all levels, silent ones included."""
        layer = self.layer
        assert isinstance(layer, GatherLayer)
        assert layer.integers is not None
        integers = layer.integers
        plan, tokens = integers.plan, integers.tokens(1)
        inputs = np.array([plan.rows.inputs(*band) for band in self._kept.rows], np.int64)
        sums = scratch.array("sums", 2 * GROUP * LANES * plan.vectors, np.int32)
        dense = DotScratch(scratch.array("planes", plan.plane_bytes(_most(inputs), 1), np.uint8), sums, TILES)
        groups = scratch.array("groups", self._most_rows * -(-layer.outgoing[2] // GROUP), np.int64)
        table = self._kept.table(inputs)
        weights = ScaledIntegers(integers.weights, integers.terms.scale)
        sources = self._level_sources(integers.terms.quanta)
        products = (table, tokens, plan.tables, weights, dense, groups, Constant(layer.bias, 0), neurons)
        return [
            Phase(spread_levels, (table, sources, self._read, dense.planes, plan.tables.layout)),
            Phase(dot_dirty, (*products, self._target(words))),
        ]

    def _pool(
        self, layer: PoolLayer, scratch: Scratch, neurons: LadderNeurons | None, words: NDArray[Any]
    ) -> list[Phase]:
        """Means of all levels."""
        assert layer.pooled_levels is not None
        tables = layer.pool_tables
        inputs = window_rows(tables.geometry, self._kept.rows)
        planes = scratch.array("planes", _most(inputs) * tables.layout.row_bytes + PLANE_GAP, np.uint8)
        means = scratch.array("currents", self._most_rows * layer.outgoing[2] * layer.padded_channels)
        table, token = self._kept.table(inputs), layer.token(1)
        sources = self._level_sources(layer.pooled_levels.quanta)
        strides = (layer.padded_channels, layer.padded_channels)
        return [
            Phase(spread_levels, (table, sources, self._read, planes, tables.layout)),
            Phase(pool_planes, (table, token.steps, tables, planes, means)),
            Phase(fire_currents, (table, token, means, strides, neurons, words, layer.outgoing[2])),
        ]

    @property
    def _read(self) -> ReadColumns:
        """Columns of the levels that dirty pixels read."""
        return ReadColumns(self._kept.taps.spans, self.layer.node.axes(self.layer.incoming)[1].reach)  # type: ignore[attr-defined]

    def _level_sources(self, quanta: dict[str, Quanta]) -> tuple[Any, ...]:
        return packed_sources(tuple(each.levels(source, quanta[source.name]) for source, each in self._kept.sources))


def _most(inputs: NDArray[np.int64]) -> int:
    """Rows that a band reads at the most."""
    return int((inputs[:, 1] - inputs[:, 0]).max())

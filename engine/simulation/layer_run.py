"""Run one layer for up to eight steps: cut its output rows into bands and let worker threads take them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..build import Layer
from ..build.layers import Source
from ..events import EventQueue
from ..kernels.analog import add_analog_current
from ..kernels.compact import compact_rows
from ..kernels.count import count_levels, count_uneven_rows, count_zeros_of_rows
from ..kernels.decode import decode_analog_rows, decode_rows
from ..kernels.gather import gather_band
from ..kernels.pooling import fire_currents, pool_currents

_BAND_BYTES = 1 << 20
"""Decoded events and words of a band should stay in a core's second-level cache."""

_THREADED_WORK = 4_000_000
"""Operations under which a layer is done sooner than a second thread wakes up."""

_OPERATIONS_OF_A_NEURON = 20
"""A neuron's update and firing, in multiply-accumulates that take about as long."""

Decoded = tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
Rows = tuple[int, int, int, int]
FiredBand = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint64]]
"""Where each pixel's entries begin, their channels and their levels, counted from the band's first entry."""

_NOTHING_FIRED = (np.zeros((0, 0), np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint64))


@dataclass(eq=False)
class LayerState:
    """What a layer carries from one group of steps to the next.

    Parameters
    ----------
    layer : Layer
    membrane : (H * W * padded channels,) float32 or None
        Potentials, kept only if there are further steps or they are recorded.
    constant : float32
        Bias, or for each pixel the bias and the analog input's current.
    constant_stride : int
        0 for a bias alone, otherwise the padded channels.
    readout : (H, W, O) float32
        Running sum of the currents of a layer without neurons.
    """

    layer: Layer
    membrane: NDArray[np.float32] | None = None
    constant: NDArray[np.float32] = field(init=False)
    constant_stride: int = 0
    readout: NDArray[np.float32] = field(init=False)
    fresh: bool = True

    def __post_init__(self) -> None:
        self.constant = self.layer.bias
        channels, height, width = self.layer.outgoing
        if self.layer.neurons is None:
            self.readout = np.zeros((height, width, channels), np.float32)

    def keep_membrane(self) -> None:
        """Keep the potentials after each group of steps."""
        _, height, width = self.layer.outgoing
        if self.membrane is None and self.layer.neurons is not None:
            self.membrane = np.empty(height * width * self.layer.padded_channels, np.float32)

    def inject(self, picture: NDArray[np.float32]) -> None:
        """Compute the analog input's current, once; `picture` is (H, W, C)."""
        layer = self.layer
        if layer.pooling or not any(source.analog for source in layer.sources):
            return
        _, height, width = layer.outgoing
        self.constant_stride = layer.padded_channels
        self.constant = np.tile(layer.bias, height * width)
        for source in layer.sources:
            if source.analog:
                add_analog_current(
                    layer.plan.tables, layer.block_width, layer.weights, picture, source.channel_offset,
                    layer.padded_channels, self.constant,
                )  # fmt: skip


@dataclass(eq=False)
class Inputs:
    """What a layer reads in a group of steps.

    Parameters
    ----------
    queues : list of (Source, EventQueue, (256,) float32)
        Each spiking source with its queue and the value of each level.
    picture : (H, W, C) float32
        The analog input.
    """

    queues: list[tuple[Source, EventQueue, NDArray[np.float32]]]
    picture: NDArray[np.float32]


class LayerRun:
    """One layer over one group of steps.

    `fired` is (9, 8) int64: events of the layer, and crossings of each of up to eight thresholds, at the steps of the
    group. `counts` is (sources, 2, 9, 8) int64, for each spiking source [0] the same times the pixels that are reached,
    less what the usual fan-out would give, and [1] times the weights of zero that are met (events only).
    """

    def __init__(self, state: LayerState, inputs: Inputs, steps: int, keep_currents: bool) -> None:
        self.state = state
        self.layer = state.layer
        self.inputs = inputs
        self.steps = steps
        self.analog = [source for source in self.layer.sources if source.analog and self.layer.pooling]
        self.fired = np.zeros((9, 8), np.int64)
        self.counts = np.zeros((len(inputs.queues), 2, 9, 8), np.int64)
        channels, height, width = self.layer.outgoing
        self.currents = np.zeros((steps, channels, height, width), np.float32) if keep_currents else None
        self._row_sizes = self._entries_of_rows()

    def run(self, pool: Executor | None, threads: int) -> EventQueue | None:
        """Run all bands; returns the events, or None for a layer without neurons."""
        if self._work() < _THREADED_WORK:
            threads = 1
        bands = self._bands(threads)
        self._fired: list[FiredBand] = [_NOTHING_FIRED] * len(bands)
        work = itertools.count()
        lock_free_sums: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

        def worker() -> None:
            counts = np.zeros_like(self.counts)
            scratch = _Scratch()
            # next() on a counter is atomic: each band is taken by one worker, in whatever order.
            while (index := next(work)) < len(bands):
                self._count(index, len(bands), counts)
                self._run_band(index, bands[index], scratch)
            lock_free_sums.append((counts, scratch.fired))

        _run_on_threads(worker, pool, min(threads, len(bands)))
        for counts, fired in lock_free_sums:
            self.counts += counts
            self.fired += fired
        self.state.fresh = False
        return None if self.layer.neurons is None else self._joined()

    def _work(self) -> int:
        """About how many operations the layer takes: those of its events and those of its neurons."""
        fan = self.layer.fan_out
        reach = int(fan.rows.max()) * int(fan.columns.max()) * fan.channels
        neurons = int(np.prod(self.layer.outgoing)) * _OPERATIONS_OF_A_NEURON
        return (int(self._row_sizes[-1]) * reach + neurons) * self.steps

    def _entries_of_rows(self) -> NDArray[np.int64]:
        rows = np.zeros(self.layer.incoming[1] + 1, np.int64)
        for _, queue, _ in self.inputs.queues:
            rows[1:] += queue.start[:, -1] - queue.start[:, 0]
        rows[1:] += sum(source.channels for source in self.analog) * self.layer.incoming[2]
        return np.cumsum(rows)

    def _bands(self, threads: int) -> list[tuple[int, int]]:
        """Rows of each band: few enough for the cache, several for each thread where there are rows enough."""
        _, height, width = self.layer.outgoing
        entry = 8 + 4 * self.steps
        total = self._row_sizes[-1] * entry + height * width * self.layer.padded_channels * 8
        weights = 0 if self.layer.pooling else self.layer.weights.nbytes
        # Every band reads all weights: with many weights, fewer and higher bands.
        budget = max(_BAND_BYTES, weights)
        wanted = max(int(total // budget), 4 * threads if weights < _BAND_BYTES else threads, 1)
        count = min(wanted, height) if threads > 1 or total > budget else 1
        edges = np.linspace(0, height, count + 1).astype(int)
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def _joined(self) -> EventQueue:
        """One queue out of what each band has fired, exactly as large as it has to be."""
        starts, channels, levels = zip(*self._fired, strict=True)
        begins = np.cumsum([0, *(band.size for band in channels[:-1])])
        start = np.concatenate([band + begin for band, begin in zip(starts, begins, strict=True)])
        return EventQueue(self.layer.outgoing, self.steps, start, np.concatenate(channels), np.concatenate(levels))

    def _count(self, index: int, bands: int, counts: NDArray[np.int64]) -> None:
        fan, zero = self.layer.fan_out, self.layer.zero_fan_out
        usual, height = fan.usual, self.layer.incoming[1]
        first, last = index * height // bands, (index + 1) * height // bands
        for (source, queue, _), found in zip(self.inputs.queues, counts, strict=True):
            count_uneven_rows(
                queue.start, queue.levels, first, last, fan.rows, fan.columns, *usual, source.thresholds, found[0]
            )
            if zero is not None:
                count_zeros_of_rows(
                    queue.start, queue.channels, queue.levels, first, last, zero.row_classes,
                    zero.column_classes, zero.zeros, source.channel_offset, found[1, 0],
                )  # fmt: skip

    def _run_band(self, index: int, band: tuple[int, int], scratch: _Scratch) -> None:
        layer = self.layer
        rows = (*band, layer.padded_channels, layer.outgoing[0])
        scale = 1 if layer.pooling else layer.block_width
        decoded = self._decode(layer.input_rows(*band), scale, scratch)
        if layer.neurons is None:
            self._read_out(rows, decoded, scratch)
        else:
            words = self._fire(rows, decoded, scratch)
            self._fired[index] = self._compact(rows, words, scratch)

    def _decode(self, span: tuple[int, int], scale: int, scratch: _Scratch) -> Decoded:
        first, last = span
        width, channels = self.layer.incoming[2], self.layer.incoming[0]
        row_start = np.zeros((last - first, width + 1), np.int64)
        for _, queue, _ in self.inputs.queues:
            rows = queue.start[first:last]
            row_start += rows - rows[:, :1]
        row_start += np.arange(width + 1) * sum(source.channels for source in self.analog)
        row_start += (self._row_sizes[first:last] - self._row_sizes[first])[:, None]
        size = int(self._row_sizes[last] - self._row_sizes[first])
        keys, values = scratch.entries(size, self.steps)
        cursor = row_start[:, :-1].copy()
        spiking = {source.name: (queue, emit) for source, queue, emit in self.inputs.queues}
        for source in self.layer.sources:
            if source.name in spiking:
                queue, emit = spiking[source.name]
                decode_rows(
                    queue.start, queue.channels, queue.levels, emit, first, self.steps, channels,
                    source.channel_offset, scale, cursor, keys, values,
                )  # fmt: skip
            elif source in self.analog:
                decode_analog_rows(
                    self.inputs.picture, first, self.steps, channels, source.channel_offset, scale, cursor, keys, values
                )
        return first, row_start, keys, values

    def _fire(self, rows: Rows, decoded: Decoded, scratch: _Scratch) -> NDArray[np.uint64]:
        state, layer = self.state, self.layer
        token = layer.token(self.steps)
        width, padded = layer.outgoing[2], layer.padded_channels
        words = scratch.words((rows[1] - rows[0]) * width * padded)
        initial = np.full(padded, layer.neurons.model.initial, np.float32)  # type: ignore[union-attr]
        before, before_stride = (initial, 0) if state.fresh else (state.membrane, padded)
        after, after_stride = (np.empty(padded, np.float32), 0) if state.membrane is None else (state.membrane, padded)
        neurons = (layer.neuron, before, before_stride, after, after_stride)
        if layer.pooling:
            fire_currents(token, self._currents(rows, decoded, scratch).ravel(), neurons, words, rows, width)
        else:
            self._gather(rows, decoded, neurons, words)
        return words

    def _gather(self, rows: Rows, decoded: Decoded, neurons: Any, target: NDArray[Any]) -> None:
        layer, state = self.layer, self.state
        token = layer.token(self.steps)
        constant = (state.constant, state.constant_stride)
        gather_band(token, layer.plan.tables, layer.weights, decoded, *constant, neurons, target, rows)

    def _currents(self, rows: Rows, decoded: Decoded, scratch: _Scratch) -> NDArray[np.float32]:
        """Currents of a band that pass through memory, (rows, width, steps, padded channels)."""
        layer = self.layer
        shape = (rows[1] - rows[0], layer.outgoing[2], self.steps, layer.padded_channels)
        currents = scratch.currents(math.prod(shape))
        if layer.pooling:
            pool_currents(layer.pool_geometry, decoded, self.steps, currents, rows)
        else:
            self._gather(rows, decoded, None, currents)
        return currents[: math.prod(shape)].reshape(shape)

    def _compact(self, rows: Rows, words: NDArray[np.uint64], scratch: _Scratch) -> FiredBand:
        channels, _, width = self.layer.outgoing
        start = np.empty((rows[1] - rows[0], width + 1), np.int64)
        # Packed in arrays that stay in the cache, then copied: large arrays reserved for the worst case would take
        # whole pages, huge ones on some systems, for every band.
        packed_channels, packed_levels = scratch.packed(start.shape[0] * width * channels)
        compact_rows(words, rows, start, packed_channels, packed_levels)
        count = start[-1, -1]
        count_levels(packed_levels[:count], self.layer.thresholds, scratch.fired)
        return start, packed_channels[:count].copy(), packed_levels[:count].copy()

    def _read_out(self, rows: Rows, decoded: Decoded, scratch: _Scratch) -> None:
        by_step = self._currents(rows, decoded, scratch)[..., : self.layer.outgoing[0]]
        for step in range(self.steps):
            self.state.readout[rows[0] : rows[1]] += by_step[:, :, step]
            if self.currents is not None:
                self.currents[step, :, rows[0] : rows[1]] = self.state.readout[rows[0] : rows[1]].transpose(2, 0, 1)


class _Scratch:
    """Arrays that a worker uses again from band to band."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.generic]] = {}
        self.fired = np.zeros((9, 8), np.int64)

    def _array(self, name: str, size: int, dtype: type[np.generic]) -> NDArray[np.generic]:
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.empty(size, dtype)
        return self._arrays[name]

    def entries(self, size: int, steps: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Keys and values for `size` entries."""
        keys = self._array("keys", size, np.int64)
        return keys, self._array("values", size * steps, np.float32)  # type: ignore[return-value]

    def packed(self, size: int) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """Channels and levels of a band's active neurons."""
        channels = self._array("packed channels", size, np.int32)
        return channels, self._array("packed levels", size, np.uint64)  # type: ignore[return-value]

    def words(self, size: int) -> NDArray[np.uint64]:
        """Packed levels of a band."""
        return self._array("words", size, np.uint64)  # type: ignore[return-value]

    def currents(self, size: int) -> NDArray[np.float32]:
        """Currents of a band; zeros where no kernel writes (channels that only fill up a block)."""
        if "currents" not in self._arrays or self._arrays["currents"].size < size:
            self._arrays["currents"] = np.zeros(size, np.float32)
        return self._arrays["currents"]  # type: ignore[return-value]


def _run_on_threads(worker: Callable[[], None], pool: Executor | None, workers: int) -> None:
    """Run `worker` on the calling thread and on workers - 1 threads of the pool."""
    if pool is None or workers <= 1:
        worker()
        return
    futures = [pool.submit(worker) for _ in range(workers - 1)]
    worker()
    for future in futures:
        future.result()

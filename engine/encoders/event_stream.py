"""Events of an Input over many steps: what has come, step by step, and nothing for what is silent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import EventQueue, level_type, queue_of_sites
from ..kernels.vectors import LEVEL_BITS
from .plain_events import Events

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class EventStream:
    """Events over any number of steps, sparse: memory follows the number of events.

    Parameters
    ----------
    shape : (C, H, W)
    steps : int
    encoder : Events
        What its levels mean.
    first : (steps + 1,) int64
        The events of step t are first[t] ... first[t + 1] - 1.
    sites : (events,) int64
        Place of each in an array (H, W, C); ascending within a step.
    levels : (events,) uint8
    clipped : int
        Spikes that were left out, because a count was above what the encoder takes.

    Raises
    ------
    InputError
        If the arrays contradict each other, the shape or the encoder.
    """

    shape: Shape
    steps: int
    encoder: Events
    first: NDArray[np.int64]
    sites: NDArray[np.int64]
    levels: NDArray[np.uint8]
    clipped: int = 0

    def __post_init__(self) -> None:
        types = [str(array.dtype) for array in (self.first, self.sites, self.levels)]
        size, count = math.prod(self.shape), len(self.sites)
        first, sizes = self.first, np.diff(self.first)
        fits = types == ["int64", "int64", "uint8"] and len(self.levels) == count and len(first) == self.steps + 1
        if not fits or first[0] != 0 or first[-1] != count or (sizes < 0).any():
            raise InputError(
                f"an EventStream of {self.steps} steps needs first (int64, {self.steps + 1} of them, from 0 up to the "
                f"number of events), sites (int64) and levels (uint8) (got {', '.join(types)}; "
                f"{len(first)}, {count} and {len(self.levels)} long)"
            )
        keys = np.repeat(np.arange(self.steps), sizes) * size + self.sites
        highest = self.encoder.level_table().highest
        if count and (self.sites.min() < 0 or self.sites.max() >= size or (np.diff(keys) <= 0).any()):
            raise InputError(
                f"sites of an EventStream must ascend within a step, from 0 to {size - 1} for {self.shape}"
            )
        if count and not 1 <= self.levels.min() <= self.levels.max() <= highest:
            raise InputError(f"levels of an EventStream must be from 1 to {highest} for {self.encoder}")

    def __len__(self) -> int:
        return self.steps

    def __repr__(self) -> str:
        return f"EventStream(shape={self.shape}, steps={self.steps}, events={len(self.sites)}, encoder={self.encoder})"

    def __getitem__(self, steps: slice) -> EventStream:
        """Some steps of it, one after the other."""
        if not isinstance(steps, slice):
            raise TypeError(f"an EventStream is indexed by a slice of steps (got {steps!r})")
        begin, end, stride = steps.indices(self.steps)
        if stride != 1:
            raise InputError(f"steps of an EventStream follow one another: a slice has no stride (got {stride})")
        first = self.first[begin : max(begin, end) + 1]
        kept = slice(first[0], first[-1])
        return EventStream(
            self.shape, len(first) - 1, self.encoder, first - first[0], self.sites[kept], self.levels[kept]
        )

    def queue(self, first: int, size: int) -> EventQueue:
        """The events of up to eight steps."""
        bounds = self.first[first : first + size + 1]
        sites, levels = self.sites[bounds[0] : bounds[-1]], self.levels[bounds[0] : bounds[-1]]
        kind = np.dtype(level_type(size)).type
        shifts = np.repeat(np.arange(size, dtype=np.uint64) * LEVEL_BITS, np.diff(bounds)).astype(kind)
        words = levels.astype(kind) << shifts
        # Steps are in order already, which is what a stable sort makes use of.
        order = np.argsort(sites, kind="stable")
        sites, words = sites[order], words[order]
        begins = np.flatnonzero(np.diff(sites, prepend=-1))
        return queue_of_sites(
            self.shape, size, sites[begins], np.bitwise_or.reduceat(words, begins) if len(begins) else words
        )

    def levels_at(self, step: int) -> NDArray[np.uint8]:
        """Levels of one step, (C, H, W)."""
        channels, height, width = self.shape
        levels = np.zeros(height * width * channels, np.uint8)
        present = slice(self.first[step], self.first[step + 1])
        levels[self.sites[present]] = self.levels[present]
        return levels.reshape(height, width, channels).transpose(2, 0, 1)


def stream_of_queues(queues: Iterable[EventQueue], encoder: Events, name: str) -> EventStream:
    """Queues one after the other as a stream for the Input `name`; InputError where they do not fit together."""
    parts: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
    shape: Shape | None = None
    highest = encoder.level_table().highest
    for queue in queues:
        if not isinstance(queue, EventQueue):
            raise InputError(
                f"x of Input {name!r} must be what bin_events returns, or EventQueues (got {type(queue).__name__})"
            )
        shape = queue.shape if shape is None else shape
        if queue.shape != shape:
            raise InputError(f"all queues of Input {name!r} must have one shape (got {shape} and {queue.shape})")
        parts += _steps_of(queue, name, highest)
    if shape is None or not parts:
        raise InputError(f"x of Input {name!r} has no queues; pass one at least")
    first = np.concatenate([[0], np.cumsum([len(sites) for sites, _ in parts])]).astype(np.int64)
    sites, levels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return EventStream(shape, len(parts), encoder, first, sites, levels)


def _steps_of(queue: EventQueue, name: str, highest: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Sites and levels of each step of a queue."""
    channels, _, width = queue.shape
    try:
        index, rows, columns, numbers = queue.entries()
        words = queue.levels[index].astype(np.uint64)
    except (IndexError, ValueError):
        raise InputError(f"a queue of Input {name!r} is not consistent: its start points beyond its entries") from None
    if len(numbers) and int(numbers.max()) >= channels:
        raise InputError(f"a queue of Input {name!r} has channel {int(numbers.max())} of {channels}")
    sites = (rows * width + columns) * channels + numbers.astype(np.int64)
    if (np.diff(sites) <= 0).any():
        raise InputError(f"a queue of Input {name!r} must have its entries in the order (row, column, channel)")
    for step in range(queue.steps):
        levels = (words >> np.uint64(LEVEL_BITS * step) & np.uint64(255)).astype(np.uint8)
        if levels.max(initial=0) > highest:
            raise InputError(
                f"a queue of Input {name!r} has level {int(levels.max())}; its encoder knows levels up to {highest}"
            )
        active = levels != 0
        yield sites[active], levels[active]

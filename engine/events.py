"""Sparse event queues: what a layer of neurons emits, kept by pixel and only for neurons that fired.

An event is (step, site, level). A queue holds up to eight steps; each active neuron is one entry, its levels packed
into a word of one byte a step, so that its weight rows are read once for all steps. Memory follows the number of
active neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels.steps import events_at, join_steps
from .kernels.vectors import LEVEL_BITS
from .memory import worked_out_once

STEPS_PER_QUEUE = 8

STEP_GROUPS = (STEPS_PER_QUEUE, 4, 2, 1)
"""Sizes of groups of steps that kernels are compiled for, the largest first."""


def step_groups(steps: int, most: int = STEPS_PER_QUEUE) -> Iterator[int]:
    """Cut a number of steps into groups of sizes in `STEP_GROUPS`, the largest first and none above `most`."""
    for size in STEP_GROUPS:
        if size <= most:
            yield from (size,) * (steps // size)
            steps %= size


@worked_out_once()
def level_type(steps: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest type for the levels of so many steps, at most eight."""
    return next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if np.dtype(kind).itemsize >= steps)


@worked_out_once()
def channel_type(channels: int) -> type[np.unsignedinteger[Any]]:
    """The type of channel numbers: narrow where that is enough, because a run is mostly reading and writing events."""
    return np.uint16 if channels <= 1 << 16 else np.uint32


@worked_out_once()
def entry_bytes(channels: int, steps: int) -> int:
    """Bytes of the entry of an active neuron of a layer with so many channels, over so many steps."""
    return sum(np.dtype(kind).itemsize for kind in (channel_type(channels), level_type(steps)))


def mask_bytes(channels: int) -> int:
    """Bytes of a pixel's mask: whole words of 32 channels."""
    return -(-channels // 32) * 4


@dataclass(frozen=True, eq=False)
class EventQueue:
    """Events of one layer over `steps` consecutive steps.

    Parameters
    ----------
    shape : (C, H, W)
        Shape of the layer.
    steps : int
        Number of steps, 1 to 8.
    start : (H, W + 1) int64
        The entries of the pixel (y, x) are start[y, x] ... start[y, x + 1] - 1, in the order of their channels.
    channels : (entries,) uint16 or uint32
        Channel of each entry; `channel_type` tells which.
    levels : (entries,) uint8, uint16, uint32 or uint64
        Byte t of a word is the level at step t: a bit mask over the thresholds crossed, or the number of a level of a
        registered neuron model; 0 where the neuron is silent.
        `level_type` is the narrowest type.
    masks : (H, W, bytes) uint8 or None
        Bit c % 8 of byte c // 8: whether channel c of the pixel is active; `mask_bytes` tells how many. Entries can be
        spread out again from it, many at a time. None where nobody has noted it.
    """

    shape: tuple[int, int, int]
    steps: int
    start: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.unsignedinteger[Any]]
    masks: NDArray[np.uint8] | None = None

    @property
    def active(self) -> int:
        """Number of neurons that fired at least once."""
        return int((self.start[:, -1] - self.start[:, 0]).sum())

    def at(self, step: int) -> EventQueue:
        """The events of one step alone, a queue of one step."""
        if self.steps == 1:
            return self
        start, channels = np.empty_like(self.start), np.empty(self.active + 1, self.channels.dtype)
        levels = np.empty(channels.size, np.uint8)
        found = events_at(self.start, self.channels, self.levels, step, start, channels, levels)
        return EventQueue(self.shape, 1, start, channels[:found], levels[:found])

    def entries(
        self,
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]:
        """Index of each entry, and its row, column and channel."""
        counts = np.diff(self.start, axis=1)
        rows, columns = (np.repeat(grid.ravel(), counts.ravel()) for grid in np.indices(counts.shape))
        index = np.concatenate([np.arange(row[0], row[-1]) for row in self.start])
        return index, rows, columns, self.channels[index]

    def dense_levels(self) -> NDArray[np.uint8]:
        """Levels as a (steps, C, H, W) array."""
        dense = np.zeros((self.steps, *self.shape), np.uint8)
        index, rows, columns, channels = self.entries()
        words = self.levels[index]
        for step in range(self.steps):
            dense[step, channels, rows, columns] = words >> np.uint64(LEVEL_BITS * step) & np.uint64(255)
        return dense


def silent_queue(shape: tuple[int, int, int], steps: int) -> EventQueue:
    """A queue of a layer of the shape (C, H, W) in which nothing has fired."""
    channels, height, width = shape
    nothing = np.zeros(0, channel_type(channels)), np.zeros(0, level_type(steps))
    return EventQueue(shape, steps, np.zeros((height, width + 1), np.int64), *nothing)


def queue_of_levels(levels: NDArray[np.uint8]) -> EventQueue:
    """A queue of one step in which the neurons of a layer have fired these levels, (C, H, W)."""
    return queue_of_steps(levels[None])


def queue_of_steps(levels: NDArray[np.uint8]) -> EventQueue:
    """A queue in which the neurons of a layer have fired these levels, (steps, C, H, W)."""
    steps, channels, height, width = levels.shape
    by_site = levels.transpose(0, 2, 3, 1).reshape(steps, -1)
    sites = np.flatnonzero(by_site.any(axis=0))
    words = np.zeros(len(sites), level_type(steps))
    for step in range(steps):
        words |= by_site[step, sites].astype(words.dtype) << words.dtype.type(LEVEL_BITS * step)
    return queue_of_sites((channels, height, width), steps, sites, words)


def queue_of_sites(
    shape: tuple[int, int, int], steps: int, sites: NDArray[np.int64], words: NDArray[np.unsignedinteger[Any]]
) -> EventQueue:
    """A queue of entries given by their places in an array (H, W, C), which ascend, and the words of their levels."""
    channels, height, width = shape
    of_pixel = np.bincount(sites // channels, minlength=height * width)
    ends = np.concatenate([[0], np.cumsum(of_pixel)]).astype(np.int64)
    pixels = np.arange(height)[:, None] * width + np.arange(width + 1)
    return EventQueue(shape, steps, ends[pixels], (sites % channels).astype(channel_type(channels)), words)


def joined_steps(queues: Sequence[EventQueue]) -> EventQueue:
    """One queue of what a layer has fired at steps that follow each other, of which each has a queue of its own."""
    if len(queues) == 1:
        return queues[0]
    begins = np.cumsum([0, *(queue.channels.size for queue in queues[:-1])])
    starts = np.stack([queue.start + begin for queue, begin in zip(queues, begins, strict=True)])
    entries = [np.concatenate([getattr(queue, name) for queue in queues]) for name in ("channels", "levels")]
    start, channels = np.empty_like(queues[0].start), np.empty(entries[0].size + 1, entries[0].dtype)
    words, by_channel = np.empty(channels.size, np.uint64), np.zeros(queues[0].shape[0], np.uint64)
    found = join_steps(starts, *entries, by_channel, start, channels, words)
    kind = level_type(len(queues))
    return EventQueue(queues[0].shape, len(queues), start, channels[:found], words[:found].astype(kind))


def one_step_later(before: EventQueue, queue: EventQueue) -> EventQueue:
    """What arrives through a delay of a step: what was fired at the step before the queue's, and all but its last."""
    return joined_steps([before, *(queue.at(step) for step in range(queue.steps - 1))])


def joined_rows(queues: Sequence[EventQueue]) -> EventQueue:
    """One queue of rows of a layer that follow each other, of which each part has a queue of its own.

    Its entries have no gaps between those of the parts; it has masks where all parts have some.
    """
    if len(queues) == 1:
        return queues[0]
    begins = np.cumsum([0, *(queue.channels.size for queue in queues[:-1])])
    channels, _, width = queues[0].shape
    masks = [queue.masks for queue in queues if queue.masks is not None]
    return EventQueue(
        shape=(channels, sum(queue.shape[1] for queue in queues), width),
        steps=queues[0].steps,
        start=np.concatenate([queue.start + begin for queue, begin in zip(queues, begins, strict=True)]),
        channels=np.concatenate([queue.channels for queue in queues]),
        levels=np.concatenate([queue.levels for queue in queues]),
        masks=np.concatenate(masks) if len(masks) == len(queues) else None,
    )
